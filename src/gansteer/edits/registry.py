"""The kinds of edits there are, and `start`, which begins any of them.

A kind is a folder of `edits/` and an entry here. Everything is named by text and imported when it is first used: the command
line reads this file, and must not wait for torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gansteer.errors import UserError

if TYPE_CHECKING:
    from gansteer.edits.api import Edit, Run
    from gansteer.subject import Subject


@dataclass(frozen=True)
class EditKind:
    """A kind of edit. Its parts are places, `package.module:name`."""

    edit: str
    """The dataclass that says what is to be done (`api.Edit`)."""
    run: str
    """What carries it out: called with the subject and the edit, it gives the run (`api.Run`)."""
    command: tuple[str, str] | None = None
    """The command of the shell: its name, and the dataclass that its flags fill; None for none."""
    queries: Mapping[str, str] = field(default_factory=dict)
    """What the page may ask for this kind: name to a function of the subject and the arguments, which gives JSON."""


KINDS: dict[str, EditKind] = {
    "drag": EditKind(
        edit="gansteer.edits.drag.edit:Drag",
        run="gansteer.edits.drag.methods:begin",
        command=("drag", "gansteer.commands.drag:Drag"),
        queries={"whole": "gansteer.edits.drag.queries:whole"},
    ),
    "inversion": EditKind(
        edit="gansteer.edits.inversion.edit:Inversion",
        run="gansteer.edits.inversion.run:InversionRun",
        command=("invert", "gansteer.commands.invert:Invert"),
    ),
    "attribute": EditKind(
        edit="gansteer.edits.attribute.edit:Attribute",
        run="gansteer.edits.attribute.edit:AttributeRun",
        command=("edit", "gansteer.commands.edit:Edit"),
        queries={"directions": "gansteer.edits.attribute.queries:directions"},
    ),
    "intervention": EditKind(
        edit="gansteer.edits.intervention.edit:Intervention",
        run="gansteer.edits.intervention.edit:InterventionRun",
        command=("edit", "gansteer.commands.edit:Edit"),
        queries={
            "parts": "gansteer.edits.intervention.queries:parts",
            "region": "gansteer.edits.intervention.queries:region",
            "regions": "gansteer.edits.intervention.queries:regions",
        },
    ),
    "arrangement": EditKind(
        edit="gansteer.edits.arrangement.edit:Arrangement",
        run="gansteer.edits.arrangement.edit:ArrangementRun",
        command=("arrange", "gansteer.commands.arrange:Arrange"),
        queries={
            "layout": "gansteer.edits.arrangement.queries:layout",
            "things": "gansteer.edits.arrangement.queries:things",
        },
    ),
}
"""Every kind by its name in records, messages and session files."""


def imported(place: str) -> Any:
    """What stands at `package.module:name`."""
    module, name = place.split(":")
    return getattr(import_module(module), name)


def edit_class(kind: str) -> Any:
    """The dataclass of a kind of edit. KeyError for kinds that are not in `KINDS`."""
    return imported(KINDS[kind].edit)


def kind_of(edit: "Edit") -> str:
    """The name of an edit's kind."""
    home = f"{type(edit).__module__}:{type(edit).__qualname__}"
    return next(name for name, kind in KINDS.items() if kind.edit == home)


def start(subject: "Subject", edit: "Edit") -> "Run":
    """Begin `edit` on `subject`: iterate over the run, or call its `step()`. UserError if the edit does not fit."""
    from gansteer.edits.api import Edit
    from gansteer.subject import Subject

    if not isinstance(subject, Subject):
        raise UserError("start takes a subject first, such as model.sample(seed=3), and then an edit")
    if not isinstance(edit, Edit):
        raise UserError(
            f"{edit!r} is no edit: give one such as Drag([(64, 76)], [(72, 76)]) or Attribute({{'smile': 2}})"
        )
    run: Run = imported(KINDS[kind_of(edit)].run)(subject, edit)
    return run


def query(name: str) -> Any:
    """The function that answers what the page asks under this name; None if there is none."""
    return next((imported(kind.queries[name]) for kind in KINDS.values() if name in kind.queries), None)


def queries() -> tuple[str, ...]:
    """What the page may ask."""
    return tuple(name for kind in KINDS.values() for name in kind.queries)
