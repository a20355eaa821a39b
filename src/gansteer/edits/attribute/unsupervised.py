"""Directions that need no scores: principal components of w (GANSpace) and eigenvectors of the weights (SeFa)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gansteer.directions import Direction
from gansteer.errors import UserError
from gansteer.subject import Model


def principal_components(w: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean `[D]`, axes `[count, D]` and deviations `[count]` of `w [N, D]`, greatest first, in float64 (GANSpace).

    The sign is arbitrary; the largest coordinate of every axis is made positive, so that it is always the same.
    """
    x = w.detach().cpu().double()
    mean = x.mean(dim=0)
    _, size, axes = torch.linalg.svd(x - mean, full_matrices=False)
    return mean, _signed(axes[:count]), size[:count] / (len(x) - 1) ** 0.5


def fit_components(w: Tensor, count: int = 10) -> list[Direction]:
    """The first principal components `pc:1`, `pc:2` ... of `w [N, w_dim]`, untruncated."""
    mean, axes, deviations = principal_components(w, count)
    centred = w.cpu().double()
    total = float((centred - centred.mean(dim=0)).square().sum(dim=1).mean())
    return [
        Direction(
            f"pc:{i}", "w", axis, float(deviation), -float(axis @ mean),
            about={"method": "pca", "samples": len(w), "variance": float(deviation) ** 2 / total},
        )
        for i, (axis, deviation) in enumerate(zip(axes, deviations, strict=True), 1)
    ]  # fmt: skip


def closed_form(weights: Sequence[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Eigenvectors `[count, D]` and eigenvalues `[count]`, greatest first, of `A^T A` (SeFa, Shen and Zhou 2021, eq. 6).

    `weights` are those of the maps from w to styles, `[C, D]` each; every row of all of them is normalised, as the authors do.
    """
    a = torch.cat([weight.detach().cpu().double() for weight in weights])  # [sum C, D]
    a = a / a.norm(dim=1, keepdim=True).clamp_min(1e-12)
    values, vectors = torch.linalg.eigh(a.t() @ a)
    return _signed(vectors.flip(1).t()[:count]), values.flip(0)[:count]


def fit_closed_form(model: Model, w: Tensor, groups: Mapping[str, tuple[int, int]], count: int = 5) -> list[Direction]:
    """SeFa directions `sefa:GROUP:1` ... for groups of rows of w+; steps are deviations over `w [N, w_dim]`."""
    found = []
    mean = w.cpu().double().mean(dim=0)
    for group, (first, last) in groups.items():
        layers = [each for each in model.generator.convolutions if first <= each.latent_index <= last]
        weights = [model.generator.style_weight(each.name) for each in layers]
        known = [weight for weight in weights if weight is not None]
        if len(known) < len(layers):
            raise UserError(
                f"{model.card.name} has no weights between w and its styles that SeFa could look at: use PCA"
            )
        vectors, values = closed_form(known, count)
        for i, (vector, value) in enumerate(zip(vectors, values, strict=True), 1):
            std = float((w.cpu().double() @ vector).std())
            about = {"method": "sefa", "eigenvalue": float(value)}
            name = f"sefa:{group}:{i}"
            found.append(
                Direction(name, "w", vector, std, -float(mean.cpu() @ vector), rows=(first, last), about=about)
            )
    return found


def _signed(vectors: Tensor) -> Tensor:
    """Vectors `[n, D]` with the sign that makes the largest coordinate of each positive."""
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    return vectors * largest.sign()


def row_groups(num_ws: int) -> dict[str, tuple[int, int]]:
    """Rows of w+ that mostly carry pose, shape and colour (SeFa's groups 0-1, 2-5, 6 on), as far as the model has them."""
    return {
        name: (first, min(last, num_ws - 1))
        for name, first, last in (("pose", 0, 1), ("shape", 2, 5), ("colour", 6, num_ws - 1))
        if first < num_ws
    }
