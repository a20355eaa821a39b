"""The two layouts of `torch.save`: a zip archive, and the older sequence of pickles and raw storages."""

import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import torch
from torch import Tensor

from gansteer.checkpoints.names import STORAGES
from gansteer.checkpoints.pickle_reader import CUT_SHORT, MAX_STEPS, Machine, Name, Refused, Span

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
MAX_MEMBERS = 100_000
MAX_PICKLE = 1 << 26


class Blob(Protocol):
    """Bytes somewhere in a file."""

    @property
    def length(self) -> int:
        """Bytes."""

    def read(self) -> Tensor:
        """The bytes, `uint8 [length]`."""


Blobs = Mapping[str, Blob]
"""The storages of a file by their key."""


@dataclass(frozen=True, eq=False)
class Member:
    """One stored (not compressed) file of a zip archive."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    @property
    def length(self) -> int:
        """Bytes."""
        return self.info.file_size

    def read(self) -> Tensor:
        """The bytes, `uint8 [length]`, whose checksum was right."""
        return torch.frombuffer(bytearray(self.archive.read(self.info)), dtype=torch.uint8)


def read_zip(file: BinaryIO, size: int) -> tuple[object, dict[str, Blob]]:
    """The records of `data.pkl` and the storages of a zip archive of `size` bytes."""
    archive = zipfile.ZipFile(file)
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise Refused(f"is no checkpoint: a zip archive of {len(members)} files")
    for info in members:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.file_size > size:
            raise Refused("is a zip archive that unpacks to more than it holds; PyTorch compresses nothing")
    pickles = [info for info in members if info.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Refused("is a zip archive, but not one that PyTorch saved: it has no data.pkl")
    root = pickles[0].filename.removesuffix("data.pkl")
    if any(info.filename.startswith(f"{root}code/") for info in members):
        raise Refused("is a TorchScript program; gansteer never runs code from a checkpoint")
    if pickles[0].file_size > MAX_PICKLE:
        raise Refused(f"is no checkpoint: its data.pkl has {pickles[0].file_size} bytes")
    order = next((info for info in members if info.filename == f"{root}byteorder" and info.file_size <= 8), None)
    if order is not None and archive.read(order) != b"little":
        raise Refused("was saved on a big-endian machine, which is not supported")
    data = archive.read(pickles[0])
    prefix = f"{root}data/"
    blobs: dict[str, Blob] = {
        info.filename.removeprefix(prefix): Member(archive, info)
        for info in members
        if info.filename.startswith(prefix)
    }
    return Machine(io.BytesIO(data), 0, len(data)).load(), blobs


def storage_parts(pid: object) -> tuple[torch.dtype, str, int]:
    """`('storage', type, key, device, size, ...)` to element type, key and size."""
    if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage" or any(pid[5:]):
        raise Refused(CUT_SHORT)
    _, storage, key, _, size = pid[:5]
    if (
        not isinstance(storage, Name)
        or str(storage) not in STORAGES
        or not isinstance(key, str)
        or type(size) is not int
    ):
        raise Refused(CUT_SHORT)
    return STORAGES[str(storage)], key, size


def read_legacy(file: BinaryIO, start: int, end: int, max_steps: int = MAX_STEPS) -> tuple[object, dict[str, Blob]]:
    """The records and storages of what older versions of `torch.save` wrote to bytes `start` to `end`.

    Magic number, protocol, system, object and storage keys are pickles one behind the other; then each storage is its
    number of elements and the elements.
    """
    position = start

    def load(of: Callable[[Machine], object] = lambda machine: None) -> object:
        nonlocal position
        machine = Machine(file, position, end, max_steps)
        value = machine.load()
        of(machine)
        position = machine.position
        return value

    if load() != MAGIC or load() != PROTOCOL:
        raise Refused("is not a file that PyTorch saved (wrong magic number)")
    system = load()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Refused("was saved on a big-endian machine, which is not supported")
    kinds: dict[str, torch.dtype] = {}

    def note(machine: Machine) -> None:
        for record in machine.persistent:
            kind, key, _ = storage_parts(record.args[0])
            kinds[key] = kind

    root = load(note)
    keys = load()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Refused(CUT_SHORT)
    blobs: dict[str, Blob] = {}
    for key in keys:
        file.seek(position)
        count = struct.unpack("<q", file.read(8))[0] if position + 8 <= end else -1
        length = count * kinds[key].itemsize
        if count < 0 or position + 8 + length > end:
            raise Refused(CUT_SHORT)
        blobs[key] = Span(file, position + 8, length)
        position += 8 + length
    return root, blobs
