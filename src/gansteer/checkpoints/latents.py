"""Latents that other programs saved: w or w+ in `.npz`, `.npy`, `.pt`, `.pkl` and `.safetensors` files.

Recognised by their content, read without running anything in them, and written as those programs read them.
"""

import ast
import math
import os
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Never, cast

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from gansteer.checkpoints.archive import MAGIC, Blobs, read_legacy, read_zip
from gansteer.checkpoints.names import DICTS
from gansteer.checkpoints.native import ALL_KINDS, read_header
from gansteer.checkpoints.pickle_reader import CUT_SHORT, Machine, Record, Refused, shown
from gansteer.checkpoints.unpickle import dictionary, is_array, is_tensor, read_array, read_tensor, reading
from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.models.tuning import Tuning
from gansteer.output import replacing
from gansteer.subject import Model, Subject

NAMES = ("w", "ws", "w_plus", "latent", "latents", "dlatent", "dlatents", "projected_w", "w_pivot", "latent_in", "code")
"""What programs call the array of a latent, the likeliest first."""
ENDINGS = (".npz", ".npy", ".pt", ".pth", ".pkl", ".safetensors")
MAX_BYTES = 1 << 26
"""Of an array: 64 MB hold w+ of any model a thousand times."""
MAX_ARRAYS = 10_000
MAX_ROWS = 64
MAX_DEPTH = 4

Read = Callable[[], Tensor]


@dataclass(frozen=True)
class Wanted:
    """What is sought in a file of arrays."""

    what: str
    """For messages, such as latent."""
    names: tuple[str, ...]
    """What it may be called, the likeliest first."""

    def chosen(self, arrays: Mapping[str, Read]) -> Tensor:
        """The array among several, by its name or because it is the only one. Raises Refused."""
        for name in self.names:
            if name in arrays:
                return arrays[name]()
        if len(arrays) == 1:
            return next(iter(arrays.values()))()
        return self.none(", ".join(shown(name) for name in list(arrays)[:8]) or "nothing")

    def none(self, held: str) -> Never:
        """Raise Refused: there is only what is `held`."""
        raise Refused(f"holds no {self.what} that is called {self.names[0]}, {self.names[1]} or the like, only {held}")


@dataclass(frozen=True, eq=False)
class Latent:
    """What such a file holds, not yet fitted to a model."""

    w: Tensor
    """Any shape: w, or w+ with leading dimensions of 1."""
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """The other tensors of a code (`Code.tensors`), which only gansteer's own files have."""
    model: str | None = None
    """Name and digest of the model, where the file says whose it is."""
    digest: str | None = None


def is_latent(path: Path) -> bool:
    """Whether the file is one of latents rather than a `.steer` file, as far as its beginning tells."""
    if path.suffix.lower() == ".steer":
        return False
    if path.suffix.lower() in ENDINGS:
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return "session.json" not in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return path.is_file()


def read_latent(path: Path) -> Latent:
    """The latent in a file. Raises UserError if there is none, more than one, or the file is damaged or harmful."""
    return _read(path, Wanted("latent", NAMES))


def read_array_file(path: Path, what: str, names: tuple[str, ...]) -> Tensor:
    """The array in a file of the same kinds, the one called by the first of `names` that is there, or the only one.

    `what` it is called in messages. Raises UserError as `read_latent`.
    """
    return _read(path, Wanted(what, names)).w


def _read(path: Path, wanted: "Wanted") -> Latent:
    with reading(path), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(16)
        file.seek(0)
        if start[:6] == b"\x93NUMPY":
            return Latent(read_npy(file, size))
        if start[8:9] == b"{":
            return _of_safetensors(file, size, wanted)
        if start[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(file) as archive:
                members = {info.filename: info for info in archive.infolist()[:MAX_ARRAYS]}
                arrays = {name.removesuffix(".npy"): info for name, info in members.items() if name.endswith(".npy")}
                if arrays:
                    return Latent(wanted.chosen({name: _member(archive, info) for name, info in arrays.items()}))
            root, blobs = read_zip(file, size)
            return Latent(_of_records(root, blobs, wanted))
        if start[:1] in (b"\x80", b"c", b"(", b"]", b"}"):
            root = Machine(file, 0, size).load()
            if root == MAGIC:
                return Latent(_of_records(*read_legacy(file, 0, size), wanted))
            return Latent(_of_records(root, {}, wanted))
    raise UserError(
        f"{path} is no {wanted.what} that gansteer knows: give a file of {', '.join(ENDINGS)}, or a .steer file"
    )


# --- NumPy ----------------------------------------------------------------------------------------------------------------


def read_npy(file: BinaryIO, size: int) -> Tensor:
    """The array of a `.npy` file (or member of an `.npz`) of which `size` bytes are there. Raises Refused."""
    head = file.read(8)
    if head[:6] != b"\x93NUMPY" or len(head) < 8:
        raise Refused("holds an array that is damaged")
    form = "<H" if head[6] == 1 else "<I"
    raw = file.read(struct.calcsize(form))
    if len(raw) < struct.calcsize(form):
        raise Refused(CUT_SHORT)
    (length,) = struct.unpack(form, raw)
    if length > min(size, 10_000):
        raise Refused(CUT_SHORT)
    about = ast.literal_eval(file.read(length).decode("latin-1"))
    shape, order, kind = about["shape"], about["fortran_order"], np.dtype(about["descr"])
    if kind.hasobject or kind.kind not in "fiu" or kind.itemsize > 8:
        raise Refused(f"holds an array of the type {shown(str(kind), 20)}, no numbers")
    if not isinstance(shape, tuple) or len(shape) > 8 or not all(type(n) is int and 0 < n < 1 << 31 for n in shape):
        raise Refused("holds an array that is damaged or empty")
    count = math.prod(shape) * kind.itemsize
    if count > min(size, MAX_BYTES):
        raise Refused(f"declares an array of shape {list(shape)}, more than it holds")
    data = file.read(count)
    if len(data) < count:
        raise Refused(CUT_SHORT)
    array = np.frombuffer(data, kind).astype(kind.newbyteorder("="))
    return torch.from_numpy(array.reshape(shape, order="F" if order else "C").copy())


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Read:
    """Reads one array of an `.npz`, which may be compressed; never more than its own header asks for."""

    def read() -> Tensor:
        with archive.open(info) as file:
            return read_npy(cast(BinaryIO, file), min(info.file_size, MAX_BYTES))

    return read


# --- Pickles --------------------------------------------------------------------------------------------------------------


def _of_records(root: object, blobs: Blobs, wanted: Wanted, depth: int = 0) -> Tensor:
    """What is wanted among the records of a pickle: a tensor, an array, numbers, or a dictionary with one of these."""
    if is_tensor(root) or is_array(root):
        return _array(root, blobs)
    while isinstance(root, list | tuple) and len(root) == 1 and isinstance(root[0], list | tuple) and depth < MAX_DEPTH:
        root, depth = root[0], depth + 1
    if isinstance(root, list | tuple) and 0 < len(root) <= MAX_ARRAYS:
        if all(isinstance(value, int | float) for value in root):
            return _numbers(root)
        if len(root) <= MAX_ROWS:
            return torch.stack([_numbers(v) if isinstance(v, list | tuple) else _array(v, blobs) for v in root])
    if depth > MAX_DEPTH:
        return _no_array(root, wanted)
    if isinstance(root, dict) or (isinstance(root, Record) and root.name in DICTS):
        entries = {
            str(key): value for key, value in list(dictionary(root).items())[:MAX_ARRAYS] if isinstance(key, str)
        }
        for name in wanted.names:
            if name in entries:
                return _of_records(entries[name], blobs, wanted, depth + 1)
        arrays = [value for value in entries.values() if is_tensor(value) or is_array(value) or isinstance(value, dict)]
        if len(arrays) == 1:  # as rosinality's projector keeps them, under the picture's name
            return _of_records(arrays[0], blobs, wanted, depth + 1)
        wanted.none(", ".join(shown(name) for name in list(entries)[:8]) or "nothing")
    return _no_array(root, wanted)


def _numbers(values: Sequence[object]) -> Tensor:
    """A plain list of numbers."""
    if len(values) > MAX_ARRAYS or not all(isinstance(value, int | float) for value in values):
        raise Refused("holds a list of something else than numbers")
    return torch.tensor([float(value) for value in values if isinstance(value, int | float)])


def _array(value: object, blobs: Blobs) -> Tensor:
    """A tensor or an array, of a latent's size."""
    found = read_array(value) if is_array(value) else read_tensor(value, blobs)
    if found.numel() * MAX_ROWS > MAX_BYTES:
        raise Refused(f"holds an array of shape {list(found.shape)}, which is too large")
    return found


def _no_array(root: object, wanted: Wanted) -> Never:
    what = shown(root.name, 60) if isinstance(root, Record) else type(root).__name__
    raise Refused(f"holds a {what} where a {wanted.what} is expected; gansteer never runs code from a file")


# --- safetensors ----------------------------------------------------------------------------------------------------------


def _of_safetensors(file: BinaryIO, size: int, wanted: Wanted) -> Latent:
    about, tensors = read_header(file, size, ALL_KINDS)
    model, digest = about.get("model"), about.get("weights")
    if (
        isinstance(model, str) and isinstance(digest, str) and "w" in tensors
    ):  # as the studio and `save_latent` write it
        return Latent(tensors["w"](), {name: read() for name, read in tensors.items() if name != "w"}, model, digest)
    return Latent(wanted.chosen(tensors))


# --- Fitting and writing --------------------------------------------------------------------------------------------------


def fitted(w: Tensor, num_ws: int, w_dim: int, whose: str) -> Tensor:
    """A latent of any leading dimensions of 1 as w+ `[num_ws, w_dim]`; one row stands for all. `whose` begins the message.

    Raises UserError for other shapes, for several latents, and for values that are no finite numbers.
    """
    shape = list(w.shape)
    while w.dim() > 2 and w.shape[0] == 1:
        w = w[0]
    if w.dim() == 1:
        w = w[None]
    if w.dim() == 3 and tuple(w.shape[1:]) in ((num_ws, w_dim), (1, w_dim)):
        raise UserError(f"{whose} holds {w.shape[0]} latents (shape {shape}): save the one that is meant alone")
    if w.dim() != 2 or w.shape[1] != w_dim or w.shape[0] not in (1, num_ws):
        raise UserError(
            f"{whose} holds a latent of shape {shape}; this model takes w [{w_dim}] or w+ [{num_ws}, {w_dim}]"
        )
    if not bool(w.isfinite().all()):
        raise UserError(f"{whose} holds a latent that is not finite")
    return w.expand(num_ws, -1).contiguous()


def as_subject(latent: Latent, model: Model, whose: str, tuned: Model | None = None) -> Subject:
    """The subject of a latent of `model`; `tuned` is the generator that was tuned around it. `whose` begins messages.

    Raises UserError for a latent of other weights or shape, and for a tuned generator of another shape.
    """
    if latent.digest is not None and latent.digest != model.digest:
        raise UserError(
            f"{whose} was made with other weights than those of {model.card.name}: give the model it belongs to"
        )
    config, like = model.generator.config, model.generator.mean_w()
    w = fitted(latent.w, config.num_ws, config.w_dim, whose)
    try:
        code = Code.from_tensors({"w": w, **latent.parts}).to(like.device, like.dtype)
        model.generator.check(code)
    except ValueError as error:
        raise UserError(f"{whose} does not fit {model.card.name}: {error}") from error
    if tuned is None:
        return Subject(model, code)
    before, after = model.generator.state_dict(), tuned.generator.state_dict()
    if {name: x.shape for name, x in before.items()} != {name: x.shape for name, x in after.items()}:
        raise UserError(
            f"--tuned {tuned.card.name} has another shape than {model.card.name}: give what was tuned from it"
        )
    changes = {name: after[name] - x for name, x in before.items() if not torch.equal(after[name], x)}
    return Subject(model, code, Tuning(model.generator, changes) if changes else None)


def latent_bytes(subject: Subject) -> bytes:
    """The whole code of a subject as safetensors, with the name and the digest of its model."""
    tensors = {name: x.detach().cpu().contiguous() for name, x in subject.code.tensors().items()}
    return safetensors.torch.save(tensors, {"model": subject.model.card.name, "weights": subject.model.digest})


def save_latent(subject: Subject, path: Path) -> None:
    """Write the latent in the format of the path's ending: w+ as `[1, num_ws, w_dim]`, in an `.npz` under the name w.

    `.safetensors` keeps the whole code, and whose it is. Raises UserError.
    """
    w = subject.code.ws.detach().cpu().contiguous()[None]
    with replacing(path) as new:
        if path.suffix == ".safetensors":
            new.write_bytes(latent_bytes(subject))
        elif path.suffix == ".pt":
            torch.save(w.clone(), new)
        else:
            with new.open("wb") as file:
                if path.suffix == ".npz":
                    np.savez(file, w=w.numpy())
                else:
                    np.save(file, w.numpy())
