"""Pivotal tuning (Roich et al. 2022): w stays, the generator's weights move a little until its picture is the photo."""

import math

import torch
from torch import Tensor

from gansteer.edits.inversion.edit import Inversion
from gansteer.edits.inversion.perceptual import Comparison
from gansteer.edits.inversion.projection import falling
from gansteer.models.code import Code
from gansteer.models.generator import Generator
from gansteer.models.tuning import LEFT, RIGHT, Tuning, changed
from gansteer.subject import Subject

LIGHT_BYTES = 1_950_000
"""What a light tuning may weigh in float16, so that photo, w+ and the file's head stay below 2 MB with it."""


def tunable(generator: Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The large and the small weights of `Generator.tunable_weights`, by name."""
    state = generator.state_dict()
    large, small = ({name: state[name] for name in names} for names in generator.tunable_weights())
    return large, small


def low_rank(generator: Generator, budget: int) -> int:
    """The largest rank with which the changes of all tunable weights number at most `budget`; at least 1."""
    large, small = tunable(generator)

    def count(rank: int) -> int:
        return sum(x.numel() for x in small.values()) + sum(
            min(rank * (len(x) + x[0].numel()), x.numel()) for x in large.values()
        )

    rank, most = 1, max((len(x) for x in large.values()), default=1)
    while rank < most and count(rank + 1) <= budget:
        rank += 1
    return rank


def no_changes(generator: Generator, rank: int | None, seed: int) -> dict[str, Tensor]:
    """Changes of a generator's weights as `Tuning` has them, that change nothing yet and may be learnt.

    With a `rank`, large weights of which two factors are smaller than themselves have those: the left zero, the right
    random.
    """
    large, small = tunable(generator)
    rng = torch.Generator().manual_seed(seed)
    changes: dict[str, Tensor] = {}
    for name, weight in [*small.items(), *large.items()]:
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
        self._state = generator.state_dict()  # detached
        self._noise = changed(self._state, self._kept)
        rank = low_rank(generator, LIGHT_BYTES // 2) if edit.tuning == "light" else None
        self._changes = no_changes(generator, rank, edit.seed)
        self._adam = torch.optim.Adam(list(self._changes.values()), lr=edit.tuning_rate)
        self._rng = torch.Generator().manual_seed(edit.seed)
        self._other: tuple[Tensor, Tensor] | None = None
        self.taken, self.steps = 0, edit.tuning_steps

    def draw(self) -> Tensor:
        """The present picture `[1, 3, R, R]`, differentiable."""
        generator, code = self._generator, Code.batch([self.pivot.code])
        other = self._sample() if self.edit.locality and self.taken < self.steps else None
        if other is not None:
            code = Code.batch([code, other])
        with torch.no_grad():
            styles = generator.styles(code)
            if other is not None:
                before = generator.synthesize(other, styles={name: style[1:] for name, style in styles.items()})
        weights = {**changed(self._state, self._changes), **self._noise}
        pictures: Tensor = torch.func.functional_call(generator, weights, (code,), {"styles": styles})
        self._other = (pictures[1:], before) if other is not None else None
        return pictures[:1]

    def _sample(self) -> Code:
        """The code of a fresh sample; its class too, if there are some."""
        generator = self._generator
        z, classes = generator.sample_z(1, self._rng), generator.config.c_dim
        c = generator.one_hot(torch.randint(classes, (1,), generator=self._rng)) if classes else None
        with torch.no_grad():
            return generator.code_of(z, c, rng=self._rng)

    def held(self, picture: Tensor) -> Tensor:
        """Locality: the tuned generator must draw another w as before, `L(G(w_z; theta), G(w_z; theta*))`.

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
        changes = {name: x.detach().half() for name, x in self._changes.items()}
        model = self.pivot.model
        return Subject(model, self.pivot.code, Tuning(model.generator, {**self._kept, **changes}))
