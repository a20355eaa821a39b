"""Figures in a Markdown document, each put there by the command that measured it."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from gansteer.errors import UserError
from gansteer.output import replacing


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; every row has as many cells as `head`."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def fill(path: Path, mark: str, text: str) -> None:
    """Put `text` between the lines `<!-- mark -->` and `<!-- end of mark -->` of the document at `path`."""
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    before = path.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    after, found = pattern.subn(lambda _: f"{begin}\n{text.strip()}\n{end}", before)
    if found != 1:
        raise UserError(f"{path} needs the lines {begin} and {end} once, to put the measured figures between")
    with replacing(path) as temporary:
        temporary.write_text(after, encoding="utf-8")
