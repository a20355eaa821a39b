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
from gansteer.edits.attribute import Attribute, moved, with_offsets
from gansteer.edits.directions import Directions, Space, projected, style_layers
from gansteer.edits.locality import channel_energy, local_channels
from gansteer.edits.run import Progress, SteppedRun
from gansteer.errors import UserError
from gansteer.models.stylegan2 import Generator, Styles, SynthesisLayer, ToRGB
from gansteer.subject import Subject

SPACES: tuple[Space, Space] = ("w", "s")
"""Where the attribute's directions are needed: for Ds_z and for Ds_n."""
OPENING = 3
"""Steps after which the next finer block begins to move."""
PROBES, WIDEST = 4, 30.0
"""Random pictures that the curvature is taken along, and by how much the reaches of channels may differ from their median."""
SETTLED, LATELY = 5e-3, 8
"""The optimisation ends when the last so many steps took less than this share off the loss."""
CHANGED = ((0.5, "stayed"), (2.5, "hardly changed"), (6.0, "changed a little"), (math.inf, "changed too"))
"""What is said of a change outside the region below so many levels."""


@dataclass(frozen=True, eq=False)
class Intervention:
    """Turn attributes inside a region of the picture; outside it stays."""

    change: Mapping[str, float]
    """As in `Attribute`: name of a direction to deviations. The model needs the directions in w and in s."""
    region: Tensor
    """`[H, W]`, 1 (or True) = shall change, 0 = shall stay."""
    hold: tuple[str, ...] = ()
    """As in `Attribute`."""
    rows: tuple[int, int] | None = None
    """As in `Attribute`."""
    channels: int | None = None
    """Sparse form: only so many channels of the convolutions move, those that act in the region most, elsewhere least."""
    steps: int = 90
    """Of the optimisation (L-BFGS), at most."""
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
            raise UserError("the region is empty: paint what shall change white")
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

    def begin(self, subject: Subject) -> "InterventionRun":
        """The run. Raises UserError if the edit does not fit the subject."""
        return InterventionRun(subject, self)


@dataclass(frozen=True)
class Leak:
    """How far the picture outside the region is from what it was, in levels of 256 (mean over pixels and colours)."""

    mean: float
    whole: float
    """The same of the edit in w that has no region."""


class InterventionRun(SteppedRun[Progress]):
    """An intervention being carried out: `step()` until it ends, or iterate."""

    def __init__(self, subject: Subject, edit: Intervention) -> None:
        """Raises UserError if the edit does not fit the subject."""
        self.start = subject
        self.edit = edit
        size = subject.model.resolution
        if tuple(edit.region.shape) != (size, size):
            height, width = edit.region.shape
            raise UserError(f"the region is {width}x{height} but the picture is {size}x{size}: resize the region")
        directions = edit.directions or own_directions(subject.model)
        goal = moved(subject, Attribute(edit.change, edit.hold, edit.rows, directions=directions))
        generator, like = subject.generator, subject.w
        layers = _layers(generator)
        self._sizes = {layer.name: layer.in_channels for layer in layers}
        with torch.no_grad():
            offsets = {name: x[None] for name, x in subject.offsets.items()}
            self._styles = generator.styles(subject.w[None], offsets)
            wanted = generator.styles(goal.w[None], offsets)
            self._realistic = torch.cat([(wanted[name] - self._styles[name])[0] for name in self._sizes])  # Ds_z
        self._before, self._goal = subject.render(), goal.render()  # [3, H, W]
        normal, scale = self._normal(directions)
        first, last = edit.rows or (0, len(subject.w) - 1)
        moving = _each(layers, [float(first <= layer.row <= last) for layer in layers]).to(like)
        known = len(normal)  # the channels of the convolutions
        if edit.channels is not None:
            moving[known:] = 0
            local = local_channels(*channel_energy(subject, edit.region), scale.to(like), edit.channels)
            moving[:known] *= local
        self._moving = moving
        self._scale = scale.to(like)
        self._towards = normal.to(like)  # unit, in deviations of each channel
        # As far along the boundary's normal as the edit in w goes, so that lambda chooses the way and not the length.
        gain = float(normal @ (self._realistic[:known].cpu().double() / scale))
        self._precise = torch.zeros_like(self._realistic)  # Ds_n
        self._precise[:known] = (normal * scale * gain).to(like)
        self._inside = edit.region.to(like)
        self._whole = _levels(self._goal - self._before, 1 - self._inside)
        self._still = goal is subject
        self._mix = torch.full_like(self._realistic, 0.5)  # lambda
        self._reach = torch.ones_like(self._mix) if self._still else self._reaches()
        self._code = torch.zeros_like(self._mix).requires_grad_()  # u, with lambda = 1/2 + reach u
        self._resolutions = _each(layers, [float(layer.resolution) for layer in layers]).to(like)
        self._opened = 0
        """Resolution up to which the blocks move."""
        self._looked: tuple[Tensor, Tensor, Tensor] | None = None
        """Where the loss was computed last, the loss and its gradient there."""
        self._losses: list[float] = []
        self.taken = 0

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
        return Leak(_levels(self.subject.render() - self._before, 1 - self._inside), self._whole)

    def step(self) -> Progress:
        """One step of the optimisation; once the run has ended, the last progress again."""
        if self.progress is not None and self.progress.ended:
            return self.progress
        if self._still:
            self.progress = Progress(0, 0.0, (), (), self.start, "nothing is to change")
            return self.progress
        loss = self._advance()
        self.taken += 1
        self._losses.append(loss)
        self.progress = Progress(self.taken, loss, (), (), self._present())
        if self.taken >= self.edit.steps or self._settled():
            self.progress = replace(self.progress, ended=self._told())
        return self.progress

    def _advance(self) -> float:
        """One step of L-BFGS (Liu and Nocedal 1989), begun anew whenever a finer block opens; returns the loss before."""
        blocks = self.start.generator.config.block_resolutions
        open_now = blocks[min(self.taken // OPENING, len(blocks) - 1)]
        if open_now != self._opened:
            self._opened = open_now
            self._optimizer = torch.optim.LBFGS(
                [self._code], max_iter=1, max_eval=10, history_size=30, line_search_fn="strong_wolfe"
            )

        def closure() -> Tensor:
            # Every step begins where the last one looked last.
            if self._looked is None or not torch.equal(self._looked[0], self._code.detach()):
                loss = self._loss(0.5 + self._reach * self._code)
                (gradient,) = torch.autograd.grad(loss, self._code)
                self._looked = (self._code.detach().clone(), loss.detach(), gradient)
            _, loss, gradient = self._looked
            self._code.grad = gradient * (self._resolutions <= open_now)
            return loss

        loss = float(self._optimizer.step(closure))  # type: ignore[no-untyped-call]
        self._mix = 0.5 + self._reach * self._code.detach()
        return loss

    def _reaches(self) -> Tensor:
        """How far each lambda moves when its u does, `[C]`: the inverse root of the loss's curvature along it.

        Channels differ a thousandfold in what they do to the picture, and so L-BFGS would take three times the steps. The
        curvature is the diagonal of Gauss and Newton's matrix at the beginning, estimated along random signs as in
        `channel_energy`.
        """
        still = self._change(self._mix)
        code = torch.zeros_like(still).requires_grad_()
        parts = self._parts(still + code)
        picture = self.start.generator.synthesis({name: self._styles[name] + part for name, part in parts.items()})[0]
        outside, inside = _weights(self._before, self._goal, self._inside)
        weight = (outside * (1 - self._inside) + self.edit.lambda_inside * inside * self._inside).sqrt()
        rng = torch.Generator().manual_seed(0)
        curvature = torch.zeros_like(still)
        for probe in range(PROBES):
            signs = (torch.randint(0, 2, picture.shape, generator=rng) * 2 - 1).to(picture)
            keep = probe + 1 < PROBES
            (gradient,) = torch.autograd.grad((picture * signs * weight).sum(), code, retain_graph=keep)
            curvature += (gradient * (self._precise - self._realistic)).square() / PROBES
        reach = (curvature + 1e-4 * curvature.mean()).rsqrt()
        return (reach / reach.median()).clamp(1 / WIDEST, WIDEST)

    def _settled(self) -> bool:
        if self._opened < self.start.model.resolution or len(self._losses) <= LATELY + OPENING * len(
            self.start.generator.config.block_resolutions
        ):
            return False
        return self._losses[-1] > (1 - SETTLED) * self._losses[-1 - LATELY]

    def _told(self) -> str:
        leak = self.leak
        much = next(words for most, words in CHANGED if leak.mean < most)
        return f"the rest of the picture {much}: {leak.mean:.2f} of 255 levels, {leak.whole:.2f} without a region"

    def _change(self, mix: Tensor) -> Tensor:
        """`Ds = (1 - lambda) Ds_z + lambda Ds_n` on the channels that move, `[C]`."""
        return self._moving * ((1 - mix) * self._realistic + mix * self._precise)

    def _parts(self, change: Tensor) -> Styles:
        """A change of all styles `[C]` by layer."""
        return dict(zip(self._sizes, torch.split(change, list(self._sizes.values())), strict=True))

    def _loss(self, mix: Tensor) -> Tensor:
        """Outside as before, inside as in w, along the attribute's normal; see `intervention_loss`."""
        generator = self.start.generator
        change = self._change(mix)
        styles = {name: self._styles[name] + part for name, part in self._parts(change).items()}
        picture = generator.synthesis(styles)[0]
        pixels = intervention_loss(picture, self._before, self._goal, self._inside, self.edit.lambda_inside)
        relative = change[: len(self._scale)] / self._scale
        cosine = (relative @ self._towards) / (relative.square().sum() + 1e-16).sqrt()
        norm = (mix.square().sum() + 1e-16).sqrt()
        return pixels + self.edit.lambda_attr * (1 - cosine) + self.edit.lambda_norm * norm

    def _present(self) -> Subject:
        return with_offsets(self.start, self._parts(self._change(self._mix.detach())))


def _layers(generator: Generator) -> list[SynthesisLayer | ToRGB]:
    """All layers that have a style: the convolutions in the order of style space, then the toRGBs."""
    return [*generator.synthesis.layers(), *(block.torgb for block in generator.synthesis.each_block())]


def _each(layers: Sequence[SynthesisLayer | ToRGB], values: Sequence[float]) -> Tensor:
    """A value for each layer to one for each of its channels, `[C]`."""
    return torch.cat([torch.full((layer.in_channels,), value) for layer, value in zip(layers, values, strict=True)])


def intervention_loss(picture: Tensor, before: Tensor, goal: Tensor, inside: Tensor, weight: float) -> Tensor:
    """`|(1 - M)(I - I_0)|^2 / |(1 - M)(I_w - I_0)|^2 + weight |M (I - I_w)|^2 / |M (I_w - I_0)|^2`.

    The first is L_pix of the paper, in units of what the edit in w leaks, so that weights carry over to any resolution,
    region and strength. The second, which keeps the attribute's change, is ours. Pictures `[3, H, W]`, M `[H, W]`.
    """
    of_outside, of_inside = _weights(before, goal, inside)
    leak = ((picture - before) * (1 - inside)).square().sum() * of_outside
    missed = ((picture - goal) * inside).square().sum() * of_inside
    return leak + weight * missed


def _weights(before: Tensor, goal: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """One over what the edit in w changes outside, and inside."""
    change, least = (goal - before).square(), 1e-12 * before.numel()
    return 1 / (change * (1 - inside)).sum().clamp_min(least), 1 / (change * inside).sum().clamp_min(least)


def _levels(difference: Tensor, where: Tensor) -> float:
    """Mean of `|difference| [3, H, W]` over the pixels of `where [H, W]`, in levels of 256."""
    return float((difference.abs().mean(dim=0) * where).sum() / where.sum() * 127.5)
