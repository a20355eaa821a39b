"""Training of a generator's encoder: on the generator's own pictures, whose code is known, and on real ones, which it must draw.

For a picture x with code w: `L = d(G(E(x)), x) + pixels |G(E(x)) - x|^2 + latent |E(x) - w|^2 + flat |E(x) - row mean|^2`, the
squares being means, those of codes in deviations of the model's own: w+ and the blobs' places have one each, the last term is of
w+ alone. Real pictures have no code and go without the third term. E is the guess alone; how the distance curves, which its
corrections need, is measured once it has been learnt.
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
from gansteer.models.generator import Generator
from gansteer.models.inverter import Inverter, InverterConfig, InverterHead, layout_places
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
LAYOUTS = 512
"""Layouts from which is learnt how far blobs are from their means."""


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
        like = generator.mean_w()
        self.model, self.training = model, training
        self.real = None if data is None else Pictures(data, model.resolution)
        torch.manual_seed(training.seed)
        size = min(128, model.resolution)
        head = InverterHead(shape_of(generator, size, training.pixels)).to(like)
        w = generator.sample_w(4096)
        head.centre.copy_(w.mean(dim=0))
        head.spread.copy_((w - w.mean(dim=0)).square().mean().sqrt())
        self._rng = torch.Generator().manual_seed(training.seed)
        if head.config.blobs:
            layouts = self._sampled(LAYOUTS).layout
            assert layouts is not None
            places = layout_places(layouts)
            head.blob_centre.copy_(places.mean(dim=0))
            head.blob_spread.copy_(places.std(dim=0))
        if begin is not None:
            begin_with(head, begin, model)
        self.inverter = Inverter(load_efficientnet().to(like), head, generator)
        self.head = deepcopy(head).requires_grad_(False)
        self._adam = torch.optim.Adam(head.parameters(), lr=training.learning_rate, fused=True)

    def __iter__(self) -> Iterator[InverterProgress]:
        """All steps."""
        for step in range(1, self.training.steps + 1):
            yield self._step(step)

    def _step(self, step: int) -> InverterProgress:
        t = (step - 1) / self.training.steps
        for group in self._adam.param_groups:
            group["lr"] = self.training.learning_rate * min(1.0, step / 50) * (0.5 + 0.5 * math.cos(math.pi * t))
        small, true = self._batch(self.training.batch)
        taps = self.inverter.trunk.taps(small)
        found = self.inverter.head(taps)  # [B, width]
        away = (self.inverter.drawn(found) - self.inverter.described(small, taps)).square()  # [B, N]
        loss = away.sum(dim=1).mean() + self._held(found, true)
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

    def _held(self, found: Tensor, true: Tensor) -> Tensor:
        """The terms in codes; `true` is nan where it is not known."""
        training, spread = self.training, self.head.spread
        error = ((found - torch.where(true.isnan(), found.detach(), true)) / spread).square()
        rows, _ = self.head.parts(found)
        apart = ((rows - rows.mean(dim=1, keepdim=True)) / spread).square()
        known = sum(part.mean() for part in self.head.parts(error) if part.numel())
        return training.latent * known + training.flat * apart.mean()

    def see_curvature(self, report: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Give `head` its corrections: `2 J^T J` about the guesses of `looks` pictures, and its largest eigenvectors.

        J is that of `Inverter.described` by the code. For noise n of variance 1 the mean of `(J^T n)(J^T n)^T` is `J^T J`: each look
        costs one gradient, whatever the sizes (Hutchinson 1990).
        """
        training, old = self.training, self.head
        if not training.passes:
            return
        inverter = Inverter(self.inverter.trunk, old, self.model.generator)
        slopes: list[Tensor] = []
        while len(slopes) * TOGETHER < training.looks:
            report(len(slopes) * TOGETHER, training.looks)
            v = old(self.inverter.trunk.taps(self._batch(TOGETHER)[0])).requires_grad_()
            seen = inverter.drawn(v)
            noise = torch.randn(seen.shape, generator=self._rng, dtype=torch.float64).to(seen)
            slopes.append(torch.autograd.grad((seen * noise).sum(), v)[0])
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
        """Pictures `[count, 3 or 1, size, size]`, each real or drawn as chance has it, and codes; nan for the real ones."""
        config, size = self.model.generator.config, self.head.config.size
        drawn = torch.rand(count, generator=self._rng) >= (self.training.real if self.real else 0.0)
        like = self.model.generator.mean_w()
        with torch.no_grad():
            pictures = like.new_empty(count, config.img_channels, config.resolution, config.resolution)
            true = like.new_full((count, self.head.config.width), math.nan)
            if drawn.any():
                code = self._sampled(int(drawn.sum()))
                true[drawn] = self.head.vector(code)
                pictures[drawn] = self.model.generator.synthesize(code).clamp(-1, 1)
            if self.real is not None and not drawn.all():
                photos = self._photos(self.real, int((~drawn).sum())).to(like)
                pictures[~drawn] = as_channels(photos, config.img_channels)
            return resize(pictures, size), true

    def _photos(self, real: Pictures, count: int) -> Tensor:
        """Real pictures `[count, 3, R, R]` in [-1, 1], half of them mirrored."""
        chosen = torch.randint(len(real), (count,), generator=self._rng).tolist()
        found = torch.stack([real[i][0] for i in chosen]).float() / 127.5 - 1
        mirrored = torch.rand(count, 1, 1, 1, generator=self._rng) < 0.5
        return torch.where(mirrored, found.flip(3), found)

    def _sampled(self, count: int) -> Code:
        """Codes of `count` pictures: w+ truncated by a random psi, and half of them of two styles mixed at a random row."""
        generator, config, mean = self.model.generator, self.model.generator.config, self.model.generator.mean_w()
        z = generator.sample_z(2 * count, self._rng).view(2, count, -1)
        classes = config.c_dim
        c = generator.one_hot(torch.randint(classes, (count,), generator=self._rng)) if classes else None
        # One by one, as pictures are sampled: a law may draw something once for all that are drawn together.
        each = [
            generator.code_of(z[0, i : i + 1], None if c is None else c[i : i + 1], rng=self._rng) for i in range(count)
        ]
        one, other = Code.batch(each), generator.code_of(z[1], c).ws
        psi = 0.5 + 0.5 * torch.rand(count, 1, 1, generator=self._rng).to(mean)
        cut = torch.randint(1, 2 * config.num_ws, (count, 1), generator=self._rng)
        mixed = (torch.arange(config.num_ws) >= cut)[:, :, None].to(mean.device)
        return replace(one, ws=mean + psi * (torch.where(mixed, other, one.ws) - mean))


def shape_of(generator: Generator, size: int, pixels: float) -> InverterConfig:
    """The shape of an encoder's head for a generator: with the blobs, if all of its layouts have the same ones."""
    config, layout = generator.config, generator.mean_code().layout
    blobs = 0 if layout is None else len(layout)
    return InverterConfig(config.num_ws, config.w_dim, size, pixels=pixels, blobs=blobs)


def begin_with(head: InverterHead, file: Path, model: Model) -> None:
    """Take the guess of an encoder's file; one that found w+ alone lacks the layout, which begins as the mean's.

    Raises UserError if it has another shape.
    """
    known = read_head(file)
    known.curvature = None
    weights = known.state_dict()
    layout = {name: x for name, x in head.state_dict().items() if name.startswith(("layout.", "blob_"))}
    try:
        head.load_state_dict({**layout, **weights})
    except RuntimeError as error:
        raise UserError(f"{file} has another shape than {model.card.name} needs: begin without it") from error
