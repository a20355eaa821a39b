"""One file per way of steering a picture, and `start`, which begins any of them."""

from importlib import import_module
from typing import Any, TypeVar

from gansteer.edits.drag import Drag, PointRun
from gansteer.edits.draggan import DragGANRun
from gansteer.edits.freedrag import FreeDragRun
from gansteer.edits.gaussnewton import GaussNewtonRun
from gansteer.edits.run import Edit, Progress, Run
from gansteer.subject import Subject

__all__ = ["Drag", "Edit", "PointRun", "Progress", "Run", "edit_class", "kind_of", "start"]


METHODS: dict[str, type[PointRun]] = {
    "draggan": DragGANRun,
    "gauss-newton": GaussNewtonRun,
    "freedrag": FreeDragRun,
}
"""Ways to carry out a drag."""

KINDS = {
    "drag": "gansteer.edits.drag:Drag",
    "inversion": "gansteer.inversion.edit:Inversion",
    "attribute": "gansteer.edits.attribute:Attribute",
    "intervention": "gansteer.edits.intervention:Intervention",
}
"""Kinds of edits: the name in records and messages to the dataclass. Imported when first used."""

R = TypeVar("R", bound=Run)


def edit_class(kind: str) -> Any:
    """The dataclass of a kind of edit. KeyError for kinds that are not in `KINDS`."""
    module, name = KINDS[kind].split(":")
    return getattr(import_module(module), name)


def kind_of(edit: Edit[Any]) -> str:
    """The name of an edit's kind."""
    home = f"{type(edit).__module__}:{type(edit).__qualname__}"
    return next(kind for kind, where in KINDS.items() if where == home)


def start(subject: Subject, edit: Edit[R]) -> R:
    """Begin `edit` on `subject`: iterate over the run, or call its `step()`. UserError if the edit does not fit."""
    return edit.begin(subject)
