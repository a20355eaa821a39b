"""Files of records: what a long measurement has found so far, so that it can be stopped at any time and go on later.

The first line says what the records are of, every other is a record; all are JSON. Several processes may append to one file.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from gansteer.errors import UserError
from gansteer.output import check_writable, replacing

T = TypeVar("T")


def check_records(path: Path | None, minutes: float | None) -> None:
    """Raise UserError, before the work, if `--records` can't be written or `--minutes` is no time."""
    if minutes is not None and not minutes > 0:
        raise UserError(f"--minutes must be above 0, not {minutes:g}")
    if path is not None:
        if path.suffix != ".jsonl":
            raise UserError(f"{path}: the file of records ends in .jsonl")
        check_writable(path)


def resume(path: Path, head: Mapping[str, Any], parse: Callable[[Any], T]) -> list[T]:
    """The records of a file that is of `head`; where there is none, it is begun.

    A last line that was cut off is removed, so that the next one begins anew. Raises UserError as `read_records` does, and
    for a file that is of something else.
    """
    if not path.exists():
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(head) + "\n", encoding="utf-8")
    found, records = read_records(path, parse)
    if found != json.loads(json.dumps(head)):
        raise UserError(f"{path} is of other weights or settings: give another file, or remove it")
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
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        head = json.loads(first)
        return head, [parse(json.loads(line)) for line in lines if line.endswith("\n")]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is no file of records, or a damaged one: remove it to begin anew") from error
