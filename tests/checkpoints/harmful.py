"""Files that are refused, and parts of harmful ones."""

import contextlib
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from checkpoint_files import (
    dump_nvidia,
    nvidia_generator,
)

from gansteer.checkpoints.files import describe, load_file
from gansteer.errors import UserError

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def refused(path: Path, canary: Path) -> str:
    """The one line with which the file is refused, without the canary having been touched."""
    with pytest.raises(UserError) as caught:
        load_file(path, "cpu")
    with contextlib.suppress(UserError):  # it may be in order as far as a description looks
        describe(path)
    assert not canary.exists()
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isprintable()
    assert len(message) < len(str(path)) + 250
    return message


def with_weight(path, value):
    """An honest NVIDIA file whose mean of w is pickled as `value`."""
    g = nvidia_generator(resolution=8)
    g.mapping._buffers["w_avg"] = value
    dump_nvidia(path, G_ema=g)


def storage(data: bytes):
    """A tensor whose storage is these bytes."""
    load = Call(torch.storage._load_from_bytes, data)
    return Call(torch._utils._rebuild_tensor_v2, load, 0, (5,), (6,), False, OrderedDict())


def zip_file(path, compression, members):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
