"""The journal of a running edit: its steps on the disk, as they come."""

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from gansteer.edits.api import StepRecord
from gansteer.errors import UserError
from gansteer.session import Node, Session
from gansteer.steerfile import Opener, Picture, Shelf

MAX_JOURNAL = 1 << 25
"""Bytes after which a journal begins anew with all of the node."""


class _Raw(msgspec.Struct, array_like=True):
    """A tensor as it stands in memory: writing safetensors at every step took ten times as long."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, x: Tensor) -> "_Raw":
        return cls(str(x.dtype).removeprefix("torch."), tuple(x.shape), x.flatten().view(torch.uint8).numpy().tobytes())

    def tensor(self) -> Tensor:
        """Raises ValueError or RuntimeError if it is none."""
        dtype = getattr(torch, self.dtype, None)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"there is no {self.dtype!r}")
        return torch.frombuffer(bytearray(self.data), dtype=dtype).view(self.shape)


class _Step(msgspec.Struct, array_like=True):
    node: int
    subject: Picture
    tensors: dict[str, _Raw]
    steps: tuple[StepRecord, ...]
    """In the first record all of the node's, later the last step."""
    stop_reason: str | None


class Journal:
    """A running edit's steps on the disk, as they come: a file that is only appended to, which takes microseconds.

    It outlives the process, not the machine: only `save_session` waits for the disk.
    """

    def __init__(self, path: Path) -> None:
        """Begins anew at `path`. Raises UserError if that can't be written."""
        self._path = path
        self._begun = False
        self._length = 0
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise UserError(f"{path} could not be written ({error.strerror})") from error

    def keep(self, node: Node) -> None:
        """Add a node's last step. Raises UserError if the disk refuses; what was kept before stays readable."""
        shelf, steps = Shelf(), node.steps[-1:] if self._begun else node.steps
        picture = shelf.subject(node.subject)
        tensors = {name: _Raw.of(x) for name, x in shelf.tensors.items()}
        record = msgspec.msgpack.encode(_Step(node.id, picture, tensors, steps, node.stop_reason))
        data = struct.pack("<QI", len(record), zlib.crc32(record)) + record
        try:
            if self._file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._file.truncate(self._length)
            self._file.seek(self._length)
            raise UserError(f"{self._path} could not be written ({error.strerror})") from error
        self._begun = True
        self._length += len(data)
        if self._length > MAX_JOURNAL:
            self._renew(node)

    def _renew(self, node: Node) -> None:
        """Begin a new file with all of the node, and put it in the place of the long one."""
        beside = Journal(self._path.with_name(f".{self._path.name}.{os.getpid()}.part"))
        beside.keep(node)
        os.replace(beside._path, self._path)
        self._file.close()
        self._file, self._length = beside._file, beside._length

    def close(self) -> None:
        """No more will come."""
        self._file.close()


def open_journal(session: Session, path: Path) -> None:
    """Bring the node whose edit was running to the last step that was kept; leave the session if there is none.

    Raises UserError if the file can't be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    try:
        records = [msgspec.msgpack.decode(record, type=_Step) for record in _records(data)]
        if not records:
            return
        first, last = records[0], records[-1]
        was = session.nodes.get(first.node)
        if was is None or was.done:
            return
        model = was.subject.model
        tensors = {name: raw.tensor() for name, raw in last.tensors.items()}
        opener = Opener({model.card.name: model.digest}, tensors, lambda name: model)
        node = replace(was, subject=opener.subject(last.subject), steps=first.steps, stop_reason=last.stop_reason)
        for record in records[1:]:
            (step,) = record.steps
            node = node.stepped(node.subject, step, last.stop_reason)
        if node.done or node.step_count >= was.step_count:  # or the session was saved later than this
            session.put(node)
    except (ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"the last step of this session could not be read: {error}") from error


def _records(data: bytes) -> Iterator[bytes]:
    """The whole records of a journal; the last may have been cut short."""
    place = 0
    while place + 12 <= len(data):
        length, check = struct.unpack_from("<QI", data, place)
        record = data[place + 12 : place + 12 + length]
        if len(record) < length or zlib.crc32(record) != check:
            return
        yield record
        place += 12 + length
