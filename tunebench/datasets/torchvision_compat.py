"""Import torchvision beside a torch that its C extension was not built for.

The torchvision wheel on the package index links against a CUDA build of torch. Next to a CPU-only torch that
extension does not load, and then the import itself fails, because torchvision describes two operators that
only the extension declares. Datasets and transforms need none of them, so declaring the two is enough.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_OPERATORS = ("nms", "qnms")
_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_libraries: list[object] = []  # torch withdraws a declaration when its Library object is collected


def import_torchvision() -> ModuleType:
    """The torchvision module; a build whose extension loads is imported as it is.

    Any other failure of the import is raised unchanged (ImportError when torchvision is not installed).
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # the half-imported modules
    _declare_operators()
    return importlib.import_module("torchvision")


def _declare_operators() -> None:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    _libraries.append(library)
    for name in _OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + _SIGNATURE)  # type: ignore[no-untyped-call]
