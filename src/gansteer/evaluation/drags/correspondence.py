"""Which point of one picture is which of another: what the paired reconstruction drags (Pan et al. 2023, section 4.2).

The paper takes optical flow and does not name the estimator. Flow by dense inverse search (Kroeger et al. 2016) is such a one.
The other way stays within the model: points are followed in its own features while w goes from one picture to the other,
and those that do not come back on the way back are dropped.
"""

from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.edits.drag.features import Features, Grid, View, default_layer
from gansteer.edits.drag.optical_flow import at, flow_between
from gansteer.edits.drag.tracking import Nearest
from gansteer.evaluation.drags.cases import Case, draggable, perturbed
from gansteer.evaluation.drags.rows import PAIRED_POINTS
from gansteer.subject import Model, Subject

CANDIDATES = 256
"""Random pixels that are followed, of which those that come back are kept."""
STEPS = 8
"""Pictures on the way from one to the other."""
AGREE = 1.0
"""Pixels within which a point must come back to where it began."""


def reconstruction_case(model: Model, number: int, psi: float, how: Literal["features", "flow"] = "features") -> Case:
    """The pair `number`: 32 random points of the first picture, and where they are in the second. Raises UserError."""
    start, end = perturbed(model, number, psi)
    goal = end.render()
    rng = torch.Generator().manual_seed(number)
    points = torch.rand(CANDIDATES, 2, generator=rng, dtype=torch.float64) * (model.resolution - 1)
    points = points.round()
    if how == "features":
        there = follow(start, end, points)
        back = follow(end, start, there)
    else:
        before = start.render()
        forward, backward = flow_between(before, goal), flow_between(goal, before)
        there = points + at(forward, points)
        back = there + at(backward, there)
    kept = draggable(points, there, model.resolution) & ((back - points).norm(dim=1) <= AGREE)
    chosen = kept.nonzero()[:PAIRED_POINTS, 0]
    return Case(start, points[chosen], there[chosen], goal=goal)


@torch.no_grad()
def follow(start: Subject, end: Subject, points: Tensor, steps: int = STEPS) -> Tensor:
    """Where `points [n, 2]` of `start` are in `end`, by the nearest feature from picture to picture, `[n, 2]`."""
    model = start.model
    layer = model.card.drag_layer or default_layer(model.generator)
    tracker = None
    for share in torch.linspace(0, 1, steps + 1).tolist():
        features = view(model, replace(start, code=start.code.lerp(end.code, share)), layer)
        if tracker is None:
            tracker = Nearest(features, points, radius=max(6.0, 12 * model.resolution / 512))
        points = tracker.track(features, points).points
    return points


def view(model: Model, subject: Subject, layer: str) -> View:
    """What a tracker looks at: the whole feature map after `layer`, and the picture."""
    whole = model.generator.features(subject.code, [layer])[layer][0]  # [C, r, r]
    grid = Grid.of(model.generator, layer)
    table = F.pad(whole.flatten(1).t(), (0, 0, 0, 1))  # [r * r + 1, C]
    return View(Features.of(grid, table, torch.ones(grid.r, grid.r, dtype=torch.bool)), subject.render)
