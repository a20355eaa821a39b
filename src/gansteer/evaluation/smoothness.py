"""Whether the picture changes evenly along straight paths in w, as a drag or a slider will move it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gansteer.errors import UserError
from gansteer.evaluation.sharing import Share, here
from gansteer.models.code import Code
from gansteer.subject import Model

LIMIT = 4.0
"""A path is smooth if no step changes the picture more than this many times the median step."""


@dataclass(frozen=True)
class SmoothnessReport:
    """What was measured, and how."""

    model: str
    paths: int
    steps: int
    psi: float
    seed: int
    limit: float
    worst: float
    """The largest step of any path, as a multiple of the median step of that path."""
    typical: float
    """The median over the paths of the same."""
    smooth: bool
    """Whether `worst` is within `limit`."""


def smoothness(
    model: Model,
    paths: int = 20,
    steps: int = 60,
    *,
    psi: float = 0.7,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
    share: Share | None = None,
) -> SmoothnessReport:
    """Go from sample to sample (seeds `seed`, `seed + 1`, ...) in straight lines in w+, in `steps` equal steps.

    `report(done, paths)` is told after every path; `share` has them gone elsewhere. Raises UserError.
    """
    if paths < 1 or steps < 2:
        raise UserError("--paths must be at least 1 and --steps at least 2")
    share = share or here(model, report)
    found = torch.tensor(share(range(paths), paths, prepare, steps, psi, seed))
    worst, typical = float(found.max()), float(found.median())
    return SmoothnessReport(model.card.name, paths, steps, psi, seed, LIMIT, worst, typical, worst <= LIMIT)


def prepare(model: Model, steps: int, psi: float, seed: int) -> Callable[[int], float]:
    """What goes along the path of a number and gives its largest step as a multiple of the median step."""
    classes = model.generator.config.c_dim

    def end(i: int) -> Code:
        return model.sample(seed + i, psi, i % classes if classes else None).code

    def go(path: int) -> float:
        changes = path_changes(model, end(path), end(path + 1), steps)
        return float(changes.max() / changes.median().clamp_min(1e-12))

    return go


def path_changes(model: Model, start: Code, end: Code, steps: int) -> Tensor:
    """Root mean square change of the picture in each of `steps` steps between the codes of two pictures: `[steps]`."""
    changes = []
    before = None
    for i in range(steps + 1):
        with torch.no_grad():
            picture = model.generator.synthesize(start.lerp(end, i / steps))
        if before is not None:
            changes.append((picture - before).square().mean().sqrt())
        before = picture
    return torch.stack(changes)
