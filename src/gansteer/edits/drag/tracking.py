"""Where did the handle go? Trackers share one small protocol; `optical_flow.py` has more of them, `trackers.py` all by name.

A tracker is made from the first picture of an edit (its templates never change afterwards) and then asked, picture by
picture, where the points are now.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from gansteer.edits.drag.features import Features, View

BATCH = 4096
"""Candidate positions compared at a time: bounds the memory with many handles and large neighbourhoods."""


@dataclass(frozen=True)
class Tracked:
    """Where the points are, and whether the tracker is sure of each."""

    points: Tensor
    """`[n, 2]` (x, y) in pixels, float64 on the CPU."""
    sure: Tensor
    """`[n]` bool."""


class Tracker(Protocol):
    """Follows points through the pictures of an edit."""

    def track(self, view: View, points: Tensor) -> Tracked:
        """`points [n, 2]` are where they were in the picture before."""
        ...


def reach(radius: float) -> Tensor:
    """The whole numbers `[K]` of less than `radius`, in rising order."""
    most = max(math.ceil(radius) - 1, 0)
    return torch.arange(-most, most + 1, dtype=torch.float64)


@lru_cache(maxsize=16)
def _square(radius: float) -> tuple[Tensor, Tensor]:
    """`square`, and where each of its offsets stands `[K]` when they go row by row. Remembered, so for this file alone."""
    y, x = torch.meshgrid(reach(radius), reach(radius), indexing="ij")
    offsets = torch.stack([x, y], dim=-1).view(-1, 2)
    order = offsets.square().sum(dim=1).argsort(stable=True)
    return offsets[order], order


def square(radius: float) -> Tensor:
    """The offsets `[K, 2]` (x, y) with |dx| < radius and |dy| < radius, the nearest to the centre first."""
    return _square(radius)[0].clone()


def disc(radius: float) -> Tensor:
    """The offsets `[K, 2]` (x, y) closer than `radius`: Omega_1 around the origin."""
    return _disc(radius).clone()


@lru_cache(maxsize=16)
def _disc(radius: float) -> Tensor:
    """`disc`, remembered."""
    offsets, _ = _square(radius)
    return offsets[offsets.square().sum(dim=1) < radius**2]


def around(points: Tensor, offsets: Tensor) -> Tensor:
    """`points [n, 2]`, `offsets [K, 2]` to `[n, K, 2]`."""
    return points[:, None] + offsets


def inside(points: Tensor, size: int) -> Tensor:
    """Which of `points [..., 2]` lie in the picture."""
    return ((points >= 0) & (points <= size - 1)).all(dim=-1)


def search(
    points: Tensor, radius: float, features: Features, cost: Callable[[Tensor, slice], Tensor]
) -> tuple[Tensor, Tensor]:
    """Point tracking, `p_i <- argmin_{q in Omega_2(p_i, r2)} cost_i(F(q))`.

    `cost` gets features `[b, K, C]` of the handles `slice` and returns `[b, K]`. Of equals, the nearest to where the
    point was wins. Returns the points `[n, 2]` and their costs `[n]`.
    """
    offsets, order = _square(radius)
    pixels = points[:, :, None] + reach(radius)  # [n, 2, side]
    across, down = ((pixels >= 0) & (pixels <= features.grid.size - 1)).unbind(dim=1)
    outside = ~(down[:, :, None] & across[:, None]).flatten(1)  # [n, K], row by row
    index, weight = features.grid.cells_around(points, reach(radius))  # [n, K, k]
    found, costs = [], []
    count = max(BATCH // len(offsets), 1)
    for start in range(0, len(points), count):
        part = slice(start, start + count)
        parts = zip(*(torch.split(each[part], BATCH, dim=1) for each in (index, weight)), strict=True)
        value = torch.cat([cost(features.blend(*some), part) for some in parts], dim=1)
        value = value.masked_fill(outside[part].to(value.device), torch.inf)[:, order.to(value.device)]
        best = value.argmin(dim=1)
        costs.append(value.gather(1, best[:, None])[:, 0])
        found.append(points[part] + offsets[best.cpu()])
    return torch.cat(found), torch.cat(costs)


class Nearest:
    """DragGAN's tracker: the pixel in Omega_2 whose feature is nearest to the template `f_i = F_0(p_i)` (section 3.3)."""

    def __init__(self, view: View, points: Tensor, radius: float, norm: int = 1) -> None:
        self.radius = radius
        self.norm = norm
        self.templates = view.features.sample(points)  # f_i, [n, C]

    def track(self, view: View, points: Tensor) -> Tracked:
        """`p_i <- argmin_{q in Omega_2(p_i, r2)} || F(q) - f_i ||`, `points [n, 2]`."""

        def cost(features: Tensor, part: slice) -> Tensor:
            difference = features - self.templates[part, None]
            return difference.abs_().sum(dim=2) if self.norm == 1 else difference.square().sum(dim=2)

        found, _ = search(points, self.radius, view.features, cost)
        return Tracked(found, torch.ones(len(points), dtype=torch.bool))


class BetweenPixels(Nearest):
    """The nearest pixel by L2, and from there the one step of Gauss and Newton to where the template would fit.

    `u = (J^T J)^-1 J^T (f_i - F(p))`, J being F's central differences over two pixels, `[C, 2]`; at most half a pixel along
    each axis. It is 0 where the template fits exactly, so a handle that has not moved is where it was.
    """

    def __init__(self, view: View, points: Tensor, radius: float) -> None:
        super().__init__(view, points, radius, norm=2)

    def track(self, view: View, points: Tensor) -> Tracked:
        """`points [n, 2]`, which may stand between pixels. Looks one pixel beyond the window."""
        found = super().track(view, points)
        cross = torch.tensor([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]], dtype=torch.float64)
        here, left, right, above, below = (
            view.features.sample(around(found.points, cross)).double().unbind(dim=1)
        )  # [n, C]
        slope = torch.stack([right - left, below - above], dim=2) / 2  # J, [n, C, 2]
        normal = slope.mT @ slope  # [n, 2, 2]
        ridge = 1e-6 * normal.diagonal(dim1=1, dim2=2).sum(dim=1).clamp_min(1e-12)
        normal = normal + ridge[:, None, None] * torch.eye(2).to(normal)
        step = torch.linalg.solve(normal, slope.mT @ (self.templates.double() - here)[..., None])[..., 0]  # u, [n, 2]
        moved = found.points + step.clamp(-0.5, 0.5).cpu()
        return Tracked(moved.clamp(0, view.features.grid.size - 1), found.sure)


class Confident:
    """A tracker after StableDrag's idea: the nearest template, corrected by a filter that tells it from its surroundings.

    Per handle a filter `z_i [C]` is fitted once, by ridge regression on the first picture, to answer a Gaussian (sigma
    one cell) around the handle. A candidate costs `||F(q) - f_i||_1 / spread - z_i . F(q) / spread'`, both terms
    scaled to equal spread over the first neighbourhood. When the answer at the tracked point falls below half of the
    first one, the tracker is not sure, and motion supervision pulls the first picture's patch instead of the present one.
    """

    def __init__(self, view: View, points: Tensor, radius: float, ridge: float = 1e-2) -> None:
        self.radius = radius
        self.templates = view.features.sample(points)
        offsets = square(radius)
        cell = view.features.grid.cell
        label = torch.exp(-0.5 * offsets.square().sum(dim=1) / cell**2)  # [K]
        filters, biases, spreads, firsts = [], [], [], []
        for template, point in zip(self.templates, points, strict=True):
            near = view.features.sample(point + offsets).double()  # [K, C]
            mean = near.mean(dim=0)
            x = near - mean
            gram = x @ x.t()  # the dual form: K equations
            scale = gram.diagonal().mean().clamp_min(1e-12)
            y = label.to(x)
            eye = torch.eye(len(x), dtype=x.dtype, device=x.device)
            z = x.t() @ torch.linalg.solve(gram + ridge * scale * eye, y - y.mean())
            bias = y.mean() - z @ mean
            answer = near @ z + bias
            distance = (near - template.double()).abs().sum(dim=1)
            filters.append(z)
            biases.append(bias)
            spreads.append(torch.stack([distance.std(), answer.std()]).clamp_min(1e-12))
            firsts.append(template.double() @ z + bias)
        kind = self.templates
        self.filters = torch.stack(filters).to(kind)  # z_i, [n, C]
        self.biases = torch.stack(biases).to(kind)
        self.spreads = torch.stack(spreads).to(kind)  # [n, 2]
        self.thresholds = 0.5 * torch.stack(firsts).to(kind)

    def track(self, view: View, points: Tensor) -> Tracked:
        """The cheapest of Omega_2 by template and filter together, `points [n, 2]`."""

        def cost(features: Tensor, part: slice) -> Tensor:
            distance = (features - self.templates[part, None]).abs().sum(dim=2) / self.spreads[part, None, 0]
            answer = torch.einsum("nkc,nc->nk", features, self.filters[part]) / self.spreads[part, None, 1]
            return distance - answer

        found, _ = search(points, self.radius, view.features, cost)
        answer = (view.features.sample(found) * self.filters).sum(dim=1) + self.biases
        return Tracked(found, (answer > self.thresholds).cpu())


class Still:
    """No tracking: the handle is taken to stay where it was put (the ablation that drags background)."""

    def track(self, view: View, points: Tensor) -> Tracked:
        """`points [n, 2]` unchanged."""
        return Tracked(points, torch.ones(len(points), dtype=torch.bool))
