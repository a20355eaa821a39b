"""Winograd's minimal filtering F(4x4, 3x3) on tables of positions: a quarter of the multiplications where much is needed.

Lavin and Gray (2016), equation 8: a tile of 4x4 results is `Y = A^T [ (G g G^T) * (B^T d B) ] A` of the kernel g and the
6x6 inputs d. Written out over both axes, with the tile's positions as the first dimension, the transforms are small
matrices `[36, 36]` and `[16, 36]`, and the product in the middle is one ordinary product per point of the transform.
A result depends on its own nine inputs only (the others cancel), so positions that nobody computed may hold anything.
"""

from typing import Any

import torch
from torch import Tensor

TILE = 4

_G = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_B = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_A = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)


def _both_axes(matrix: Any, like: Tensor) -> Tensor:
    one = torch.tensor(matrix, dtype=torch.float64)
    return torch.kron(one, one).to(like)


def transform_inputs(d: Tensor) -> Tensor:
    """`d [36, ...]`, the inputs of the tiles, to the points of the transform `[36, ...]`."""
    return (_both_axes(_B, d) @ d.flatten(1)).view(d.shape)


def transform_inputs_back(g: Tensor) -> Tensor:
    """The transpose of `transform_inputs`."""
    return (_both_axes(_B, g).t() @ g.flatten(1)).view(g.shape)


def transform_results(m: Tensor) -> Tensor:
    """`m [36, ...]`, the products, to the results of the tiles `[16, ...]`."""
    return (_both_axes(_A, m) @ m.flatten(1)).view(16, *m.shape[1:])


def transform_results_back(g: Tensor) -> Tensor:
    """The transpose of `transform_results`."""
    return (_both_axes(_A, g).t() @ g.flatten(1)).view(36, *g.shape[1:])


def transform_weights(weight: Tensor) -> Tensor:
    """`weight [O, I, 3, 3]` to the weights of every point `[36, O, I]`."""
    return torch.einsum("pk,oik->poi", _both_axes(_G, weight), weight.flatten(2))
