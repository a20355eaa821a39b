"""Reads the pickle language without running it.

A pickle is a program for a small stack machine. Python's own machine imports what the program names and calls it. This
one imports nothing and calls nothing: a global becomes a `Name`, a call becomes a `Record` of what would have been
called with what, and long bytes stay in the file as a `Span`. What the records mean is read from them afterwards.

A file may hold whatever its author kept beside the generator: names that mean nothing to us stay inert. Those that only
a harmful file mentions are refused at once, so that it is recognised as one.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import torch
from torch import Tensor

from gansteer.checkpoints.names import is_harmful

MAX_STEPS = 1_000_000
"""Three networks of 1024 px take about 40,000; a bomb needs many."""
MAX_TEXT = 1 << 24
MAX_NAME = 200
MAX_KEY = 1 << 60
"""Integer keys beyond this could be chosen to collide in a dict's hash."""


class Refused(Exception):
    """Why a file is not read, as the end of the sentence that begins with the file's name."""


def shown(value: object, length: int = 40) -> str:
    """What a file says, for a message: short, on one line, without control characters.

    Anything but a text or a number is named by its type: its own text could be endless.
    """
    if isinstance(value, str):
        return value[:length].encode("unicode_escape").decode()
    if value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < MAX_KEY):
        return str(value)
    return f"a {type(value).__name__}"


CUT_SHORT = "is cut short or damaged: fetch it again"


@dataclass(frozen=True)
class Name:
    """A global that the pickle mentions. It is never looked up."""

    module: str
    attribute: str

    def __str__(self) -> str:
        return f"{self.module}.{self.attribute}"


@dataclass(eq=False, slots=True)
class Record:
    """An object as the file describes it: what would be called to make it, and what it would be given.

    `items` are the entries of a dictionary; what would be appended to a list of a class of its own is left out.
    """

    name: str
    args: tuple[object, ...]
    items: dict[object, object]
    state: object = None


@dataclass(frozen=True, eq=False)
class Span:
    """Bytes `start` to `start + length` of an open file, not yet read."""

    file: BinaryIO
    start: int
    length: int

    def read(self) -> Tensor:
        """The bytes, `uint8 [length]`."""
        data = torch.empty(self.length, dtype=torch.uint8)
        self.file.seek(self.start)
        if self.file.readinto(data.numpy()) != self.length:  # type: ignore[attr-defined]
            raise Refused(CUT_SHORT)
        return data


class Opaque:
    """Stands for a key that is not looked at, because hashing it could do harm: each is equal to itself alone."""


PERSISTENT = "persistent id"
"""Name of the records that stand for `persistent_load(args[0])`."""


class Machine:
    """Runs the one pickle that stands at `start` in `file`; afterwards `position` is the byte behind it."""

    def __init__(self, file: BinaryIO, start: int, end: int, max_steps: int = MAX_STEPS) -> None:
        self.file = file
        self.position = start
        self.end = end
        self.max_steps = max_steps
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}
        self.persistent: list[Record] = []
        """The records of persistent ids, in the order of their appearance."""

    def load(self) -> object:
        """The object that the pickle describes. Raises Refused, or IndexError and the like for a damaged file."""
        self.file.seek(self.position)
        for _ in range(self.max_steps):
            code = self._take(1)[0]
            if code == STOP:
                return self.stack.pop()
            step = STEPS.get(code)
            if step is None:
                raise Refused(f"is not a checkpoint, or damaged (pickle instruction {code:#04x})")
            step(self)
        raise Refused("is no checkpoint: its pickle is longer than that of any network")

    # Reading

    def _skip(self, n: int) -> int:
        """Reserve the next n bytes; returns where they start."""
        start = self.position
        if n < 0 or n > self.end - start:
            raise Refused(CUT_SHORT)
        self.position += n
        return start

    def _take(self, n: int) -> bytes:
        if n > MAX_TEXT:
            raise Refused(f"declares a text of {n} bytes, more than any checkpoint holds")
        self._skip(n)
        data = self.file.read(n)
        if len(data) != n:
            raise Refused(CUT_SHORT)
        return data

    def _number(self, form: str) -> int:
        value: int = struct.unpack(form, self._take(struct.calcsize(form)))[0]
        return value

    def _protocol(self) -> None:
        if self._number("<B") > 5:
            raise Refused("is a pickle of a newer protocol than any checkpoint uses")

    def _frame(self) -> None:
        if self._number("<Q") > self.end - self.position:
            raise Refused(CUT_SHORT)

    def _integer(self, form: str) -> None:
        self.stack.append(int.from_bytes(self._take(self._number(form)), "little", signed=True))

    def _text(self, form: str, encoding: str = "utf-8") -> None:
        self.stack.append(self._take(self._number(form)).decode(encoding, "surrogatepass"))

    def _span(self, form: str) -> None:
        length = self._number(form)
        self.stack.append(Span(self.file, self._skip(length), length))
        self.file.seek(self.position)

    def _line(self) -> str:
        data = self.file.readline(min(1000, self.end - self.position))
        self.position += len(data)
        if not data.endswith(b"\n"):
            raise Refused(CUT_SHORT)
        return data[:-1].decode()

    # The stack

    def _above_mark(self) -> list[object]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def _last(self, n: int) -> tuple[object, ...]:
        items = tuple(self.stack.pop() for _ in range(n))
        return items[::-1]

    def _drop(self, *, to_mark: bool = False) -> None:
        if to_mark:
            self._above_mark()
        else:
            self.stack.pop()

    def _put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    # Containers

    def _extend(self, items: list[object]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Record):
            raise Refused(CUT_SHORT)

    def _update(self, items: list[object]) -> None:
        target = self.stack[-1]
        entries = target.items if isinstance(target, Record) else target
        if not isinstance(entries, dict):
            raise Refused(CUT_SHORT)
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing anything deeper could overflow the C stack.
            plain = key is None or isinstance(key, str) or (isinstance(key, int) and abs(key) < MAX_KEY)
            entries[key if plain else Opaque()] = value

    def _dictionary(self) -> None:
        items = self._above_mark()
        self.stack.append({})
        self._update(items)

    # What would run

    def _name(self, module: object, attribute: object) -> None:
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise Refused(CUT_SHORT)
        name = Name(module, attribute)
        if is_harmful(module, attribute):
            self._forbid(shown(str(name), 80))
        self.stack.append(name)

    def _instance(self) -> None:
        self._name(self._line(), self._line())
        self._forbid("the INST instruction")

    def _call(self) -> None:
        name, args = self._last(2)
        if isinstance(name, Record):  # what a call would give, such as a bound method
            name = Name(name.name[:MAX_NAME], "__call__")
        if not isinstance(name, Name) or not isinstance(args, tuple):
            raise Refused("tries to call what is no function; gansteer never runs code from a checkpoint")
        self.stack.append(Record(str(name), args, {}))

    def _call_with_keywords(self) -> None:
        self.stack.pop()
        self._call()

    def _build(self) -> None:
        target, state = self._last(2)
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(target, dict):
            self._forbid("__setstate__ of a foreign object")
        self.stack.append(target)

    def _persistent_id(self) -> None:
        pid = self.stack.pop()
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module" and isinstance(pid[1], Name):
            self.stack.append(pid[1])  # a class with its source, as older versions of `torch.save` kept it
            return
        record = Record(PERSISTENT, (pid,), {})
        self.persistent.append(record)
        self.stack.append(record)

    def _forbid(self, what: str) -> None:
        raise Refused(f"tries to run {what}; gansteer never runs code from a checkpoint")


Step = Callable[[Machine], None]
STOP = 0x2E

STEPS: dict[int, Step] = {
    # Frames and marks
    0x80: lambda m: m._protocol(),
    0x95: lambda m: m._frame(),
    ord("("): lambda m: m.marks.append(len(m.stack)),
    ord("0"): lambda m: m._drop(),
    ord("1"): lambda m: m._drop(to_mark=True),
    ord("2"): lambda m: m.stack.append(m.stack[-1]),
    # Scalars
    ord("N"): lambda m: m.stack.append(None),
    0x88: lambda m: m.stack.append(True),
    0x89: lambda m: m.stack.append(False),
    ord("J"): lambda m: m.stack.append(m._number("<i")),
    ord("K"): lambda m: m.stack.append(m._number("<B")),
    ord("M"): lambda m: m.stack.append(m._number("<H")),
    0x8A: lambda m: m._integer("<B"),
    0x8B: lambda m: m._integer("<i"),
    ord("G"): lambda m: m.stack.append(struct.unpack(">d", m._take(8))[0]),
    ord("X"): lambda m: m._text("<I"),
    0x8C: lambda m: m._text("<B"),
    0x8D: lambda m: m._text("<Q"),
    ord("T"): lambda m: m._text("<i", "latin-1"),
    ord("U"): lambda m: m._text("<B", "latin-1"),
    ord("B"): lambda m: m._span("<I"),
    ord("C"): lambda m: m._span("<B"),
    0x8E: lambda m: m._span("<Q"),
    0x96: lambda m: m._span("<Q"),
    # Containers; a set is a list, so that nothing is hashed
    ord(")"): lambda m: m.stack.append(()),
    ord("t"): lambda m: m.stack.append(tuple(m._above_mark())),
    0x85: lambda m: m.stack.append(m._last(1)),
    0x86: lambda m: m.stack.append(m._last(2)),
    0x87: lambda m: m.stack.append(m._last(3)),
    ord("]"): lambda m: m.stack.append([]),
    ord("l"): lambda m: m.stack.append(m._above_mark()),
    ord("a"): lambda m: m._extend(list(m._last(1))),
    ord("e"): lambda m: m._extend(m._above_mark()),
    ord("}"): lambda m: m.stack.append({}),
    ord("d"): lambda m: m._dictionary(),
    ord("s"): lambda m: m._update(list(m._last(2))),
    ord("u"): lambda m: m._update(m._above_mark()),
    0x8F: lambda m: m.stack.append([]),
    0x90: lambda m: m._extend(m._above_mark()),
    0x91: lambda m: m.stack.append(m._above_mark()),
    # Memo
    ord("h"): lambda m: m._get(m._number("<B")),
    ord("j"): lambda m: m._get(m._number("<I")),
    ord("g"): lambda m: m._get(int(m._line())),
    ord("q"): lambda m: m._put(m._number("<B")),
    ord("r"): lambda m: m._put(m._number("<I")),
    ord("p"): lambda m: m._put(int(m._line())),
    0x94: lambda m: m._put(len(m.memo)),
    # What Python's machine would import and call
    ord("c"): lambda m: m._name(m._line(), m._line()),
    0x93: lambda m: m._name(*m._last(2)),
    ord("R"): lambda m: m._call(),
    0x81: lambda m: m._call(),
    0x92: lambda m: m._call_with_keywords(),
    ord("b"): lambda m: m._build(),
    ord("Q"): lambda m: m._persistent_id(),
    ord("i"): lambda m: m._instance(),
    ord("o"): lambda m: m._forbid("the OBJ instruction"),
    0x82: lambda m: m._forbid("something from the extension registry"),
    0x83: lambda m: m._forbid("something from the extension registry"),
    0x84: lambda m: m._forbid("something from the extension registry"),
}
"""Instruction to what it does. Those of protocol 0 for numbers and texts are left out: no release was written so."""
