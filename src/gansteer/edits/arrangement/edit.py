"""Arranging the things of a picture: the edit `Arrangement` moves, resizes, restyles, hides, shows, adds and duplicates blobs.

w, style offsets and noise stay as they are; only the layout changes (Wang et al., TPAMI 2024).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gansteer.edits.api import Edit, Progress, SteppedRun
from gansteer.errors import UserError
from gansteer.models.layout import NO_PARENT, Blob, Layout
from gansteer.subject import MAX_SEED, Subject

MAX_BLOBS = 64
"""Blobs that a layout may have; each costs a heatmap at every resolution."""
MAX_STEPS = 1000
FARTHEST = 4.0
"""Blobs go and come at most this many widths of the picture away from its upper left corner."""
GRAIN = 2.0**-40
"""Pixels: centres and sizes are multiples of it where an edit touched them, so that there and back is the same place."""
BESIDE = 0.75
"""A duplicate stands this many sizes to the right of its original."""


@dataclass(frozen=True)
class NewBlob:
    """A blob that an arrangement adds."""

    x: float
    """Centre in picture pixels, to the right; the centre of the left-most pixels is 0."""
    y: float
    """Centre in picture pixels, down."""
    size: float | None = None
    """Distance in pixels at which its heatmap falls to one half; None for the median of the layout's other blobs."""
    style: int = 0
    """The seed of its style code."""


@dataclass(frozen=True, eq=False, repr=False)
class Arrangement(Edit):
    """Change the blobs of a picture's layout. Blobs are called by their index, from 0; added ones get the next ones."""

    moves: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    """Blob to how many pixels it goes to the right and down; its children go along."""
    resizes: Mapping[int, float] = field(default_factory=dict)
    """Blob to how many times as large it gets."""
    restyles: Mapping[int, int] = field(default_factory=dict)
    """Blob to the seed of its new style code."""
    removes: tuple[int, ...] = ()
    """Blobs that are hidden; they keep place, size and style."""
    shows: tuple[int, ...] = ()
    """Hidden blobs that come back."""
    deletes: tuple[int, ...] = ()
    """Blobs that leave the layout for good; those after them get lower numbers."""
    duplicates: tuple[int, ...] = ()
    """Blobs of which another one is added beside them, in the order of this tuple, before `adds`."""
    adds: tuple[NewBlob, ...] = ()
    """New blobs."""
    steps: int = 1
    """Pictures on the way, evenly spaced, for a film; the last is the result."""

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MAX_STEPS:
            raise UserError(f"an arrangement takes from 1 to {MAX_STEPS} steps, not {self.steps}")
        numbers = [x for move in self.moves.values() for x in move] + [x for new in self.adds for x in (new.x, new.y)]
        if not all(math.isfinite(x) for x in numbers):
            raise UserError("how far blobs go and where they are added must be finite numbers of pixels")
        factors = [*self.resizes.values(), *(new.size for new in self.adds if new.size is not None)]
        if not all(math.isfinite(x) and x > 0 for x in factors):
            raise UserError("sizes must be above 0: 1.5 makes a blob half again as large")
        seeds = [*self.restyles.values(), *(new.style for new in self.adds)]
        if not all(0 <= seed <= MAX_SEED for seed in seeds):
            raise UserError(f"the seed of a style is from 0 to {MAX_SEED}")
        for name in ("removes", "shows", "deletes"):
            twice = {blob for blob in getattr(self, name) if getattr(self, name).count(blob) > 1}
            if twice:
                raise UserError(f"blob {min(twice)} is named twice: name it once")
        changed = {*self.moves, *self.resizes, *self.restyles, *self.shows, *self.duplicates}
        gone = {*self.removes, *self.deletes}
        both = (changed & gone) | (set(self.removes) & set(self.deletes))
        if both:
            raise UserError(f"blob {min(both)} is removed and changed as well: leave one of them out")
        if len(self.adds) + len(self.duplicates) > MAX_BLOBS:
            raise UserError(f"a picture has at most {MAX_BLOBS} blobs: add fewer")

    @property
    def title(self) -> str:
        """Such as `Move blob 2, remove 4`."""
        parts = [
            ("move", self.moves), ("resize", self.resizes), ("restyle", self.restyles), ("remove", self.removes),
            ("show", self.shows), ("delete", self.deletes), ("duplicate", self.duplicates),
        ]  # fmt: skip
        said = [f"{verb} {listed(blobs)}" for verb, blobs in parts if blobs]
        if self.adds:
            said.append("add a blob" if len(self.adds) == 1 else f"add {len(self.adds)} blobs")
        text = ", ".join(said) or "leave all blobs as they are"
        return text[0].upper() + text[1:]

    @property
    def step_limit(self) -> int:
        """How many pictures there are on the way."""
        return self.steps

    def check(self, subject: Subject) -> None:
        """Raise UserError if the subject has no layout, or not these blobs."""
        arranged(layout_of(subject), self, subject)

    def command_line(self, area: str) -> list[str]:
        """`arrange --move 2:+20,-4 ...`."""
        words = ["arrange"]
        words += [f"--move {blob}:{number(dx, '+')},{number(dy, '+')}" for blob, (dx, dy) in self.moves.items()]
        words += [f"--resize {blob}:{number(factor)}" for blob, factor in self.resizes.items()]
        words += [f"--restyle {blob}:{seed}" for blob, seed in self.restyles.items()]
        for name in ("remove", "show", "delete", "duplicate"):
            words += [f"--{name} {blob}" for blob in getattr(self, f"{name}s")]
        for new in self.adds:
            size = "" if new.size is None else f",{number(new.size)}"
            style = f":{new.style}" if new.style else ""
            words.append(f"--add={number(new.x)},{number(new.y)}{size}{style}")
        return words


def number(x: float, sign: str = "") -> str:
    """A number in the fewest digits that are read back as the same one, with a sign in front if `sign` is `+`."""
    return f"{x:{sign}}".removesuffix(".0")


def listed(blobs: Iterable[int]) -> str:
    """`blob 2`, `blobs 2 and 4`, `blobs 1, 2 and 4`."""
    names = [str(blob) for blob in blobs]
    if len(names) == 1:
        return f"blob {names[0]}"
    return f"blobs {', '.join(names[:-1])} and {names[-1]}"


def layout_of(subject: Subject) -> Layout:
    """The subject's layout. Raises UserError, which says which models have one, if its model has none."""
    layout = subject.code.layout
    if layout is None:
        from gansteer.checkpoints.registry import models_with_layout

        others = ", ".join(models_with_layout()) or "none that comes with gansteer"
        raise UserError(f"{subject.model.card.name} draws without a layout; models that have one: {others}")
    return layout


def style_of(seed: int, blob_dim: int) -> Tensor:
    """The style code `[blob_dim]` of a seed, standard normal, float64."""
    return torch.randn(blob_dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def arranged(layout: Layout, edit: Arrangement, subject: Subject) -> Subject:
    """The subject with its `layout` changed as the edit says. Raises UserError if it has not these blobs.

    Where nothing is to change, the subject itself. What rounding takes from centres and sizes is kept with the subject, so
    that moving a blob there and back gives the same picture.
    """
    faded, lost = changed(layout, edit, subject)
    if _same(layout, faded) and not edit.deletes:
        return subject
    keep = [blob for blob in range(len(faded)) if blob not in edit.deletes]
    rounding = {name: x for name, x in subject.rounding.items() if name not in lost}
    rounding.update({name: x[keep] for name, x in lost.items() if bool(x[keep].any())})
    return replace(subject, code=replace(subject.code, layout=_only(faded, keep)), rounding=rounding)


def changed(layout: Layout, edit: Arrangement, subject: Subject) -> tuple[Layout, dict[str, Tensor]]:
    """The layout after the edit, deleted blobs hidden in it, and what rounding took from `layout.centres` and `.sizes`.

    Every blob of `layout` has the same number in the result. Raises UserError if there are not these blobs.
    """
    _check_blobs(layout, edit)
    count, width = len(layout), float(subject.model.resolution)
    exact = {name: _exact(subject, name, getattr(layout, name)) for name in ("centres", "sizes")}
    _move(layout, edit, exact["centres"], FARTHEST * width)
    for blob, factor in edit.resizes.items():
        exact["sizes"][blob] = _grain(exact["sizes"][blob] * factor)
        if not 0 < float(exact["sizes"][blob]) <= FARTHEST * width:
            raise UserError(f"blob {blob} would be {float(exact['sizes'][blob]):g} px large: give another factor")
    styles, present = layout.styles.clone(), layout.present.clone()
    for blob, seed in edit.restyles.items():
        styles[blob] = style_of(seed, styles.shape[-1]).to(styles)
    present[[*edit.removes, *edit.deletes]] = 0.0
    present[list(edit.shows)] = 1.0
    found = replace(
        layout, centres=exact["centres"].to(layout.centres), sizes=exact["sizes"].to(layout.sizes), present=present,
        styles=styles,
    )  # fmt: skip
    lost = {f"layout.{name}": x - getattr(found, name).double().cpu() for name, x in exact.items()}
    for new in _new_blobs(found, edit, width):
        found = found.added(new)
    more = len(found) - count
    return found, {name: torch.cat([x, x.new_zeros((more, *x.shape[1:]))]) for name, x in lost.items()}


def _exact(subject: Subject, name: str, x: Tensor) -> Tensor:
    """A part of the layout with what rounding took from it, in float64 on the CPU.

    Where a drag has moved a blob since, or blobs have come or gone, nothing of that is known any more.
    """
    plain = x.double().cpu()
    lost = subject.rounding.get(f"layout.{name}")
    if lost is None or lost.shape != plain.shape:
        return plain
    whole = plain + lost
    return torch.where(whole.to(x.dtype) == x.cpu(), whole, plain)


def _move(layout: Layout, edit: Arrangement, centres: Tensor, farthest: float) -> None:
    """Move `centres [K, 2]` (float64) as the edit says. Raises UserError if one would be farther away than that."""
    for blob, (dx, dy) in edit.moves.items():
        members = layout.family(blob).cpu()
        step = torch.tensor([_grained(dx), _grained(dy)], dtype=torch.float64)
        centres[members] = _grain(centres[members]) + step
        if bool((centres[members].abs() > farthest).any()):
            raise UserError(f"blob {blob} would be far beyond the picture: move it less far")


def _only(layout: Layout, keep: list[int]) -> Layout:
    """The blobs of these numbers; one whose parent is left out has none."""
    number = torch.full(
        (len(layout) + 1,), NO_PARENT
    )  # of each blob in the result; the last is for those without parent
    number[keep] = torch.arange(len(keep))
    parents = number.to(layout.parents)[layout.parents[keep]]
    return replace(layout[keep], parents=parents)


def _check_blobs(layout: Layout, edit: Arrangement) -> None:
    named = [*edit.moves, *edit.resizes, *edit.restyles, *edit.removes, *edit.shows, *edit.deletes, *edit.duplicates]
    for blob in named:
        if not 0 <= blob < len(layout):
            have = f"it has blobs 0 to {len(layout) - 1}" if len(layout) else "it has none"
            raise UserError(f"this picture has no blob {blob}: {have}")
    total = len(layout) + len(edit.adds) + len(edit.duplicates)
    if total > MAX_BLOBS:
        raise UserError(f"a picture has at most {MAX_BLOBS} blobs, this would have {total}: add fewer")


def _new_blobs(layout: Layout, edit: Arrangement, width: float) -> list[Blob]:
    """The blobs that the edit adds to the layout, duplicates first."""
    blobs, found = layout.blobs, []
    for original in edit.duplicates:
        blob = blobs[original]
        step = BESIDE * blob.size
        step = step if blob.x + step < width else -step
        found.append(replace(blob, x=blob.x + step, present=1.0))
    usual = float(layout.sizes.median()) if len(layout) else width / 8
    for new in edit.adds:
        if not (abs(new.x) <= FARTHEST * width and abs(new.y) <= FARTHEST * width):
            raise UserError(f"{new.x:g},{new.y:g} is far beyond the picture: add a blob within it")
        size = usual if new.size is None else new.size
        if size > FARTHEST * width:
            raise UserError(f"a blob of {size:g} px is larger than any picture: give a smaller one")
        style = style_of(new.style, layout.styles.shape[-1])
        found.append(Blob(new.x, new.y, size, tuple(style.tolist()), level=_free_level(layout)))
    return found


def _free_level(layout: Layout) -> int:
    """The level that new blobs have: that of the finest there are, so that nothing else moves with them."""
    return int(layout.levels.max()) if len(layout) else 0


def _grained(x: float) -> float:
    return round(x / GRAIN) * GRAIN


def _grain(x: Tensor) -> Tensor:
    return (x / GRAIN).round() * GRAIN


def _same(a: Layout, b: Layout) -> bool:
    """Whether two layouts are equal bit for bit."""
    mine, others = a.tensors(), b.tensors()
    return all(torch.equal(mine[name], others[name]) for name in mine)


class ArrangementRun(SteppedRun[Arrangement]):
    """An arrangement being carried out: blobs go their way in as many pictures as the edit has steps."""

    def __init__(self, subject: Subject, edit: Arrangement) -> None:
        """Raises UserError if the edit does not fit the subject."""
        super().__init__(subject, edit)
        self._begin = layout_of(subject)
        self._end, _ = changed(self._begin, edit, subject)
        self._result = arranged(self._begin, edit, subject)

    def _step(self) -> Progress:
        """One picture farther on the way; the last one is the result itself."""
        done = 1 if self.progress is None else self.progress.step + 1
        share = done / self.edit.steps
        if done == self.edit.steps:
            return Progress(done, 0.0, self._result, stop_reason="done")
        code = replace(self.start.code, layout=self._begin.lerp(self._end, share))
        return Progress(done, 0.0, replace(self.start, code=code, rounding={}))
