"""Changing an attribute inside a region and nowhere else: the edit `Intervention` (Style Intervention, Liu et al. 2020).

Two displacements of the styles are mixed channel by channel, `Ds = (1 - lambda) Ds_z + lambda Ds_n`: Ds_z is that of the
edit in w, which looks real but changes the whole picture; Ds_n is along the normal of the attribute's boundary in style
space. Only lambda is optimised, for this picture, from the coarse blocks to the fine ones.

The styles are those of all layers, of the toRGBs too: these see one pixel each, so colours can change without spilling.
The boundary knows the convolutions only; a toRGB's Ds_n is 0.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gansteer.checkpoints.directions import own_directions
from gansteer.directions import Directions, Space, projected, style_layers
from gansteer.edits.api import Edit, Progress, SteppedRun
from gansteer.edits.attribute.edit import Attribute, moved, set_flags, with_offsets
from gansteer.edits.intervention.locality import channel_energy, local_channels
from gansteer.edits.intervention.mixture import Mixing, Mixture, each_channel
from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.subject import Subject

SPACES: tuple[Space, Space] = ("w", "s")
"""Where the attribute's directions are needed: for Ds_z and for Ds_n."""
CHANGED = ((0.5, "stayed"), (2.5, "hardly changed"), (6.0, "changed a little"), (math.inf, "changed too"))
"""What is said of a change outside the region below this many levels."""


@dataclass(frozen=True, eq=False, repr=False)
class Intervention(Edit):
    """Turn attributes inside a region of the picture; outside it stays."""

    change: Mapping[str, float]
    """As in `Attribute`: name of a direction to deviations. The model needs the directions in w and in s."""
    region: Tensor
    """`[H, W]`, 1 (or True) = is to change, 0 = must stay."""
    hold: tuple[str, ...] = ()
    """As in `Attribute`."""
    rows: tuple[int, int] | None = None
    """As in `Attribute`."""
    channels: int | None = None
    """Sparse form: how many channels of the convolutions move, those that act in the region most, elsewhere least."""
    steps: int = 75
    """Of the optimisation (L-BFGS), at most: each looks at the picture once."""
    lambda_inside: float = 0.3
    """Weight of looking, inside the region, as the edit in w does."""
    lambda_attr: float = 1e-2
    """Weight of `1 - cos(Ds_n, Ds)`."""
    lambda_norm: float = 1e-6
    """Weight of `|lambda|`."""
    directions: Directions | None = None
    """None: those that come with the model."""

    def __post_init__(self) -> None:
        whole = Attribute(self.change, self.hold, self.rows)  # has the same mistakes to find
        object.__setattr__(self, "change", whole.change)
        object.__setattr__(self, "hold", whole.hold)
        region = torch.as_tensor(self.region)
        if region.dim() != 2:
            raise UserError(f"the region must be [height, width], not {list(region.shape)}")
        region = (region if region.dtype == torch.bool else region > 0.5).cpu()
        if not bool(region.any()):
            raise UserError("the region is empty: paint what is to change white")
        if bool(region.all()):
            raise UserError("the region is the whole picture: edit without a region")
        object.__setattr__(self, "region", region)
        for name in ("steps", "channels"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, not {value}")
        for name in ("lambda_inside", "lambda_attr", "lambda_norm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} must be a number from 0, not {value}")
        if self.directions is not None:
            w, s = (self.directions.only((*self.change, *self.hold), space) for space in SPACES)
            object.__setattr__(self, "directions", replace(w, entries=w.entries + s.entries))

    @property
    def title(self) -> str:
        """Such as `smile +2 in a region`."""
        return f"{', '.join(f'{name} {steps:+g}' for name, steps in self.change.items())} in a region"

    @property
    def step_limit(self) -> int:
        """Steps of the optimisation at most."""
        return self.steps

    def check(self, subject: Subject) -> None:
        """Raise UserError if the region is not of the picture's size."""
        size = subject.model.resolution
        if tuple(self.region.shape) != (size, size):
            height, width = self.region.shape
            raise UserError(f"the region is {width}x{height} but the picture is {size}x{size}: resize the region")

    def area(self) -> Tensor | None:
        """The region."""
        return self.region

    def command_line(self, area: str) -> list[str]:
        """`edit --set smile=+2 --region mask.png ...`."""
        if self.directions is not None:
            raise UserError("the shell has no command for this edit: take the Python script")
        words = ["edit", *set_flags(self.change, self.hold, self.rows), f"--region {area}"]
        return words if self.channels is None else [*words, f"--channels {self.channels}"]


@dataclass(frozen=True)
class Leak:
    """How far the picture outside the region is from what it was, in levels of 256 (mean over pixels and colours)."""

    mean: float
    whole: float
    """The same of the edit in w that has no region."""


class InterventionRun(SteppedRun[Intervention]):
    """An intervention being carried out: `step()` until it ends, or iterate."""

    def __init__(self, subject: Subject, edit: Intervention) -> None:
        """Raises UserError if the edit does not fit the subject."""
        super().__init__(subject, edit)
        edit.check(subject)
        directions = edit.directions or own_directions(subject.model)
        goal = moved(subject, Attribute(edit.change, edit.hold, edit.rows, directions=directions))
        self._before = subject.render()  # [3, H, W]
        self._outside = 1 - edit.region.to(subject.code.ws)
        self._whole = _levels(goal.render() - self._before, self._outside)
        self.mixture = None if goal is subject else self._mixture(goal, directions)
        self._mixing: Mixing | None = None

    def _mixture(self, goal: Subject, directions: Directions) -> Mixture:
        """What is to be mixed; `goal` is the subject after the edit in w."""
        subject, edit, generator, like = self.start, self.edit, self.start.generator, self.start.code.ws
        with torch.no_grad():
            styles, wanted = (
                torch.cat([parts[layer.name] for layer in generator.styled], dim=1)  # [1, C]
                for parts in (generator.styles(each.code) for each in (subject, goal))
            )
        realistic = wanted - styles  # Ds_z
        normal, scale = self._normal(directions)
        known = len(normal)  # the channels of the convolutions
        first, last = edit.rows or (0, len(subject.code.ws) - 1)
        moving = each_channel(generator, lambda layer: first <= layer.latent_index <= last).to(like)
        if edit.channels is not None:
            moving[known:] = 0
            moving[:known] *= local_channels(*channel_energy(subject, edit.region), scale.to(like), edit.channels)
        # As far along the boundary's normal as the edit in w goes, so that lambda chooses the way and not the length.
        gain = float(normal @ (realistic[0, :known].cpu().double() / scale))
        precise = torch.zeros_like(realistic)  # Ds_n
        precise[:, :known] = (normal * scale * gain).to(like)
        return Mixture(
            generator, Code.batch([subject.code]), styles, realistic, precise, moving[None], scale.to(like)[None], normal.to(like)[None],
            edit.region.to(like)[None], edit.lambda_inside, edit.lambda_attr, edit.lambda_norm,
        )  # fmt: skip

    def _normal(self, directions: Directions) -> tuple[Tensor, Tensor]:
        """The unit direction of Ds_n `[S]` in deviations of each channel, and those deviations, in float64."""
        held = [directions.get(name, "s") for name in self.edit.hold]
        normals = [n for other in held for n in (other.vector, other.level) if n is not None]
        total: Tensor | None = None
        scale: Tensor | None = None
        for name, steps in self.edit.change.items():
            direction = directions.get(name, "s")
            if sum(style_layers(self.start.generator).values()) != len(direction.vector) or direction.scale is None:
                raise UserError("these directions do not fit this model: fit them again")
            part = projected(direction.vector, normals) * (steps * direction.std)
            total, scale = part if total is None else total + part, direction.scale
        assert total is not None
        assert scale is not None
        return total / total.norm().clamp_min(1e-12), scale

    @property
    def leak(self) -> Leak:
        """How much the picture outside the region has changed."""
        return self._leak(self.subject)

    def _leak(self, subject: Subject) -> Leak:
        return Leak(_levels(subject.render() - self._before, self._outside), self._whole)

    def _step(self) -> Progress:
        """One step of the optimisation."""
        if self.mixture is None:
            return Progress(0, 0.0, self.start, stop_reason="nothing is to change")
        if self._mixing is None:
            self._mixing = Mixing(self.mixture, self.edit.steps)
        loss = float(self._mixing.step()[0])
        progress = Progress(self._mixing.taken, loss, self.changed(self._mixing.change[0]))
        return replace(progress, stop_reason=self._told(progress.subject)) if self._mixing.ended else progress

    def changed(self, change: Tensor) -> Subject:
        """The subject with its styles changed by `[C]`."""
        assert self.mixture is not None
        return with_offsets(self.start, self.mixture.parts(change))

    def _told(self, subject: Subject) -> str:
        leak = self._leak(subject)
        much = next(words for most, words in CHANGED if leak.mean < most)
        return f"the rest of the picture {much}: {leak.mean:.2f} of 255 levels, {leak.whole:.2f} without a region"


def together(runs: Sequence[InterventionRun]) -> list[Subject]:
    """The results of runs that have not begun, on one generator and with equal lambdas and steps, as a batch.

    What each would reach alone, but for rounding, and that none ends before the last does. Takes two thirds of the time.
    """
    found = [run.start for run in runs]
    moving = [(i, run.mixture) for i, run in enumerate(runs) if run.mixture is not None]
    if moving:
        mixing = Mixing(Mixture.joined([mixture for _, mixture in moving]), runs[0].edit.steps)
        while not mixing.ended:
            mixing.step()
        for (i, _), change in zip(moving, mixing.change, strict=True):
            found[i] = runs[i].changed(change)
    return found


def _levels(difference: Tensor, where: Tensor) -> float:
    """Mean of `|difference| [3, H, W]` over the pixels of `where [H, W]`, in levels of 256."""
    return float((difference.abs().mean(dim=0) * where).sum() / where.sum() * 127.5)
