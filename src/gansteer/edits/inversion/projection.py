"""Projection of a photo into the latent space (Karras et al. 2020, appendix D): w or w+, and the noise maps if wanted."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.edits.drag.latent import Whitening
from gansteer.edits.inversion.edit import Inversion
from gansteer.edits.inversion.layout import FreeLayout
from gansteer.models.tuning import Tuning
from gansteer.subject import Model, Subject

EXPLORE, EXPLORE_UNTIL = 0.05, 0.75
"""Noise on w while it is sought from the mean: a share of the deviation of w, and of the steps until it has faded."""
RAMP_UP, RAMP_DOWN = 0.05, 0.25
"""Shares of the steps in which the learning rate rises from 0 and falls back to it."""


def falling(t: float) -> float:
    """1, with a cosine fall to 0 over the last quarter of `t` in [0, 1]."""
    return 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / RAMP_DOWN))


def rate(t: float) -> float:
    """What the learning rate is multiplied with at `t` in [0, 1): linear rise over the first 5 %, cosine fall over the last 25 %."""
    return falling(t) * min(1.0, t / RAMP_UP)


def noise_regulariser(maps: Sequence[Tensor]) -> Tensor:
    """Appendix D: noise must stay noise. Squared mean product with the neighbour right and below, `maps` being `[r, r]`.

    Summed over each map and its 2x averaged pyramid, down to 8 px; beyond the border the map repeats.
    """
    total = maps[0].new_zeros(())
    for noise in maps:
        level = noise[None, None]
        while True:
            for axis in (2, 3):
                total = total + (level * level.roll(1, axis)).mean().square()
            if level.shape[-1] <= 8:
                break
            level = F.avg_pool2d(level, 2)
    return total


class Projection:
    """The stage in which w moves."""

    def __init__(self, start: Subject, edit: Inversion, explore: bool) -> None:
        """`start` is the first guess; `explore` shakes w at first, as from the mean one should."""
        self.start, self.edit = start, edit
        model, config = start.model, start.model.generator.config
        w = model.generator.sample_w(4096 if edit.projection else 1)  # without a step nobody needs them
        self._mean = w.mean(dim=0)
        self._deviation = float(
            (w - self._mean).square().sum(dim=1).mean().sqrt()
        )  # of the whole vector, as in the paper
        spread = self._deviation / math.sqrt(config.w_dim)
        self._explore = EXPLORE * self._deviation if explore else 0.0
        self._whitening = Whitening.fit(w) if edit.prior and edit.projection else None
        first = start.code.ws if edit.space == "w+" else start.code.ws.mean(dim=0, keepdim=True)
        self._w = first.detach().clone().requires_grad_()
        self._names, self._noise = [], []
        if edit.noise is not None:
            maps = model.generator.noise_maps()
            self._names = list(maps)
            self._noise = [x.clone().requires_grad_() for x in maps.values()]
        layout = start.code.layout
        self._layout = None if layout is None or edit.layout == "fixed" else FreeLayout(layout, model.resolution)
        groups: list[dict[str, object]] = [{"params": [self._w, *self._noise], "lr": edit.learning_rate * spread}]
        if self._layout is not None:
            groups += self._layout.groups(edit.learning_rate)
        self._adam = torch.optim.Adam(groups)
        self._rates = [group["lr"] for group in self._adam.param_groups]
        self._rng = torch.Generator().manual_seed(edit.seed)
        self.taken, self.steps = 0, edit.projection

    def draw(self) -> Tensor:
        """The present picture `[1, 3, R, R]`, differentiable; of a shaken w in the first steps."""
        w = self._w
        shake = self._explore * max(0.0, 1 - self.taken / max(self.steps, 1) / EXPLORE_UNTIL) ** 2
        if shake and self.taken < self.steps:
            w = w + shake * torch.randn(w.shape, generator=self._rng, dtype=torch.float64).to(w)
        code = replace(self.start.code, ws=w.expand_as(self.start.code.ws))
        if self._layout is not None:
            code = replace(code, layout=self._layout.layout())
        maps = dict(zip(self._names, self._noise, strict=True))
        picture: Tensor = torch.func.functional_call(self.start.model.generator, maps, (code,))
        return picture

    def held(self, picture: Tensor) -> Tensor:
        """The terms beside the distance to the photo."""
        loss = picture.new_zeros(())
        if self._noise and self.edit.noise:
            loss = loss + self.edit.noise * noise_regulariser(self._noise)
        if self._whitening is not None:
            loss = loss + self.edit.prior * self._whitening(self._w - self._mean).square().mean()
        if self._layout is not None:
            loss = loss + self.edit.prior * self._layout.unlikely()
        return loss

    def advance(self, loss: Tensor) -> None:
        """One step of Adam; then the noise is given mean 0 and variance 1 again."""
        for group, most in zip(self._adam.param_groups, self._rates, strict=True):
            group["lr"] = most * rate((self.taken + 1) / (self.steps + 1))
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        with torch.no_grad():
            for noise in self._noise:
                noise.sub_(noise.mean()).mul_(noise.square().mean().rsqrt())
        self.taken += 1

    def subject(self) -> Subject:
        """What was reached."""
        model = self.start.model
        tuning = None
        if self._noise:
            state = model.generator.state_dict()
            changes = {n: (x.detach() - state[n]).half() for n, x in zip(self._names, self._noise, strict=True)}
            tuning = Tuning(model.generator, changes)
        ws = self._w.detach().expand_as(self.start.code.ws).clone()
        code = replace(self.start.code, ws=ws)
        if self._layout is not None:
            code = replace(code, layout=self._layout.reached())
        return Subject(model, code, tuning)


def mean_subject(model: Model) -> Subject:
    """The subject of the mean w."""
    return Subject(model, model.generator.mean_code())
