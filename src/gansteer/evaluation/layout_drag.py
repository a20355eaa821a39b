"""Coarse to fine: things dragged by a point with and without moving the blob that covers it (SpatialGAN's third part).

A thing is what one blob draws; the handle is its middle, and the target a place 5 to 25 % of the width away. How near the
thing came is measured without any tracker: what the blob draws in the result (the difference to the result without it)
against where it was asked to be.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from gansteer.edits.arrangement.differences import Place, centroid, drawn_by_difference
from gansteer.edits.arrangement.edit import layout_of
from gansteer.edits.drag.config import LayoutMode, Method
from gansteer.edits.drag.edit import Drag
from gansteer.edits.registry import start
from gansteer.evaluation.layout import LONGEST, SHORTEST, WITHIN
from gansteer.evaluation.layout_report import Row, share_row, sum_row
from gansteer.subject import Model, Subject

Way = Literal["fixed", "move", "joint", "move+joint"]
"""Drag alone; the blob alone; both together from the start; the blob first, then both together."""
WAYS: tuple[Way, ...] = get_args(Way)
FEW = 20
"""Steps in which a target is to be reached."""
MARGIN = 0.06
"""Handles and targets lie at least this share of the width inside of the border."""


@dataclass(frozen=True)
class Found:
    """What one way of dragging did in one picture."""

    error: float | None
    """Pixels from where the thing is to where it was asked to go; None where the blob draws nothing any more."""
    arrived: bool
    """Whether the handle is within a pixel of its target (a 512th of a wider picture) by the drag's own tracker."""
    steps: int
    """Steps taken; 1 where only the blob was moved."""
    seconds: float
    """Of computing, one thread."""
    pictures: int
    """Forward passes through the generator, as far as the dragged layer or further."""


@dataclass(frozen=True)
class DragRecord:
    """All ways in one picture."""

    seed: int
    asked: float
    """How far the thing was asked to go, in pixels."""
    size: int
    """Width of the picture."""
    found: dict[Way, Found] | None
    """None where no blob draws anything that can be dragged."""


@dataclass(frozen=True)
class DragReport:
    """What was measured, and how."""

    model: str
    weights: str
    """Their digest."""
    method: Method
    scenes: int
    steps: int
    """Steps at most."""
    psi: float
    seed: int
    rows: tuple[Row, ...]


def examine(model: Model, seed: int, psi: float, steps: int, method: Method) -> DragRecord:
    """Drag one thing of one picture in every way, by a method that can."""
    subject = model.sample(seed, psi)
    rng = np.random.default_rng(seed)
    size = model.resolution
    task = _task(subject, rng)
    if task is None:
        return DragRecord(seed, 0.0, size, None)
    blob, handle, target = task
    found = {
        way: _carried_out(subject, blob, Drag([handle], [target], method=method, steps=steps), way) for way in WAYS
    }
    return DragRecord(seed, float(np.hypot(target[0] - handle[0], target[1] - handle[1])), size, found)


def _task(subject: Subject, rng: np.random.Generator) -> tuple[int, Place, Place] | None:
    """A blob that draws something, its middle, and where that is to go; None if there is no such blob."""
    layout, size = layout_of(subject), subject.model.resolution
    low, high = MARGIN * size, (1 - MARGIN) * size - 1
    for blob in rng.permutation([k for k, b in enumerate(layout.blobs) if b.present]).tolist():
        handle = _middle(subject, blob)
        if handle is None or not all(low <= v <= high for v in handle):
            continue
        for _ in range(100):
            length, angle = size * rng.uniform(SHORTEST, LONGEST), rng.uniform(0, 2 * np.pi)
            target = handle[0] + float(length * np.cos(angle)), handle[1] + float(length * np.sin(angle))
            if all(low <= v <= high for v in target):
                return blob, handle, target
    return None


def _middle(subject: Subject, blob: int) -> Place | None:
    """The middle of what a blob draws, in pixels; None where it draws nothing."""
    without = replace(subject, code=replace(subject.code, layout=layout_of(subject).shown(blob, False)))
    region = drawn_by_difference(subject.render().cpu(), without.render().cpu())
    return None if region is None else centroid(region)


def _carried_out(subject: Subject, blob: int, drag: Drag, way: Way) -> Found:
    mode: LayoutMode = "move+joint" if way == "move" else way
    edit = replace(drag, layout=mode, steps=1 if way == "move" else drag.steps)
    (target,) = drag.targets
    begun = time.thread_time()
    run = start(subject, edit)
    taken = pictures = 0
    left = 0.0
    for progress in run:
        taken, pictures, left = progress.step, pictures + 1, max(progress.distances)
        if way == "move" and taken:
            break  # the picture after the blob has moved, before w does
    seconds = time.thread_time() - begun
    place = _middle(run.subject, blob)
    error = None if place is None else float(np.hypot(place[0] - target[0], place[1] - target[1]))
    return Found(error, left <= max(1.0, subject.model.resolution / 512), taken, seconds, pictures)


# --- Records and report -----------------------------------------------------------------------------------------------


def to_record(record: DragRecord) -> dict[str, Any]:
    """As JSON can hold it."""
    return asdict(record)


def of_record(values: Any) -> DragRecord:
    """The record of `to_record`. Raises LookupError, TypeError or ValueError for anything else."""
    found = values["found"]
    ways: dict[Way, Found] | None = None
    if found is not None:
        ways = {way: Found(**found[way]) for way in WAYS}
    return DragRecord(int(values["seed"]), float(values["asked"]), int(values["size"]), ways)


def rows(records: Sequence[DragRecord]) -> tuple[Row, ...]:
    """All measures by way. Pictures without a task are left out."""
    able = [(r, r.found) for r in records if r.found is not None]
    out: list[Row | None] = []
    for way in WAYS:
        mine = [(r, found[way]) for r, found in able]
        there = [(r, f) for r, f in mine if f.error is not None]
        out += [
            _share(f"{way}: the handle arrives in at most {FEW} steps", [_quick(r, f) for r, f in mine]),
            _share(f"{way}: the thing ends within 10 % of the width of its target", [_near(r, f) for r, f in mine]),
            sum_row(f"{way}: pixels left", [(f.error or 0.0) for _, f in there]),
            sum_row(f"{way}: share of the way left", [(f.error or 0.0) / r.asked for r, f in there]),
            sum_row(f"{way}: steps", [float(f.steps) for _, f in mine]),
            sum_row(f"{way}: seconds", [f.seconds for _, f in mine]),
            sum_row(f"{way}: forward passes", [float(f.pictures) for _, f in mine]),
        ]
    for well, alone, then in (
        (
            _quick,
            f"dragging alone needs more than {FEW} steps or fails",
            f"of those, move+joint arrives in at most {FEW} steps",
        ),
        (
            _quick_and_near,
            "dragging alone does so, or leaves the thing where it was",
            "of those, move+joint arrives in as many, and the thing is within 10 % of the width",
        ),
    ):
        out.append(_share(alone, [not well(r, f["fixed"]) for r, f in able]))
        out.append(_share(then, [well(r, f["move+joint"]) for r, f in able if not well(r, f["fixed"])]))
    return tuple(row for row in out if row is not None)


def _quick(_: DragRecord, found: Found) -> bool:
    return found.arrived and found.steps <= FEW


def _near(record: DragRecord, found: Found) -> bool:
    return found.error is not None and found.error <= WITHIN * record.size


def _quick_and_near(record: DragRecord, found: Found) -> bool:
    return _quick(record, found) and _near(record, found)


def _share(name: str, hits: Sequence[bool]) -> Row | None:
    return share_row(name, np.array([(hit, 1) for hit in hits], float).reshape(-1, 2))
