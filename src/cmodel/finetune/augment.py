"""Simple augmentation: shift, flip, crop and turn, one drawing for each image."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cmodel.finetune.options import TrainingOptions


def augment(x: Tensor, options: TrainingOptions, generator: torch.Generator) -> Tensor:
    """Return a batch (N, C, H, W) of changed images; what comes in from outside is 0."""
    if x.ndim != 4 or not options.augments:
        return x
    count, _, height, width = x.shape

    def draw() -> Tensor:
        return torch.rand(count, generator=generator)

    if options.flip:
        x = torch.where((draw() < 0.5)[:, None, None, None], x.flip(3), x)
    if options.shift and not options.rotate and options.crop == 1:
        return _shifted(x, options.shift, generator)
    if not (options.shift or options.rotate or options.crop < 1):
        return x
    angle = (2 * draw() - 1) * math.radians(options.rotate)
    size = options.crop + (1 - options.crop) * draw()
    room = 1 - size
    across = (2 * draw() - 1) * (room + 2 * options.shift / width)
    down = (2 * draw() - 1) * (room + 2 * options.shift / height)
    cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
    ways = torch.stack(
        [
            torch.stack([cos, -sin * height / width, across], dim=1),
            torch.stack([sin * width / height, cos, down], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(ways, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def _shifted(x: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Move each image by whole pixels."""
    count, channels, height, width = x.shape
    padded = F.pad(x, (most, most, most, most))
    down, across = torch.randint(0, 2 * most + 1, (2, count), generator=generator)
    rows = (down[:, None] + torch.arange(height))[:, None, :, None]
    columns = (across[:, None] + torch.arange(width))[:, None, None, :]
    image = torch.arange(count)[:, None, None, None]
    return padded[image, torch.arange(channels)[None, :, None, None], rows, columns]
