"""Files of records: what a long measurement has found so far, so that it can be stopped at any time and go on later.

The first line says what the records are of, every other is a record; all are JSON. Several processes may append to one file.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gansteer.errors import UserError
from gansteer.output import replacing
from gansteer.places import Address, RemoteLog, check_place

T = TypeVar("T")

DAMAGED = "is no file of records, or a damaged one: remove it to begin anew"


def check_records(path: Path | None, minutes: float | None) -> None:
    """Raise UserError, before the work, if `--records` can't be written or `--minutes` is no time."""
    if minutes is not None and not minutes > 0:
        raise UserError(f"--minutes must be above 0, not {minutes:g}")
    if path is not None:
        if path.suffix != ".jsonl":
            raise UserError(f"{path}: the file of records ends in .jsonl")
        check_place(path)


@contextmanager
def recording(
    where: Path | None, head: Mapping[str, Any], parse: Callable[[Any], T]
) -> Iterator[tuple[list[T], Callable[[object], None]]]:
    """What a file, or an address, holds already of `head`, and what adds a record (anything of JSON) to it.

    Without a place nothing is kept. Raises UserError as `resume` does.
    """
    if where is None:
        yield [], lambda record: None
    elif isinstance(where, Address):
        with closing(RemoteLog(where)) as log:
            found = [line + "\n" for line in log.lines()]
            known = _of_head(where, found, head, parse) if found else []
            if not found:
                log.add(json.dumps(head))
            yield known, lambda record: log.add(json.dumps(record))
    else:
        yield resume(where, head, parse), partial(append, where)


def resume(path: Path, head: Mapping[str, Any], parse: Callable[[Any], T]) -> list[T]:
    """The records of a file that is of `head`; where there is none, it is begun.

    A last line that was cut off is removed, so that the next one begins anew. Raises UserError as `read_records` does, and
    for a file that is of something else.
    """
    if not path.exists():
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(head) + "\n", encoding="utf-8")
    records = _of_head(path, _lines(path), head, parse)
    data = path.read_bytes()
    if not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)
    return records


def append(path: Path, record: object) -> None:
    """Add a record (anything of JSON) to a file that was begun; in one piece, as other processes may write too."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read_records(path: Path, parse: Callable[[Any], T]) -> tuple[dict[str, Any], list[T]]:
    """What a file is of, and its records as `parse` makes them of JSON; a last line that was cut off is left out.

    Raises UserError if there is no such file or it holds anything else; `parse` says so by LookupError, TypeError,
    ValueError or AttributeError.
    """
    return _parsed(path, _lines(path), parse)


def _lines(path: Path) -> list[str]:
    """Of a file, each with its end."""
    try:
        return path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} {DAMAGED}") from error


def _parsed(where: Path, lines: list[str], parse: Callable[[Any], T]) -> tuple[dict[str, Any], list[T]]:
    try:
        first, *others = lines
        return json.loads(first), [parse(json.loads(line)) for line in others if line.endswith("\n")]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{where} {DAMAGED}") from error


def _of_head(where: Path, lines: list[str], head: Mapping[str, Any], parse: Callable[[Any], T]) -> list[T]:
    found, records = _parsed(where, lines, parse)
    if found != json.loads(json.dumps(head)):
        raise UserError(f"{where} is of other weights or settings: give another file, or remove it")
    return records
