"""The ways of carrying a drag out, by the name that `Drag.method` says."""

from collections.abc import Mapping

from gansteer.edits.drag.adaptive import AdaptiveRun
from gansteer.edits.drag.config import Method
from gansteer.edits.drag.draggan import DragGANRun
from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.freedrag import FreeDragRun
from gansteer.edits.drag.gauss_newton import GaussNewtonRun
from gansteer.edits.drag.natural import NaturalRun
from gansteer.edits.drag.run import PointRun
from gansteer.edits.drag.transformer import TransformerRun
from gansteer.subject import Subject

METHODS: Mapping[Method, type[PointRun]] = {
    "adaptive": AdaptiveRun,
    "draggan": DragGANRun,
    "gauss-newton": GaussNewtonRun,
    "natural": NaturalRun,
    "freedrag": FreeDragRun,
    "transformer": TransformerRun,
}


def begin(subject: Subject, edit: Drag) -> PointRun:
    """The run of the edit's method on `subject`. Raises UserError if the edit does not fit it."""
    return METHODS[edit.suited()](subject, edit)
