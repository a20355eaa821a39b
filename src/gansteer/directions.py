"""Directions of a model's latent spaces, each with the attribute that changes along it.

A direction is a unit vector n with intercept b and the standard deviation sigma of `n . x + b` over the model's own
samples. Its value at x, `(n . x + b) / sigma`, is 0 on the boundary and grows by 1 with every step along n
(InterFaceGAN, Shen et al. 2020, whose distance this is, counted in deviations).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Literal

import torch
from torch import Tensor

from gansteer.errors import UserError
from gansteer.models.code import Styles
from gansteer.models.generator import Generator
from gansteer.subject import Model

Space = Literal["z", "w", "s"]
"""What the mapping takes, what it gives, and the styles of all convolutions one after the other (StyleSpace)."""

PARALLEL = 1e-6
"""A direction of which no more than this remains beside the held ones is one of them."""


@dataclass(frozen=True, eq=False)
class Direction:
    """One direction. `vector` is a unit vector in float64, of numbers that float32 can hold, so that files lose nothing."""

    name: str
    space: Space
    vector: Tensor
    """`[D]`: the normal n, in coordinates divided by `scale`."""
    std: float
    """Of `n . x + b` over the model's samples: the length of one step."""
    intercept: float = 0.0
    scale: Tensor | None = None
    """`[D]`: deviation of every coordinate, for spaces whose coordinates differ in scale (s); None for ones."""
    level: Tensor | None = None
    """`[D]`: unit normal of the attribute's own level sets, as the mean gradient of its score or a least-squares fit tells
    them (same coordinates). The SVM looks at the extremes only; who holds an attribute holds this too."""
    rows: tuple[int, int] | None = None
    """First and last row of w+ that the direction is meant for; None for all."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """How it was made, and what was measured."""

    def __post_init__(self) -> None:
        for name in ("vector", "scale", "level"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, value.detach().to("cpu", torch.float32).double())
        if not (0 < self.std < math.inf and bool(self.vector.isfinite().all()) and self.vector.dim() == 1):
            raise UserError(f"the direction {self.name} does not move anything: fit it from scores that vary")
        for name in ("scale", "level"):
            value = getattr(self, name)
            if value is not None and not (value.shape == self.vector.shape and bool(value.isfinite().all())):
                raise UserError(f"the direction {self.name} has a damaged {name}: fit it again")

    def values(self, x: Tensor) -> Tensor:
        """Codes `[..., D]` to how many deviations each lies on the positive side, `[...]` in float64 on the CPU."""
        x = x.detach().cpu().double()
        return ((x if self.scale is None else x / self.scale) @ self.vector + self.intercept) / self.std


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions of one model, by name and space."""

    model: str
    """The model's name, for messages."""
    digest: str
    """Of the model's weights: directions mean nothing to any other."""
    entries: tuple[Direction, ...]

    def names(self, space: Space = "w") -> list[str]:
        """The names there are in a space."""
        return [entry.name for entry in self.entries if entry.space == space]

    def get(self, name: str, space: Space = "w") -> Direction:
        """The direction of this name. Raises UserError naming the nearest that there is."""
        for entry in self.entries:
            if (entry.name, entry.space) == (name, space):
                return entry
        names = self.names(space)
        near = get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
        if not names:
            hint = "there are none; make some with `gansteer directions fit`, and give its file as --directions"
        raise UserError(f"{self.model} has no direction {name!r} in {space}: {hint}")

    def only(self, names: Iterable[str], space: Space) -> "Directions":
        """Just these, which is all that an edit needs. Raises UserError for an unknown name."""
        return replace(self, entries=tuple(self.get(name, space) for name in dict.fromkeys(names)))

    def joined(self, other: "Directions") -> "Directions":
        """These and the other's, which win where both have the same name and space. UserError for another model's."""
        if self.digest != other.digest:
            raise UserError(f"the directions of {other.model} belong to other weights than those of {self.model}")
        taken = {(entry.name, entry.space) for entry in other.entries}
        kept = tuple(entry for entry in self.entries if (entry.name, entry.space) not in taken)
        return replace(self, entries=kept + other.entries)

    def check(self, model: Model) -> None:
        """Raise UserError if these are not of this model's weights."""
        if self.digest != model.digest:
            raise UserError(
                f"these directions were fitted to other weights (of {self.model!r}) than those of {model.card.name!r}: "
                "fit them again with `gansteer directions fit`"
            )


def projected(vector: Tensor, held: Sequence[Tensor]) -> Tensor:
    """`n - C^+ C n`, renormalised: the part of `vector [D]` orthogonal to all of `held`, each `[D]`, in float64.

    Conditional manipulation (InterFaceGAN, sec. 3.3) for any number of held directions, also near-collinear ones: the
    space that they span comes from a singular value decomposition. Raises UserError if nothing remains.
    """
    n = vector.double()
    lengths = [float(h.norm()) for h in held]
    if any(lengths):
        c = torch.stack([h.double() / length for h, length in zip(held, lengths, strict=True) if length])  # [k, D]
        _, size, basis = torch.linalg.svd(c, full_matrices=False)
        basis = basis[size > 1e-14 * size[0]]  # [r, D], orthonormal
        for _ in range(2):  # once leaves rounding errors of the size of what was taken away
            n = n - basis.t() @ (basis @ n)
    if float(n.norm()) <= PARALLEL * float(vector.norm()):
        raise UserError("nothing of the direction is left beside the held ones: hold fewer, or move more rows")
    unit: Tensor = n / n.norm()
    return unit


# --- Style space ------------------------------------------------------------------------------------------------------


def style_layers(generator: Generator) -> dict[str, int]:
    """The layers whose styles make up style space, the convolutions, to how many channels each has; toRGBs only colour."""
    return {layer.name: layer.style_dim for layer in generator.convolutions}


def style_code(generator: Generator, styles: Styles) -> Tensor:
    """The styles of all convolutions one after the other, `[B, S]`."""
    return torch.cat([styles[name] for name in style_layers(generator)], dim=1)


def style_parts(generator: Generator, code: Tensor) -> Styles:
    """A style code `[..., S]` to what belongs to each layer, `[..., style_dim]`."""
    layers = style_layers(generator)
    return dict(zip(layers, torch.split(code, list(layers.values()), dim=-1), strict=True))
