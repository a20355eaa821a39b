"""Training of a generator's encoder: on the generator's own pictures, whose w is known, and on real ones, which it shall draw.

For a picture x with code w: `L = d(G(E(x)), x) + pixels |G(E(x)) - x|^2 + latent |E(x) - w|^2 + flat |E(x) - row mean|^2`, the
squares being means, those of w in deviations of the model's w. Real pictures have no w and go without that term.
"""

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.edits.latent import sample_w
from gansteer.errors import UserError
from gansteer.inversion.perceptual import comparison
from gansteer.models.inverter import Inverter, InverterConfig, InverterHead
from gansteer.subject import Model
from gansteer.training.config import InverterTraining
from gansteer.training.data import Pictures

EMA = 0.99
"""How much of the averaged weights stays at every step."""


@dataclass(frozen=True, eq=False)
class InverterProgress:
    """What one step did."""

    step: int
    """Counted from 1."""
    loss: float
    psnr: float
    """Decibels, mean over the batch, before the step."""


class InverterTrainer:
    """Iterate to train; `head` is the averaged result at any time."""

    def __init__(self, model: Model, training: InverterTraining, data: Path | None = None) -> None:
        """`data` is a folder or zip of real pictures. Raises UserError if it can't be read, or EfficientNet is missing."""
        generator = model.generator
        like = generator.synthesis.constant
        if generator.config.img_channels != 3:
            raise UserError(f"{model.card.name} draws no colours: an encoder needs an RGB model")
        self.model, self.training = model, training
        self.real = None if data is None else Pictures(data, model.resolution)
        torch.manual_seed(training.seed)
        config = InverterConfig(generator.config.num_ws, generator.config.w_dim, min(128, model.resolution))
        head = InverterHead(config).to(like)
        w = sample_w(model, 4096)
        head.centre.copy_(w.mean(dim=0))
        head.spread.copy_((w - w.mean(dim=0)).square().mean().sqrt())
        self.inverter = Inverter(load_efficientnet().to(like), head)
        self.head = deepcopy(head)
        self._compare = comparison("efficientnet-lite0", like)
        self._adam = torch.optim.Adam(head.parameters(), lr=training.learning_rate)
        self._rng = torch.Generator().manual_seed(training.seed)

    def __iter__(self) -> Iterator[InverterProgress]:
        """All steps."""
        for step in range(1, self.training.steps + 1):
            yield self._step(step)

    def _step(self, step: int) -> InverterProgress:
        t = (step - 1) / self.training.steps
        for group in self._adam.param_groups:
            group["lr"] = self.training.learning_rate * min(1.0, step / 50) * (0.5 + 0.5 * math.cos(math.pi * t))
        x, w = self._batch()
        found = self.inverter(x)  # [B, num_ws, w_dim]
        loss, psnr = self._loss(found, x, w)
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        with torch.no_grad():
            stay = min(EMA, step / (step + 10))
            for mean, now in zip(self.head.parameters(), self.inverter.head.parameters(), strict=True):
                mean.lerp_(now, 1 - stay)
        return InverterProgress(step, float(loss.detach()), psnr)

    def _loss(self, found: Tensor, x: Tensor, w: Tensor) -> tuple[Tensor, float]:
        """`w [N, num_ws, w_dim]` belongs to the first N pictures of `x`."""
        training, spread = self.training, self.head.spread
        drawn = self.model.generator.synthesize(found)
        error = (drawn - x).square().mean()
        loss = self._compare(x)(drawn).mean() + training.pixels * error
        if len(w):
            loss = loss + training.latent * ((found[: len(w)] - w) / spread).square().mean()
        loss = loss + training.flat * ((found - found.mean(dim=1, keepdim=True)) / spread).square().mean()
        return loss, 10 * math.log10(4 / max(float(error.detach()), 1e-12))

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Pictures `[B, 3, R, R]` in [-1, 1] and the w+ of those that were drawn, which come first."""
        count = self.training.batch
        drawn = count if self.real is None else count - count // 2
        with torch.no_grad():
            w = self._codes(drawn)
            pictures = [self.model.generator.synthesize(w).clamp(-1, 1)]
        if self.real is not None and count > drawn:
            chosen = torch.randint(len(self.real), (count - drawn,), generator=self._rng).tolist()
            real = torch.stack([self.real[i][0] for i in chosen]).to(w) / 127.5 - 1
            mirrored = torch.rand(len(real), generator=self._rng) < 0.5
            pictures.append(torch.where(mirrored[:, None, None, None].to(real.device), real.flip(3), real))
        return torch.cat(pictures), w

    def _codes(self, count: int) -> Tensor:
        """w+ `[count, num_ws, w_dim]`: truncated by a random psi, and half of them of two styles mixed at a random row."""
        generator = self.model.generator
        config, like = generator.config, generator.synthesis.constant
        z = torch.randn(2, count, config.z_dim, generator=self._rng, dtype=torch.float64).to(like)
        c = None
        if config.c_dim:
            c = torch.eye(config.c_dim)[torch.randint(config.c_dim, (count,), generator=self._rng)].to(like)
        one, other = generator.map(z[0], c), generator.map(z[1], c)
        psi = 0.5 + 0.5 * torch.rand(count, 1, 1, generator=self._rng).to(like)
        cut = torch.randint(1, 2 * config.num_ws, (count, 1), generator=self._rng)
        mixed = (torch.arange(config.num_ws) >= cut)[:, :, None].to(like.device)
        return generator.mapping.w_mean + psi * (torch.where(mixed, other, one) - generator.mapping.w_mean)
