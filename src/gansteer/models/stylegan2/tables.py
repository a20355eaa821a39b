"""Tables `[M + 1, C]` of the positions needed of a layer: a row for each, row-major, then one of zeros for all beyond."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Gather:
    """The weighted sums of table rows that one step takes: `index [N, K]`, `weight [N, K]`."""

    index: Tensor
    weight: Tensor

    def __call__(self, table: Tensor) -> Tensor:
        """`table [R, C]` to `[N, C]`."""
        return F.embedding_bag(self.index, table, mode="sum", per_sample_weights=self.weight)

    def plus(self, first: int, factor: Tensor) -> "Gather":
        """The same, plus row `first` of the table, plus `factor [N, 1]` times the row after it."""
        rows = torch.tensor([first, first + 1]).expand(len(factor), 2)
        weight = torch.cat([self.weight, torch.ones_like(factor), factor], dim=1)
        return Gather(torch.cat([self.index, rows], dim=1), weight)

    def and_zeros(self, rows: int = 1) -> "Gather":
        """The same, and `rows` of zeros after them."""
        pad = (0, 0, 0, rows)
        return Gather(F.pad(self.index, pad), F.pad(self.weight, pad))


def halve(need: Tensor, axis: int) -> Tensor:
    """`need [h, w]` bool, to half of that along `axis`: whether either position of each pair is needed."""
    return need[::2] | need[1::2] if axis == 0 else need[:, ::2] | need[:, 1::2]


def number(need: Tensor, pad: tuple[int, int] = (0, 0)) -> Tensor:
    """Row of every needed position `[h + 2 pad_y, w + 2 pad_x]`; the zero row, whose number is their count, elsewhere."""
    count = int(need.sum())
    h, w = need.shape
    rows = torch.full((h + 2 * pad[0], w + 2 * pad[1]), count)
    rows[pad[0] : pad[0] + h, pad[1] : pad[1] + w].masked_scatter_(need, torch.arange(count))
    return rows


Terms = tuple[Tensor, Tensor]
"""Sums, one a row: `[q, K]` what they take, and with which weight `[q, K]` (float64, 0 where there are fewer terms)."""


def terms(matrix: Tensor) -> Terms:
    """What is not zero in each row of `matrix [q, p]`."""
    used = matrix != 0
    index = used.byte().argsort(dim=1, descending=True, stable=True)[:, : int(used.sum(dim=1).max())]
    return index, matrix.gather(1, index)
