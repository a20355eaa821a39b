"""Trackers by themselves: do they say where the points of a face went while its latent walked?

A walk moves the rows of w+ that a drag moves a part of the way to another sample, as an edit would. Every tracker follows the 68
landmarks from picture to picture. The truth is what the landmark reader sees them move; it was trained on labels, knows
nothing of the generator, and what it is off by in the first picture cancels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import torch
from torch import Tensor

from gansteer.edits.drag.config import TrackerName
from gansteer.edits.drag.features import View, default_layer
from gansteer.edits.drag.trackers import make_tracker
from gansteer.edits.drag.tracking import Tracker
from gansteer.errors import UserError
from gansteer.evaluation.drags.cases import Landmarks
from gansteer.evaluation.drags.correspondence import view
from gansteer.evaluation.drags.measures import interval
from gansteer.models.latent_transformer import MOVING_ROWS
from gansteer.subject import Model

WITHIN = (1.0, 2.0, 4.0)
"""Pixels of a picture of 128; in proportion of others."""

MakeTracker = Callable[[View, Tensor], Tracker]
"""From the view of the first picture and the points `[n, 2]` in it."""


@dataclass(frozen=True)
class TrackerRow:
    """How well one tracker follows."""

    tracker: str
    error: tuple[float, float, float]
    """Mean distance from the truth at the end of a walk, in pixels, and its 95 % bootstrap interval over the walks."""
    median: float
    """Of all points."""
    within: Mapping[str, float]
    """Share of all points within this many pixels."""


@dataclass(frozen=True)
class TrackersReport:
    """What was measured, and how."""

    model: str
    weights: str
    layer: str
    walks: int
    steps: int
    strength: float
    psi: float
    seed: int
    motion: float
    """Mean distance that the points move, in pixels."""
    rows: tuple[TrackerRow, ...]


def named(names: Sequence[str], model: Model, radius: float) -> dict[str, MakeTracker]:
    """The trackers of `names` for pictures of `model`, by default all. Raises UserError for a name that there is not."""
    known: tuple[TrackerName, ...] = get_args(TrackerName)
    for name in names:
        if name not in known:
            raise UserError(f"there is no tracker {name!r}; there are {', '.join(known)}")

    def maker(name: TrackerName) -> MakeTracker:
        return lambda first, points: make_tracker(name, model, first, points, radius)

    return {name: maker(name) for name in known if not names or name in names}


@torch.no_grad()
def followed(
    model: Model,
    landmarks: Landmarks,
    trackers: Mapping[str, MakeTracker],
    walks: int = 50,
    *,
    strength: float = 0.4,
    steps: int = 12,
    psi: float = 0.7,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> TrackersReport:
    """Let all `trackers` follow the landmarks of `walks` walks, each a share `strength` of the way to another sample.

    Raises UserError for numbers that make no walk.
    """
    if walks < 1 or steps < 1 or not 0 < strength <= 1:
        raise UserError("--walks and --steps must be at least 1, and --strength above 0 and at most 1")
    layer = model.card.drag_layer or default_layer(model.generator)
    errors: dict[str, list[Tensor]] = {name: [] for name in trackers}
    motion = []
    for number in range(walks):
        begin, towards = (model.sample(seed + 2 * number + i, psi) for i in range(2))
        ws = begin.code.ws.repeat(steps + 1, 1, 1)  # [steps + 1, num_ws, w_dim]
        share = torch.linspace(0, strength, steps + 1).to(ws)
        rows = slice(MOVING_ROWS)
        ws[:, rows] = begin.code.ws[rows].lerp(towards.code.ws[rows], share[:, None, None])
        views = [view(model, replace(begin, code=replace(begin.code, ws=each)), layer) for each in ws]
        first, last = (landmarks(views[i].picture()) for i in (0, -1))
        kept = ((first >= 0) & (first <= model.resolution - 1)).all(dim=1)
        first, last = first[kept], last[kept]
        motion.append(float((last - first).norm(dim=1).mean()))
        for name, make in trackers.items():
            tracker, points = make(views[0], first), first
            for each in views[1:]:
                points = tracker.track(each, points).points
            errors[name].append((points - last).norm(dim=1))
        report(number + 1, walks)
    found = tuple(_row(name, found, model.resolution / 128) for name, found in errors.items())
    return TrackersReport(
        model.card.name, model.digest, layer, walks, steps, strength, psi, seed, sum(motion) / walks, found
    )


def _row(name: str, errors: Sequence[Tensor], scale: float) -> TrackerRow:
    """From the errors `[n]` of every walk."""
    every = torch.cat(list(errors))
    within = {f"{limit:g}": float((every <= limit * scale).double().mean()) for limit in WITHIN}
    return TrackerRow(name, interval([float(walk.mean()) for walk in errors]), float(every.median()), within)
