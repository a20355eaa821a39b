"""One checkpoint file, whatever release wrote it: recognised by its content, described, loaded, converted."""

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import torch

from gansteer.checkpoints import native, nvidia, rosinality, tensorflow
from gansteer.checkpoints.allowed import ALLOWED
from gansteer.checkpoints.archive import MAGIC, Blobs, read_legacy, read_zip
from gansteer.checkpoints.assemble import ParsedCheckpoint, assemble
from gansteer.checkpoints.pickle_reader import Machine, Refused, shown
from gansteer.checkpoints.unpickle import reading
from gansteer.device import pick_device
from gansteer.errors import UserError
from gansteer.models.generator import GeneratorShape
from gansteer.subject import Card, Model

PICKLE_STARTS = b"\x80c(]}"
"""First bytes of a pickle: the protocol's number, or in old protocols a global, a mark, a list or a dictionary."""


@dataclass(frozen=True)
class Opened:
    """A file whose release is known and whose generator isn't looked for yet."""

    kind: str
    held: tuple[str, ...]
    """What is at its top, for people."""
    find: Callable[[], ParsedCheckpoint]


@dataclass(frozen=True)
class Description:
    """What a checkpoint holds, as far as it can be told without loading its tensors."""

    path: Path
    size: int
    """Bytes."""
    kind: str
    held: tuple[str, ...]
    config: GeneratorShape | None
    card: Card | None
    problem: str | None
    """Why it can't be loaded, or None. `config` and `card` are there if it can."""


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
        return Opened(native.KIND, (), partial(native.find, file, size))
    if start[:4] == b"PK\x03\x04" or zipfile.is_zipfile(file):
        return _from_torch(*read_zip(file, size), path.stem)
    if start[:1] in PICKLE_STARTS and start:
        root = Machine(file, 0, size, ALLOWED).load()
        if root == MAGIC:
            return _from_torch(*read_legacy(file, 0, size), path.stem)
        return _from_pickle(root, path.stem)
    raise Refused(
        f"is no checkpoint that gansteer knows (it begins with {start[:8]!r}); it opens its own safetensors files, "
        "NVIDIA's StyleGAN2 pickles and rosinality's .pt files"
    )


def _from_torch(root: object, blobs: Blobs, name: str) -> Opened:
    held = tuple(shown(key) for key in list(root)[:20]) if isinstance(root, dict) else ()
    return Opened(rosinality.KIND, held, partial(rosinality.find, root, blobs, name))


def _from_pickle(root: object, name: str) -> Opened:
    if old := tensorflow.networks(root):
        held = tuple(f"{key} ({tensorflow.label(network)})" for key, network in list(old.items())[:20])
        return Opened(tensorflow.KIND, held, partial(tensorflow.find, root, name))
    networks = nvidia.networks(root)
    return Opened(nvidia.KIND, nvidia.contents(networks), partial(nvidia.find, root, name))


def load_file(path: Path, device: str = "auto", dtype: torch.dtype = torch.float32) -> Model:
    """The model in a file, or in the `model.safetensors` of a folder. Nothing in the file is run.

    Raises UserError for a file that is damaged, harmful, or holds no generator that gansteer supports.
    """
    path = checkpoint_file(path)
    place = pick_device(device)
    with reading(path), path.open("rb") as file:
        found = recognise(file, path).find()
        generator = assemble(found, path.stat().st_size, dtype)
    return Model(found.card, generator.to(place))


def describe(path: str | os.PathLike[str]) -> Description:
    """What the checkpoint holds, without running or loading it. Raises UserError if it is no checkpoint at all."""
    file_path = checkpoint_file(Path(path))
    with reading(file_path), file_path.open("rb") as file:
        opened = recognise(file, file_path)
        size = file_path.stat().st_size
        found, problem = None, None
        try:
            with reading(file_path):
                found = opened.find()
        except UserError as error:
            problem = str(error)
    config, card = (found.config, found.card) if found else (None, None)
    return Description(file_path, size, opened.kind, opened.held, config, card, problem)


def convert(
    source: str | os.PathLike[str], target: str | os.PathLike[str], dtype: torch.dtype = torch.float32
) -> Model:
    """Write the generator in the file `source` to `target` in our own format; returns it."""
    model = load_file(Path(source), "cpu")
    native.save_model(model, target, dtype)
    return model
