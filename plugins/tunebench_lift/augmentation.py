"""Training images changed a little, each sample anew whenever it is drawn, so that its label stays true."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT, TURN, ZOOM = 1 / 28, math.radians(5), 0.05
"""Most that a warp moves an image: a share of its width or height, an angle, a share of its size."""


def warped(x: Tensor, dice: torch.Generator) -> Tensor:
    """Images x (B, channels, height, width) float, each shifted, turned and zoomed by amounts of its own.

    Beyond the edge the border goes on. A turn is one of pixels: where an image is not square, circles stay circles.
    Anything but images comes back as it is. ``dice`` is a generator of the CPU, so that the warps are the same on every
    device.
    """
    if x.dim() != 4:
        return x
    height, width = x.shape[2:]
    across, down, turn, zoom = (torch.rand(4, len(x), generator=dice) * 2 - 1).to(x.device, x.dtype)
    cos, sin = ((1 + ZOOM * zoom) * f(TURN * turn) for f in (torch.cos, torch.sin))
    # affine_grid measures across in half widths and down in half heights
    rows = [cos, -sin * height / width, 2 * SHIFT * across, sin * width / height, cos, 2 * SHIFT * down]
    grid = F.affine_grid(torch.stack(rows, 1).reshape(-1, 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
