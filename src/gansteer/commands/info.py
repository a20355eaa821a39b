"""`gansteer info`."""

import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import tyro

from gansteer.errors import UserError

if TYPE_CHECKING:
    from gansteer.checkpoints.files import Description

CARD = ("name", "description", "domain", "licence", "limits")
"""What a person asks first."""


@dataclass(frozen=True)
class Info:
    """Tell what a checkpoint holds, without running anything in it."""

    file: tyro.conf.Positional[str]
    """The checkpoint: a file, the name of a model, or a hub id."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""

    def run(self) -> None:
        from gansteer.checkpoints.files import describe
        from gansteer.checkpoints.registry import resolve

        about = describe(resolve(self.file), self.network)
        columns = get_terminal_size().columns if sys.stdout.isatty() else 0  # lines of a file are whole
        group = None
        for name, value in _lines(about):
            if columns and group not in (None, _group(name)):
                print()
            group, wide = _group(name), 40 if "." in name else 16
            print(_hanging(f"{name:<{wide}} ", str(value), columns))
        if about.problem is not None:
            raise UserError(about.problem)


def _group(name: str) -> str:
    """What stands together: the card, the file, its training, and each measurement."""
    return "card" if name in CARD else ".".join(name.split(".")[:-1][:2]) or "file"


def _hanging(name: str, value: str, columns: int) -> str:
    """A name and its value; in a terminal of so many columns a long value goes on below itself. 0: in one line."""
    if not columns:
        return name + value
    width = max(columns, len(name) + 30)
    return textwrap.fill(value, width, initial_indent=name, subsequent_indent=" " * len(name), break_on_hyphens=False)


def _lines(about: "Description") -> Iterator[tuple[str, object]]:
    card = {} if about.card is None else {name: value for name, value in vars(about.card).items() if value}
    for name in CARD:
        if name in card:
            yield from _leaves(name, card.pop(name))
    yield "file", about.path
    yield "size", f"{about.size / 1e6:.1f} MB"
    yield "kind", about.kind
    if about.held:
        yield "holds", ", ".join(about.held)
    for note in about.notes:
        yield "note", note
    if about.config is not None:
        yield from ((name, value) for name, value in asdict(about.config).items() if value is not None)
    for name, value in card.items():
        yield from _leaves(name, value)


def _leaves(name: str, value: object) -> Iterator[tuple[str, object]]:
    """A mapping within a mapping as lines such as `metrics.quality.model`; a measure with its floor stands on one line."""
    if isinstance(value, Mapping) and "value" in value:
        others = ", ".join(f"{key} {_short(inner)}" for key, inner in value.items() if key != "value")
        yield name, f"{_short(value['value'])} ({others})" if others else _short(value["value"])
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple):
        yield name, "; ".join(map(_short, value))
    elif value is not None:
        yield name, _short(value)


def _short(value: object) -> str:
    """A number with four digits, a row of a table in words; anything else as it is."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_short(inner)}" for key, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
