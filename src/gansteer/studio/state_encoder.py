"""The session in the words of the protocol."""

from typing import Any

import torch
from torch import Tensor

from gansteer.edits.api import Edit
from gansteer.edits.record import edit_to_json, tensor_to_json
from gansteer.edits.registry import kind_of
from gansteer.session import Node, Session
from gansteer.studio.protocol import MixInfo, NodeInfo, RunInfo, State

LARGE = 1 << 16
"""The page is sent no tensor of more elements, but for masks."""


class StateEncoder:
    """Makes `State` messages, and remembers the edit that was packed last."""

    def __init__(self) -> None:
        self._packed: tuple[Edit, dict[str, Any]] | None = None

    def edit(self, edit: Edit) -> dict[str, Any]:
        """The edit as JSON for the page."""
        if self._packed is None or self._packed[0] is not edit:
            self._packed = (edit, edit_to_json(edit, pack))
        return self._packed[1]

    def state(self, session: Session, saved: bool, run: RunInfo | None) -> State:
        """All that there is to know."""
        node = session.nodes.get(session.current or 0)
        root = session.path(node.id)[0] if node else None
        return State(
            nodes=tuple(info(each) for each in session.nodes.values()),
            current=session.current,
            can_undo=session.can_undo,
            can_redo=session.can_redo,
            can_resume=node is not None and not node.done and run is None,
            saved=saved,
            run=run,
            edit=None if node is None or node.edit is None else self.edit(node.edit),
            trail=() if node is None else node.steps,
            source={} if root is None else dict(root.source),
            resolution=0 if node is None else node.subject.model.resolution,
            ended=None if node is None else node.stop_reason,
        )


def pack(x: Tensor) -> dict[str, Any]:
    """A tensor of an edit for the page: masks as plain bits, other large ones by their shape alone."""
    if x.dtype == torch.bool or x.numel() <= LARGE:
        return tensor_to_json(x, compressed=False)
    return {"shape": list(x.shape)}


def info(node: Node) -> NodeInfo:
    """A node in the history."""
    source, mixed = node.source, None
    if node.edit is not None:
        title, kind = node.edit.title, kind_of(node.edit)
    elif "between" in source:
        a, b = source["between"]
        title, kind, mixed = f"Between {a} and {b}", "between", MixInfo(a, b, source.get("t", 0.5))
    elif "mix" in source:
        told = source["mix"]
        what = "Colours" if told.get("takes") == "fine" else "Shape"
        title, kind, mixed = f"{what} of {told['seed']}", "mix", MixInfo(told["of"], told["of"], 0.0)
    elif "seed" in source:
        title, kind = f"Seed {source['seed']}", "seed"
    else:
        title, kind = "Photo", "photo"
    name = node.subject.model.card.name
    return NodeInfo(node.id, node.parent, title, kind, name, node.step_count, node.done, mixed)
