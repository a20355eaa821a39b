"""Files appear complete or not at all: written to a new name beside the target, then renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from gansteer.errors import UserError


def check_writable(target: Path) -> None:
    """Raise UserError now, before the work, if the file `target` could not be written after it."""
    if not target.parent.is_dir():
        raise UserError(f"there is no folder {target.parent}: make it first")
    if target.is_dir():
        raise UserError(f"{target} is a folder: name a file in it")
    try:
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}") from error


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A new name beside `target` to write to; renamed to `target` when the block ends well, and removed otherwise.

    What stood at `target` before is as it was until then. Raises UserError for what the system refuses (a full disk).
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{target} could not be written ({reason}); what was there before is as it was") from error
    finally:
        with suppress(OSError):  # it would hide what went wrong before
            temporary.unlink(missing_ok=True)


FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""The ending of a picture's file to Pillow's name of its format."""


def check_picture(target: Path) -> None:
    """Raise UserError if no picture could be written to `target`: an unknown ending, or no place to write."""
    if target.suffix.lower() not in FORMATS:
        raise UserError(f"{target}: a picture's file ends in {', '.join(FORMATS)}")
    check_writable(target)


SAVERS = {".steer": "gansteer.steerfile:save_subject"}
"""Endings of files that hold a subject instead of its picture, to what writes them; imported when first used."""


def save_subject(subject: Any, target: Path) -> None:
    """Write a subject by the target's ending: its picture, or (.steer) the subject itself. Raises UserError."""
    place = SAVERS.get(target.suffix.lower())
    if place is None:
        check_picture(target)
        save_picture(subject.image, target)
        return
    check_writable(target)
    module, name = place.split(":")
    getattr(import_module(module), name)(subject, target)


def save_picture(picture: Image.Image, target: Path) -> None:
    """Write `picture` in the format of the target's ending: PNG and WebP without loss, JPEG at quality 95."""
    with replacing(target) as path:
        path.write_bytes(encoded(picture, target.suffix))


def encoded(picture: Image.Image, ending: str) -> bytes:
    """What is in the file of a picture that has this ending."""
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 95, "subsampling": 0},
        "WEBP": {"lossless": True},
        "PNG": {},
    }
    kind, data = FORMATS[ending.lower()], BytesIO()
    picture.save(data, kind, **options[kind])
    return data.getvalue()
