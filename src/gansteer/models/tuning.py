"""Weights changed for the sake of one picture (pivotal tuning, Roich et al. 2022), without a second copy of the rest."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from gansteer.models.generator import Generator

LEFT, RIGHT = ".left", ".right"
"""Endings of the two factors of a change of low rank."""


@dataclass(frozen=True, eq=False)
class Tuning:
    """What is added to some of a generator's weights. Immutable; subjects that share it share its generator.

    Raises ValueError if a change fits no weight of the generator or is not finite.
    """

    base: Generator = field(repr=False)
    """The generator as it was trained. Its weights are shared, never copied."""
    changes: Mapping[str, Tensor]
    """A name of the generator's state to what is added there, of the same shape; or, as `name.left [O, r]` and
    `name.right [r, N]`, two factors whose product is added: `W + (left @ right)`, N being the product of W's other
    sizes. float16 or wider; the sum is taken in the type of the generator."""

    def __post_init__(self) -> None:
        state = self.base.state_dict()
        for name, change in self.changes.items():
            weight = state.get(name.removesuffix(LEFT).removesuffix(RIGHT))
            if weight is None:
                raise ValueError(f"this model has no weight {name!r}")
            if tuple(change.shape) != self._shape(name, weight):
                raise ValueError(f"the tuning of {name} is {list(change.shape)}, which does not fit this model")
            if not bool(change.isfinite().all()):
                raise ValueError(f"the tuning of {name} is not finite")

    def _shape(self, name: str, weight: Tensor) -> tuple[int, ...]:
        """The shape that the change `name` of `weight` must have."""
        if not name.endswith((LEFT, RIGHT)):
            return tuple(weight.shape)
        stem, other = (name[: -len(LEFT)], RIGHT) if name.endswith(LEFT) else (name[: -len(RIGHT)], LEFT)
        if stem + other not in self.changes or weight.dim() < 2:
            raise ValueError(f"the tuning of {stem} lacks one of its two factors")
        rank = self.changes[stem + RIGHT].shape[0]
        return (weight.shape[0], rank) if name.endswith(LEFT) else (rank, weight[0].numel())

    @property
    def size(self) -> int:
        """Bytes of the changes: what a session pays for them."""
        return sum(change.numel() * change.element_size() for change in self.changes.values())

    @staticmethod
    def lerp(a: "Tuning | None", b: "Tuning | None", t: float) -> "Tuning | None":
        """`(1 - t) a + t b`: the weights in between. None is no change. Both must be of the same base."""
        if a is b:
            return a
        sums: dict[str, Tensor] = {}
        for tuning, share in ((a, 1 - t), (b, t)):
            for name, x in ({} if tuning is None else tuning.changes).items():
                part = x if name.endswith(RIGHT) else share * x  # of two factors one is scaled
                before = sums.get(name)
                if before is None:
                    sums[name] = part
                elif name.endswith((LEFT, RIGHT)):  # a sum of two products is the product of longer factors
                    sums[name] = torch.cat([before.to(part), part], dim=1 if name.endswith(LEFT) else 0)
                else:
                    sums[name] = before.to(part) + part
        one = a or b
        return None if one is None else Tuning(one.base, sums)

    @cached_property
    def generator(self) -> Generator:
        """The tuned generator: new tensors for what is changed, the base's own for all else."""
        with torch.no_grad():
            new = changed(self.base.state_dict(), self.changes)
        shared = [*self.base.parameters(), *self.base.buffers()]
        tuned = copy.deepcopy(self.base, {id(x): x for x in shared})  # what is noted as copied is taken as it is
        for name, weight in new.items():
            owner, _, last = name.rpartition(".")
            module = tuned.get_submodule(owner)
            buffer = last in dict(module.named_buffers(recurse=False))
            setattr(module, last, weight if buffer else nn.Parameter(weight, requires_grad=False))
        return tuned.eval()


def changed(state: Mapping[str, Tensor], changes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of `state` that `changes` (as in `Tuning`) touch, with them added; differentiable in the changes."""
    weights: dict[str, Tensor] = {}
    for name, change in changes.items():
        if name.endswith(RIGHT):
            continue
        if name.endswith(LEFT):
            name = name.removesuffix(LEFT)
            weight = weights.get(name, state[name])
            added = change.to(weight) @ changes[name + RIGHT].to(weight)  # [O, r] @ [r, N]
            weights[name] = weight + added.view(weight.shape)
        else:
            weight = weights.get(name, state[name])
            weights[name] = weight + change.to(weight)
    return weights
