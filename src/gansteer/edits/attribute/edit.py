"""Turning attributes of the whole picture: the edit `Attribute` (InterFaceGAN, Shen et al. 2020), and sliders for it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gansteer.checkpoints.directions import own_directions
from gansteer.directions import Direction, Directions, Space, projected, style_code, style_parts
from gansteer.edits.api import Edit, Progress, SteppedRun
from gansteer.errors import UserError
from gansteer.subject import Subject

REACH = 3.0
"""How many deviations a slider goes to either side: beyond lies little that the model has ever drawn."""
MOST = 100.0
"""More deviations than this are a slip of the hand."""
GRAIN = 2.0**-44
"""What every change of a code is a multiple of: far less than float32 can tell, and float64 still adds up to 512 exactly."""
MOVES = 1.0
"""Deviations of its own score that an attribute moves from one end of its slider to the other, below which none is shown."""


@dataclass(frozen=True, eq=False, repr=False)
class Attribute(Edit):
    """Turn attributes up or down by numbers of standard deviations, with others held."""

    change: Mapping[str, float]
    """Name of a direction to how many deviations of the model's samples to go along it, such as `{"smile": 2.0}`."""
    hold: tuple[str, ...] = ()
    """Directions that must stay: what is moved is orthogonal to them."""
    rows: tuple[int, int] | None = None
    """First and last row of w+ that move (in s: of the layers that they drive); None: as the direction was made for."""
    absolute: bool = False
    """Go to these values instead of by these amounts."""
    space: Space = "w"
    """w; s for style offsets; z needs the picture's own `z`."""
    z: Tensor | None = None
    """`[z_dim]`: where the picture came from, for space z. What else was done to it since stays."""
    psi: float = 1.0
    """Its truncation, for space z."""
    directions: Directions | None = None
    """None: those that come with the model."""
    label: int | None = None
    """Its class, for space z of a class-conditional model."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "change", {name: float(steps) for name, steps in self.change.items()})
        object.__setattr__(self, "hold", tuple(dict.fromkeys(self.hold)))
        if not self.change:
            raise UserError("name at least one attribute to change, such as smile=+2")
        for name, steps in self.change.items():
            if not (math.isfinite(steps) and abs(steps) <= MOST):
                raise UserError(f"{name} cannot change by {steps:g}: give deviations from {-MOST:g} to {MOST:g}")
            if name in self.hold:
                raise UserError(f"{name} cannot be both changed and held: release it")
        if self.rows is not None and not 0 <= self.rows[0] <= self.rows[1]:
            raise UserError(f"rows go from the first to the last, such as 0-4, not {self.rows[0]}-{self.rows[1]}")
        if (self.space == "z") != (self.z is not None):
            raise UserError("a change in z needs the z of the picture's seed, and only that does: give both or neither")
        if self.directions is not None:
            object.__setattr__(self, "directions", self.directions.only((*self.change, *self.hold), self.space))

    @property
    def title(self) -> str:
        """Such as `smile +2, age -1`."""
        return ", ".join(
            f"{name} {steps:g}" if self.absolute else f"{name} {steps:+g}" for name, steps in self.change.items()
        )

    def command_line(self, area: str) -> list[str]:
        """`edit --set smile=+2 ...`."""
        if self.space == "z" or self.directions is not None:
            raise UserError("the shell has no command for this edit: take the Python script")
        words = ["edit", *set_flags(self.change, self.hold, self.rows)]
        words += ["--absolute"] if self.absolute else []
        return words if self.space == "w" else [*words, f"--space {self.space}"]


def set_flags(change: Mapping[str, float], hold: Sequence[str], rows: tuple[int, int] | None) -> list[str]:
    """The flags of `gansteer edit` that say what is changed and what is held."""
    words = [f"--set {name}={steps:+g}" for name, steps in change.items()]
    words += [f"--hold {name}" for name in hold]
    return words if rows is None else [*words, f"--layers {rows[0]}-{rows[1]}"]


class AttributeRun(SteppedRun[Attribute]):
    """An attribute edit being carried out: one step."""

    def __init__(self, subject: Subject, edit: Attribute) -> None:
        """Raises UserError if the edit does not fit the subject."""
        super().__init__(subject, edit)
        self._moved = moved(subject, edit)

    def _step(self) -> Progress:
        """Go there."""
        return Progress(1, 0.0, self._moved, stop_reason="done")


def moved(subject: Subject, edit: Attribute) -> Subject:
    """The subject after the edit: `x' = x + sum_j a_j sigma_j n'_j`, n' being n without its part along what is held.

    Where nothing is to change, the subject itself. Raises UserError if the edit does not fit the subject.
    """
    directions = (edit.directions or own_directions(subject.model)).only((*edit.change, *edit.hold), edit.space)
    directions.check(subject.model)
    held = [directions.get(name, edit.space) for name in edit.hold]
    last = len(subject.code.ws) - 1
    if edit.rows is not None and edit.rows[1] > last:
        raise UserError(f"there is no row {edit.rows[1]}: the rows of this model go from 0 to {last}")
    by_rows: dict[tuple[int, int], list[str]] = {}
    for name in edit.change:
        rows = edit.rows or directions.get(name, edit.space).rows or (0, last)
        by_rows.setdefault((rows[0], min(rows[1], last)), []).append(name)
    for rows, names in by_rows.items():
        chosen = [directions.get(name, edit.space) for name in names]
        wanted = torch.tensor([edit.change[name] for name in names], dtype=torch.float64)
        subject = _along(subject, edit, chosen, held, wanted, rows)
    return subject


def _along(
    subject: Subject, edit: Attribute, chosen: Sequence[Direction], held: Sequence[Direction], wanted: Tensor,
    rows: tuple[int, int],
) -> Subject:  # fmt: skip
    """The subject moved along directions of one range of rows; `wanted [k]` as in the edit."""
    code = _code(subject, edit, rows)
    if any(direction.vector.shape != code.shape for direction in chosen):
        raise UserError("these directions do not fit this model: fit them again")
    allowed = allowed_channels(subject, rows) if edit.space == "s" else torch.ones_like(code)
    normals = [n * allowed for other in held for n in (other.vector, other.level) if n is not None]
    # Again, since rounding leaves 1e-17 in channels that must stay bit for bit.
    units = [projected(direction.vector * allowed, normals) * allowed for direction in chosen]  # n'
    if edit.absolute:
        # How much a step along the j-th adds to the value of the i-th.
        effect = torch.stack(
            [
                torch.stack([d.vector @ unit * e.std / d.std for e, unit in zip(chosen, units, strict=True)])
                for d in chosen
            ]
        )
        missing = wanted - torch.stack([direction.values(code) for direction in chosen])
        if torch.linalg.matrix_rank(effect, tol=1e-6) < len(chosen):
            raise UserError("these attributes cannot be set one by one: their directions are the same")
        wanted = torch.linalg.solve(effect, missing)
    if not bool(wanted.any()):
        return subject
    change = torch.zeros_like(code)
    for direction, unit, steps in zip(chosen, units, wanted, strict=True):
        change += unit * steps * direction.std * (1.0 if direction.scale is None else direction.scale)
    return _shifted(subject, edit, code, change, rows)


def _code(subject: Subject, edit: Attribute, rows: tuple[int, int]) -> Tensor:
    """Where the subject is in the edit's space, `[D]` in float64 on the CPU; in w the mean of the rows."""
    if edit.space == "z":
        assert edit.z is not None
        size = subject.model.generator.config.z_dim
        if tuple(edit.z.shape) != (size,):
            raise UserError(f"the z of a picture of this model is [{size}]")
        return edit.z.detach().cpu().double()
    if edit.space == "s":
        return styles_of(subject)
    return exact(subject.code.ws, subject.rounding.get("w"))[rows[0] : rows[1] + 1].mean(dim=0)


def styles_of(subject: Subject) -> Tensor:
    """The subject's style code `[S]` with its offsets, in float64 on the CPU."""
    with torch.no_grad():
        return style_code(subject.generator, subject.generator.styles(subject.code))[0].cpu().double()


def allowed_channels(subject: Subject, rows: tuple[int, int]) -> Tensor:
    """`[S]`: 1 for the channels of layers that these rows of w+ drive."""
    layers = subject.generator.convolutions
    return torch.cat(
        [torch.full((each.style_dim,), float(rows[0] <= each.latent_index <= rows[1])) for each in layers]
    ).double()


def _shifted(subject: Subject, edit: Attribute, code: Tensor, change: Tensor, rows: tuple[int, int]) -> Subject:
    """The subject with `change [D]` (float64) added to its code; rows and offsets that do not move stay bit for bit."""
    if edit.space == "s":
        return with_offsets(subject, style_parts(subject.generator, change))
    if edit.space == "z":
        generator = subject.model.generator
        with torch.no_grad():
            both = torch.stack([code, code + change]).to(generator.device, generator.dtype)  # [2, z_dim]
            before, after = generator.map_z(both, subject.model.condition(edit.label, 2)).cpu().double()
        change = edit.psi * (after - before)
    along = torch.zeros(subject.code.ws.shape, dtype=torch.float64)
    along[rows[0] : rows[1] + 1] = change
    ws, rest = added(subject.code.ws, subject.rounding.get("w"), along)
    return replace(subject, code=replace(subject.code, ws=ws), rounding={**subject.rounding, "w": rest})


def with_offsets(subject: Subject, change: Mapping[str, Tensor]) -> Subject:
    """The subject with `change`, by layer `[style_dim]`, added to its style offsets; a layer without change gets none."""
    offsets, rounding = dict(subject.code.style_offsets), dict(subject.rounding)
    for name, part in change.items():
        if bool(part.any()):
            before = offsets[name] if name in offsets else torch.zeros_like(part).to(subject.code.ws)
            offsets[name], rounding[name] = added(before, rounding.get(name), part.cpu().double())
    return replace(subject, code=replace(subject.code, style_offsets=offsets), rounding=rounding)


def added(x: Tensor, rest: Tensor | None, change: Tensor) -> tuple[Tensor, Tensor]:
    """`x + change` as x's type, and the rest that rounding took from it; `rest` is what it took from x before.

    `change` and both rests are float64 on the CPU. With the rests, changes that sum to nothing give x again bit for bit,
    whatever their order: they are multiples of `GRAIN`, whose sums are exact. An element of a float32 x below 5e-7 is none,
    and errs by 1e-16 at most.
    """
    total = exact(x, rest) + (change / GRAIN).round() * GRAIN
    found = total.to(x)
    return found, total - found.detach().cpu().double()


def exact(x: Tensor, rest: Tensor | None) -> Tensor:
    """x in float64 with what rounding took from it, where it is still what was rounded (no drag has moved it since)."""
    plain = x.detach().cpu().double()
    if rest is None:
        return plain
    whole = plain + rest
    return torch.where(whole.to(x.dtype).double() == plain, whole, plain)


# --- Sliders ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slider:
    """One attribute of a picture, as a person moves it."""

    name: str
    value: float
    """Deviations on the positive side of the boundary; 0 is undecided."""
    low: float
    high: float
    """The range that makes sense; other values may be typed."""
    method: str
    """How the direction was found: svm, pca or sefa."""


def sliders(subject: Subject, directions: Directions | None = None, every: bool = False) -> list[Slider]:
    """The attributes that can be turned in w, with the subject's present values; none if the model has no directions.

    A slider goes as far as was measured to keep pictures whole (`recipes/portraits/slider_limits.py` puts it into what the
    direction tells of itself), or to 3 deviations. Attributes that were measured to move next to nothing within these ends
    are left out, unless `every` one is asked for. `Attribute({slider.name: x - slider.value})`, or the same with
    `absolute=True` and x, takes the picture to x.
    """
    found = []
    for direction in (directions or own_directions(subject.model)).entries:
        if direction.space == "w" and (every or abs(direction.about.get("moves", MOVES)) >= MOVES):
            first, last = direction.rows or (0, len(subject.code.ws) - 1)
            value = float(
                direction.values(exact(subject.code.ws, subject.rounding.get("w"))[first : last + 1].mean(dim=0))
            )
            low = min(float(direction.about.get("low", -REACH)), math.floor(value))
            high = max(float(direction.about.get("high", REACH)), math.ceil(value))
            found.append(Slider(direction.name, value, low, high, str(direction.about.get("method", "svm"))))
    return found
