"""Training of a generator's encoder: on the generator's own pictures, whose w is known, and on real ones, which it shall draw.

For a picture x with code w: `L = d(G(E(x)), x) + pixels |G(E(x)) - x|^2 + latent |E(x) - w|^2 + flat |E(x) - row mean|^2`, the
squares being means, those of w in deviations of the model's w. Real pictures have no w and go without that term.

The guess and each correction of it are trained with the same loss, as in ReStyle (Alaluf et al. 2021), and without a gradient
from one pass to the one before. So a step need not make all passes: it makes one, with pictures of all ages. The gradient
by w that teaches this pass is what the next one is told of. In the first third of the steps there are guesses alone.
"""

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.checkpoints.inverter import read_head
from gansteer.edits.latent import Whitening, sample_w
from gansteer.errors import UserError
from gansteer.models.efficientnet import unit_taps
from gansteer.models.face_reader import resize
from gansteer.models.inverter import Inverter, InverterConfig, InverterHead, Look
from gansteer.subject import Model
from gansteer.training.config import InverterTraining
from gansteer.training.data import Pictures

GUESS = 0.2
"""Share of the learning rate that the guess has once corrections are learnt too."""
SEEN = 64
"""Pictures whose gradients are looked at beforehand."""
EMA = 0.99
"""How much of the averaged weights stays at every step."""


@dataclass(frozen=True, eq=False)
class InverterProgress:
    """What one step did."""

    step: int
    """Counted from 1."""
    loss: float
    psnr: float
    """Decibels of the pictures that had most passes, before the step."""


@dataclass(frozen=True, eq=False)
class Pupils:
    """`B` pictures that had the same number of passes."""

    small: Tensor
    """`[B, 3, size, size]` in [-1, 1]."""
    w: Tensor
    """The w+ that drew them, `[B, num_ws, w_dim]`; nan for real pictures."""
    taps: list[Tensor]
    """Their features."""
    look: Look | None = None
    """At what the passes made of them; none before the guess."""


class InverterTrainer:
    """Iterate to train; `head` is the averaged result at any time."""

    def __init__(
        self, model: Model, training: InverterTraining, data: Path | None = None, begin: Path | None = None
    ) -> None:
        """`data` is a folder or zip of real pictures, `begin` an encoder's file whose weights are taken to begin with.

        Raises UserError if one of them can't be read or does not fit, or EfficientNet is missing.
        """
        generator = model.generator
        like = generator.synthesis.constant
        if generator.config.img_channels != 3:
            raise UserError(f"{model.card.name} draws no colours: an encoder needs an RGB model")
        self.model, self.training = model, training
        self.real = None if data is None else Pictures(data, model.resolution)
        torch.manual_seed(training.seed)
        head = untrained(model, training)
        self._alone = training.steps // 3 if training.passes and begin is None else 0
        if begin is not None:
            try:
                head.load_state_dict(read_head(begin).state_dict(), strict=False)  # it may have no corrector
            except RuntimeError as error:
                raise UserError(f"{begin} has another shape than {model.card.name} needs: begin without it") from error
        self.inverter = Inverter(load_efficientnet().to(like), head.to(like), generator)
        self.head = deepcopy(head)
        self._adam = torch.optim.Adam(_groups(head), lr=training.learning_rate, fused=True)
        self._rng = torch.Generator().manual_seed(training.seed)
        self._ages: list[Pupils] = []

    def __iter__(self) -> Iterator[InverterProgress]:
        """All steps."""
        for step in range(1, self.training.steps + 1):
            yield self._step(step)

    def _step(self, step: int) -> InverterProgress:
        """One pass of pictures of every age, the new ones' guess among them; in the first third, guesses alone."""
        training = self.training
        alone = step <= self._alone
        count = training.batch if alone or not training.passes else max(1, training.batch // (training.passes + 1))
        if step == self._alone + 1:
            self._see_gradients()
            self._ages = []
        falling = 0.5 + 0.5 * math.cos(math.pi * (step - 1) / training.steps)
        for group in self._adam.param_groups:
            share = 1.0 if alone else group["share"]
            group["lr"] = share * training.learning_rate * min(1.0, step / 50) * falling
        pupils = [self._new(count), *([] if alone else self._ages[: training.passes])]
        found, moved = (torch.cat(parts) for parts in zip(*(self._pass(some) for some in pupils), strict=True))
        look = self._look(pupils, found, moved)
        held = self._held(found, torch.cat([some.w for some in pupils]))
        self._adam.zero_grad()
        # By the chain rule: the generator has been gone back through already, as the next pass needs that gradient too.
        ((found * look.gradient).sum() / len(found) + held).backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self._average(step)
        sizes = [len(some.w) for some in pupils]
        self._ages = [replace(some, look=one) for some, one in zip(pupils, look.split(sizes), strict=True)]
        psnr = -10 * torch.log10(look.error[-sizes[-1] :] / 4).mean()
        return InverterProgress(step, float(look.distance.mean() + held.detach()), float(psnr))

    def _pass(self, some: Pupils) -> tuple[Tensor, Tensor]:
        """The guess or its correction, `w+ [B, num_ws, w_dim]`, and the step that led there."""
        head = self.inverter.head
        if some.look is None:
            guess: Tensor = head(some.taps)
            return guess, torch.zeros_like(guess)
        assert head.corrector is not None
        step: Tensor = head.corrector(unit_taps(some.taps), some.look)
        return some.look.w + step, step

    def _look(self, pupils: Sequence[Pupils], w: Tensor, step: Tensor) -> Look:
        """At the pictures of all `pupils`, of which `w` are the codes."""
        taps = [torch.cat(scale) for scale in zip(*(some.taps for some in pupils), strict=True)]
        return self.inverter.look(w, step, torch.cat([some.small for some in pupils]), unit_taps(taps))

    @torch.no_grad()
    def _see_gradients(self) -> None:
        """Note how large gradients usually are after the guess, unless that is known from another encoder."""
        trained = self.inverter.head.corrector
        if trained is None or self.head.corrector is None or bool(trained.log_usual.any()):
            return
        squares = []
        for _ in range(SEEN // 8):
            new = self._new(8)
            look = self._look([new], *self._pass(new))
            squares.append((look.gradient @ trained.axes).square().mean(dim=0))
        trained.log_usual.copy_(torch.stack(squares).mean(dim=0).clamp_min(1e-24).log() / 2)
        self.head.corrector.log_usual.copy_(trained.log_usual)

    def _held(self, found: Tensor, w: Tensor) -> Tensor:
        """The terms in w; `w` is nan where the true one is not known."""
        training, spread = self.training, self.inverter.head.spread
        error = ((found - torch.where(w.isnan(), found.detach(), w)) / spread).square()
        apart = ((found - found.mean(dim=1, keepdim=True)) / spread).square()
        return training.latent * error.mean() + training.flat * apart.mean()

    @torch.no_grad()
    def _average(self, step: int) -> None:
        stay = min(EMA, step / (step + 10))  # at first the weights move far
        trained = self.inverter.head
        for mean, now in zip(self.head.parameters(), trained.parameters(), strict=True):
            mean.lerp_(now, 1 - stay)

    def _new(self, count: int) -> Pupils:
        """So many pictures, each real or drawn as chance has it."""
        config, size = self.model.generator.config, self.inverter.head.config.size
        drawn = torch.rand(count, generator=self._rng) >= (self.training.real if self.real else 0.0)
        like = self.model.generator.synthesis.constant
        with torch.no_grad():
            pictures = like.new_empty(len(drawn), 3, config.resolution, config.resolution)
            w = like.new_full((len(drawn), config.num_ws, config.w_dim), math.nan)
            if drawn.any():
                w[drawn] = self._codes(int(drawn.sum()))
                pictures[drawn] = self.model.generator.synthesize(w[drawn]).clamp(-1, 1)
            if self.real is not None and not drawn.all():
                pictures[~drawn] = self._photos(self.real, int((~drawn).sum())).to(like)
            small = resize(pictures, size)
            return Pupils(small, w, self.inverter.trunk.taps(small))

    def _photos(self, real: Pictures, count: int) -> Tensor:
        """Real pictures `[count, 3, R, R]` in [-1, 1], half of them mirrored."""
        chosen = torch.randint(len(real), (count,), generator=self._rng).tolist()
        found = torch.stack([real[i][0] for i in chosen]).float() / 127.5 - 1
        mirrored = torch.rand(count, 1, 1, 1, generator=self._rng) < 0.5
        return torch.where(mirrored, found.flip(3), found)

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


def _groups(head: InverterHead) -> list[dict[str, Any]]:
    """Adam's groups of parameters: a step sees several corrections for every guess, which moves the less for it."""
    named = list(head.named_parameters())
    guess, corrector = ([x for n, x in named if n.startswith("corrector.") == later] for later in (False, True))
    return [{"params": guess, "share": GUESS if corrector else 1.0}, {"params": corrector, "share": 1.0}]


def untrained(model: Model, training: InverterTraining) -> InverterHead:
    """A head whose guess is the model's mean w, and whose corrector does nothing yet; in units of the model's own w."""
    config = model.generator.config
    head = InverterHead(
        InverterConfig(
            config.num_ws, config.w_dim, min(128, model.resolution), passes=training.passes, pixels=training.pixels
        )
    )
    w = sample_w(model, 4096).cpu()
    head.centre.copy_(w.mean(dim=0))
    head.spread.copy_((w - w.mean(dim=0)).square().mean().sqrt())
    if head.corrector is not None:
        head.corrector.axes.copy_(Whitening.fit(w).axes)
        head.corrector.centre.copy_(head.centre)
        head.corrector.spread.copy_(head.spread)
    return head
