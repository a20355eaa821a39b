"""What RAFT (Teed and Deng 2020) and PIPs (Harley et al. 2022) share: features of pictures, and where they are alike.

Re-implemented from the published descriptions, of a size for small pictures.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 4
"""Pixels of a picture along each side of a cell of its features."""


class Residual(nn.Module):
    """`relu(x + norm(conv(relu(norm(conv(x))))))`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.norms = nn.ModuleList(nn.InstanceNorm2d(channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, h, w]` to the same."""
        y = F.relu(self.norms[0](self.first(x)))
        found: Tensor = F.relu(x + self.norms[1](self.second(y)))
        return found


class PictureEncoder(nn.Module):
    """Pictures to features at a quarter of their size, with instance norm as both papers have it."""

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 7, stride=2, padding=3), nn.InstanceNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.InstanceNorm2d(2 * width), nn.ReLU(),
            Residual(2 * width),
            nn.Conv2d(2 * width, channels, 1),
        )  # fmt: skip

    def forward(self, pictures: Tensor) -> Tensor:
        """`pictures [B, 3, H, W]` in [-1, 1], H and W multiples of 4, to `[B, channels, H / 4, W / 4]`."""
        found: Tensor = self.layers(pictures)
        return found


def pyramid(features: Tensor, levels: int) -> list[Tensor]:
    """`features [B, C, h, w]`, and their means over 2 x 2, 4 x 4, ... cells: `levels` maps. One of a single cell is repeated."""
    maps = [features]
    while len(maps) < levels:
        maps.append(F.avg_pool2d(maps[-1], 2) if min(maps[-1].shape[2:]) > 1 else maps[-1])
    return maps


def volumes(features: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
    """How alike `features [B, N, C]` are to every cell of `maps [B, C, h, w]`: `<f, F> / sqrt(C)`, each `[B, N, h, w]`.

    The mean of likenesses is the likeness to the mean, so the maps of a pyramid give RAFT's pyramid of likenesses.
    """
    scale = features.shape[2] ** -0.5
    return [torch.einsum("bnc,bchw->bnhw", features * scale, each) for each in maps]


def look_up(alike: Sequence[Tensor], at: Tensor, radius: int) -> Tensor:
    """The likenesses around `at [B, N, 2]` (x, y), in cells of the finest map: `[B, N, levels (2 radius + 1)^2]`.

    On level l they stand at `(at + 1/2) / 2^l - 1/2 + d`, whole d up to `radius` along each axis, read between the cells, 0
    beyond the map. Level by level, row by row.
    """
    steps = torch.arange(-radius, radius + 1, dtype=at.dtype, device=at.device)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    d = torch.stack([x, y], dim=-1).view(-1, 2)  # [K, 2]
    found = []
    for level, each in enumerate(alike):
        batch, count, height, width = each.shape
        places = (at[:, :, None] + 0.5) / 2**level - 0.5 + d
        size = torch.tensor([width, height], dtype=at.dtype, device=at.device)
        grid = ((2 * places + 1) / size - 1).view(batch * count, 1, -1, 2)
        read = F.grid_sample(each.reshape(batch * count, 1, height, width), grid, align_corners=False)
        found.append(read.view(batch, count, -1))
    return torch.cat(found, dim=2)


def sample_map(maps: Tensor, at: Tensor) -> Tensor:
    """`maps [B, C, h, w]` at `at [B, N, 2]` (x, y) in cells, bilinear, clamped at the border: `[B, N, C]`."""
    size = torch.tensor([maps.shape[3], maps.shape[2]], dtype=at.dtype, device=at.device)
    grid = ((2 * at + 1) / size - 1)[:, None]
    found: Tensor = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)[:, :, 0].transpose(1, 2)
    return found


def to_cells(points: Tensor) -> Tensor:
    """Pixels `[..., 2]` to cells of the features; the centre of the first of each is 0."""
    return (points + 0.5) / STRIDE - 0.5


def to_pixels(cells: Tensor) -> Tensor:
    """The inverse of `to_cells`."""
    return (cells + 0.5) * STRIDE - 0.5
