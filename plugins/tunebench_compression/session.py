"""A part of a network that onnxruntime computes in 8-bit integers, with the kernels that deployments use."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

ROWS = 256
"""Samples that pass at once: the intermediate tensors of more would take much memory that torch does not see."""


class Engine:
    """onnxruntime's session of a `Session`, made when it is first needed and never copied."""

    def __init__(self) -> None:
        self.session: Any = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Engine:
        return Engine()

    def __reduce__(self) -> tuple[type[Engine], tuple[()]]:
        return Engine, ()

    def run(self, graph: Tensor, x: Tensor) -> Tensor:
        """What the ONNX file ``graph`` (bytes,) uint8 makes of x (N, *shape) float32."""
        self.session = self.session or session_of(graph)
        name = self.session.get_inputs()[0].name
        return torch.from_numpy(self.session.run(None, {name: x.numpy()})[0])


def session_of(graph: Tensor) -> Any:
    """onnxruntime, on one thread as all that tunebench times, with the ONNX file ``graph`` (bytes,) uint8."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph.cpu().numpy().tobytes(), options, providers=["CPUExecutionProvider"])


class Session(nn.Module):
    """An ONNX file as a module. It is a buffer, so that it is stored, copied and moved as any tensor.

    It computes on the CPU, wherever its inputs lie.
    """

    graph: Tensor
    counts: Tensor
    untrainable = "its weights are 8-bit integers, which gradients cannot move; tuners of the output layer work"

    def __init__(self, graph: Tensor, params: int = 0, flops: int = 0) -> None:
        super().__init__()
        self.register_buffer("graph", graph)
        self.register_buffer("counts", torch.tensor([params, flops]))
        self.engine = Engine()

    @property
    def unseen(self) -> dict[str, int]:
        """Non-zero parameters, and operations with them for one input."""
        return dict(zip(("params", "flops"), self.counts.tolist(), strict=True))

    def stored(self) -> dict[str, Tensor]:
        """The file alone: the counts are read off the network."""
        return {"graph": self.graph}

    def forward(self, x: Tensor) -> Tensor:
        """(N, *shape) float32 to (N, D) float32."""
        rows = x.detach().float().cpu().contiguous().split(ROWS)
        return torch.cat([self.engine.run(self.graph, part) for part in rows]).to(x.device)

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        """Another file needs another session."""
        super()._load_from_state_dict(*args, **options)
        self.engine = Engine()
