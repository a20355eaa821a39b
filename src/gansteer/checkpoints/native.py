"""Our own format: a safetensors file whose header carries the configuration and the card as JSON.

It holds every tensor of the generator, the fixed noise too, because that is part of the picture. Tensors may be stored
in float16 and are widened when loaded.
"""

import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import BinaryIO, Never
from unicodedata import category

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from gansteer.checkpoints.assemble import MEAN, ParsedCheckpoint, Reader, checked_config, in_colour
from gansteer.checkpoints.pickle_reader import CUT_SHORT, Refused, Span, shown
from gansteer.checkpoints.unpickle import integers
from gansteer.errors import UserError
from gansteer.models.registry import ARCHITECTURES, FIRST
from gansteer.output import replacing
from gansteer.subject import Card, Model

KIND = "gansteer safetensors"
FORMATS = (1, 2)
"""1 is StyleGAN2, whose files need not tell an architecture. 2 is any other: earlier releases then say that they are too old."""
MAX_HEADER = 1 << 24
KINDS = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
ALL_KINDS = {
    **KINDS, "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip
"""Also those that no generator has, but other files may have beside what is wanted."""


def save_model(model: Model, path: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> None:
    """Write the model to `path`, in `dtype` (float32, or float16 for half the size).

    The file appears complete or not at all: whatever goes wrong, a previous file of that name is as it was.
    Raises UserError when it cannot be written.
    """
    target, config = Path(path), model.generator.config
    about = {
        "format": 1 if model.generator.architecture == FIRST else 2,
        "kind": f"{model.generator.architecture}-generator",
        **({} if model.generator.architecture == FIRST else {"architecture": model.generator.architecture}),
        "config": {field.name: getattr(config, field.name) for field in fields(config)},
        "card": {field.name: getattr(model.card, field.name) for field in fields(Card)},
    }
    tensors = {
        name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in model.generator.state_dict().items()
    }
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UserError(f"{name} has values that are not finite in {dtype}: {target} was not written")
    try:
        text = json.dumps(about, allow_nan=False, default=dict)
    except (TypeError, ValueError) as error:
        raise UserError(f"the card of {model.card.name} cannot be written as JSON: {error}") from error
    if not target.parent.is_dir():
        raise UserError(f"there is no folder {target.parent}: make it first")
    write_tensors(tensors, text, target)


def write_tensors(tensors: dict[str, Tensor], about: str, target: Path) -> None:
    """A safetensors file with `about` (JSON) in its header; complete or not there. Raises UserError."""
    with replacing(target) as path:
        try:
            save_file(tensors, path, metadata={"gansteer": about})
        except SafetensorError as error:  # what it makes of a full disk
            raise OSError(str(error)) from error
        path.chmod(0o644)  # safetensors lets nobody else read it
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def find(file: BinaryIO, size: int) -> ParsedCheckpoint:
    """The generator of a safetensors file of `size` bytes.

    The header is read here rather than by the safetensors package, which maps the file into memory: that would count
    twice at the peak, and a map of a file that somebody shortens kills the process.
    """
    metadata, tensors = read_header(file, size)
    text = metadata.get("gansteer")
    if text is None:
        raise Refused("is a safetensors file without gansteer's card: convert the original checkpoint instead")
    about = _mapping(json.loads(str(text), parse_constant=_refuse_constant), "header")
    if about.get("format") not in FORMATS:
        raise Refused(f"is of format {shown(about.get('format'))}, newer than this gansteer reads: update gansteer")
    architecture = about.get("architecture", FIRST)
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise Refused(f"holds a generator of the architecture {shown(architecture)}, which this gansteer doesn't know")
    if about.get("kind") != f"{architecture}-generator":
        raise Refused(f"holds a {shown(about.get('kind'))} where a {architecture}-generator is wanted")
    config = checked_config(_mapping(about.get("config"), "configuration"), architecture)
    card = _read_card(_mapping(about.get("card"), "card"))
    if architecture == FIRST and MEAN not in tensors:
        raise Refused(f"lacks the tensor {MEAN}")
    return in_colour(ParsedCheckpoint(KIND, config, card, tensors, architecture), "img_channels")


def read_header(
    file: BinaryIO, size: int, kinds: Mapping[str, torch.dtype] = KINDS
) -> tuple[dict[str, object], dict[str, Reader]]:
    """The metadata of a safetensors file of `size` bytes, and a reader for each of its tensors.

    Raises Refused, and KeyError for types of numbers that are not among `kinds`.
    """
    file.seek(0)
    length = struct.unpack("<Q", file.read(8))[0]
    if length > min(size - 8, MAX_HEADER):
        raise Refused(CUT_SHORT)
    header = _mapping(json.loads(file.read(length), parse_constant=_refuse_constant), "header")
    metadata = _mapping(header.pop("__metadata__", {}), "header")
    tensors: dict[str, Reader] = {}
    total = 0
    for name, entry in header.items():
        fields = _mapping(entry, "header")
        kind, shape, (start, end) = (
            kinds[str(fields["dtype"])],
            integers(fields["shape"]),
            integers(fields["data_offsets"]),
        )
        if min([start, *shape]) < 0 or end > size - 8 - length or end - start != math.prod(shape) * kind.itemsize:
            raise Refused(CUT_SHORT)
        total += end - start
        tensors[name] = partial(_read, Span(file, 8 + length + start, end - start), kind, shape)
    if total != size - 8 - length:
        raise Refused(CUT_SHORT)
    return metadata, tensors


def _read(span: Span, kind: torch.dtype, shape: list[int]) -> Tensor:
    return span.read().view(kind).view(shape)


def _refuse_constant(constant: str) -> Never:
    raise Refused(f"has a damaged header: it contains {constant}")


def _mapping(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Refused(f"has a damaged {what}")
    return value


def _read_card(values: Mapping[str, object]) -> Card:
    """The card of these fields. Unknown fields are refused: they would be lost when the model is saved again."""
    kinds: dict[str, type | tuple[type, ...]] = {
        "training": dict,
        "metrics": dict,
        "limits": list,
        "drag_layer": (str, type(None)),
    }
    known = {field.name for field in fields(Card)}
    for name, value in values.items():
        if name not in known or not isinstance(value, kinds.get(name, str)):
            raise Refused(f"has a damaged card: {name[:40]!r} is unknown or of the wrong type")
    if "name" not in values:
        raise Refused("has a damaged card: it lacks a name")
    if any(isinstance(v, str) and any(category(c) == "Cc" and c not in "\n\t" for c in v) for v in values.values()):
        raise Refused("has a card with control characters in it")
    limits = values.get("limits", [])
    assert isinstance(limits, list)
    if not all(isinstance(limit, str) for limit in limits):
        raise Refused("has a damaged card: its limits are no texts")
    return Card(**{**values, "limits": tuple(limits)})  # type: ignore[arg-type]
