"""What the cache holds is looked at before it is used: names, shapes and types, from the headers of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

Header = dict[str, tuple[str, tuple[int, ...]]]
"""Type and shape of every tensor of a file, by name."""
INTEGERS = ("I64",)
FLOATS = ("F16", "BF16", "F32", "F64")


def header(path: Path) -> Header:
    """Read the header of a safetensors file; raises what safetensors raises."""
    with safe_open(path, "pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (it is no dict)
        return {name: (str(s.get_dtype()), tuple(s.get_shape())) for name, s in slices.items()}


def data_fault(folder: Path) -> str | None:
    """What is wrong with a data set in the cache, or None: two splits of float inputs and integer labels."""
    try:
        found = {split: header(folder / f"{split}.safetensors") for split in ("train", "test")}
    except (OSError, SafetensorError) as exc:
        return reason(exc)
    for split, tensors in found.items():
        x, y = tensors.get("x"), tensors.get("y")
        if x is None or y is None or x[0] != "F32" or y != ("I64", x[1][:1]) or x[1][1:] != found["train"]["x"][1][1:]:
            return f"{split}.safetensors does not hold inputs and labels that fit together"
    return None


def original_fault(folder: Path, samples: int, tested: int | None) -> str | None:
    """What is wrong with an original in the cache, or None.

    ``samples`` is the number of training samples, ``tested`` that of test samples where selection is on test.
    """
    try:
        if not (folder / "original.json").is_file():
            return "original.json is missing"
        header(folder / "model.safetensors")
        tables = header(folder / "activations.safetensors")
    except (OSError, SafetensorError) as exc:
        return reason(exc)
    shapes: Any = {name: shape for name, (_, shape) in tables.items()}
    try:
        (train,), (valid,), (units,) = shapes["train_rows"], shapes["valid_rows"], shapes["layer_of"]
        classes = shapes["logits_train"][1]
    except (KeyError, ValueError, IndexError):
        return "activations.safetensors lacks a table"
    rows = valid if tested is None else tested
    wanted = {
        "train_rows": (INTEGERS, (train,)),
        "valid_rows": (INTEGERS, (valid,)),
        "layer_of": (INTEGERS, (units,)),
        "hidden_train": (FLOATS, (train, units)),
        "hidden_valid": (FLOATS, (rows, units)),
        "logits_train": (FLOATS, (train, classes)),
        "logits_valid": (FLOATS, (rows, classes)),
    }
    found = {name: tables.get(name, ("", ())) for name in wanted}
    wrong = [n for n, (types, shape) in wanted.items() if found[n][0] not in types or found[n][1] != shape]
    if wrong:
        return f"{wrong[0]} has another shape or type than the other tables ask for"
    return None if train + valid == samples else f"its rows are {train} + {valid}, of {samples} samples"


def reason(exc: BaseException) -> str:
    """An exception of the file system or of safetensors as part of a line."""
    return " ".join(str(getattr(exc, "strerror", None) or exc).split())[:200]
