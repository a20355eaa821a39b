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

from gansteer.checkpoints.readers import FACES
from gansteer.edits.drag.config import TrackerName
from gansteer.edits.drag.features import View, default_layer
from gansteer.edits.drag.trackers import make_tracker
from gansteer.edits.drag.tracking import Tracker
from gansteer.errors import UserError
from gansteer.evaluation.drags.cases import Landmarks
from gansteer.evaluation.drags.correspondence import view
from gansteer.evaluation.drags.judge import reading
from gansteer.evaluation.drags.measures import interval
from gansteer.evaluation.sharing import Share, here
from gansteer.models.latent_transformer import MOVING_ROWS
from gansteer.subject import Model

WITHIN = (1.0, 2.0, 4.0)
"""Pixels of a picture of 128; in proportion of others."""

MakeTracker = Callable[[View, Tensor], Tracker]
"""From the view of the first picture and the points `[n, 2]` in it."""

RADIUS = 12 / 512
"""As far as a tracker looks around, as a share of the picture's width; 6 pixels at least."""


@dataclass(frozen=True)
class Walks:
    """How far samples are walked."""

    strength: float
    steps: int
    psi: float
    seed: int


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


def named(names: Sequence[str], model: Model) -> dict[str, MakeTracker]:
    """The trackers of `names` for pictures of `model`, by default all. Raises UserError for a name that there is not."""
    radius = max(6.0, RADIUS * model.resolution)
    known: tuple[TrackerName, ...] = get_args(TrackerName)
    for name in names:
        if name not in known:
            raise UserError(f"there is no tracker {name!r}; there are {', '.join(known)}")

    def maker(name: TrackerName) -> MakeTracker:
        return lambda first, points: make_tracker(name, model, first, points, radius)

    return {name: maker(name) for name in known if not names or name in names}


def followed(
    model: Model,
    landmarks: Callable[[Model], Landmarks],
    trackers: Callable[[Model], Mapping[str, MakeTracker]],
    walks: int = 50,
    *,
    strength: float = 0.4,
    steps: int = 12,
    psi: float = 0.7,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
    share: Share | None = None,
) -> TrackersReport:
    """Let all trackers follow the landmarks of `walks` walks, each a share `strength` of the way to another sample.

    `landmarks(model)` reads them and `trackers(model)` follow, by name. `report(done, walks)` is told after every walk;
    `share` has them walked elsewhere. Raises UserError for numbers that make no walk.
    """
    if walks < 1 or steps < 1 or not 0 < strength <= 1:
        raise UserError("--walks and --steps must be at least 1, and --strength above 0 and at most 1")
    layer = model.card.drag_layer or default_layer(model.generator)
    share = share or here(model, report)
    found = share(range(walks), walks, prepare, landmarks, trackers, Walks(strength, steps, psi, seed))
    names = list(found[0].errors)
    rows = tuple(_row(name, [walk.errors[name] for walk in found], model.resolution / 128) for name in names)
    motion = sum(walk.motion for walk in found) / walks
    return TrackersReport(model.card.name, model.digest, layer, walks, steps, strength, psi, seed, motion, rows)


@dataclass(frozen=True, eq=False)
class Walk:
    """What was found on one."""

    motion: float
    """Mean distance that its points move, in pixels."""
    errors: Mapping[str, Tensor]
    """By tracker: how far `[n]` the points are from the truth at its end."""


def prepare(
    model: Model,
    landmarks: Callable[[Model], Landmarks],
    trackers: Callable[[Model], Mapping[str, MakeTracker]],
    how: Walks,
) -> Callable[[int], Walk]:
    """What walks the walk of a number."""
    layer = model.card.drag_layer or default_layer(model.generator)
    read, makers = landmarks(model), trackers(model)

    @torch.no_grad()
    def walk(number: int) -> Walk:
        begin, towards = (model.sample(how.seed + 2 * number + i, how.psi) for i in range(2))
        ws = begin.code.ws.repeat(how.steps + 1, 1, 1)  # [steps + 1, num_ws, w_dim]
        way = torch.linspace(0, how.strength, how.steps + 1).to(ws)
        rows = slice(MOVING_ROWS)
        ws[:, rows] = begin.code.ws[rows].lerp(towards.code.ws[rows], way[:, None, None])
        views = [view(model, replace(begin, code=replace(begin.code, ws=each)), layer) for each in ws]
        first, last = (read(views[i].picture()) for i in (0, -1))
        kept = ((first >= 0) & (first <= model.resolution - 1)).all(dim=1)
        first, last = first[kept], last[kept]
        errors = {}
        for name, make in makers.items():
            tracker, points = make(views[0], first), first
            for each in views[1:]:
                points = tracker.track(each, points).points
            errors[name] = (points - last).norm(dim=1)
        return Walk(float((last - first).norm(dim=1).mean()), errors)

    return walk


def of_faces(model: Model) -> Landmarks:
    """The landmark reader that comes with gansteer."""
    return reading(FACES.load(model.device))


def _row(name: str, errors: Sequence[Tensor], scale: float) -> TrackerRow:
    """From the errors `[n]` of every walk."""
    every = torch.cat(list(errors))
    within = {f"{limit:g}": float((every <= limit * scale).double().mean()) for limit in WITHIN}
    return TrackerRow(name, interval([float(walk.mean()) for walk in errors]), float(every.median()), within)
