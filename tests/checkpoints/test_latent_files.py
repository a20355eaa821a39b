"""Latents that other programs saved: each form gives the same w+, and what is none is refused in one line."""

import contextlib
import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_fuzz import forget_peak, peak
from test_harm import Call

from gansteer.checkpoints.latents import ENDINGS, as_subject, fitted, is_latent, read_latent, save_latent
from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.subject import Subject
from support.tiny import smallest_model

W = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


def npz(path, **arrays):
    np.savez(path, **arrays)


def legacy(value, path):
    torch.save(value, path, _use_new_zipfile_serialization=False)


WAYS = {
    "projected_w.npz": lambda p: npz(p, w=W[None].numpy()),
    "compressed.npz": lambda p: np.savez_compressed(p, w=W[None].numpy()),
    "other name.npz": lambda p: npz(p, anything=W.numpy()),
    "several.npz": lambda p: npz(p, dlatents=W[None].numpy(), noise=np.zeros(3)),
    "w.npy": lambda p: np.save(p, W.numpy()),
    "batch.npy": lambda p: np.save(p, W[None, None].numpy()),
    "wide.npy": lambda p: np.save(p, W.double().numpy()),
    "big-endian.npy": lambda p: np.save(p, W.numpy().astype(">f4")),
    "columns.npy": lambda p: np.save(p, np.asfortranarray(W.numpy())),
    "0.pt": lambda p: torch.save(W[None], p),
    "legacy.pt": lambda p: legacy(W[None], p),
    "cuda-like parameter.pt": lambda p: torch.save(torch.nn.Parameter(W[None]), p),
    "array.pt": lambda p: torch.save(W.numpy(), p),
    "latents.pt": lambda p: torch.save({"latents": W[None], "names": ["a.png"]}, p),
    "projector.pt": lambda p: torch.save({"a.png": {"img": torch.zeros(4), "latent": W, "noise": [torch.ones(1)]}}, p),
    "expanded.pt": lambda p: torch.save(W.expand(1, 1, 6, 5), p),
    "rows.pt": lambda p: torch.save(list(W), p),
    "numbers.pt": lambda p: torch.save(W[None].tolist(), p),
    "w.pkl": lambda p: p.write_bytes(pickle.dumps(W.numpy())),
    "dict.pkl": lambda p: p.write_bytes(pickle.dumps(OrderedDict(w=W.numpy(), seed=3))),
    "w.safetensors": lambda p: p.write_bytes(safetensors.torch.save({"w": W, "seed": torch.tensor([3])})),
    "no ending": lambda p: torch.save(W, p),
}


@pytest.mark.parametrize("name", WAYS)
def test_every_way_to_keep_w_plus(tmp_path, name):
    path = tmp_path / name
    WAYS[name](path)
    assert is_latent(path)
    found = fitted(read_latent(path).w, 6, 5, name).float()
    assert torch.equal(found, W)


def test_one_row_expanded_to_all(tmp_path):
    torch.save(W[0].expand(1, 6, 5), tmp_path / "w.pt")
    assert torch.equal(fitted(read_latent(tmp_path / "w.pt").w, 6, 5, "w.pt"), W[:1].expand(6, -1))


@pytest.mark.parametrize("shape", [(5,), (1, 5), (1, 1, 5)])
def test_one_row_stands_for_all(tmp_path, shape):
    np.save(tmp_path / "w.npy", W[0].reshape(shape).numpy())
    assert torch.equal(fitted(read_latent(tmp_path / "w.npy").w, 6, 5, "w.npy"), W[:1].expand(6, -1))


@pytest.mark.parametrize("ending", [".npz", ".npy", ".pt", ".safetensors"])
def test_what_is_written_is_read_bit_for_bit(tmp_path, ending):
    path = tmp_path / f"w{ending}"
    model = smallest_model(w_dim=5, resolution=16)
    code = Code(W, {"b8.conv0": torch.arange(float(model.generator.config.channels(4)))})  # type: ignore[attr-defined]
    save_latent(Subject(model, code), path)
    latent = read_latent(path)
    found = as_subject(latent, model, "w")
    assert torch.equal(found.code.ws, W)
    if ending == ".safetensors":
        assert torch.equal(found.code.style_offsets["b8.conv0"], code.style_offsets["b8.conv0"])
        assert (latent.model, latent.digest) == (model.card.name, model.digest)
        with pytest.raises(UserError, match="w was made with other weights than those of"):
            as_subject(latent, smallest_model(w_dim=5, resolution=16, mapping_layers=3), "w")
    # As the programs that they are for read them.
    shape = (1, 6, 5)
    if ending == ".npz":
        assert np.load(path)["w"].shape == shape
    elif ending == ".npy":
        assert np.load(path).shape == shape
    elif ending == ".pt":
        assert torch.equal(torch.load(path, weights_only=True), W[None])


@pytest.mark.parametrize(
    ("shape", "complaint"),
    [
        ((7, 5), r"a latent of shape \[7, 5\]; this model takes w \[5\] or w\+ \[6, 5\]"),
        ((1, 6, 4), r"a latent of shape \[1, 6, 4\]; this model takes"),
        ((3, 6, 5), r"holds 3 latents \(shape \[3, 6, 5\]\)"),
        ((3, 1, 5), "holds 3 latents"),
        ((2, 1, 6, 5), "a latent of shape"),
    ],
)
def test_shapes_that_do_not_fit(shape, complaint):
    with pytest.raises(UserError, match=f"x.npy .*{complaint}"):
        fitted(torch.zeros(shape), 6, 5, "x.npy")
    with pytest.raises(UserError, match="not finite"):
        fitted(torch.full((6, 5), torch.nan), 6, 5, "x.npy")


def npy(header, data=b""):
    text = (str(header) if not isinstance(header, str) else header).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def stored(**members):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return data.getvalue()


HUGE = {"descr": "<f4", "fortran_order": False, "shape": (1 << 30, 1 << 30)}
SMALL = {"descr": "<f4", "fortran_order": False, "shape": (6, 5)}
REFUSED = {
    "huge.npy": npy(HUGE, b"\0" * 100),
    "cut.npy": npy(SMALL, b"\0" * 100),
    "negative.npy": npy({**SMALL, "shape": (-6, 5)}, b"\0" * 120),
    "objects.npy": npy({**SMALL, "descr": "|O"}, pickle.dumps([1])),
    "fields.npy": npy({**SMALL, "descr": [("a", "<f4")]}, b"\0" * 120),
    "text.npy": npy({**SMALL, "descr": "<U7"}, b"\0" * 1000),
    "deep.npy": npy("(" * 5000),
    "call.npy": npy("__import__('os').system('touch canary')"),
    "no header.npy": b"\x93NUMPY",
    "huge.npz": stored(w=npy(HUGE)),
    "bomb.npz": stored(w=npy({**SMALL, "shape": (1 << 26,)}, bytes(1 << 26))),
    "many names.npz": stored(a=npy(SMALL, bytes(120)), b=npy(SMALL, bytes(120))),
    "other.zip": stored(),
    "huge.safetensors": struct.pack("<Q", 1 << 40) + b"{}",
    "lies.safetensors": struct.pack("<Q", 60) + b'{"w":{"dtype":"F32","shape":[9999999],"data_offsets":[0,8]}}' + b"\0" * 8,
    "hello.pt": b"hello",
    "empty.pt": b"",
    "call.pt": pickle.dumps(Call(os.system, "touch canary")),
    "call inside.pkl": pickle.dumps({"w": Call(os.system, "touch canary")}),
    "unknown call.pkl": pickle.dumps({"w": Call(Path, "canary")}),
    "texts.pkl": pickle.dumps({"w": ["a", "b"]}),
    "nothing.pkl": pickle.dumps({}),
    "two.pkl": pickle.dumps({"a": np.zeros(5), "b": np.zeros(5)}),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_latent_is_refused(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_bytes(REFUSED[name])
    forget_peak()
    before = peak()
    with pytest.raises(UserError) as caught:
        read_latent(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isprintable()
    assert len(message) < len(str(path)) + 250
    assert not (tmp_path / "canary").exists()
    assert peak() - before < 32e6 + 20 * len(REFUSED[name])


def test_lists_of_themselves(tmp_path):
    """Writing it out would take 10,000 ** 4 rows."""
    endless = [0.0]
    for _ in range(4):
        endless = [endless] * 60  # type: ignore[list-item]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"w": endless}))
    with pytest.raises(UserError, match=r"something else than numbers|expected"):
        read_latent(tmp_path / "x.pkl")


def test_which_files_are_latents(tmp_path):
    with zipfile.ZipFile(tmp_path / "session.zip", "w") as archive:
        archive.writestr("session.json", json.dumps({}))
    assert not is_latent(tmp_path / "session.zip")
    assert not is_latent(tmp_path / "missing.steer")
    assert is_latent(tmp_path / "missing.npz")
    assert ".npz" in ENDINGS
    with pytest.raises(UserError, match="no such file"):
        read_latent(tmp_path / "missing.npz")


FUZZED = ["projected_w.npz", "w.npy", "0.pt", "legacy.pt", "dict.pkl", "w.safetensors"]


@pytest.mark.parametrize("name", FUZZED)
@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(choice=st.data())
def test_changed_bytes(tmp_path_factory, name, choice):
    folder = tmp_path_factory.mktemp("changed")
    WAYS[name](folder / name)
    data = bytearray((folder / name).read_bytes())
    for _ in range(choice.draw(st.integers(1, 4))):
        at = choice.draw(st.integers(0, len(data) - 1))
        length = choice.draw(st.integers(0, 8))
        data[at : at + length] = choice.draw(st.binary(max_size=8))
    data = data[: choice.draw(st.integers(1, len(data)))] if choice.draw(st.booleans()) else data
    (folder / name).write_bytes(data)
    forget_peak()
    before = peak()
    with contextlib.suppress(UserError):
        read_latent(folder / name)
    assert peak() - before < 32e6
