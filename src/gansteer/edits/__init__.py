"""One file per way of steering a picture, and `start`, which begins any of them.

The classes are imported when they are first used: the command line reads `config.py`, and must not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from gansteer.edits.api import Edit, Progress, Run
    from gansteer.edits.drag.edit import Drag, PointRun
    from gansteer.subject import Subject

__all__ = ["Drag", "Edit", "PointRun", "Progress", "Run", "edit_class", "kind_of", "start"]

HOMES = {"Drag": "drag.edit", "PointRun": "drag.edit", "Edit": "api", "Progress": "api", "Run": "api"}
"""Where each class lives."""

KINDS = {
    "drag": "gansteer.edits.drag.edit:Drag",
    "inversion": "gansteer.edits.inversion.edit:Inversion",
    "attribute": "gansteer.edits.attribute.edit:Attribute",
    "intervention": "gansteer.edits.intervention.edit:Intervention",
}
"""Kinds of edits: the name in records and messages to the dataclass. Imported when first used."""

R = TypeVar("R", bound="Run")


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module 'gansteer.edits' has no attribute {name!r}")
    return getattr(import_module(f"gansteer.edits.{HOMES[name]}"), name)


def edit_class(kind: str) -> Any:
    """The dataclass of a kind of edit. KeyError for kinds that are not in `KINDS`."""
    module, name = KINDS[kind].split(":")
    return getattr(import_module(module), name)


def kind_of(edit: "Edit[Any]") -> str:
    """The name of an edit's kind."""
    home = f"{type(edit).__module__}:{type(edit).__qualname__}"
    return next(kind for kind, where in KINDS.items() if where == home)


def start(subject: "Subject", edit: "Edit[R]") -> R:
    """Begin `edit` on `subject`: iterate over the run, or call its `step()`. UserError if the edit does not fit."""
    return edit.begin(subject)
