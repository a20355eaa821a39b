"""One checkpoint file, whatever release wrote it: recognised by its content, described, loaded, converted."""

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import torch

from gansteer.checkpoints import native, nvidia, state_dicts, tensorflow
from gansteer.checkpoints.archive import MAGIC, Blobs, read_legacy, read_zip
from gansteer.checkpoints.assemble import ParsedCheckpoint, assemble, checked
from gansteer.checkpoints.package import packaged
from gansteer.checkpoints.pickle_reader import Machine, Refused
from gansteer.checkpoints.shipped import of_shape
from gansteer.checkpoints.unpickle import reading
from gansteer.device import pick_device
from gansteer.errors import UserError
from gansteer.models.generator import GeneratorShape
from gansteer.subject import Card, Model

PICKLE_STARTS = b"\x80c(]}"
"""First bytes of a pickle: the protocol's number, or in old protocols a global, a mark, a list or a dictionary."""

Find = Callable[[str | None], ParsedCheckpoint]
"""The generator of a name (`G`, `G_ema`, `Gs` ...), or the one that is usually meant."""


@dataclass(frozen=True)
class Opened:
    """A file whose release is known and whose generator isn't looked for yet."""

    kind: str
    held: tuple[str, ...]
    """What is at its top, for people."""
    find: Find


@dataclass(frozen=True)
class Description:
    """What a checkpoint holds, and whether it can be loaded."""

    path: Path
    size: int
    """Bytes."""
    kind: str
    held: tuple[str, ...]
    config: GeneratorShape | None
    card: Card | None
    problem: str | None
    """Why it can't be loaded, or None. `config` and `card` are there if it can."""
    notes: tuple[str, ...] = ()
    """What was chosen, filled in or left out, each as the end of a sentence that begins with the file."""


def checkpoint_file(path: Path) -> Path:
    """The file itself: a folder stands for the `model.safetensors` in it."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"{path} is a device or a pipe: name the checkpoint's file")
    if not path.is_dir():
        return path
    if not (path / "model.safetensors").is_file():
        raise UserError(f"{path} is a folder without model.safetensors: name the checkpoint's file")
    return path / "model.safetensors"


def recognise(file: BinaryIO, path: Path) -> Opened:
    """Which release wrote the file, by its content alone."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(16)
    if start[8:9] == b"{":
        return Opened(native.KIND, (), partial(_native, file, size))
    if start[:4] == b"PK\x03\x04" or zipfile.is_zipfile(file):
        if (inside := packaged(file)) is not None:
            return Opened(native.KIND, (), partial(_native, *inside))
        return _opened(*read_zip(file, size), path.stem)
    if start[:1] in PICKLE_STARTS and start:
        root = Machine(file, 0, size).load()
        if root == MAGIC:
            return _opened(*read_legacy(file, 0, size), path.stem)
        return _opened(root, {}, path.stem)
    raise Refused(
        f"is no checkpoint that gansteer knows (it begins with {start[:8]!r}); it opens its own safetensors files and packages, "
        "NVIDIA's StyleGAN2 pickles and rosinality's .pt files"
    )


def _native(file: BinaryIO, size: int, network: str | None) -> ParsedCheckpoint:
    if network is not None:
        raise Refused("holds one network only: leave --network out")
    return native.find(file, size)


def _opened(root: object, blobs: Blobs, name: str) -> Opened:
    """What the records of a pickle are, whichever of the three ways they were written."""
    if old := tensorflow.networks(root):
        held = tuple(f"{key} ({tensorflow.label(network)})" for key, network in list(old.items())[:20])
        return Opened(tensorflow.KIND, held, partial(tensorflow.find, root, name))
    if networks := nvidia.networks(root):
        return Opened(nvidia.KIND, nvidia.contents(networks), partial(nvidia.find, root, blobs, name))
    return Opened(state_dicts.kind(root), state_dicts.contents(root), partial(state_dicts.find, root, blobs, name))


def load_file(
    path: Path, device: str = "auto", dtype: torch.dtype = torch.float32, network: str | None = None
) -> Model:
    """The model in a file, or in the `model.safetensors` of a folder. Nothing in the file is run.

    `network` names one of several generators in it (`G`, `G_ema`); by default the averaged one. Raises UserError for a
    file that is damaged, harmful, or holds no generator that gansteer supports.
    """
    path = checkpoint_file(path)
    place = pick_device(device)
    with reading(path), path.open("rb") as file:
        found = recognise(file, path).find(network)
        generator = assemble(found, path.stat().st_size, dtype)
    model = Model(found.card, generator.to(place), tuple(f"{path} {note}" for note in found.notes))
    return model if found.kind == native.KIND else known_model(model, device, dtype)


def known_model(model: Model, device: str, dtype: torch.dtype) -> Model:
    """The model that comes with gansteer and has the same weights, with its card; the model itself if there is none."""
    for path in of_shape(model.generator.config):
        known = load_file(path, device, dtype)
        if known.digest == model.digest:
            return replace(known, notes=model.notes)
    return model


def describe(path: str | os.PathLike[str], network: str | None = None, *, thorough: bool = True) -> Description:
    """What the checkpoint holds, once every tensor was read and checked as loading does, one at a time.

    Without `thorough`, which suits a file that is known to be in order, its header alone. Raises UserError if it is no
    checkpoint at all.
    """
    file_path = checkpoint_file(Path(path))
    with reading(file_path), file_path.open("rb") as file:
        opened = recognise(file, file_path)
        size = file_path.stat().st_size
        found, problem = None, None
        try:
            with reading(file_path):
                found = opened.find(network)
                for _ in checked(found, size) if thorough else ():
                    pass
        except UserError as error:
            found, problem = None, str(error)
    config, card, notes = (found.config, found.card, found.notes) if found else (None, None, ())
    return Description(file_path, size, opened.kind, opened.held, config, card, problem, notes)


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    dtype: torch.dtype = torch.float32,
    network: str | None = None,
) -> Model:
    """Write the generator in the file `source` to `target` in our own format; returns it."""
    model = load_file(Path(source), "cpu", network=network)
    native.save_model(model, target, dtype)
    return model
