"""The protocol's messages as TypeScript, which the page is type-checked against.

`python -m gansteer.studio.typescript` writes `web/protocol.d.ts` anew; a test holds the two together. Docstrings of the
messages and of their fields become comments.
"""

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from gansteer.studio import protocol

FILE = Path(protocol.__file__).parent / "web" / "protocol.d.ts"
WIDTH = 118
HEAD = """\
// Written by `python -m gansteer.studio.typescript` from studio/protocol.py: change that, and run it again.

export type Json = Record<string, unknown>;
export type Point = [number, number];
export type Edit = { kind: string } & Json;
export interface PackedMask {
  shape: [number, number];
  packed: string;
}
"""
SCALARS: Mapping[object, str] = {
    int: "number", float: "number", str: "string", bool: "boolean", type(None): "null", Any: "unknown",
}  # fmt: skip
EDITS = frozenset({("Start", "edit"), ("RunInfo", "edit"), ("State", "edit")})
"""Fields that hold an edit; in Python they are plain mappings until the edit's own class takes them."""
REQUIRED_ROOTS = (protocol.Received, protocol.Sight, protocol.SessionInfo, protocol.Frame)
"""What goes another way than the socket's text: answers to files, and the heads of frames."""


def typescript() -> str:
    """The whole of `protocol.d.ts`."""
    from_page, from_server = typing.get_args(protocol.FromPage), typing.get_args(protocol.FromServer)
    found: dict[type, None] = {}
    for root in (*from_page, *from_server, *REQUIRED_ROOTS):
        _collect(root, found)
    parts = [HEAD, *(_interface(one, sent=one in from_page) for one in found)]
    for name, union in (("FromPage", from_page), ("FromServer", from_server)):
        parts.append(f"export type {name} = {' | '.join(one.__name__ for one in union)};\n")
    return "\n".join(parts)


def _is_record(hint: object) -> bool:
    return isinstance(hint, type) and (issubclass(hint, msgspec.Struct) or dataclasses.is_dataclass(hint))


def _collect(record: type, found: dict[type, None]) -> None:
    """Add `record` and all records that its fields hold to `found`, the latter first."""
    if record in found:
        return
    for hint in _hints(record).values():
        for inner in _within(hint):
            if _is_record(inner):
                _collect(inner, found)
    found[record] = None


def _within(hint: Any) -> Iterator[Any]:
    yield hint
    for argument in typing.get_args(hint):
        yield from _within(argument)


def _hints(record: type) -> dict[str, Any]:
    """The fields of a record in their order, with their types."""
    hints = typing.get_type_hints(record)
    if issubclass(record, msgspec.Struct):
        return {field.name: hints[field.name] for field in msgspec.structs.fields(record)}
    return {field.name: hints[field.name] for field in dataclasses.fields(record)}  # type: ignore[arg-type]


def _optional(record: type, sent: bool) -> frozenset[str]:
    """The fields that are left out now and then: by the page where they have a default, by the server if it omits those."""
    if not issubclass(record, msgspec.Struct) or not (sent or record.__struct_config__.omit_defaults):
        return frozenset()
    return frozenset(field.name for field in msgspec.structs.fields(record) if not field.required)


def _interface(record: type, *, sent: bool) -> str:
    """A record as an interface. Where the page sends it, fields with a default may be left out."""
    comments, optional = _field_comments(record), _optional(record, sent)
    lines = [*_comment(_own_doc(record), ""), f"export interface {record.__name__} {{"]
    tag = getattr(record, "__struct_config__", None)
    if tag is not None and tag.tag is not None:
        lines.append(f'  {tag.tag_field}: "{tag.tag}";')
    for name, hint in _hints(record).items():
        kind = _type(hint)
        if (record.__name__, name) in EDITS:
            kind = kind.replace("Json", "Edit")
        lines += _comment(comments.get(name, ""), "  ")
        lines.append(f"  {name}{'?' if name in optional else ''}: {kind};")
    return "\n".join([*lines, "}", ""])


def _type(hint: Any) -> str:
    """A Python type as TypeScript. Raises TypeError for one that no message has had so far."""
    if hint in SCALARS:
        return SCALARS[hint]
    if _is_record(hint):
        return str(hint.__name__)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " | ".join(f'"{value}"' for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(_type(each) for each in arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        inner = _type(arguments[0])
        return f"({inner})[]" if "|" in inner else f"{inner}[]"
    if origin is tuple:
        return "Point" if arguments == (float, float) else f"[{', '.join(_type(each) for each in arguments)}]"
    if origin is list:
        return f"{_type(arguments[0])}[]"
    if origin is not None and issubclass(origin, Mapping):
        inner = _type(arguments[1])
        return "Json" if inner == "unknown" else f"Record<string, {inner}>"
    raise TypeError(f"{hint!r} has no counterpart in TypeScript yet: add it to gansteer/studio/typescript.py")


def _own_doc(record: type) -> str:
    return inspect.cleandoc(record.__doc__ or "")


def _field_comments(record: type) -> dict[str, str]:
    """The strings that stand under the fields of a class."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    assert isinstance(body, ast.ClassDef)
    comments = {}
    for one, after in zip(body.body, body.body[1:], strict=False):
        match one, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                comments[name] = inspect.cleandoc(text)
    return comments


def _comment(text: str, indent: str) -> list[str]:
    """A text as a documentation comment."""
    words = " ".join(text.split()).replace("*/", "* /")
    if not words:
        return []
    if len(words) + len(indent) + 7 <= WIDTH:
        return [f"{indent}/** {words} */"]
    lines = textwrap.wrap(words, WIDTH - len(indent) - 3)
    return [f"{indent}/**", *(f"{indent} * {line}" for line in lines), f"{indent} */"]


if __name__ == "__main__":
    FILE.write_text(typescript())
