"""8-bit integers: static quantisation after training by onnxruntime, whose kernels then compute the network."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tunebench import Compression, CompressionTask, Inapplicable
from tunebench_compression.lowrank import put
from tunebench_compression.parametrizations import is_held, weighted_layers
from tunebench_compression.session import ROWS, Session

CALIBRATION = 1024
"""Training samples that give the ranges of the activations."""
LEVELS = 64
"""Largest integer of a weight. With the full 127, kernels without VNNI instructions would overflow, so that a network
would classify differently on different machines (onnxruntime's ``reduce_range``).
"""


class Int8(Compression):
    """8-bit weights and activations, by static quantisation after training (Jacob et al. 2018; onnxruntime)."""

    name = "int8"
    packages = ("onnx", "onnxruntime", "onnxscript")
    summary = "8-bit weights and activations, quantised after training by onnxruntime, which then computes the network."

    def compress(self, task: CompressionTask, value: None) -> nn.Module:
        """All but the output layer as one ONNX file in integers; the output layer stays in float32."""
        return quantised(task)

    def rebuild(self, task: CompressionTask, value: None, state: Mapping[str, Tensor]) -> nn.Module:
        """A file of that size, and an output layer of that shape."""
        head = state.get("head.weight")
        session = Session(torch.zeros(len(state["trunk.graph"]), dtype=torch.uint8))
        return joined(session, None if head is None else nn.Linear(head.shape[1], len(head), "head.bias" in state))


def quantised(task: CompressionTask) -> nn.Module:
    """``task.model`` in 8-bit integers up to its output layer."""
    trunk, head = divided(task)
    try:
        graph = in_integers(trunk, task.x)
    except Exception as exc:
        why = (str(exc).strip().splitlines() or [type(exc).__name__])[0][:200]
        raise Inapplicable(f"onnxruntime cannot take the network in 8-bit integers: {why}") from exc
    coarse(trunk)
    params = sum(int(torch.count_nonzero(p)) for p in trunk.parameters())
    return joined(Session(graph, params, task.flops(trunk)), head)


def joined(trunk: nn.Module, head: nn.Linear | None) -> nn.Sequential:
    """The integers and, where there is one, the output layer."""
    return nn.Sequential(OrderedDict({"trunk": trunk} | ({} if head is None else {"head": head})))


def divided(task: CompressionTask) -> tuple[nn.Module, nn.Linear | None]:
    """All before the output layer, which gives (N, D), and that layer; None where it cannot be taken out."""
    model = plain(task.model)
    few = task.x[:2]
    wanted = model(few)
    layer = None if task.output is None else model.get_submodule(task.output)
    if not isinstance(layer, nn.Linear | nn.Conv2d):
        return model, None
    head = nn.Linear(layer.weight[0].numel(), len(layer.weight), layer.bias is not None)
    head.weight.data = layer.weight.detach().flatten(1)
    if layer.bias is not None:
        head.bias.data = layer.bias.detach()
    put(model, task.output, nn.Identity())
    trunk = nn.Sequential(model, nn.Flatten())
    with contextlib.suppress(RuntimeError):
        if torch.allclose(head(trunk(few)), wanted, rtol=1e-3, atol=1e-4):
            return trunk, head
    put(model, task.output, layer)
    return model, None


def plain(model: nn.Module) -> nn.Module:
    """``model`` with its held weights as plain parameters, in eval mode, frozen."""
    for layer in weighted_layers(model).values():
        if is_held(layer):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return model.eval().requires_grad_(False)


def in_integers(trunk: nn.Module, x: Tensor) -> Tensor:
    """The ONNX file of ``trunk`` in 8-bit integers, (bytes,) uint8, its ranges from some of x (N, *shape).

    Weights are symmetric, a scale for each output channel; activations have one scale and an offset for a tensor.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, quiet():
        raw, ready, done = (Path(folder) / f"{name}.onnx" for name in ("raw", "ready", "done"))
        batch = torch.export.Dim("batch")
        torch.onnx.export(
            trunk,
            (x[:2].cpu(),),
            raw,
            dynamo=True,
            input_names=["x"],
            dynamic_shapes=({0: batch},),
            external_data=False,
        )
        quant_pre_process(raw, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            done,
            Calibration(x[:: max(1, len(x) // CALIBRATION)].cpu()),
            quant_format=QuantFormat.QOperator,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        graph = torch.from_numpy(np.frombuffer(bare(done), dtype=np.uint8).copy())
    Session(graph)(x[:2])  # are there kernels for it?
    return graph


class Calibration:
    """Batches of samples under the name of the network's input, as onnxruntime asks for them."""

    def __init__(self, x: Tensor) -> None:
        self.batches = iter(x.split(ROWS))

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, or None."""
        batch = next(self.batches, None)
        return None if batch is None else {"x": batch.contiguous().numpy()}


def bare(path: Path) -> bytes:
    """An ONNX file without what says where it comes from."""
    import onnx

    model = onnx.load(path)
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    file: bytes = model.SerializeToString()
    return file


def coarse(model: nn.Module) -> None:
    """Weights that are zero as integers become zero, in place."""
    for layer in weighted_layers(model).values():
        largest = layer.weight.abs().amax(dim=tuple(range(1, layer.weight.dim())), keepdim=True)
        layer.weight[(layer.weight * LEVELS / largest).round() == 0] = 0


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters and quantisers say while they work."""
    level = logging.root.level
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        logging.root.setLevel(level)
