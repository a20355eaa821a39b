"""Training of a generator's encoder: on the generator's own pictures, whose w is known, and on real ones, which it must draw.

For a picture x with code w: `L = d(G(E(x)), x) + pixels |G(E(x)) - x|^2 + latent |E(x) - w|^2 + flat |E(x) - row mean|^2`, the
squares being means, those of w in deviations of the model's w. Real pictures have no w and go without that term. E is the
guess alone; how the distance curves, which its corrections need, is measured once it has been learnt.
"""

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.checkpoints.inverter import read_head
from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.models.face_reader import resize
from gansteer.models.inverter import Inverter, InverterConfig, InverterHead
from gansteer.models.layers import as_channels
from gansteer.subject import Model
from gansteer.training.config import InverterTraining
from gansteer.training.data import Pictures

EMA = 0.99
"""How much of the averaged weights stays at every step."""
RANK = 256
"""Directions of w+ along which the curvature is kept; along the others it is about nothing."""
TOGETHER = 8
"""Pictures that are looked at together for the curvature."""


@dataclass(frozen=True, eq=False)
class InverterProgress:
    """What one step did."""

    step: int
    """Counted from 1."""
    loss: float
    psnr: float
    """Decibels of the guess, mean over the batch, before the step."""


class InverterTrainer:
    """Iterate to train; `head` is the averaged result at any time. `see_curvature` then completes it."""

    def __init__(
        self, model: Model, training: InverterTraining, data: Path | None = None, begin: Path | None = None
    ) -> None:
        """`data` is a folder or zip of real pictures, `begin` an encoder's file whose guess is taken to begin with.

        Raises UserError if one of them can't be read or does not fit, or EfficientNet is missing.
        """
        generator = model.generator
        config, like = generator.config, generator.mean_w()
        self.model, self.training = model, training
        self.real = None if data is None else Pictures(data, model.resolution)
        torch.manual_seed(training.seed)
        size = min(128, model.resolution)
        head = InverterHead(InverterConfig(config.num_ws, config.w_dim, size, pixels=training.pixels)).to(like)
        w = model.generator.sample_w(4096)
        head.centre.copy_(w.mean(dim=0))
        head.spread.copy_((w - w.mean(dim=0)).square().mean().sqrt())
        if begin is not None:
            known = read_head(begin)
            known.curvature = None
            try:
                head.load_state_dict(known.state_dict())
            except RuntimeError as error:
                raise UserError(f"{begin} has another shape than {model.card.name} needs: begin without it") from error
        self.inverter = Inverter(load_efficientnet().to(like), head, generator)
        self.head = deepcopy(head).requires_grad_(False)
        self._adam = torch.optim.Adam(head.parameters(), lr=training.learning_rate, fused=True)
        self._rng = torch.Generator().manual_seed(training.seed)

    def __iter__(self) -> Iterator[InverterProgress]:
        """All steps."""
        for step in range(1, self.training.steps + 1):
            yield self._step(step)

    def _step(self, step: int) -> InverterProgress:
        t = (step - 1) / self.training.steps
        for group in self._adam.param_groups:
            group["lr"] = self.training.learning_rate * min(1.0, step / 50) * (0.5 + 0.5 * math.cos(math.pi * t))
        small, w = self._batch(self.training.batch)
        taps = self.inverter.trunk.taps(small)
        found = self.inverter.head(taps)  # [B, num_ws, w_dim]
        away = (self.inverter.drawn(found) - self.inverter.described(small, taps)).square()  # [B, N]
        loss = away.sum(dim=1).mean() + self._held(found, w)
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        with torch.no_grad():
            stay = min(EMA, step / (step + 10))  # at first the weights move far
            for mean, now in zip(self.head.parameters(), self.inverter.head.parameters(), strict=True):
                mean.lerp_(now, 1 - stay)
            pixels = away[:, -small[0].numel() :].sum(dim=1) / max(self.training.pixels, 1e-12)
            psnr = -10 * torch.log10(pixels.clamp_min(1e-12) / 4).mean()
        return InverterProgress(step, float(loss.detach()), float(psnr))

    def _held(self, found: Tensor, w: Tensor) -> Tensor:
        """The terms in w; `w` is nan where the true one is not known."""
        training, spread = self.training, self.head.spread
        error = ((found - torch.where(w.isnan(), found.detach(), w)) / spread).square()
        apart = ((found - found.mean(dim=1, keepdim=True)) / spread).square()
        return training.latent * error.mean() + training.flat * apart.mean()

    def see_curvature(self, report: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Give `head` its corrections: `2 J^T J` about the guesses of `looks` pictures, and its largest eigenvectors.

        J is that of `Inverter.described` by w+. For noise n of variance 1 the mean of `(J^T n)(J^T n)^T` is `J^T J`: each look
        costs one gradient, whatever the sizes (Hutchinson 1990).
        """
        training, old = self.training, self.head
        if not training.passes:
            return
        inverter = Inverter(self.inverter.trunk, old, self.model.generator)
        slopes: list[Tensor] = []
        while len(slopes) * TOGETHER < training.looks:
            report(len(slopes) * TOGETHER, training.looks)
            w = old(self.inverter.trunk.taps(self._batch(TOGETHER)[0])).requires_grad_()
            seen = inverter.drawn(w)
            noise = torch.randn(seen.shape, generator=self._rng, dtype=torch.float64).to(seen)
            slopes.append(torch.autograd.grad((seen * noise).sum(), w)[0].flatten(1))
        # The eigenvectors of S^T S are the right singular vectors of S; on the CPU, where every backend has them.
        _, values, directions = torch.linalg.svd(torch.cat(slopes).cpu().double(), full_matrices=False)
        rank = min(RANK, len(values))
        self.head = InverterHead(replace(old.config, passes=training.passes, rank=rank)).to(old.spread)
        self.head.load_state_dict(old.state_dict(), strict=False)
        assert self.head.curvature is not None
        self.head.curvature.directions.copy_(directions[:rank])
        self.head.curvature.stiffness.copy_(2 * values[:rank].square() / (len(slopes) * TOGETHER))
        self.head.requires_grad_(False)

    def _batch(self, count: int) -> tuple[Tensor, Tensor]:
        """Pictures `[count, 3 or 1, size, size]`, each real or drawn as chance has it, and w+; nan for the real ones."""
        config, size = self.model.generator.config, self.head.config.size
        drawn = torch.rand(count, generator=self._rng) >= (self.training.real if self.real else 0.0)
        like = self.model.generator.mean_w()
        with torch.no_grad():
            pictures = like.new_empty(count, config.img_channels, config.resolution, config.resolution)
            w = like.new_full((count, config.num_ws, config.w_dim), math.nan)
            if drawn.any():
                w[drawn] = self._codes(int(drawn.sum()))
                pictures[drawn] = self.model.generator.synthesize(Code(w[drawn])).clamp(-1, 1)
            if self.real is not None and not drawn.all():
                photos = self._photos(self.real, int((~drawn).sum())).to(like)
                pictures[~drawn] = as_channels(photos, config.img_channels)
            return resize(pictures, size), w

    def _photos(self, real: Pictures, count: int) -> Tensor:
        """Real pictures `[count, 3, R, R]` in [-1, 1], half of them mirrored."""
        chosen = torch.randint(len(real), (count,), generator=self._rng).tolist()
        found = torch.stack([real[i][0] for i in chosen]).float() / 127.5 - 1
        mirrored = torch.rand(count, 1, 1, 1, generator=self._rng) < 0.5
        return torch.where(mirrored, found.flip(3), found)

    def _codes(self, count: int) -> Tensor:
        """w+ `[count, num_ws, w_dim]`: truncated by a random psi, and half of them of two styles mixed at a random row."""
        generator, config, mean = self.model.generator, self.model.generator.config, self.model.generator.mean_w()
        z = generator.sample_z(2 * count, self._rng).view(2, count, -1)
        classes = config.c_dim
        c = generator.one_hot(torch.randint(classes, (count,), generator=self._rng)) if classes else None
        one, other = generator.map(z[0], c), generator.map(z[1], c)
        psi = 0.5 + 0.5 * torch.rand(count, 1, 1, generator=self._rng).to(mean)
        cut = torch.randint(1, 2 * config.num_ws, (count, 1), generator=self._rng)
        mixed = (torch.arange(config.num_ws) >= cut)[:, :, None].to(mean.device)
        return mean + psi * (torch.where(mixed, other, one) - mean)
