"""Damaged files: one line of refusal each."""

import pickle
import struct
import zipfile

import pytest
from checkpoint_files import (
    dump_nvidia,
    nvidia_generator,
    rosinality_tensors,
    torch_bytes,
)
from harmful import refused, storage, with_weight, zip_file

from gansteer.checkpoints.files import load_file
from gansteer.errors import UserError

# Damaged files


def honest(path):
    dump_nvidia(path, G_ema=nvidia_generator(resolution=8))
    return path.read_bytes()


@pytest.mark.parametrize("part", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_truncated(path, canary, part):
    data = honest(path)
    path.write_bytes(data[: int(part * len(data))])
    refused(path, canary)


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html>Not found</html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
        b"\x1f\x8b\x08\x00",
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 100,
        b"\x00" * 64,
        b"",
        b"\x80",
    ],
)
def test_wrong_magic(path, canary, data):
    path.write_bytes(data)
    refused(path, canary)


def test_wrong_magic_inside(path, canary):
    with_weight(path, storage(pickle.dumps(12345)))
    assert "magic" in refused(path, canary)


def test_zip_bomb(path, canary):
    zip_file(path, zipfile.ZIP_DEFLATED, {"archive/data.pkl": bytes(100_000_000)})
    assert path.stat().st_size < 200_000
    assert "unpacks to more than it holds" in refused(path, canary)


def test_zip_that_lies_about_its_sizes(path, canary):
    zip_file(path, zipfile.ZIP_STORED, {"archive/data.pkl": pickle.dumps({}), "archive/data/0": bytes(64)})
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 20 : at + 28] = struct.pack("<II", 1 << 31, 1 << 31)
    path.write_bytes(data)
    assert "unpacks to more than it holds" in refused(path, canary)


def test_zip_of_something_else(path, canary):
    zip_file(path, zipfile.ZIP_STORED, {"readme.txt": b"hello"})
    assert "no data.pkl" in refused(path, canary)


def test_torchscript(path, canary):
    zip_file(path, zipfile.ZIP_STORED, {"net/data.pkl": pickle.dumps({}), "net/code/net.py": b"import os"})
    assert "TorchScript" in refused(path, canary)


def test_damaged_storage_in_a_zip(path, canary):
    path.write_bytes(torch_bytes({"g_ema": rosinality_tensors(4)}))
    with zipfile.ZipFile(path) as archive:
        info = next(i for i in archive.infolist() if i.filename.endswith("data/0"))
    data = bytearray(path.read_bytes())
    name, extra = struct.unpack("<HH", data[info.header_offset + 26 : info.header_offset + 30])
    data[info.header_offset + 30 + name + extra] ^= 255
    path.write_bytes(data)
    refused(path, canary)


def test_folder_and_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"without model\.safetensors"):
        load_file(tmp_path, "cpu")
    with pytest.raises(UserError, match="no such file"):
        load_file(tmp_path / "absent.pkl", "cpu")
