"""Training images changed a little, each sample anew whenever it is drawn, so that its label stays true."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT, TURN, ZOOM = 1 / 28, math.radians(5), 0.05
"""Most that a warp moves an image: a share of its width, an angle, a share of its size."""


def augmented(x: Tensor, warp: bool, mirror: bool, dice: torch.Generator) -> Tensor:
    """Images x (B, channels, height, width) float, changed at random; anything else comes back as it is.

    ``dice`` is a generator of the CPU, so that the changes are the same on every device.
    """
    if x.dim() != 4:
        return x
    if warp:
        x = warped(x, dice)
    if mirror:
        mirrored = (torch.rand(len(x), generator=dice) < 0.5).to(x.device)
        x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
    return x


def warped(x: Tensor, dice: torch.Generator) -> Tensor:
    """Every image shifted, turned and zoomed by amounts of its own; the border goes on beyond the edge."""
    across, down, turn, zoom = (torch.rand(4, len(x), generator=dice) * 2 - 1).to(x.device, x.dtype)
    cos, sin = ((1 + ZOOM * zoom) * f(TURN * turn) for f in (torch.cos, torch.sin))
    # affine_grid measures in half widths
    matrices = torch.stack([cos, -sin, 2 * SHIFT * across, sin, cos, 2 * SHIFT * down], 1).reshape(-1, 2, 3)
    grid = F.affine_grid(matrices, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
