"""Doubling convolutions by fewer multiplications, where neighbouring positions are needed.

Along one axis the transposed convolution makes `z[2i] = k0 x[i] + k2 x[i - 1]` and `z[2i + 1] = k1 x[i]`. The even ones are a
filter of two taps, three results of which Toom and Cook's F(3, 2) makes by four products instead of six (points 0, 1, -1 and
infinity: nothing is multiplied by more than 1). So a tile of three inputs takes seven products instead of nine, and along
both axes 49 instead of 81. What follows, the sums of the transform and the blur, is linear and done in one step along
either axis, from the products to the doubled and blurred map. As in `winograd.py`, positions that nobody computed cancel.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from gansteer.models.layers import BLUR_TAPS
from gansteer.models.stylegan2.tables import Gather, Terms, number, terms

TILE = 3
"""Inputs of a tile along each side."""
SIDE = 7
"""Products of a tile along each side: four of F(3, 2), then `k1` times each input."""
POINTS = SIDE * SIDE
TERMS = 6
"""Of the sums beyond those that the plain form needs too, per product."""

_B = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))  # of x[-1 ... 2]
_A = ((1, 1, 1, 0), (0, 1, -1, 0), (0, 1, 1, -1))
_G = ((0, 0, 1), (1 / 2, 0, 1 / 2), (-1 / 2, 0, 1 / 2), (1, 0, 0), (0, 1, 0))  # of k0, k1, k2; the last for all of k1

KINDS = (0, 1, 2, 3, 4, 4, 4)
"""Which of the five kernels every product has."""


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of `size` inputs: `y = out ((G k) * (into x))`, kernels by tile and product."""

    into: Terms
    """`[tiles * SIDE, K]` of the inputs."""
    out: Terms
    """`[2 size, K]` of the products."""
    into_back: Terms
    """`[size, K]` of the products, the transpose."""
    out_back: Terms
    """`[tiles * SIDE, K]` of the outputs, the transpose."""
    reached: Tensor
    """Which tiles every output takes from, `[2 size, tiles]`, as numbers."""

    @classmethod
    @lru_cache(maxsize=16)
    def of(cls, size: int) -> "Axis":
        """The transposed convolution has `size + 1` even results, so there may be a tile whose inputs are all beyond."""
        tiles = size // TILE + 1
        into, z = torch.zeros(tiles, SIDE, size + 4).double(), torch.zeros(2 * TILE * tiles + 4, tiles, SIDE).double()
        for tile in range(tiles):
            first = TILE * tile
            for i, row in enumerate(_B):
                into[tile, i, first : first + 4] = torch.tensor(row)[: size + 4 - first]
            for i in range(TILE):
                into[tile, len(_B) + i, first + 1 + i] = 1
                z[1 + 2 * (first + i), tile, : len(_B)] = torch.tensor(_A[i]).double()
                z[2 + 2 * (first + i), tile, len(_B) + i] = 1
        taps = torch.tensor(BLUR_TAPS).double() * (2 / sum(BLUR_TAPS))  # one axis of the blur with gain 4 = 2 x 2
        out = sum(tap * z[t : t + 2 * size] for t, tap in enumerate(taps.tolist()))
        assert isinstance(out, Tensor)
        reached = (out != 0).any(dim=2).float()
        into, out = into[..., 1 : size + 1].flatten(0, 1), out.flatten(1)
        return cls(terms(into), terms(out), terms(into.t()), terms(out.t()), reached)


def transform_weights(weight: Tensor) -> Tensor:
    """`weight [A, B, 3, 3]` to the 25 different kernels `[25, A, B]`."""
    g = torch.tensor(_G).to(weight)
    return torch.kron(g, g).matmul(weight.permute(2, 3, 0, 1).reshape(9, -1)).view(-1, *weight.shape[:2])


def kernel_of(point: int) -> int:
    """Which of the 25 kernels the product number `point` of a tile has."""
    return KINDS[point // SIDE] * 5 + KINDS[point % SIDE]


def held(need: Tensor) -> tuple[Tensor, Tensor]:
    """For outputs `need [2h, 2h]`: the tiles across that every row takes from `[2h, tiles]`, and the tiles `[tiles, tiles]`."""
    reached = Axis.of(len(need) // 2).reached
    middle = need.float() @ reached > 0
    return middle, reached.t() @ middle.float() > 0


def _both(along_y: Terms, along_x: Terms) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over both axes from those of either `[N, K]`, in pairs: rows `[N, K, 1]`, columns `[N, 1, K]`, weights `[N, K, K]`."""
    (row, down), (column, across) = along_y, along_x
    return row[:, :, None], column[:, None], down[:, :, None] * across[:, None]


def plan_inputs(tiles: Tensor, rows: Tensor, dtype: torch.dtype) -> Gather:
    """The inputs of all products of `tiles [tiles, tiles]`, from `rows [h, h]` of the table below: `[T * POINTS, K]`."""
    into = Axis.of(len(rows)).into
    y, x = tiles.nonzero(as_tuple=True)
    point = torch.arange(SIDE)
    at_y = (y[:, None] * SIDE + point)[:, :, None].expand(-1, -1, SIDE).flatten()
    at_x = (x[:, None] * SIDE + point)[:, None].expand(-1, SIDE, -1).flatten()
    row, column, weight = _both(*((index[at], factor[at]) for at, (index, factor) in ((at_y, into), (at_x, into))))
    return Gather(rows[row, column].flatten(1), weight.flatten(1).to(dtype))


def plan_outputs(need: Tensor, noise: Tensor) -> tuple[Gather, Gather]:
    """From the products to `need [2h, 2h]`: along y to `[middle * SIDE + 3, K]` (the last two added to results), then along x."""
    (index, weight), dtype = Axis.of(len(need) // 2).out, noise.dtype
    middle, tiles = held(need)
    count = int(tiles.sum())
    m, x = middle.nonzero(as_tuple=True)
    tile = number(tiles)[index[m] // SIDE, x[:, None]].clamp(max=count - 1)  # [N, K]
    product = tile * POINTS + index[m] % SIDE * SIDE
    product = product[:, None] + torch.arange(SIDE)[:, None]  # [N, SIDE, K]
    factor = weight[m][:, None].expand_as(product).flatten(0, 1)
    along_y = Gather(product.flatten(0, 1), factor.to(dtype).contiguous()).and_zeros(3)
    y, m = need.nonzero(as_tuple=True)
    row = number(middle)[y[:, None], index[m] // SIDE] * SIDE + index[m] % SIDE
    along_x = Gather(row.clamp(max=len(along_y.index) - 1), weight[m].to(dtype))
    return along_y, along_x.plus(len(along_y.index) - 2, noise).and_zeros()


def plan_back(live: Tensor, below: Tensor, dtype: torch.dtype) -> tuple[Gather, Gather, Gather]:
    """The transposes for gradients at `live [2h, 2h]`: along x, along y to the products, and to the inputs `below [h, h]`."""
    axis = Axis.of(len(below))
    middle, tiles = held(live)
    index, weight = axis.out_back
    point = torch.arange(SIDE)
    m, x = middle.nonzero(as_tuple=True)
    at = (x[:, None] * SIDE + point).flatten()
    rows = number(live)[m.repeat_interleave(SIDE)[:, None], index[at]]
    along_x = Gather(rows, weight[at].to(dtype)).and_zeros(SIDE)
    y, x = tiles.nonzero(as_tuple=True)
    at = y[:, None] * SIDE + point  # [T, SIDE]
    rows = number(middle)[index[at], x[:, None, None]] * SIDE  # [T, SIDE, K]
    rows = (rows[:, :, None] + point[:, None]).flatten(0, 2)  # [T * POINTS, K]
    along_y = Gather(rows, weight[at].to(dtype)[:, :, None].expand(-1, -1, SIDE, -1).reshape(rows.shape))
    index, weight = axis.into_back
    y, x = below.nonzero(as_tuple=True)
    row, column, factor = _both((index[y], weight[y]), (index[x], weight[x]))
    count = int(tiles.sum())
    tile = number(tiles)[row // SIDE, column // SIDE]
    product = tile.clamp(max=count - 1) * POINTS + row % SIDE * SIDE + column % SIDE
    inputs = Gather(product.flatten(1), (factor * (tile < count)).flatten(1).to(dtype))
    return along_x, along_y, inputs.and_zeros()
