"""What the mask protects: `lambda || (F - F0) (1 - M) ||_1`, in the mean form (over all cells or pixels, and channels).

The term looks at most of the map, so what it costs is passes over memory. It is one node of the graph that finds value and
gradient together, a part of the map at a time: with `D = F - F0` and U the resize to the picture (or nothing, on the map's own
grid), the gradient is `U^T ((1 - M) sgn(U D))`, and the value is its product with D, since U is linear.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.edits.drag.features import Features, Grid

CHUNK = 512
"""Cells looked at together: a part that stays in the cache."""
BLOCK = 32
"""Width in pixels of the part that is resized at a time, where every pixel is looked at."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Weighted sums of rows: sum j takes the entries of `index` and `weight` from `first[j]` on."""

    index: Tensor
    weight: Tensor
    first: Tensor

    def __call__(self, table: Tensor) -> Tensor:
        """`table [R, C]` to `[sums, C]`."""
        return F.embedding_bag(self.index, table, self.first, mode="sum", per_sample_weights=self.weight)

    @classmethod
    def of(cls, matrix: Tensor) -> "Sums":
        """From the weights `[sums, R]` (dense): what is not zero is taken."""
        sums, index = matrix.nonzero(as_tuple=True)
        first = torch.bincount(sums, minlength=len(matrix)).cumsum(0).roll(1)
        first[0] = 0
        return cls(index, matrix[sums, index], first)

    def to(self, other: Tensor) -> "Sums":
        """On the device and with the type of `other`."""
        return Sums(self.index.to(other.device), self.weight.to(other), self.first.to(other.device))


@dataclass(frozen=True, eq=False)
class Part:
    """Cells that are looked at together."""

    cells: Tensor
    """`[n]`, row-major, on the CPU."""
    weight: Tensor
    """On the map's own grid, `(1 - M) / N` of every cell `[n, 1]`; of a resized part none."""
    up: Sums | None = None
    """U, from the cells to those pixels of a block that are held at all."""
    down: Sums | None = None
    """`U^T (1 - M) / N`, from those pixels back to the cells."""

    def gradient(self, difference: Tensor) -> Tensor:
        """Of the term by `difference [n, C]`, up to the number of channels."""
        if self.up is None or self.down is None:
            return difference.sgn().mul_(self.weight)
        return self.down(self.up(difference).sgn_())

    def to(self, other: Tensor) -> "Part":
        """On the device and with the type of `other`, but for the numbers of the cells."""
        up, down = (None if each is None else each.to(other) for each in (self.up, self.down))
        return Part(self.cells, self.weight.to(other), up, down)


def cell_parts(fixed: Tensor) -> list[Part]:
    """Of the map's own grid: `fixed [r, r]` is 1 - M averaged over each cell's pixels (on the CPU)."""
    cells = fixed.flatten().nonzero()[:, 0]
    weight = fixed.flatten()[cells, None] / fixed.numel()
    return [Part(*each) for each in zip(torch.split(cells, CHUNK), torch.split(weight, CHUNK), strict=True)]


def pixel_parts(fixed: Tensor, grid: Grid) -> list[Part]:
    """Of all pixels, block by block, `fixed [H, W]` being 1 - M. Blocks that lie alike share their sums."""
    numbers = grid.frame.crop(torch.arange(grid.r**2).view(grid.r, grid.r))  # [inner, inner]
    line = torch.eye(len(numbers), dtype=torch.float64)[None]
    along = F.interpolate(line, grid.size, mode="linear", align_corners=False)[0].t()  # U of one axis, [size, inner]
    known: dict[tuple[bytes, ...], tuple[Sums, Sums]] = {}
    parts = []
    for top in range(0, grid.size, BLOCK):
        for left in range(0, grid.size, BLOCK):
            held = fixed[top : top + BLOCK, left : left + BLOCK]
            if not bool(held.any()):
                continue
            (rows, down), (columns, across) = (_taken(along[at : at + BLOCK]) for at in (top, left))
            key = tuple(each.numpy().tobytes() for each in (down, across, held.contiguous()))
            if key not in known:
                chosen = held.flatten().nonzero()[:, 0]
                matrix = torch.kron(down, across)[chosen]  # [pixels, cells]
                back = matrix * (held.flatten()[chosen, None] / fixed.numel())
                known[key] = Sums.of(matrix), Sums.of(back.t())
            cells = numbers[rows[:, None], columns].flatten()
            parts.append(Part(cells, torch.empty(0), *known[key]))
    return parts


def _taken(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Of `weights [pixels, cells]` those cells that are looked at, and their weights `[pixels, taken]`."""
    taken = weights.any(dim=0).nonzero()[:, 0]
    return taken, weights[:, taken].contiguous()


class _Held(torch.autograd.Function):
    """`weight mean |U (F - F0)| (1 - M)` of a table of features `[M + 1, C]`; `rows` are where the cells of each part stand."""

    @staticmethod
    def forward(
        ctx: Any, table: Tensor, parts: Sequence[Part], rows: Sequence[Tensor], f0: Sequence[Tensor], weight: float
    ) -> Tensor:
        total, gradient = table.new_zeros(()), torch.zeros_like(table)
        for part, where, first in zip(parts, rows, f0, strict=True):
            difference = table.index_select(0, where).sub_(first)
            slope = part.gradient(difference).mul_(weight / table.shape[1])
            total += torch.dot(slope.flatten(), difference.flatten())
            gradient.index_add_(0, where, slope)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * g, None, None, None, None


class MaskTerm:
    """The mask of one edit, and the features that it holds in place."""

    def __init__(self, mask: Tensor, grid: Grid, exact: bool) -> None:
        """`mask [H, W]` bool, True = may move. `exact` evaluates every pixel instead of the map's own cells."""
        fixed = 1.0 - mask.double()
        self._parts = pixel_parts(fixed, grid) if exact else cell_parts(grid.frame.pool(fixed))
        self._cells = torch.cat([part.cells for part in self._parts])
        self.need = torch.zeros(grid.r * grid.r, dtype=torch.bool).index_fill(0, self._cells, True).view(grid.r, grid.r)
        """The cells `[r, r]` that it looks at."""

    def _rows(self, features: Features) -> tuple[Tensor, ...]:
        """Where the cells of every part stand in the table."""
        rows = features.rows[self._cells].to(features.table.device)
        return torch.split(rows, [len(part.cells) for part in self._parts])

    def remember(self, features: Features) -> None:
        """Take F0 from the first picture."""
        self._f0 = [features.table.index_select(0, rows) for rows in self._rows(features)]
        self._parts = [part.to(features.table) for part in self._parts]

    def __call__(self, features: Features, weight: float = 1.0) -> Tensor:
        """The term times `weight`, which is lambda."""
        term: Tensor = _Held.apply(features.table, self._parts, self._rows(features), self._f0, weight)  # type: ignore[no-untyped-call]
        return term

    def residual(self, features: Features) -> Tensor:
        """`(F - F0) sqrt((1 - M) / N)` `[cells, C]`, whose square is the term with squares. On the grid only."""
        difference = features.table.index_select(0, torch.cat(self._rows(features))) - torch.cat(self._f0)
        weight = torch.cat([part.weight for part in self._parts]) / difference.shape[1]
        return difference * weight.sqrt()
