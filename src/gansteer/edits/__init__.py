"""One file per way of steering a picture, and `start`, which begins any of them."""

from gansteer.edits.drag import Drag, PointRun
from gansteer.edits.draggan import DragGANRun
from gansteer.edits.freedrag import FreeDragRun
from gansteer.edits.run import Progress, Run
from gansteer.subject import Subject

__all__ = ["Drag", "PointRun", "Progress", "Run", "start"]


def start(subject: Subject, edit: Drag) -> PointRun:
    """Begin `edit` on `subject`: iterate over the run, or call its `step()`. UserError if the edit does not fit."""
    return (FreeDragRun if edit.method == "freedrag" else DragGANRun)(subject, edit)
