"""A person's work: a tree of subjects with the edits between them. `steerfile.py` keeps it in a file, `journal.py` the steps of a running edit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from gansteer.edits.api import Edit, Progress, Run, StepRecord
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.subject import Subject

MAX_STEPS = 200


class NoEntry(UserError):
    """A session has no such entry."""


@dataclass(frozen=True, eq=False)
class Node:
    """A picture in the tree, and how it came to be."""

    id: int
    subject: Subject
    parent: int | None = None
    """The node that the edit began with; None for a root."""
    before: int | None = None
    """Where undo goes: the parent or, for a root, the node that was looked at before."""
    edit: Edit | None = None
    """What made it of its parent; None for a root that no edit made."""
    source: Mapping[str, Any] = field(default_factory=dict)
    """For a root, where it came from: `{"seed": 3, "psi": 0.7, "label": None}`, say."""
    steps: tuple[StepRecord, ...] = ()
    """The steps of the edit; at most `MAX_STEPS`, evenly spaced, the last always there."""
    stop_reason: str | None = None
    """Why the edit ended; None if it was stopped, or still runs."""

    @property
    def step_count(self) -> int:
        """Steps of the edit that were taken."""
        return self.steps[-1].step if self.steps else 0

    @property
    def done(self) -> bool:
        """Whether there is nothing to go on with."""
        return self.edit is None or self.stop_reason is not None

    def stepped(self, subject: Subject, record: StepRecord, stop_reason: str | None = None) -> "Node":
        """This node after one more step of its edit."""
        return replace(self, subject=subject, steps=spaced(self.steps, record, MAX_STEPS), stop_reason=stop_reason)


class Stepped(Protocol):
    """Something that belongs to a step."""

    @property
    def step(self) -> int: ...


S = TypeVar("S", bound=Stepped)


def spaced(steps: tuple[S, ...], new: S, most: int) -> tuple[S, ...]:
    """`steps` and the new one, thinned to at most `most` that are evenly spaced; the first and the last are always there."""
    if len(steps) > 2 and steps[-1].step - steps[-2].step < steps[1].step - steps[0].step:
        steps = steps[:-1]  # it stood there only as the last
    if len(steps) >= most:
        steps = steps[::2]
    return (*steps, new)


class Session:
    """A tree of nodes, of which one is looked at. Nodes are immutable; all that changes is which there are."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}
        """By id; a parent's id is smaller than its children's."""
        self.current: int | None = None
        self.forward: dict[int, int] = {}
        """Node to the one that redo goes to."""
        self.last = 0
        """The highest id that was ever given; none is given twice."""

    @property
    def node(self) -> Node:
        """The present node. Raises UserError in an empty session."""
        if self.current is None:
            raise UserError("this session is empty: draw a seed first")
        return self.nodes[self.current]

    def find(self, id: int | None) -> Node:
        """The node of that id; the present one for None. Raises NoEntry, and UserError in an empty session."""
        if id is None:
            return self.node
        if id not in self.nodes:
            raise NoEntry(f"this session has no entry {id}")
        return self.nodes[id]

    def add(
        self,
        subject: Subject,
        parent: int | None = None,
        edit: Edit | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> Node:
        """A new node, which becomes the present one."""
        before = self.current if parent is None else parent
        self.last += 1
        node = Node(self.last, subject, parent, before, edit, dict(source or {}))
        self.nodes[node.id] = node
        self.go(node.id)
        return node

    def put(self, node: Node) -> None:
        """The node takes the place of the one with its id, such as after a step."""
        assert node.id in self.nodes
        self.nodes[node.id] = node

    def drop(self, id: int) -> None:
        """Forget a node that nothing was made of; its parent is looked at if it was. Raises UserError."""
        node = self.find(id)
        if any(other.parent == id for other in self.nodes.values()):
            raise UserError(f"entry {id} has others made of it: it stays")
        del self.nodes[id]
        for other in self.nodes.values():
            if other.before == id:
                self.nodes[other.id] = replace(other, before=node.before)
        self.forward = {a: b for a, b in self.forward.items() if id not in (a, b)}
        if self.current == id:
            self.current = node.before

    def go(self, id: int) -> Node:
        """Look at another node; redo then leads here from all nodes before it. Raises UserError."""
        node = found = self.find(id)
        while node.before is not None:
            self.forward[node.before] = node.id
            node = self.nodes[node.before]
        self.current = id
        return found

    @property
    def can_undo(self) -> bool:
        """Whether `undo` has somewhere to go."""
        return self.current is not None and self.node.before is not None

    @property
    def can_redo(self) -> bool:
        """Whether `redo` has somewhere to go."""
        return self.current in self.forward

    def undo(self) -> None:
        """Back to the node before. Raises UserError."""
        if not self.can_undo:
            raise UserError("there is nothing to undo")
        self.current = self.node.before

    def redo(self) -> None:
        """Forward again along the branch that was visited last. Raises UserError."""
        if not self.can_redo:
            raise UserError("there is nothing to redo")
        assert self.current is not None
        self.current = self.forward[self.current]

    def path(self, id: int) -> list[Node]:
        """The nodes from the root of its tree to that node."""
        path = [self.find(id)]
        while path[0].parent is not None:
            path.insert(0, self.nodes[path[0].parent])
        return path

    def copy(self) -> "Session":
        """The same nodes, to be kept as they are now."""
        session = Session()
        session.nodes, session.forward = dict(self.nodes), dict(self.forward)
        session.current, session.last = self.current, self.last
        return session

    def only(self, id: int) -> "Session":
        """A session of nothing but the way to that node."""
        session, before = Session(), None
        for node in self.path(id):
            session.nodes[node.id] = replace(node, before=before)
            before = session.last = node.id
        session.go(id)
        return session

    def graft(self, other: "Session") -> Node:
        """Add all nodes of another session, under new ids; its present node becomes the present one."""
        shift, here = self.last, self.current

        def moved(id: int | None) -> int | None:
            return None if id is None else id + shift

        for node in other.nodes.values():
            before = here if node.before is None else moved(node.before)
            self.nodes[node.id + shift] = replace(node, id=node.id + shift, parent=moved(node.parent), before=before)
        self.last = shift + other.last
        return self.go(other.node.id + shift)


def replay(node: Node, parent: Subject) -> Iterator[Progress]:
    """Carry out a node's edit again, as far as it went."""
    assert node.edit is not None
    run: Run = start(parent, node.edit)
    for progress in run:
        yield progress
        # One that ended went on after the step whose picture it kept.
        if progress.stop_reason or (node.stop_reason is None and progress.step >= node.step_count):
            return
