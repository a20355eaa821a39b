"""One file per way of steering a picture, and `start`, which begins any of them."""

from gansteer.edits.drag import Drag, PointRun
from gansteer.edits.draggan import DragGANRun
from gansteer.edits.freedrag import FreeDragRun
from gansteer.edits.gaussnewton import GaussNewtonRun
from gansteer.edits.run import Progress, Run
from gansteer.subject import Subject

__all__ = ["Drag", "PointRun", "Progress", "Run", "start"]


METHODS: dict[str, type[PointRun]] = {
    "draggan": DragGANRun,
    "gauss-newton": GaussNewtonRun,
    "freedrag": FreeDragRun,
}
"""Ways to carry out a drag."""


def start(subject: Subject, edit: Drag) -> PointRun:
    """Begin `edit` on `subject`: iterate over the run, or call its `step()`. UserError if the edit does not fit."""
    return METHODS[edit.method](subject, edit)
