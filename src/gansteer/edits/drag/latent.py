"""The latent that an edit moves: its offset from the start, the optimiser, and priors that hold it near."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import torch
from torch import Tensor

from gansteer.subject import Model


class Latent:
    """The first `rows` rows of w+ as start plus offset: one offset per row (w+), or one for all of them (w)."""

    def __init__(
        self, w: Tensor, rows: int, space: Literal["w", "w+"] = "w+", metric: "Whitening | None" = None
    ) -> None:
        """`w [num_ws, w_dim]` is the start. With a `metric` the offset is along its axes, in deviations times `spread`."""
        self._start = w.detach()
        self._count = rows
        self._metric = metric
        self.offset = torch.zeros_like(self._start[: rows if space == "w+" else 1]).requires_grad_()

    def rows(self) -> Tensor:
        """The moving rows `[rows, w_dim]`, differentiable in the offset."""
        return self._start[: self._count] + self.moved()

    def moved(self) -> Tensor:
        """The offset in w `[rows or 1, w_dim]`, differentiable."""
        return self.offset if self._metric is None else self.offset / self._metric.spread @ self._metric.unwhiten

    @torch.no_grad()
    def hold(self, whitening: "Whitening", reach: float) -> None:
        """Bring the offset back to at most `reach` deviations, if it is longer."""
        self.offset.mul_((reach / self.length(whitening)).clamp_max(1.0))

    @torch.no_grad()
    def length(self, whitening: "Whitening") -> Tensor:
        """Of the offset in deviations (root mean square over the rows), `[]`; never 0."""
        return whitening(self.moved()).square().sum(dim=1).mean().sqrt().clamp_min(1e-12)

    def size(self) -> float:
        """Root mean square of the offset."""
        return float(self.offset.detach().square().mean().sqrt())

    def w(self) -> Tensor:
        """All of w+ `[num_ws, w_dim]`, without gradient; rows that do not move are the start's, bit for bit."""
        w = self._start.clone()
        w[: self._count] = self.rows().detach()
        return w


class Adam:
    """Adam (Kingma and Ba 2015) on one tensor, with the usual 0.9, 0.999 and 1e-8."""

    def __init__(self, parameter: Tensor, learning_rate: float, together: bool = False) -> None:
        """`together` keeps one second moment for all coordinates, so that steps follow the gradient's direction.

        A moment for each makes all of them move alike, those that hardly matter too.
        """
        self.parameter = parameter
        self.learning_rate = learning_rate
        self.together = together
        self._m = torch.zeros_like(parameter.detach())
        self._v = torch.zeros_like(self._m)
        self._t = 0

    def step(self, g: Tensor) -> None:
        """`theta <- theta - lr m / (sqrt(v) + eps)`, with the bias-corrected moments of the gradients `g`."""
        self._t += 1
        self._m.lerp_(g, 1 - 0.9)
        square = g.square()
        self._v.lerp_(square.mean().expand_as(g) if self.together else square, 1 - 0.999)
        m = self._m / (1 - 0.9**self._t)
        v = self._v / (1 - 0.999**self._t)
        with torch.no_grad():
            self.parameter.sub_(self.learning_rate * m / (v.sqrt() + 1e-8))


@dataclass(frozen=True, eq=False)
class Whitening:
    """Principal axes of the w that a model's own mapping gives, and the deviation along each."""

    axes: Tensor
    """`[w_dim, w_dim]`, one axis a column."""
    deviation: Tensor
    """`[w_dim]`, with a floor of a thousandth of the greatest."""

    @staticmethod
    @lru_cache(maxsize=2)
    def of(model: Model) -> "Whitening":
        """Of 4,096 w sampled from the model's mapping; kept for the next edit of the same model."""
        return Whitening.fit(model.generator.sample_w(4096))

    @classmethod
    def fit(cls, w: Tensor) -> "Whitening":
        """By principal component analysis of samples `w [n, w_dim]`."""
        values, axes = torch.linalg.eigh((w - w.mean(dim=0)).double().cpu().t().cov())
        deviation = values.clamp_min(0).sqrt()
        return cls(axes.to(w), deviation.clamp_min(float(deviation.max()) * 1e-3).to(w))

    @cached_property
    def spread(self) -> float:
        """Root mean square deviation per coordinate."""
        return float(self.deviation.square().mean().sqrt())

    @cached_property
    def unwhiten(self) -> Tensor:
        """`[w_dim, w_dim]`: `z @ unwhiten` is the offset in w of `z` deviations along the axes."""
        return (self.axes * self.deviation).t().contiguous()

    def __call__(self, offset: Tensor) -> Tensor:
        """`offset [n, w_dim]` from one w to another, in deviations along the principal axes `[n, w_dim]`."""
        return offset @ self.axes / self.deviation
