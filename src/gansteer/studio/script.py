"""The edit as text: a Python script, or a command line, that makes the picture again."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any

from torch import Tensor

from gansteer.edits.record import edit_to_json, tensor_to_json
from gansteer.errors import UserError
from gansteer.session import Node, Session


def python(session: Session, id: int) -> Iterator[str]:
    """The script, line by line."""
    root, *edits = session.path(id)
    calls = [_call(node.edit) for node in edits]
    yield "import gansteer"
    for word, module in (("edit_from_json", "record"), ("tensor_from_json", "record")):
        if any(word in call for call in calls):
            yield f"from gansteer.edits.{module} import {word}"
    kinds = {type(node.edit) for node, call in zip(edits, calls, strict=True) if "edit_from_json" not in call}
    yield from sorted(f"from {kind.__module__} import {kind.__name__}" for kind in kinds)
    if "seed" in root.source:
        yield ""
        yield f"model = gansteer.load({root.subject.model.card.name!r})"
        yield f"subject = model.sample({_given(root.source)})"
    else:
        yield "from pathlib import Path"
        yield "from gansteer.steerfile import open_subject"
        yield ""
        yield f'subject = open_subject(Path("gansteer-{root.id}.steer"))  # save entry {root.id} as a session for this'
    for node, call in zip(edits, calls, strict=True):
        yield f"run = gansteer.start(subject, {call})"
        yield "for progress in run:"
        yield f"    if progress.step == {node.step_count}:"
        yield "        break"
        yield "subject = run.subject"
    yield f'subject.image.save("gansteer-{id}.png")'
    yield ""


def _given(source: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name}={source[name]!r}" for name in ("seed", "psi", "label", "like") if source.get(name) is not None
    )


def _call(edit: Any) -> str:
    """The edit as the expression that makes it, with what differs from the defaults."""
    words = []
    for field in fields(edit):
        value = getattr(edit, field.name)
        if isinstance(value, Tensor):
            words.append(f"{field.name}=tensor_from_json({tensor_to_json(value)!r})")
        elif not _plain(value):
            return f"edit_from_json({json.loads(json.dumps(edit_to_json(edit)))!r})"
        elif value != (field.default if field.default_factory is MISSING else field.default_factory()):
            words.append(f"{field.name}={value!r}")
    return f"{type(edit).__name__}({', '.join(words)})"


def _plain(value: Any) -> bool:
    """Whether Python shows it as it would be typed."""
    if isinstance(value, (list, tuple)):
        return all(_plain(each) for each in value)
    if isinstance(value, dict):
        return all(_plain(each) for each in value.values())
    return value is None or isinstance(value, (str, int, float))


def shell(session: Session, id: int) -> Iterator[str]:
    """The command lines. Raises UserError where the shell has none."""
    node = session.find(id)
    if node.edit is None:
        if "seed" not in node.source:
            raise UserError("the shell draws seeds and edits only: take the Python script")
        yield f"gansteer sample {_seed(node, 'seeds')} --out gansteer-{id}.png"
        return
    words = node.edit.command_line(f"gansteer-{id}-mask.png")
    parent = session.nodes[node.parent] if node.parent is not None else node
    begin = _seed(parent, "seed")
    if parent.edit is not None or "seed" not in parent.source:
        yield f"# save entry {parent.id} as a session, gansteer-{parent.id}.steer"
        begin = f"--subject gansteer-{parent.id}.steer"
    if node.edit.area() is not None:
        yield f"# save the mask of entry {id} as gansteer-{id}-mask.png"
    yield " ".join([f"gansteer {words[0]} {begin}", *words[1:], f"--out gansteer-{id}.png"])


def _seed(node: Node, name: str) -> str:
    given = {name: node.source.get("seed"), "psi": node.source.get("psi"), "label": node.source.get("label")}
    given["seeds-like"] = node.source.get("like")
    words = [f"--{flag} {value}" for flag, value in given.items() if value is not None]
    return " ".join([f"--model {node.subject.model.card.name}", *words])
