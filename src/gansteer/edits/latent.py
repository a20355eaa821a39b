"""The latent that an edit moves: its offset from the start, the optimiser, and priors that hold it near."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gansteer.subject import Model


class Latent:
    """The first `rows` rows of w+ as start plus offset: one offset per row (w+), or one for all of them (w)."""

    def __init__(self, w: Tensor, rows: int, space: Literal["w+", "w"] = "w+") -> None:
        """`w [num_ws, w_dim]` is the start."""
        self._start = w.detach()
        self._count = rows
        self.offset = torch.zeros_like(self._start[: rows if space == "w+" else 1]).requires_grad_()

    def rows(self) -> Tensor:
        """The moving rows `[rows, w_dim]`, differentiable in the offset."""
        return self._start[: self._count] + self.offset

    def w(self) -> Tensor:
        """All of w+ `[num_ws, w_dim]`, without gradient; rows that do not move are the start's, bit for bit."""
        w = self._start.clone()
        w[: self._count] = self.rows().detach()
        return w


class Adam:
    """Adam (Kingma and Ba 2015) on one tensor, with the usual 0.9, 0.999 and 1e-8."""

    def __init__(self, parameter: Tensor, learning_rate: float) -> None:
        self.parameter = parameter
        self.learning_rate = learning_rate
        self._m = torch.zeros_like(parameter.detach())
        self._v = torch.zeros_like(self._m)
        self._t = 0

    def step(self, g: Tensor) -> None:
        """`theta <- theta - lr m / (sqrt(v) + eps)`, with the bias-corrected moments of the gradients `g`."""
        self._t += 1
        self._m.lerp_(g, 1 - 0.9)
        self._v.lerp_(g.square(), 1 - 0.999)
        m = self._m / (1 - 0.9**self._t)
        v = self._v / (1 - 0.999**self._t)
        with torch.no_grad():
            self.parameter.sub_(self.learning_rate * m / (v.sqrt() + 1e-8))


def sample_w(model: Model, count: int) -> Tensor:
    """`[count, w_dim]` from seeded random z through the model's mapping; classes of a conditional model in turn."""
    config = model.generator.config
    like = model.generator.mapping.w_mean
    z = torch.randn(count, config.z_dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(like)
    c = torch.eye(config.c_dim).to(like)[torch.arange(count) % config.c_dim] if config.c_dim else None
    with torch.no_grad():
        w: Tensor = model.generator.mapping(z, c)
    return w


def spread(model: Model) -> float:
    """Root mean square deviation of the model's w from their mean, per coordinate."""
    w = sample_w(model, 256)
    return float((w - w.mean(dim=0)).square().mean().sqrt())


@dataclass(frozen=True, eq=False)
class Whitening:
    """Principal axes of the w that a model's own mapping gives, and the deviation along each."""

    axes: Tensor
    """`[w_dim, w_dim]`, one axis a column."""
    deviation: Tensor
    """`[w_dim]`, with a floor of a thousandth of the greatest."""

    @classmethod
    def of(cls, model: Model) -> "Whitening":
        """Of 4,096 w sampled from the model's mapping."""
        return cls.fit(sample_w(model, 4096))

    @classmethod
    def fit(cls, w: Tensor) -> "Whitening":
        """By principal component analysis of samples `w [n, w_dim]`."""
        values, axes = torch.linalg.eigh((w - w.mean(dim=0)).double().cpu().t().cov())
        deviation = values.clamp_min(0).sqrt()
        return cls(axes.to(w), deviation.clamp_min(float(deviation.max()) * 1e-3).to(w))

    def __call__(self, offset: Tensor) -> Tensor:
        """`offset [n, w_dim]` from one w to another, in deviations along the principal axes `[n, w_dim]`."""
        return offset @ self.axes / self.deviation
