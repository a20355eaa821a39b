"""A model as others get it: its file with the card for people, the licence, some pictures and checksums; a folder or a zip."""

import hashlib
import io
import json
import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from gansteer.checkpoints import native
from gansteer.checkpoints.pickle_reader import CUT_SHORT, Refused
from gansteer.errors import UserError
from gansteer.output import replacing, save_picture
from gansteer.sheet import sheet
from gansteer.subject import Card, Model

MODEL, SUMS = "model.safetensors", "SHA256SUMS"
SAMPLES = 8
FULL = {"MIT": "mit", "Apache-2.0": "apache-2.0", "CC0": "cc0-1.0", "CC0-1.0": "cc0-1.0", "CC-BY-4.0": "cc-by-4.0",
        "CC-BY-SA-4.0": "cc-by-sa-4.0", "CC-BY-NC-4.0": "cc-by-nc-4.0", "CC-BY-NC-SA-4.0": "cc-by-nc-sa-4.0",
        "BSD-3-Clause": "bsd-3-clause", "OpenRAIL-M": "openrail"}  # fmt: skip
"""How licences begin in a card, to the hub's words for them."""
MOST_SUMS = 1 << 16


def write_package(model: Model, folder: Path, licence: str | None = None, text: str | None = None) -> list[str]:
    """Write all of it to an empty folder. Returns the names of the files.

    `licence` is its name, by default that of the card; `text` what it says in full. Raises UserError if none is known:
    without one, others may do nothing with a model.
    """
    card = model.card if licence is None else replace(model.card, licence=licence)
    if card.licence in ("", "unknown"):
        raise UserError(f"the card of {card.name} names no licence: give --licence, such as MIT or CC-BY-4.0")
    native.save_model(replace(model, card=card), folder / MODEL)
    label = 0 if model.generator.config.c_dim else None
    save_picture(sheet([model.sample(seed, label=label).image for seed in range(SAMPLES)]), folder / "samples.png")
    (folder / "README.md").write_text(readme(card, model.resolution, model.digest), encoding="utf-8")
    named = f"The weights of {card.name} are licensed under: {card.licence}\n"
    (folder / "LICENSE").write_text(f"{named}\n{text.strip()}\n" if text else named, encoding="utf-8")
    names = sorted(path.name for path in folder.iterdir())
    sums = "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    (folder / SUMS).write_text(sums)
    return [*names, SUMS]


def zipped(folder: Path, target: Path) -> None:
    """The files of a folder in a zip, uncompressed so that the model is read in place, the same bytes each time."""
    with replacing(target) as path, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.iterdir()):
            info = zipfile.ZipInfo(file.name)
            info.external_attr = 0o644 << 16
            archive.writestr(info, file.read_bytes())


def readme(card: Card, resolution: int, digest: str) -> str:
    """The card for people, in Markdown, with the front matter that the hub reads."""
    short = next((word for name, word in FULL.items() if re.match(rf"{re.escape(name)}(?![\w.-])", card.licence)), None)
    front = [f"license: {short}" if short else f"license: other\nlicense_name: {json.dumps(card.licence)}"]
    front += ["library_name: gansteer", "pipeline_tag: unconditional-image-generation", "tags: [gan, gansteer]"]
    lines = ["---", *front, "---", f"# {card.name}", "", card.description, "", "![samples](samples.png)", ""]
    lines += [f"- Pictures: {card.domain}, {resolution} px", f"- Licence: {card.licence}", f"- Weights: `{digest}`", ""]
    lines += ["```sh", "pip install gansteer", "gansteer sample --model THIS_FOLDER --out sheet.png", "```", "",
              "In place of THIS_FOLDER, a zip of it or the hub's `hf:owner/name` does as well.", ""]  # fmt: skip
    for title, values in (("Training", card.training), ("Measured", card.metrics)):
        if values:
            lines += [f"## {title}", "", "```json", json.dumps(dict(values), indent=1, default=dict), "```", ""]
    if card.limits:
        lines += ["## Limits", "", *(f"- {limit}" for limit in card.limits), ""]
    return "\n".join(lines)


# --- reading a zip ------------------------------------------------------------------------------------------------------


class Window(io.RawIOBase):
    """Bytes `start` to `start + length` of an open file, as a file of its own."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._file, self._start, self._length, self._at = file, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._length)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """As many bytes as fit, up to the window's end."""
        view = memoryview(buffer).cast("B")[: max(0, self._length - self._at)]
        self._file.seek(self._start + self._at)
        count: int = self._file.readinto(view)  # type: ignore[attr-defined]
        self._at += count
        return count


def packaged(file: BinaryIO) -> tuple[BinaryIO, int] | None:
    """The model's file in a package's zip, and its bytes; None if it is another zip. Raises Refused if it is damaged."""
    with zipfile.ZipFile(file) as archive:
        members: Mapping[str, zipfile.ZipInfo] = {info.filename: info for info in archive.infolist()}
        found = [name for name in members if name == MODEL or (name.count("/") == 1 and name.endswith(f"/{MODEL}"))]
        if len(found) != 1:
            return None
        info = members[found[0]]
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise Refused("is a package that was compressed or encrypted: unpack it, and name the folder")
        sums = members.get(found[0].removesuffix(MODEL) + SUMS)
        stated = archive.read(sums).decode("ascii", "replace") if sums and sums.file_size <= MOST_SUMS else ""
    file.seek(info.header_offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise Refused(CUT_SHORT)
    name, extra = struct.unpack("<HH", header[26:30])
    window = Window(file, info.header_offset + 30 + name + extra, info.file_size)
    wanted = re.search(rf"^([0-9a-f]{{64}})  {re.escape(MODEL)}$", stated, re.MULTILINE)
    if wanted is None:
        raise Refused(f"is a package without the checksum of its {MODEL} in {SUMS}")
    if hashlib.file_digest(window, "sha256").hexdigest() != wanted[1]:
        raise Refused(f"is damaged: its {MODEL} has another checksum than {SUMS} says")
    return window, info.file_size  # type: ignore[return-value]  # a RawIOBase reads bytes too
