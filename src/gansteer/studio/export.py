"""What can be kept of the work on a picture, as the bytes of a file; and a picture that brings its settings back."""

import json
import struct
import tempfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gansteer.checkpoints.latents import latent_bytes
from gansteer.edits.api import Progress
from gansteer.errors import UserError
from gansteer.film import frames, save_film
from gansteer.session import Node, Session, replay
from gansteer.steerfile import to_bytes
from gansteer.studio.protocol import EXPORTS
from gansteer.studio.script import python, shell
from gansteer.subject import Subject, to_image

CHUNK = b"stEr"
"""Of a PNG: ancillary, private, safe to copy. It holds the `.steer` file of the way to the picture."""
MAX_CHUNKS = 100_000
"""Of a PNG that settings are sought in; an encoder writes one for some kilobytes of picture."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"
FILMS = {"webp": "image/webp", "gif": "image/gif", "mp4": "video/mp4"}
Progresses = Sequence[Progress]


def exports() -> dict[str, str]:
    """Those of `protocol.EXPORTS` that can be made here: MP4 needs the extra `video`."""
    return {what: about for what, about in EXPORTS.items() if what != "mp4" or find_spec("av")}


@dataclass(frozen=True)
class Export:
    """A file to keep."""

    data: bytes
    kind: str
    """Its media type."""
    name: str


def export(session: Session, id: int, what: str, size: int = 0) -> Export:
    """The file `what` of a node: a name in `protocol.EXPORTS`, but for films. Raises UserError.

    A JPEG, or a PNG, has sides of `size` pixels, if that isn't 0.
    """
    node = session.find(id)
    stem = f"gansteer-{id}"
    if what == "png":
        return Export(png(session, id, size), "image/png", f"{stem}.png")
    if what == "jpeg":
        data = BytesIO()
        resized(drawn(node.subject).convert("RGB"), size).save(data, "JPEG", quality=95, subsampling=0)
        return Export(data.getvalue(), "image/jpeg", f"{stem}.jpg")
    if what == "latent":
        return Export(latent_bytes(node.subject), "application/octet-stream", f"{stem}.safetensors")
    if what == "mask":
        return Export(mask(node), "image/png", f"{stem}-mask.png")
    if what == "points":
        return Export(json.dumps(points(node), indent=1).encode(), "application/json", f"{stem}-points.json")
    if what == "steer":
        session = session.copy()
        session.go(id)
        return Export(to_bytes(session), "application/zip", f"{stem}.steer")
    if what == "python":
        return Export("\n".join(python(session, id)).encode(), "text/x-python", f"{stem}.py")
    if what == "shell":
        return Export("\n".join(shell(session, id)).encode(), "text/x-sh", f"{stem}.sh")
    raise UserError(f"there is no export {what!r}")


def drawn(subject: Subject) -> Image.Image:
    """The picture of a subject, which does not keep it as `subject.image` would: the history may be long."""
    return to_image(subject.render())


def png(session: Session, id: int, size: int = 0) -> bytes:
    """The picture, with the way to it inside; with a `size`, of that side."""
    data, chunk = BytesIO(), PngInfo()
    chunk.add(CHUNK, to_bytes(session.only(id)))
    resized(drawn(session.find(id).subject), size).save(data, "PNG", pnginfo=chunk)
    return data.getvalue()


def settings(picture: bytes) -> bytes | None:
    """The `.steer` file inside a PNG that `png` made; None if there is none."""
    if not picture.startswith(SIGNATURE):
        return None
    place = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if place + 12 > len(picture):
            break
        length, kind = struct.unpack_from(">I4s", picture, place)
        data = picture[place + 8 : place + 8 + length]
        if kind == CHUNK:
            whole = picture[place + 8 + length : place + 12 + length] == struct.pack(">I", zlib.crc32(kind + data))
            if not whole:
                raise UserError("the settings in this picture are damaged")
            return data
        place += 12 + length
    return None


def mask(node: Node) -> bytes:
    """The mask of the node's edit as PNG, white = may move. Raises UserError if there is none."""
    area = node.edit.area() if node.edit else None
    if area is None:
        raise UserError("this edit has no mask: paint one first")
    data = BytesIO()
    Image.fromarray((area.numpy() > 0.5).astype(np.uint8) * 255).save(data, "PNG")
    return data.getvalue()


def points(node: Node) -> dict[str, Any]:
    """Handles, targets and where the handles were, in pixels. Raises UserError for edits without points."""
    handles, targets = node.edit.points() if node.edit else ((), ())
    if not handles:
        raise UserError("only a drag has points: choose one in the history")
    return {
        "handles": handles,
        "targets": targets,
        "trail": [{"step": trace.step, "points": trace.points} for trace in node.steps],
    }


Told = Callable[[int, int], None]
"""Called with how many pictures are done, and of how many. May raise, which ends the work."""


def movie(
    session: Session, node: Node, film: Progresses, marks: bool, size: int = 0, told: Told = lambda done, of: None
) -> Generator[None, None, list[Image.Image]]:
    """The pictures of the film of a node's edit; pauses after each, for it may take long. Raises UserError.

    `film` are the steps of the edit if they are still there; otherwise it is carried out again. With a `size` they have
    that side.
    """
    if node.edit is None:
        raise UserError("only an edit makes a film: choose one in the history")
    told_before = not film
    if not film:
        parent = session.nodes[node.parent].subject if node.parent else node.subject
        film = yield from _again(node, parent, told)
    steps = [replace(step, subject=replace(step.subject)) for step in film]  # or they would keep their pictures
    shots: list[Image.Image] = []
    again, of = (0, len(steps)) if not told_before else (len(steps), 2 * len(steps))
    for shot in frames(steps, node.edit, marks=marks):
        shots.append(resized(shot, size))
        told(again + len(shots), of)
        yield
    return shots


def walked(subjects: Iterator[Subject], count: int, told: Told) -> Generator[None, None, list[Image.Image]]:
    """The pictures of `count` subjects; pauses after each."""
    shots: list[Image.Image] = []
    for subject in subjects:
        shots.append(drawn(subject))
        told(len(shots), count)
        yield
    return shots


def film_file(shots: Sequence[Image.Image], name: int | str, what: str, rest: bool = True) -> Export:
    """The film of these pictures in one of `FILMS`; with `rest`, the last stays for a second. Takes seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"film.{what}"
        save_film(shots, path, rest=rest)
        return Export(path.read_bytes(), FILMS[what], f"gansteer-{name}.{what}")


def _again(node: Node, parent: Subject, told: Told) -> Generator[None, None, list[Progress]]:
    progresses: list[Progress] = []
    steps = max(node.step_count, 1)
    for progress in replay(node, parent):
        progresses.append(progress)
        told(min(len(progresses), steps), 2 * steps)  # the other half of the way is drawing
        yield
    return progresses


def resized(picture: Image.Image, size: int) -> Image.Image:
    """A square picture with sides of `size` pixels by Lanczos' filter, which adds nothing; 0 leaves it as it is."""
    return picture if size in (0, picture.width) else picture.resize((size, size), Image.Resampling.LANCZOS)
