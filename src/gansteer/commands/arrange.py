"""`gansteer arrange`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gansteer.commands.results import Results, told
from gansteer.commands.starting import Beginning, open_start
from gansteer.errors import UserError

if TYPE_CHECKING:
    from gansteer.edits.arrangement.edit import Arrangement, NewBlob
    from gansteer.subject import Subject

FILM_STEPS = 24
"""Pictures of a film."""
NUMBER = r"([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"

Texts = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]


@dataclass(frozen=True, kw_only=True)
class Arrange(Beginning, Results):
    """Move, resize, restyle, hide, show, add and duplicate the blobs of a picture; the things that they draw follow."""

    out: Path = Path("arranged.png")
    """The picture (.png, .jpg or .webp), or the subject (.steer) for another edit."""
    list: bool = False
    """Print the picture's blobs, with what each of them draws where a reader knows; changes nothing."""
    move: Texts = ()
    """Blob and how many pixels it goes to the right and down, such as 2:+20,-4; once for every blob."""
    resize: Texts = ()
    """Blob and how many times as large it gets, such as 2:1.5."""
    restyle: Texts = ()
    """Blob and the seed of its new style, such as 1:77."""
    remove: Texts = ()
    """Blobs to hide, such as 4 or 4,5."""
    show: Texts = ()
    """Hidden blobs to bring back."""
    delete: Texts = ()
    """Blobs to take out of the layout for good; those after them get lower numbers."""
    duplicate: Texts = ()
    """Blobs to add another one of, beside them."""
    add: Texts = ()
    """Where to add a blob: x,y in pixels, then its size in pixels and the seed of its style if you like: 40,90,12:5."""

    def run(self) -> None:
        flags = (self.move, self.resize, self.restyle, self.remove, self.show, self.delete, self.duplicate, self.add)
        asked = any(flags)
        if self.list:
            if asked or self.replay is not None:
                raise UserError("--list prints the blobs as they are: leave the other flags out")
            print_blobs(self.begin()[1])
            return
        if asked == (self.replay is not None):
            raise UserError(
                "say what to change, such as --move 2:+20,-4 (--list shows the blobs), or --replay with a record"
            )
        edit = self.edit()
        self.check()
        if self.replay is not None:
            model, _ = open_start(self.model, self.subject, self.device)
            print(self.run_again(self.replay, model))
            return
        carried = self.carry_out(self.begin()[1], edit, "arranging", self.source)
        told(carried, f"wrote {self.out}: {edit.title}")

    def edit(self) -> "Arrangement":
        """The edit that the flags describe. Raises UserError."""
        from gansteer.edits.arrangement.edit import Arrangement

        moves = {blob: _pair(value, text) for blob, value, text in _by_blob(self.move, "--move", "2:+20,-4")}
        resizes = {blob: _number(value, text) for blob, value, text in _by_blob(self.resize, "--resize", "2:1.5")}
        restyles = {blob: _whole(value, text) for blob, value, text in _by_blob(self.restyle, "--restyle", "1:77")}
        return Arrangement(
            moves=moves,
            resizes=resizes,
            restyles=restyles,
            removes=_blobs(self.remove, "--remove"),
            shows=_blobs(self.show, "--show"),
            deletes=_blobs(self.delete, "--delete"),
            duplicates=_blobs(self.duplicate, "--duplicate"),
            adds=tuple(_new(text) for text in self.add),
            steps=FILM_STEPS if self.film else 1,
        )


def print_blobs(subject: "Subject") -> None:
    """The blobs of a picture as a table, to the terminal. Raises UserError if it has no layout."""
    from rich.console import Console
    from rich.table import Table

    from gansteer.edits.arrangement.edit import layout_of
    from gansteer.edits.arrangement.naming import names_of

    layout = layout_of(subject)
    if not len(layout):
        print("this picture has no blobs: add one with --add x,y")
        return
    names = names_of(subject)
    hierarchical = bool((layout.levels > 0).any())
    table = Table(box=None, pad_edge=False)
    headings = ["blob", "x", "y", "size", "", "draws", *(["level", "goes along with"] if hierarchical else [])]
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("", "draws") else "right")
    for number, (blob, name) in enumerate(zip(layout.blobs, names, strict=True)):
        parent = "" if blob.parent is None else str(blob.parent)
        more = [str(blob.level), parent] if hierarchical else []
        there = "there" if blob.present else "hidden"
        table.add_row(str(number), f"{blob.x:.1f}", f"{blob.y:.1f}", f"{blob.size:.1f}", there, name or "-", *more)
    Console().print(table)


def _by_blob(texts: tuple[str, ...], flag: str, example: str) -> "list[tuple[int, str, str]]":
    """Blob, what follows the colon, and the flag with its text, of each. Raises UserError."""
    found: dict[int, tuple[int, str, str]] = {}
    for text in texts:
        match = re.fullmatch(r"\s*(\d{1,9})\s*:(.+)", text, re.ASCII)
        if match is None:
            raise UserError(
                f"{flag} {text!r}: write the blob, a colon and what becomes of it, such as {flag} {example}"
            )
        blob = int(match[1])
        if blob in found:
            raise UserError(f"{flag} names blob {blob} twice: name it once")
        found[blob] = blob, match[2].strip(), f"{flag} {text!r}"
    return [*found.values()]


def _pair(text: str, flag: str) -> tuple[float, float]:
    match = re.fullmatch(rf"{NUMBER}\s*,\s*{NUMBER}", text, re.ASCII)
    if match is None:
        raise UserError(f"{flag}: write pixels to the right and down, such as +20,-4")
    return float(match[1]), float(match[2])


def _number(text: str, flag: str) -> float:
    match = re.fullmatch(NUMBER, text, re.ASCII)
    if match is None:
        raise UserError(f"{flag}: write how many times as large, such as 1.5")
    return float(text)


def _whole(text: str, flag: str) -> int:
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII):
        raise UserError(f"{flag}: the seed of a style is a whole number from 0 on")
    return int(text)


def _blobs(texts: tuple[str, ...], flag: str) -> tuple[int, ...]:
    words = [word.strip() for text in texts for word in text.split(",")]
    for word in words:
        if not re.fullmatch(r"\d{1,9}", word, re.ASCII):
            raise UserError(f"{flag} {word!r}: write the numbers of blobs, such as 4 or 4,5; --list shows them")
    return tuple(int(word) for word in words)


def _new(text: str) -> "NewBlob":
    from gansteer.edits.arrangement.edit import NewBlob

    match = re.fullmatch(rf"\s*{NUMBER},{NUMBER}(?:,{NUMBER})?(?::(\d{{1,10}}))?\s*", text, re.ASCII)
    if match is None:
        raise UserError(
            f"--add {text!r}: write x,y in pixels, such as 40,90, or 40,90,12:5 with a size and a style's seed"
        )
    x, y, size, style = match.groups()
    return NewBlob(float(x), float(y), None if size is None else float(size), int(style or 0))
