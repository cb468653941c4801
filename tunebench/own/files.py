"""What is taken home: the tuned network as files that load without tunebench. Complete or not there at all."""

from __future__ import annotations

import importlib
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tunebench.errors import InvalidOutput, StoreError, TunebenchError, UsageError
from tunebench.naming import said
from tunebench.networks.activations import forward
from tunebench.networks.sites import first_float
from tunebench.results.folder import refuse_links

NETWORKS = ("tuned.safetensors", "tuned.pt2", "tuned.onnx")
OURS = ("report.json", "report.md", "candidates", *NETWORKS)
"""What `tune` writes into its folder beside what every run does."""
ROWS = 256
"""Real samples on which an exported network has to agree with the one in memory."""
CLOSE = 1e-4
"""How far their logits may differ, as a share of the largest."""


class Written(NamedTuple):
    """A file, and what a reader has to know of it."""

    path: Path
    note: str


def write_network(tuned: nn.Module, original: nn.Module, x: Tensor, out: Path, exports: Sequence[str]) -> list[Written]:
    """Write ``tuned`` to ``out``; x (N, *shape) are real samples to check files with.

    ``tuned.safetensors`` where it has the keys and shapes of ``original``, else ``tuned.pt2``; what ``exports`` asks
    for besides. StoreError when a file cannot be written, InvalidOutput when what it holds is not the network.
    """
    rows = x[:ROWS].cpu()
    tuned = tuned.cpu().eval()
    same = shapes(tuned) == shapes(original)
    written = []
    if same:
        state = {key: value.detach().clone().contiguous() for key, value in tuned.state_dict().items()}
        path = atomically(out / "tuned.safetensors", lambda scratch: save_file(state, scratch))
        written.append(Written(path, "the same architecture with other numbers: load_state_dict takes it"))
    if not same or "torch" in exports:
        path = atomically(out / "tuned.pt2", lambda scratch: save_program(tuned, rows, scratch))
        written.append(Written(path, "the whole network: torch.export.load(...).module()"))
    if "onnx" in exports:
        path = atomically(out / "tuned.onnx", lambda scratch: save_onnx(tuned, rows, scratch))
        written.append(Written(path, f"ONNX opset {opset_of(path)}, any batch size, {path.stat().st_size:,} bytes"))
    for stale in set(NETWORKS) - {file.path.name for file in written}:
        (out / stale).unlink(missing_ok=True)  # of an earlier call: another network than the report's
    return written


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    """Keys and shapes of a state dict."""
    return {key: value.shape for key, value in model.state_dict().items()}


def require_exports(exports: Sequence[str]) -> None:
    """UsageError, before anything is computed, when what an export needs is not installed."""
    if "onnx" not in exports:
        return
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError as exc:
            raise UsageError("--export onnx needs more packages: pip install 'tunebench[export]'") from exc


def require_no_links(out: Path) -> None:
    """StoreError for a link where `tune` writes into ``out``, before anything is computed: it would lead elsewhere."""
    refuse_links(out, OURS)


def atomically(path: Path, write: Callable[[Path], None]) -> Path:
    """``path``, written by ``write(scratch)`` beside it and renamed when it is whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tuned-", dir=path.parent) as folder:
            scratch = Path(folder) / path.name
            with warnings.catch_warnings():  # libraries' words about themselves
                warnings.simplefilter("ignore")
                attempt(write, scratch)
            os.chmod(scratch, 0o666 & ~umask())
            os.replace(scratch, path)
    except OSError as exc:
        raise StoreError(f"cannot write {path}: {exc.strerror or exc}; free space or choose another -o OUT") from exc
    return path


def attempt(write: Callable[[Path], None], scratch: Path) -> None:
    """``write(scratch)``; InvalidOutput, one line, for what a library cannot export."""
    try:
        write(scratch)
    except (OSError, TunebenchError):
        raise
    except Exception as exc:
        raise InvalidOutput(
            f"{scratch.name} cannot be made of this network: {said(exc)}; leave that export out"
        ) from exc


def umask() -> int:
    """The permissions that the user's new files do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save_program(model: nn.Module, x: Tensor, path: Path) -> None:
    """Write ``model`` by `torch.export`, for any batch size, and check what was written."""
    program = torch.export.export(model, (typed(model, x[:2]),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, path)
    agree(path, torch.export.load(path).module()(typed(model, x)).float(), forward(model, x))


def save_onnx(model: nn.Module, x: Tensor, path: Path) -> None:
    """Write ``model`` as ONNX, for any batch size, and check it in onnxruntime on real samples."""
    import onnxruntime

    example = typed(model, x[:2])
    torch.onnx.export(
        model, (example,), path, dynamo=True, external_data=False, verbose=False, input_names=["input"],
        output_names=["logits"], dynamic_shapes=({0: torch.export.Dim("batch")},),
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"input": typed(model, x).numpy()})
    agree(path, torch.from_numpy(logits).float(), forward(model, x))


def agree(path: Path, found: Tensor, expected: Tensor) -> None:
    """InvalidOutput unless a file's logits (N, C) are those of the network, and so is every predicted class."""
    worst = float((found - expected).abs().max())
    if worst > CLOSE * max(1.0, float(expected.abs().max())) or not torch.equal(found.argmax(1), expected.argmax(1)):
        raise InvalidOutput(f"{path.name} gives other logits than the network (by up to {worst:.3g}); it was not kept")


def typed(model: nn.Module, x: Tensor) -> Tensor:
    """Inputs of the network's own floating point type."""
    like = first_float(model)
    return x if like is None else x.to(like.dtype)


def opset_of(path: Path) -> int:
    """Version of the operators of an ONNX file."""
    import onnx

    model: Any = onnx.load(str(path), load_external_data=False)
    return int(next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")))
