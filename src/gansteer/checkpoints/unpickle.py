"""What the records of a pickle mean: dictionaries, numbers, arrays and tensors. Nothing is imported or called."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from gansteer.checkpoints.archive import Blobs, read_legacy, storage_parts
from gansteer.checkpoints.names import (
    ARRAYS,
    BUFFERS,
    DICTS,
    KINDS,
    LOAD_BYTES,
    OF_TYPE,
    OLD_TENSOR,
    PARAMETERS,
    SCALARS,
    TENSOR,
)
from gansteer.checkpoints.pickle_reader import CUT_SHORT, MAX_KEY, PERSISTENT, Name, Record, Refused, Span, shown
from gansteer.errors import UserError

MAX_NESTED_STEPS = 10_000
"""The pickle of one nested storage takes about 100."""
MAX_SLACK = 64
"""A tensor may be a view of a storage this many times its size; else a small file could make for much reading."""


MAX_EXPANDED = 1 << 20
"""Elements of a tensor that has more than its storage."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """The border: whatever goes wrong while a file is read becomes one UserError that names the file."""
    try:
        yield
    except UserError:
        raise
    except Refused as error:
        raise UserError(f"{path} {error}") from error
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file") from error
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}") from error
    except KeyError as error:
        lacking = shown(error.args[0], 80)
        raise UserError(f"{path} is damaged, or no checkpoint of a supported kind: it lacks {lacking}") from error
    except (Exception, RecursionError, MemoryError) as error:
        raise UserError(f"{path} is damaged, or no checkpoint of a supported kind ({type(error).__name__})") from error


def dictionary(value: object) -> dict[object, object]:
    """A dict, or a record of one of the dict classes."""
    if isinstance(value, dict):
        return value
    if isinstance(value, Record) and value.name in DICTS:
        if not value.args:
            return value.items
        pairs = value.args[0]  # Python 2 wrote an OrderedDict as a list of pairs
        if isinstance(pairs, list) and all(isinstance(pair, list) and isinstance(pair[0], str) for pair in pairs):
            return {**dict(pairs), **value.items}
    raise Refused("holds something else where a dictionary is expected: it is damaged, or of an unsupported kind")


def integers(values: object) -> list[int]:
    """A list, tuple or `torch.Size` of integers."""
    if isinstance(values, Record) and values.name == "torch.Size":
        values = values.args[0]
    if not isinstance(values, list | tuple) or len(values) > 16:
        raise Refused(CUT_SHORT)
    if not all(type(v) is int and abs(v) < MAX_KEY for v in values):
        raise Refused(CUT_SHORT)
    return list(values)


def span(value: object) -> Span:
    """Where a bytes object is; protocol 2 writes it as Latin-1 text to be encoded."""
    if isinstance(value, Span):
        return value
    if isinstance(value, Record) and value.name == "_codecs.encode" and isinstance(value.args[0], str):
        data = value.args[0].encode("latin-1")
        return Span(io.BytesIO(data), 0, len(data))
    raise Refused(CUT_SHORT)


def number(value: object) -> float | None:
    """A number (or None) that may have been pickled as a NumPy scalar."""
    if isinstance(value, Record) and value.name in SCALARS:
        return float(read_array(value).item())
    if value is None or isinstance(value, int | float):
        return value
    raise Refused(CUT_SHORT)


def array_kind(value: object) -> torch.dtype:
    """The element type of a `numpy.dtype` record."""
    if not (isinstance(value, Record) and value.name == "numpy.dtype"):
        raise Refused(CUT_SHORT)
    order = value.state[1] if isinstance(value.state, tuple) else "|"
    code = value.args[0]
    kind = KINDS.get(code) if isinstance(code, str) else None
    if kind is None or order not in ("<", "|"):
        raise Refused(f"holds an array of the unsupported type '{shown(code, 10)}'")
    return kind


def is_array(value: object) -> bool:
    """Whether `read_array` is for this."""
    return isinstance(value, Record) and value.name in ARRAYS | BUFFERS | SCALARS


def read_array(value: object) -> Tensor:
    """The tensor of a pickled NumPy array or scalar."""
    shape: object = ()
    column_major = False
    if isinstance(value, Record) and value.name in ARRAYS and isinstance(value.state, tuple):
        _, shape, kind, column_major, data = value.state
    elif isinstance(value, Record) and value.name in BUFFERS:
        data, kind, shape, order = value.args
        column_major = order == "F"
    elif isinstance(value, Record) and value.name in SCALARS:
        kind, data = value.args
    else:
        raise Refused("holds something else where an array is expected: it is damaged, or of an unsupported kind")
    element, sizes = array_kind(kind), integers(shape)
    elements = span(data).read().view(element)
    if min(sizes, default=1) < 1 or math.prod(sizes) != len(elements):
        raise Refused(f"declares an array of shape {sizes} over {len(elements)} values: it is damaged or made to harm")
    if column_major:
        return elements.view(sizes[::-1]).permute(*range(len(sizes))[::-1])
    return elements.view(sizes)


def read_storage(value: object, blobs: Blobs, most: int) -> Tensor:
    """The elements of a storage, `most` at most: one of the file's own, or a nested file, read by the same rules."""
    if isinstance(value, Record) and value.name == LOAD_BYTES:
        nested = span(value.args[0])
        value, blobs = read_legacy(nested.file, nested.start, nested.start + nested.length, MAX_NESTED_STEPS)
    if not (isinstance(value, Record) and value.name == PERSISTENT):
        raise Refused("holds a tensor whose storage is something else: it is damaged or made to harm")
    kind, key, size = storage_parts(value.args[0])
    blob = blobs[key]
    if size < 1 or size * kind.itemsize != blob.length:
        raise Refused(
            f"declares a storage of {size} values where {blob.length} bytes are: it is damaged or made to harm"
        )
    if size > most:
        raise Refused("keeps a small tensor in a large storage: save it again with clones of its tensors")
    return blob.read().view(kind)


def is_tensor(value: object) -> bool:
    """Whether `read_tensor` is for this."""
    return isinstance(value, Record) and value.name in {TENSOR, OLD_TENSOR, OF_TYPE, *PARAMETERS}


def tensor_parts(value: object) -> tuple[object, int, list[int], list[int]]:
    """Storage, offset, sizes and strides of a tensor or a parameter, as the file declares them."""
    for _ in range(4):  # a parameter's tensor may have attributes of its own
        if not isinstance(value, Record):
            break
        if value.name in PARAMETERS:
            value = value.args[0]
        elif value.name == OF_TYPE and isinstance(value.args[0], Name) and isinstance(value.args[2], tuple):
            value = Record(str(value.args[0]), value.args[2], {})
        elif value.name in (TENSOR, OLD_TENSOR):
            return value.args[0], integers(value.args[1:2])[0], integers(value.args[2]), integers(value.args[3])
        else:
            break
    raise Refused("holds something else where a tensor is expected: it is damaged, or of an unsupported kind")


def shape_of(value: object) -> list[int]:
    """The shape that a tensor declares; reading checks it against the data."""
    return tensor_parts(value)[2]


def read_tensor(value: object, blobs: Blobs) -> Tensor:
    """The tensor of a record that `is_tensor`, in memory of its own."""
    storage, offset, sizes, strides = tensor_parts(value)
    elements = read_storage(storage, blobs, most=max(MAX_SLACK * math.prod(sizes), MAX_SLACK))
    last = offset + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
    # An expanded tensor, such as one row that stands for all, counts some of its elements several times.
    count = math.prod(sizes)
    too_many = count > (len(elements) if count > MAX_EXPANDED else MAX_SLACK * len(elements))
    if min([*sizes, 1]) < 1 or min([*strides, offset]) < 0 or last >= len(elements) or too_many:
        raise Refused(f"declares a tensor of shape {sizes} over {len(elements)} values: it is damaged or made to harm")
    tensor = elements.as_strided(sizes, strides, offset).contiguous()
    return tensor if tensor.numel() == len(elements) else tensor.clone()
