"""How a network is stored: what its file holds once every part is packed as that part knows best.

A part may have a method ``stored()``, which returns its tensors as they are written, by name. A parametrization may
have a method ``stored(original)`` for the tensor that it makes of ``original``. Everything else is stored as it is. A
part whose numbers and operations torch does not see says them in ``unseen``, a dict with ``params`` and ``flops``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList


def stored(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of ``model`` as they are written, each once; `safetensors.torch.save_file` takes them."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in written("", model):
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor
    return found


def written(path: str, part: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of all that a part and those inside it write."""
    form: Any = part[0] if isinstance(part, ParametrizationList) and len(part) == 1 else part
    if hasattr(form, "stored"):
        given = [] if form is part else [part.original]
        packed: dict[str, Tensor] = form.stored(*given)
        yield from ((f"{path}{name}", tensor) for name, tensor in packed.items())
    else:
        for name, tensor in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)):
            yield f"{path}{name}", tensor
        for name, child in part.named_children():
            yield from written(f"{path}{name}.", child)


def unseen(model: nn.Module, what: str) -> int:
    """Sum over all parts of what torch does not see of them: ``params`` or ``flops``."""
    parts: Any = model.modules()
    return sum(int(part.unseen[what]) for part in parts if hasattr(part, "unseen"))
