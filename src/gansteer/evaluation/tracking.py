"""Whether a model's features are fit to drag by: do nearest neighbours in them follow the points of a face?

A small move in w+ (a step towards another sample, in the rows that a drag moves) changes the face a little. Each of the
68 landmarks of the first picture is followed through the move by DragGAN's tracker in the features of one layer, and
where it ends is compared with where the landmark reader sees it. The reader was trained on labels, not on features; its
own bias cancels, since only what it sees move counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.checkpoints.readers import FACES
from gansteer.edits.drag.features import Features, Grid, View
from gansteer.edits.drag.tracking import Nearest
from gansteer.errors import UserError
from gansteer.evaluation.sharing import Share, here
from gansteer.models.code import Code
from gansteer.subject import Model

WITHIN = 2.0
"""Pixels within which a point counts as followed."""
LEAST_SHARE = 0.9
ROWS = 6
"""Rows of w+ that move, as in a drag."""

Landmarks = Callable[[Tensor], Tensor]
"""Pictures `[B, 3, H, W]` in [-1, 1] to landmarks `[B, 68, 2]` in their pixels."""


@dataclass(frozen=True)
class LayerTracking:
    """How well one layer's features follow."""

    layer: str
    """Its name, or "none" for points that are taken to stay where they were."""
    share: float
    """Of all points, followed within 2 px."""
    median_error: float
    """Pixels."""


@dataclass(frozen=True)
class TrackingReport:
    """What was measured, and how."""

    model: str
    moves: int
    strength: float
    steps: int
    psi: float
    seed: int
    within: float
    points: int
    median_motion: float
    """Pixels that the reader sees the points move."""
    layers: tuple[LayerTracking, ...]


@dataclass(frozen=True)
class Moves:
    """How samples are moved, and in whose features they are followed."""

    strength: float
    steps: int
    psi: float
    seed: int
    layers: tuple[str, ...]


def tracking(
    model: Model,
    landmarks: Callable[[Model], Landmarks],
    moves: int = 50,
    *,
    strength: float = 0.15,
    steps: int = 8,
    psi: float = 0.7,
    seed: int = 0,
    layers: Sequence[str] | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
    share: Share | None = None,
) -> TrackingReport:
    """Follow the landmarks of `moves` samples a share `strength` of the way to another sample, in `steps` steps.

    `landmarks(model)` is what reads them. `layers`: whose features; by default the last of every block from 16 px on.
    `report(done, moves)` is told after every move; `share` has them followed elsewhere. Raises UserError.
    """
    if moves < 1 or steps < 1 or not 0 < strength <= 1:
        raise UserError("--moves and --steps must be at least 1, and --strength above 0 and at most 1")
    names = layers or [each.name for each in model.generator.last_of_each_size() if each.frame.inner >= 16]
    share = share or here(model, report)
    errors = share(range(moves), moves, prepare, landmarks, Moves(strength, steps, psi, seed, tuple(names)))
    found = {name: torch.cat([error[name] for error in errors]) for name in ("none", *names)}
    rows = tuple(LayerTracking(n, float((e <= WITHIN).double().mean()), float(e.median())) for n, e in found.items())
    moved = found["none"]
    return TrackingReport(
        model.card.name, moves, strength, steps, psi, seed, WITHIN, len(moved), float(moved.median()), rows
    )


def prepare(model: Model, landmarks: Callable[[Model], Landmarks], how: Moves) -> Callable[[int], dict[str, Tensor]]:
    """What carries the move of a number out and gives, for every layer, how far `[n]` its points end from the truth.

    For "none" it is how far the points move.
    """
    read = landmarks(model)

    @torch.no_grad()
    def follow(number: int) -> dict[str, Tensor]:
        start, towards = (model.sample(how.seed + 2 * number + j, how.psi).code for j in range(2))
        path = Code.batch([start] * (how.steps + 1))
        way = torch.linspace(0, how.strength, how.steps + 1, dtype=path.ws.dtype, device=path.ws.device)
        path.ws[:, :ROWS] = start.ws[:ROWS].lerp(towards.ws[:ROWS], way[:, None, None])
        ends = model.generator.synthesize(Code.batch([path[0], path[how.steps]]))
        seen = read(ends).double().cpu()  # [2, 68, 2]
        inside = ((seen[0] >= 0) & (seen[0] <= model.resolution - 1)).all(dim=1)
        first, last = seen[:, inside]
        errors = {name: (_follow(model, path, name, first) - last).norm(dim=1) for name in how.layers}
        return {"none": (last - first).norm(dim=1), **errors}

    return follow


def of_faces(model: Model) -> Landmarks:
    """The landmark reader that comes with gansteer."""
    reader = FACES.load(model.device)
    return lambda pictures: reader.read(pictures).landmarks


def _follow(model: Model, path: Code, layer: str, points: Tensor) -> Tensor:
    """Where DragGAN's tracker sees `points [n, 2]` end on `path`, the codes of S pictures."""
    maps = model.generator.features(path, [layer])[layer]  # [S, C, r, r]
    grid = Grid.of(model.generator, layer)
    known = torch.ones(grid.r, grid.r, dtype=torch.bool)

    def view(whole: Tensor) -> View:
        table = F.pad(whole.flatten(1).t(), (0, 0, 0, 1))  # [r * r + 1, C]
        return View(Features.of(grid, table, known), lambda: whole)

    tracker = Nearest(view(maps[0]), points, radius=max(6.0, 12 * model.resolution / 512))
    for whole in maps[1:]:
        points = tracker.track(view(whole), points).points
    return points
