"""`gansteer info`."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import tyro

from gansteer.errors import UserError

if TYPE_CHECKING:
    from gansteer.checkpoints.files import Description


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
        for name, value in _lines(about):
            print(f"{name:<40} {value}" if "." in name else f"{name:<16} {value}")
        if about.problem is not None:
            raise UserError(about.problem)


def _lines(about: "Description") -> Iterator[tuple[str, object]]:
    yield "file", about.path
    yield "size", f"{about.size / 1e6:.1f} MB"
    yield "kind", about.kind
    if about.held:
        yield "holds", ", ".join(about.held)
    for note in about.notes:
        yield "note", note
    if about.config is not None:
        yield from ((name, value) for name, value in asdict(about.config).items() if value is not None)
    if about.card is not None:
        for name, value in vars(about.card).items():
            if value:
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
