"""Pivotal tuning (Roich et al. 2022): w stays, the generator's weights move a little until its picture is the photo."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from gansteer.edits.inversion.edit import Inversion
from gansteer.edits.inversion.perceptual import Comparison
from gansteer.edits.inversion.projection import falling
from gansteer.models.tuning import LEFT, RIGHT, Tuning, changed
from gansteer.subject import Subject

LIGHT_BYTES = 1_950_000
"""What a light tuning may weigh in float16, so that photo, w+ and the file's head stay below 2 MB with it."""


def tunable(state: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """The names of a synthesis' convolutions, and of its small weights: toRGBs, biases, noise strengths.

    The affine layers stay: for a fixed w they could only move the styles, which every edit moves anyway.
    """
    large = [name for name, x in state.items() if x.dim() == 4 and "torgb" not in name]
    small = [
        name for name in state
        if "affine" not in name and name.endswith(("torgb.weight", "bias", "noise_strength"))
    ]  # fmt: skip
    return large, small


def low_rank(state: Mapping[str, Tensor], budget: int) -> int:
    """The largest rank with which the changes of all tunable weights number at most `budget`; at least 1."""
    large, small = tunable(state)

    def count(rank: int) -> int:
        return sum(state[n].numel() for n in small) + sum(
            min(rank * (len(state[n]) + state[n][0].numel()), state[n].numel()) for n in large
        )

    rank, most = 1, max(len(state[n]) for n in large)
    while rank < most and count(rank + 1) <= budget:
        rank += 1
    return rank


def no_changes(state: Mapping[str, Tensor], rank: int | None, seed: int) -> dict[str, Tensor]:
    """Changes of a synthesis' weights as `Tuning` has them, that change nothing yet and may be learnt.

    With a `rank`, convolutions of which two factors are smaller than themselves have those: the left zero, the right random.
    """
    large, small = tunable(state)
    rng = torch.Generator().manual_seed(seed)
    changes: dict[str, Tensor] = {}
    for name in [*small, *large]:
        weight = state[name]
        if name in small or rank is None or rank * (len(weight) + weight[0].numel()) >= weight.numel():
            changes[name] = torch.zeros_like(weight)
            continue
        right = torch.randn(rank, weight[0].numel(), generator=rng, dtype=torch.float64) / math.sqrt(rank)
        changes[name + LEFT], changes[name + RIGHT] = weight.new_zeros(len(weight), rank), right.to(weight)
    return {name: x.requires_grad_() for name, x in changes.items()}


class PivotalTuning:
    """The stage in which the weights move."""

    def __init__(self, pivot: Subject, edit: Inversion, compare: Comparison) -> None:
        """`pivot` is the subject that the projection found; its changed noise maps stay changed."""
        self.pivot, self.edit = pivot, edit
        generator = pivot.model.generator
        self._generator, self._compare = generator, compare
        self._kept = {} if pivot.tuning is None else dict(pivot.tuning.changes)
        self._noise = {n.removeprefix("synthesis."): x for n, x in changed(generator.state_dict(), self._kept).items()}
        self._state = {name: x.detach() for name, x in generator.synthesis.state_dict().items()}
        rank = low_rank(self._state, LIGHT_BYTES // 2) if edit.tuning == "light" else None
        self._changes = no_changes(self._state, rank, edit.seed)
        self._adam = torch.optim.Adam(list(self._changes.values()), lr=edit.tuning_rate)
        self._rng = torch.Generator().manual_seed(edit.seed)
        self._other: tuple[Tensor, Tensor] | None = None
        self.taken, self.steps = 0, edit.tuning_steps

    def draw(self) -> Tensor:
        """The present picture `[1, 3, R, R]`, differentiable."""
        ws = self.pivot.w[None]
        if self.edit.locality and self.taken < self.steps:
            ws = torch.cat([ws, self._sample()])
        with torch.no_grad():
            styles = self._generator.synthesis.styles(ws)
            if len(ws) > 1:
                before = self._generator.synthesis({name: style[1:] for name, style in styles.items()})
        weights = changed(self._state, self._changes)
        pictures: Tensor = torch.func.functional_call(self._generator.synthesis, {**weights, **self._noise}, (styles,))
        self._other = (pictures[1:], before) if len(ws) > 1 else None
        return pictures[:1]

    def _sample(self) -> Tensor:
        """w+ of a fresh sample `[1, num_ws, w_dim]`; its class too, if there are some."""
        config, like = self._generator.config, self.pivot.w
        z = torch.randn(1, config.z_dim, generator=self._rng, dtype=torch.float64).to(like)
        c = None
        if config.c_dim:
            c = torch.eye(config.c_dim)[torch.randint(config.c_dim, (1,), generator=self._rng)].to(like)
        with torch.no_grad():
            return self._generator.map(z, c)

    def held(self, picture: Tensor) -> Tensor:
        """Locality: the tuned generator shall draw another w as before, `L(G(w_z; theta), G(w_z; theta*))`.

        The paper asks so of points at a fixed distance from the pivot; here they are the samples themselves, as it is
        they that a person draws next.
        """
        if self._other is None:
            return picture.new_zeros(())
        now, before = self._other
        return self.edit.locality * (
            self._compare(before)(now).sum() + self.edit.pixels * (now - before).square().mean()
        )

    def advance(self, loss: Tensor) -> None:
        """One step of Adam; its rate falls to 0 over the last quarter."""
        for group in self._adam.param_groups:
            group["lr"] = self.edit.tuning_rate * falling(self.taken / self.steps)
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self.taken += 1

    def subject(self) -> Subject:
        """What was reached, its changes in float16."""
        changes = {f"synthesis.{name}": x.detach().half() for name, x in self._changes.items()}
        model = self.pivot.model
        return Subject(model, self.pivot.w, self.pivot.offsets, Tuning(model.generator, {**self._kept, **changes}))
