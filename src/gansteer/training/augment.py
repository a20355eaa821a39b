"""Augmentations that both real and drawn pictures pass on their way to the discriminator, differentiable in the picture.

`diffaugment` is Zhao et al. 2020 (colour, translation, cutout); `ada` is the pixel, geometry and colour set ("bgc") of
Karras et al. 2020b with bilinear resampling, every operation with probability p. Each says where it moved things, so that
what is known of places in a picture can follow.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.training.distributed import StepRandom


@dataclass(frozen=True, eq=False)
class GeometricTransform:
    """Where things of a batch of pictures went, in units of half a picture: -1 is the left or upper border, 1 the other."""

    source: Tensor
    """`[B, 2, 3]`: from places (x, y) of the changed picture to those of the original, as `affine_grid` wants them."""
    beyond: Literal["zeros", "reflection"]
    """What comes in from beyond the border."""

    def points(self, xy: Tensor) -> Tensor:
        """Points `[B, N, 2]` of the original pictures to the places where the changed ones have them."""
        source = self.source.to(xy.dtype)
        moved: Tensor = torch.linalg.solve(source[:, None, :, :2], (xy - source[:, None, :, 2])[..., None])
        return moved.squeeze(-1)

    def maps(self, maps: Tensor) -> Tensor:
        """Maps `[B, C, s, s]` of the original pictures, of any size, to those of the changed ones, bilinearly."""
        grid = F.affine_grid(self.source.to(maps.dtype), list(maps.shape), align_corners=False)
        return F.grid_sample(maps, grid, mode="bilinear", padding_mode=self.beyond, align_corners=False)


@dataclass(frozen=True, eq=False)
class Augmented:
    """Changed pictures, and how they were moved."""

    pictures: Tensor
    """`[B, 3, H, W]`."""
    transform: GeometricTransform


def unchanged(x: Tensor) -> Augmented:
    """The pictures `x [B, C, H, W]` as they are."""
    source = torch.eye(2, 3, dtype=x.dtype, device=x.device).expand(len(x), -1, -1)
    return Augmented(x, GeometricTransform(source, "zeros"))


def diffaugment(x: Tensor, random: StepRandom, colour: float = 1.0) -> Augmented:
    """Colour, translation by up to 1/8 and cutout, drawn for every picture of `x [B, C, H, W]`.

    `colour` scales the published strengths (brightness +-0.5, saturation x 0..2, contrast x 0.5..1.5); the cutout
    square is 20 % of the side, as projected discriminators use it.
    """
    x = x + random.uniform(-0.5, 0.5, 1, 1, 1) * colour
    grey = x.mean(dim=1, keepdim=True)
    x = (x - grey) * (1 + random.uniform(-1.0, 1.0, 1, 1, 1) * colour) + grey
    middle = x.mean(dim=(1, 2, 3), keepdim=True)
    x = (x - middle) * (1 + random.uniform(-0.5, 0.5, 1, 1, 1) * colour) + middle
    moved = translate(x, random)
    return Augmented(cutout(moved.pictures, random), moved.transform)


def translate(x: Tensor, random: StepRandom, ratio: float = 0.125) -> Augmented:
    """Shift every picture of `x [B, C, H, W]` by whole pixels, up to `ratio` of the side, zeros coming in."""
    height, width = x.shape[2:]
    down, right = (random.uniform(-ratio * n, ratio * n + 1, 1).floor().long() for n in (height, width))  # [B, 1]
    moved, inside = shifted(x, right, down)
    shift = torch.cat([right * (2 / width), down * (2 / height)], dim=1).to(x.dtype)  # [B, 2]
    source = torch.cat([unchanged(x).transform.source[..., :2], -shift[..., None]], dim=2)
    return Augmented(moved * inside, GeometricTransform(source, "zeros"))


def shifted(x: Tensor, right: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures `[B, C, H, W]` moved by `right` and `down [B, 1]` whole pixels, and where they are known, bool `[B, 1, H, W]`.

    Elsewhere the border's pixels are repeated.
    """
    batch, _, height, width = x.shape
    rows, cols = torch.arange(height, device=x.device) - down, torch.arange(width, device=x.device) - right
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((cols >= 0) & (cols < width))[:, None, None, :]
    picture = torch.arange(batch, device=x.device)[:, None, None]
    moved = x.permute(0, 2, 3, 1)[picture, rows.clamp(0, height - 1)[:, :, None], cols.clamp(0, width - 1)[:, None, :]]
    return moved.permute(0, 3, 1, 2), inside


def cutout(x: Tensor, random: StepRandom, ratio: float = 0.2) -> Tensor:
    """Zero a square of `ratio` of the side at a random place of every picture."""
    height, width = x.shape[2:]
    rows = torch.arange(height, device=x.device) - random.uniform(0, height, 1).floor()  # [B, H]
    cols = torch.arange(width, device=x.device) - random.uniform(0, width, 1).floor()
    half = ratio / 2
    hole = (rows.abs() <= half * height)[:, None, :, None] & (cols.abs() <= half * width)[:, None, None, :]
    return x * ~hole


def ada(x: Tensor, p: Tensor, random: StepRandom) -> Augmented:
    """The "bgc" set on `x [B, 3, H, W]` with probability `p` (a scalar tensor) for each operation and picture."""
    moved = geometry(x, p, random)
    return Augmented(colour(moved.pictures, p, random), moved.transform)


def _chosen(value: Tensor, neutral: float, p: Tensor, random: StepRandom) -> Tensor:
    """`value [B]` with probability p, else `neutral`."""
    return torch.where(random.uniform(0, 1) < p, value, torch.full_like(value, neutral))


def geometry(x: Tensor, p: Tensor, random: StepRandom) -> Augmented:
    """Mirror, quarter turns, shifts, scale, rotation, anisotropic scale as one affine resampling with reflection."""
    width = x.shape[-1]
    mirror = 1 - 2 * _chosen(random.uniform(0, 2).floor(), 0, p, random)
    quarter = _chosen(random.uniform(0, 4).floor(), 0, p, random) * (math.pi / 2)
    # Shifts in units of half the side, as affine_grid counts; whole pixels first, fractions later.
    whole = [((_chosen(random.uniform(-0.125, 0.125), 0, p, random) * width).round() / width) * 2 for _ in range(2)]
    scale = _chosen(torch.exp2(random.normal() * 0.2), 1, p, random)
    p_rotation = 1 - (1 - p).clamp(0, 1).sqrt()  # two chances, together p
    before = _chosen(random.uniform(-math.pi, math.pi), 0, p_rotation, random)
    ratio = _chosen(torch.exp2(random.normal() * 0.2), 1, p, random)
    after = _chosen(random.uniform(-math.pi, math.pi), 0, p_rotation, random)
    part = [_chosen(random.normal() * 0.125, 0, p, random) * 2 for _ in range(2)]
    one, zero = torch.ones_like(scale), torch.zeros_like(scale)

    def matrix(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        return torch.stack([torch.stack(row, dim=1) for row in (*rows, (zero, zero, one))], dim=1)  # [B, 3, 3]

    def rotation(a: Tensor) -> Tensor:
        return matrix((a.cos(), -a.sin(), zero), (a.sin(), a.cos(), zero))

    m = matrix((mirror, zero, zero), (zero, one, zero)) @ rotation(quarter)
    m = m @ matrix((one, zero, whole[0]), (zero, one, whole[1]))
    m = m @ matrix((scale, zero, zero), (zero, scale, zero)) @ rotation(before)
    m = m @ matrix((ratio, zero, zero), (zero, 1 / ratio, zero)) @ rotation(after)
    m = m @ matrix((one, zero, part[0]), (zero, one, part[1]))
    transform = GeometricTransform(m[:, :2].to(x.dtype), "reflection")
    return Augmented(transform.maps(x), transform)


def colour(x: Tensor, p: Tensor, random: StepRandom) -> Tensor:
    """Brightness, contrast, luma flip, hue rotation, saturation, as one affine map of the colours of each picture."""
    axis = torch.full((3,), 1 / math.sqrt(3), dtype=x.dtype, device=x.device)  # the grey axis of RGB
    eye = torch.eye(3, dtype=x.dtype, device=x.device)
    along = torch.outer(axis, axis)
    brightness = _chosen(random.normal() * 0.2, 0, p, random)
    contrast = _chosen(torch.exp2(random.normal() * 0.5), 1, p, random)
    flip = _chosen(random.uniform(0, 2).floor(), 0, p, random)
    hue = _chosen(random.uniform(-math.pi, math.pi), 0, p, random)
    saturation = _chosen(torch.exp2(random.normal()), 1, p, random)

    def each(t: Tensor) -> Tensor:
        return t.to(x.dtype)[:, None, None]

    cross = eye.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    m = each(contrast) * eye
    m = (eye - 2 * each(flip) * along) @ m  # Householder reflection of the luma
    m = (along + each(hue.cos()) * (eye - along) + each(hue.sin()) * cross) @ m
    m = (along + each(saturation) * (eye - along)) @ m  # [B, 3, 3]
    # Brightness comes first, so it passes through the rest as a constant colour.
    shift = m @ (brightness.to(x.dtype)[:, None, None] * torch.ones_like(eye[:, :1]))  # [B, 3, 1]
    return (m @ x.flatten(2) + shift).view(x.shape)
