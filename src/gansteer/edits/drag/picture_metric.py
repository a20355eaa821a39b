"""How much a picture changes with its latent: the metric in which `natural.py` takes steps.

Row r of w+ moved by delta changes the picture by J_r delta. `M_r = E[J_r^T J_r]`, over pictures of the model, is the pullback of the
squared difference of pictures; a step preconditioned by its inverse is a natural gradient (Amari 1998). It is estimated once for a
model, from products with J^T: for a random picture u of unit variance, `E[(J^T u)(J^T u)^T] = J^T J`.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from gansteer.checkpoints.picture_metric import kept_slopes
from gansteer.edits.drag.features import default_layer
from gansteer.edits.drag.latent import Latent
from gansteer.subject import Model

WHOLE = 256
"""Pixels up to which whole pictures are compared; above, for time, the features of the layer that is half as wide or 128 cells."""
SAMPLES, SAMPLES_OF_FEATURES = (32, 3), (8, 4)
"""Pictures that are looked at, and random directions of each; of whole pictures, and of features."""
PSI = 0.7
"""Truncation of the pictures."""
KEPT = 128
"""Pixels from which on it is kept on disk, as it takes seconds there."""
RIDGE = 1.0
"""Of the mean eigenvalue, is added to all: directions that hardly change the picture aren't free."""


@dataclass(frozen=True, eq=False)
class PictureMetric:
    """Gradients of random projections of pictures, from which the metric of any rows follows."""

    slopes: Tensor
    """`[N, num_ws, w_dim]`, float64 on the CPU: `J^T u` of unit-variance u, in units of the picture's root mean square."""

    @staticmethod
    @lru_cache(maxsize=2)
    def of(model: Model) -> "PictureMetric":
        """Estimated from the model's own pictures, the same at every call; kept for the next edit of the same weights."""
        return PictureMetric(slopes(model) if model.resolution < KEPT else kept_slopes(model, slopes))

    def root(self, rows: int, space: Literal["w", "w+"]) -> Tensor:
        """`U = (M + ridge)^(-1/2)` of each of the first `rows` rows, `[rows, w_dim, w_dim]`; of them together in w, `[1, w_dim, w_dim]`.

        `U z` changes the picture by at most `|z|`, as a share of its root mean square. One ridge for all rows: those that change
        pictures little are not taken farther for it.
        """
        s = self.slopes[:, :rows] if space == "w+" else self.slopes[:, :rows].sum(dim=1, keepdim=True)
        m = torch.einsum("nrd,nre->rde", s, s) / len(s)
        values, axes = torch.linalg.eigh(m)
        ridge = RIDGE * values.mean().clamp_min(1e-12)
        root: Tensor = (axes * (values.clamp_min(0) + ridge).rsqrt()[:, None]) @ axes.mT
        return root


def slopes(model: Model) -> Tensor:
    """`J^T u` of pictures and random u of the model, see `PictureMetric.slopes`."""
    generator = model.generator
    whole = model.resolution <= WHOLE
    samples, probes = SAMPLES if whole else SAMPLES_OF_FEATURES
    layer = default_layer(generator)
    rng = torch.Generator().manual_seed(0)
    found, scale = [], 0.0
    for seed in range(samples):
        label = seed % generator.config.c_dim if generator.config.c_dim else None
        code = model.sample(seed, PSI, label).code
        ws = code.ws.detach().clone().requires_grad_()
        with torch.enable_grad():
            moved = replace(code, ws=ws)
            shown = generator.synthesize(moved)[0] if whole else generator.features(moved, [layer])[layer][0]
            scale += float(shown.detach().square().mean()) / samples
            for probe in range(probes):
                u = torch.randn(shown.shape, generator=rng).to(shown) / shown.numel() ** 0.5
                (slope,) = torch.autograd.grad(shown, ws, u, retain_graph=probe + 1 < probes)
                found.append(slope.double().cpu())
    every: Tensor = torch.stack(found) / max(scale, 1e-12) ** 0.5
    return every


class MetricLatent(Latent):
    """The first rows of w+ as start plus `U z`: the offset z is measured by how much it changes the picture."""

    def __init__(self, w: Tensor, rows: int, space: Literal["w", "w+"], root: Tensor) -> None:
        """`w [num_ws, w_dim]` is the start, `root` what `PictureMetric.root` gives for these rows."""
        super().__init__(w, rows, space)
        self._root = root.to(w)

    def moved(self) -> Tensor:
        """The offset in w `[rows or 1, w_dim]`, differentiable."""
        return torch.einsum("rd,rde->re", self.offset, self._root)

    @torch.no_grad()
    def size(self) -> float:
        """Root mean square of the offset in w."""
        return float(self.moved().square().mean().sqrt())
