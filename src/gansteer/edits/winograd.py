"""Winograd's minimal filtering on tables of positions: fewer multiplications where neighbouring positions are needed.

Lavin and Gray (2016), equation 8: a tile of m x m results is `Y = A^T [ (G g G^T) * (B^T d B) ] A` of the 3x3 kernel g
and the inputs d, m + 2 along each side. With the tile's positions as the first dimension, the transforms are small
matrices for either axis, and the product in the middle is one ordinary product per point of the transform. A result
depends on its own nine inputs only (the others cancel), so positions that nobody computed may hold anything.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

Matrix = tuple[tuple[float, ...], ...]


def _both_axes(rows: Matrix, x: Tensor, *, transposed: bool = False) -> Tensor:
    """The matrix `[q, p]`, or its transpose, along both axes of `x [p * p, ...]`: `[q * q, ...]`."""
    matrix = torch.tensor(rows, dtype=x.dtype, device=x.device)
    matrix = matrix.t() if transposed else matrix
    q, p = matrix.shape
    half = (matrix @ x.reshape(p, -1)).view(q, p, -1)
    return (matrix @ half).view(q * q, *x.shape[1:])


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
        """m + 2, the inputs along each side of a tile; their square are the points of the transform."""
        return len(self.b)

    def transform_inputs(self, d: Tensor) -> Tensor:
        """`d [points, ...]`, the inputs of the tiles, to the points of the transform `[points, ...]`."""
        return _both_axes(self.b, d)

    def transform_inputs_back(self, g: Tensor) -> Tensor:
        """The transpose of `transform_inputs`."""
        return _both_axes(self.b, g, transposed=True)

    def transform_results(self, m: Tensor) -> Tensor:
        """`m [points, ...]`, the products, to the results of the tiles `[tile * tile, ...]`."""
        return _both_axes(self.a, m)

    def transform_results_back(self, g: Tensor) -> Tensor:
        """The transpose of `transform_results`."""
        return _both_axes(self.a, g, transposed=True)

    def transform_weights(self, weight: Tensor) -> Tensor:
        """`weight [O, I, 3, 3]` to the weights of every point `[points, O, I]`."""
        return _both_axes(self.g, weight.permute(2, 3, 0, 1).flatten(0, 1))


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
