"""The laws that layouts are drawn from, in training and for new pictures (Wang et al. 2022 and 2024)."""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from gansteer.models.layout import NO_PARENT, Layout, pixels

HIERARCHY_PARENTS = (NO_PARENT, 0, 0, 0, 0, 0, 0)
HIERARCHY_LEVELS = (1, 2, 2, 3, 3, 3, 3)
PUBLISHED_DEVIATION, PUBLISHED_FARTHEST = 0.33, 0.75
"""Of the first centre of the published hierarchy, in units of half a picture."""


class LayoutLaw(Protocol):
    """A distribution of layouts."""

    def sample(self, batch: int, resolution: int, blob_dim: int, rng: torch.Generator) -> Layout:
        """The layouts of `batch` pictures of `resolution` pixels, drawn on the CPU in float64 from `rng`."""
        ...

    def mean(self, resolution: int, blob_dim: int) -> Layout:
        """The layout about which the others lie: the blobs that each of them has, where they are on average."""
        ...


def _uniform(rng: torch.Generator, low: float, high: float, *size: int) -> Tensor:
    return low + (high - low) * torch.rand(*size, generator=rng, dtype=torch.float64)


@dataclass(frozen=True)
class ObjectsLaw:
    """Several independent objects, each with a style code of its own; each is absent with probability `drop`.

    All lengths are in units of half a picture. Training draws what a person will want to edit: centres all over the
    part of the picture where there can be things, many sizes, and rooms without some of their things.
    """

    count: int = 6
    drop: float = 0.2
    x_low: float = -0.85
    x_high: float = 0.85
    y_low: float = -0.5
    y_high: float = 0.9
    radius_low: float = 0.1
    """Least distance at which a heatmap falls to one half."""
    radius_high: float = 0.45
    candidates: int = 2
    """Each centre is the farthest from those before it, of several random ones: things seldom stand within each other.
    With 1, centres are independent."""

    def sample(self, batch: int, resolution: int, blob_dim: int, rng: torch.Generator) -> Layout:
        """The layouts of `batch` pictures, `[batch, count]` blobs."""
        x = _uniform(rng, self.x_low, self.x_high, batch, self.count, self.candidates)
        y = _uniform(rng, self.y_low, self.y_high, batch, self.count, self.candidates)
        places = torch.stack([x, y], dim=-1)  # [B, K, M, 2]
        chosen = [places[:, 0, 0]]
        for k in range(1, self.count):
            gap = torch.cdist(places[:, k], torch.stack(chosen, dim=1)).amin(dim=2)  # [B, M]
            chosen.append(places[torch.arange(batch), k, gap.argmax(dim=1)])
        radius = _uniform(rng, self.radius_low, self.radius_high, batch, self.count)
        present = (_uniform(rng, 0, 1, batch, self.count) >= self.drop).double()
        styles = torch.randn(batch, self.count, blob_dim, generator=rng, dtype=torch.float64)
        whole = torch.zeros(batch, self.count, dtype=torch.long)
        return Layout(
            pixels(torch.stack(chosen, dim=1), resolution), radius * (resolution / 2), styles, present, whole, whole + NO_PARENT
        )  # fmt: skip

    def mean(self, resolution: int, blob_dim: int) -> Layout:
        """One without blobs: none is in every picture."""
        return Layout.of([], blob_dim)


@dataclass(frozen=True)
class HierarchicalLaw:
    """The published hierarchy for one object such as a face: 1, 2 and 4 centres on three levels.

    Level 1: N(0, 0.33^2) within +-0.75; levels 2 and 3: that centre plus U(-0.4, 0.4)^2 and U(-0.8, 0.8)^2, not clamped.
    Sigma: 0.5 (1 + U) for a whole batch, (U + 0.1) / 1.4 and (U + 0.1) / 2 for each centre.
    """

    deviation: float = PUBLISHED_DEVIATION
    """Standard deviation of the first centre in units of half a picture: smaller where the pictures' one thing stands near the
    middle. What clamps it keeps its proportion."""

    def sample(self, batch: int, resolution: int, blob_dim: int, rng: torch.Generator) -> Layout:
        """The layouts of `batch` pictures, `[batch, 7]` blobs: blob 0 takes the other six along."""
        farthest = PUBLISHED_FARTHEST / PUBLISHED_DEVIATION * self.deviation
        first = (self.deviation * torch.randn(batch, 1, 2, generator=rng, dtype=torch.float64)).clamp(
            -farthest, farthest
        )
        second = first + _uniform(rng, -0.4, 0.4, batch, 2, 2)
        third = first + _uniform(rng, -0.8, 0.8, batch, 4, 2)
        sigmas = [
            0.5 * (1 + _uniform(rng, 0, 1, 1, 1)).expand(batch, 1),
            (_uniform(rng, 0, 1, batch, 2) + 0.1) / 1.4,
            (_uniform(rng, 0, 1, batch, 4) + 0.1) / 2,
        ]
        radius = (torch.cat(sigmas, dim=1) * math.log(2)).sqrt()
        styles = torch.randn(batch, 7, blob_dim, generator=rng, dtype=torch.float64)
        centres = pixels(torch.cat([first, second, third], dim=1), resolution)
        levels, parents = (torch.tensor(x).expand(batch, 7).clone() for x in (HIERARCHY_LEVELS, HIERARCHY_PARENTS))
        return Layout(
            centres, radius * (resolution / 2), styles, torch.ones(batch, 7, dtype=torch.float64), levels, parents
        )

    def mean(self, resolution: int, blob_dim: int) -> Layout:
        """All seven in the middle, with the mean sigma of their levels and the styles of a sample: none has a style of zeros."""
        sigmas = torch.tensor([0.75] + 2 * [0.6 / 1.4] + 4 * [0.3], dtype=torch.float64)
        sample = self.sample(1, resolution, blob_dim, torch.Generator().manual_seed(0))[0]
        return replace(
            sample,
            centres=pixels(torch.zeros(7, 2, dtype=torch.float64), resolution),
            sizes=(sigmas * math.log(2)).sqrt() * (resolution / 2),
        )
