"""One file per way of steering a picture, and `start`, which begins any of them."""

from gansteer.edits.drag import Drag, DragRun
from gansteer.edits.run import Progress, Run
from gansteer.subject import Subject

__all__ = ["Drag", "DragRun", "Progress", "Run", "start"]


def start(subject: Subject, edit: Drag) -> DragRun:
    """Begin `edit` on `subject`: iterate over the run, or call its `step()`. UserError if the edit does not fit."""
    return DragRun(subject, edit)
