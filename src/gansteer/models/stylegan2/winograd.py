"""Winograd's minimal filtering on tables of positions: fewer multiplications where neighbouring positions are needed.

Lavin and Gray (2016), equation 8: a tile of m x m results is `Y = A^T [ (G g G^T) * (B^T d B) ] A` of the 3x3 kernel g
and the inputs d, m + 2 along each side. The product in the middle is one ordinary product per point of the transform.
Either transform is a few weighted sums of rows, and takes them from where they stand in the table below, or brings them
to where they belong in the table above. A result depends on its own nine inputs only (the others cancel), so positions
that nobody computed may hold anything.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gansteer.models.stylegan2.tables import Gather, Terms, halve, number, terms

Matrix = tuple[tuple[float, ...], ...]


def _both_axes(rows: Matrix, *, transposed: bool = False) -> Tensor:
    """The matrix `[q, p]`, or its transpose, along both axes: `[q * q, p * p]`, float64."""
    matrix = torch.tensor(rows, dtype=torch.float64)
    matrix = matrix.t() if transposed else matrix
    return torch.kron(matrix, matrix)


@dataclass(frozen=True)
class Winograd:
    """F(m x m, 3x3): m * m results by (m + 2)^2 multiplications instead of 9 m^2."""

    g: Matrix
    """G, `[m + 2, 3]`."""
    b: Matrix
    """B^T, `[m + 2, m + 2]`."""
    a: Matrix
    """A^T, `[m, m + 2]`."""

    @property
    def tile(self) -> int:
        """m, the results along each side of a tile."""
        return len(self.a)

    @property
    def side(self) -> int:
        """m + 2, the inputs along each side of a tile."""
        return len(self.b)

    @property
    def points(self) -> int:
        """Of the transform, as many as inputs."""
        return self.side**2

    def transform_weights(self, weight: Tensor) -> Tensor:
        """`weight [O, I, 3, 3]` to the weights of every point `[points, O, I]`."""
        matrix = _both_axes(self.g).to(weight)
        return (matrix @ weight.permute(2, 3, 0, 1).reshape(9, -1)).view(-1, *weight.shape[:2])

    @cached_property
    def inputs(self) -> Terms:
        """`[points, K]` of the `side * side` inputs of a tile."""
        return terms(_both_axes(self.b))

    @cached_property
    def results(self) -> Terms:
        """`[tile * tile, K]` of the points."""
        return terms(_both_axes(self.a))

    @cached_property
    def results_back(self) -> Terms:
        """`[points, K]` of the `tile * tile` results, the transpose."""
        return terms(_both_axes(self.a, transposed=True))

    @cached_property
    def inputs_back(self) -> tuple[Tensor, Tensor, Tensor]:
        """The transpose of `inputs` along one axis, for a position by where it stands in the tile that it is of, `[tile, K]`.

        As neighbouring tiles share inputs: how many tiles back, which point there, and the weight.
        """
        of = [
            [(at // self.tile, point, row[at])
             for at in range(each, self.side, self.tile) for point, row in enumerate(self.b) if row[at]]
            for each in range(self.tile)
        ]  # fmt: skip
        most = max(map(len, of))
        terms = torch.tensor([[*each, *[(0, 0, 0)] * (most - len(each))] for each in of], dtype=torch.float64)
        back, point, weight = terms.unbind(dim=2)
        return back.long(), point.long(), weight

    @cached_property
    def terms(self) -> float:
        """Of the sums, per point of a tile."""
        return self.inputs[0].shape[1] + self.results[0].numel() / self.side**2


@dataclass(frozen=True)
class Tiles:
    """T tiles: the sums before the products, and those after them."""

    form: Winograd
    inputs: Gather
    """`[T * points, K]` of the table below: tile by tile, so that what is gathered together stands together."""
    results: Gather
    """`[M + 1, K]` of `[T * points]`, and zeros; forward also of two rows after those, bias and what noise multiplies."""


def held_tiles(form: Winograd, need: Tensor) -> Tensor:
    """Which tiles `[r / tile, r / tile]` hold any position of `need [r, r]`."""
    for _ in range(form.tile.bit_length() - 1):  # a tile's side is a power of two
        need = halve(halve(need, 0), 1)
    return need


def _gather_inputs(terms: Terms, side: int, tile: int, held: Tensor, rows: Tensor, dtype: torch.dtype) -> Gather:
    """`terms` of the `side * side` positions from the corner of every tile on, which are `rows [h, w]` of a table."""
    y, x = held.nonzero(as_tuple=True)
    width = rows.shape[1]
    index, weight = terms
    corner = tile * (y * width + x)
    place = index // side * width + index % side + corner[:, None, None]  # [T, points, K]
    index = rows.view(-1)[place].flatten(0, 1)
    return Gather(index, weight.to(dtype).expand_as(place).reshape(index.shape))


def plan_tiles(form: Winograd, held: Tensor, need: Tensor, rows: Tensor, noise: Tensor) -> Tiles:
    """For results at `need [r, r]` that `noise [M, 1]` is added to, from the table below whose rows are `rows [r + 2, r + 2]`, its border included."""
    tile, numbers, dtype = form.tile, number(held), noise.dtype
    y, x = need.nonzero(as_tuple=True)
    index, weight = form.results
    within = y % tile * tile + x % tile
    index = index[within] + form.points * numbers[y // tile, x // tile][:, None]
    results = Gather(index, weight.to(dtype)[within]).plus(form.points * int(held.sum()), noise).and_zeros()
    return Tiles(form, _gather_inputs(form.inputs, form.side, tile, held, rows, dtype), results)


def plan_tiles_back(form: Winograd, held: Tensor, live: Tensor, below: Tensor, dtype: torch.dtype) -> Tiles:
    """The transpose: from the table of gradients at `live [r, r]` to those at `below [r, r]`."""
    tile, count = form.tile, held.sum()
    inputs = _gather_inputs(form.results_back, tile, tile, held, number(live), dtype)
    back, point, weight = form.inputs_back
    position = torch.stack(below.nonzero(as_tuple=True)) + 1  # (y, x) from the corner of the first tile
    within = position % tile
    (y, x), (point_y, point_x) = position[:, :, None] // tile - back[within], point[within]  # each [M, K]
    numbers = number(held, (1, 1))[y[:, :, None] + 1, x[:, None] + 1]  # [M, K, K], count where there is no tile
    index = point_y[:, :, None] * form.side + point_x[:, None] + form.points * numbers.clamp(max=count - 1)
    down, across = weight.to(dtype)[within]
    factor = down[:, :, None] * across[:, None] * (numbers < count)
    return Tiles(form, inputs, Gather(index.flatten(1), factor.flatten(1)).and_zeros())


F2 = Winograd(
    g=((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    b=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    a=((1, 1, 1, 0), (0, 1, -1, -1)),
)
F4 = Winograd(
    g=(
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
    b=(
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    a=((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
)
