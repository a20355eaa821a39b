"""Files made to do harm, or damaged: one line of refusal each, and nothing ran."""

import copyreg
import functools
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_files import (
    dump_nvidia,
    dump_tensorflow,
    nvidia_generator,
    persistent,
    rosinality_tensors,
    tensorflow_arrays,
    tensorflow_generator,
    torch_bytes,
)
from harmful import MAGIC, Call, refused, storage, with_weight, zip_file

from gansteer.checkpoints.files import describe, load_file
from support.waiting import PATIENCE


def touch(canary: Path) -> str:
    return f"touch {canary}"


# What Python's own pickle would run: each case proves that the file is really harmful


MODULE = "class Evil:\n    def __setstate__(self, state):\n        open(state['path'], 'w').close()\n"


def short(text: str) -> bytes:
    return b"\x8c" + struct.pack("<B", len(text)) + text.encode()


RUNNING = {
    "reduce": lambda c: pickle.dumps(Call(os.system, touch(c))),
    "reduce in protocol 0": lambda c: b"cos\nsystem\n(S'" + touch(c).encode() + b"'\ntR.",
    "eval": lambda c: pickle.dumps(Call(eval, f"open({str(c)!r}, 'w')")),
    "exec": lambda c: pickle.dumps({"G_ema": Call(exec, f"open({str(c)!r}, 'w')")}),
    "getattr chain": lambda c: (
        b"\x80\x04cbuiltins\ngetattr\ncbuiltins\n__import__\n\x8c\x02os\x85R\x8c\x06system\x86R"
        + b"X"
        + struct.pack("<I", len(touch(c)))
        + touch(c).encode()
        + b"\x85R."
    ),
    "INST": lambda c: b"\x80\x04(" + short(touch(c)) + b"ios\nsystem\n.",
    "OBJ": lambda c: b"(csubprocess\ngetoutput\nS'" + touch(c).encode() + b"'\no.",
    "dotted name": lambda c: b"\x80\x04" + short("shutil") + short("os.system") + b"\x93" + short(touch(c)) + b"\x85R.",
    "partial": lambda c: pickle.dumps(Call(functools.partial(os.system, touch(c)))),
    "setstate": lambda c: b"\x80\x04cevil_module\nEvil\n)\x81}" + short("path") + short(str(c)) + b"sb.",
    "module on disk": lambda c: b"\x80\x04cevil_import\nanything\n.",
    "runpy": lambda c: pickle.dumps(Call(__import__("runpy").run_path, str(c.parent / "evil_import.py"))),
}  # fmt: skip


@pytest.mark.parametrize("kind", RUNNING)
def test_nothing_is_run(path, canary, kind, monkeypatch):
    folder = path.parent
    (folder / "evil_module.py").write_text(MODULE)
    (folder / "evil_import.py").write_text(f"open({str(canary)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(folder)
    path.write_bytes(RUNNING[kind](canary))

    message = refused(path, canary)
    assert "gansteer never runs code from a checkpoint" in message
    assert "evil_module" not in sys.modules

    program = "import pickle, sys; sys.path.insert(0, sys.argv[1]); pickle.load(open(sys.argv[2], 'rb'))"
    subprocess.run([sys.executable, "-c", program, folder, path], capture_output=True, check=False, timeout=PATIENCE)
    assert canary.exists(), "the file was not harmful, so refusing it proves nothing"


def test_the_message_names_what_would_run(path, canary):
    path.write_bytes(pickle.dumps(Call(os.system, touch(canary))))
    assert f"{os.system.__module__}.system" in refused(path, canary)


def test_names_that_mean_nothing_are_never_looked_up(path, canary, monkeypatch):
    """A harmless-looking module beside an honest generator, which Python's own pickle would import and call."""
    (path.parent / "odd_networks.py").write_text(f"def build(x):\n    open({str(canary)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(path.parent)
    import odd_networks

    called = Call(odd_networks.build, 1)
    dump_nvidia(path, G_ema=nvidia_generator(resolution=8), D=called)
    assert load_file(path, "cpu").resolution == 8
    assert describe(path).problem is None
    for file in ({"G_ema": called}, called, {"g_ema": {"input.input": called, "style.1.weight": called}}):
        path.write_bytes(pickle.dumps(file))
        refused(path, canary)
    with_weight(path, called)
    assert "something else where a tensor is expected" in refused(path, canary)
    pickle.loads(pickle.dumps(called))
    assert canary.exists()


def test_extension_registry(path, canary):
    code = 240
    copyreg.add_extension(os.system.__module__, "system", code)
    try:
        path.write_bytes(b"\x80\x04\x82\xf0" + short(touch(canary)) + b"\x85R.")
        assert "extension registry" in refused(path, canary)
    finally:
        copyreg.remove_extension(os.system.__module__, "system", code)


def test_control_characters_do_not_reach_the_terminal(path, canary):
    path.write_bytes(b"\x80\x04" + short("os\n\x1b[2J" + "x" * 200) + short("a") + b"\x93.")
    refused(path, canary)


# Harm inside an otherwise honest file


def numbers() -> bytes:
    """30 float32 as the release nests them."""
    typed = torch.storage.TypedStorage(
        wrap_storage=torch.ones(30).untyped_storage(), dtype=torch.float32, _internal=True
    )
    return torch_bytes(typed, _use_new_zipfile_serialization=False)


def nested_pickle(canary):
    return pickle.dumps(Call(os.system, touch(canary)))


def test_nested_pickle_in_a_storage(path, canary):
    with_weight(path, storage(nested_pickle(canary)))
    assert "tries to run" in refused(path, canary)


def test_nested_torch_file_in_a_storage(path, canary):
    with_weight(path, storage(MAGIC + nested_pickle(canary) + pickle.dumps([])))
    assert "tries to run" in refused(path, canary)


def test_storage_nested_in_a_storage_in_a_storage(path, canary):
    data = numbers()
    for _ in range(50):
        data = MAGIC + pickle.dumps(Call(torch.storage._load_from_bytes, data)) + pickle.dumps([], 2)
    with_weight(path, storage(data))
    refused(path, canary)


def test_harm_in_the_discriminator_is_seen_too(path, canary):
    dump_nvidia(path, G_ema=nvidia_generator(resolution=8), D=Call(os.system, touch(canary)))
    assert "tries to run" in refused(path, canary)


def test_harm_in_an_array(path, canary):
    t = tensorflow_arrays(np.random.default_rng(0), 4)
    t["dlatent_avg"] = np.array([Call(os.system, touch(canary))], dtype=object)
    dump_tensorflow(path, tensorflow_generator(t))
    assert "tries to run" in refused(path, canary)


@pytest.mark.parametrize("layout", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "legacy"])
def test_harm_in_a_torch_file(path, canary, layout):
    path.write_bytes(torch_bytes({"g_ema": rosinality_tensors(4), "args": Call(os.system, touch(canary))}, **layout))
    assert "tries to run" in refused(path, canary)


# Declared sizes


@pytest.mark.parametrize(
    ("sizes", "strides", "offset"),
    [
        ((1 << 40, 6), (6, 1), 0),
        ((5, 6), (1 << 50, 1), 0),
        ((1 << 20, 1 << 20), (0, 0), 0),
        ((5, 6), (6, 1), 1),
        ((5, 6), (6, 1), -1),
        ((5, 6), (-6, 1), 24),
        ((-5, -6), (6, 1), 0),
        ((0, 6), (6, 1), 0),
    ],
)
def test_tensor_beyond_its_storage(path, canary, sizes, strides, offset):
    data = numbers()
    load = Call(torch.storage._load_from_bytes, data)
    with_weight(path, Call(torch._utils._rebuild_tensor_v2, load, offset, sizes, strides, False, OrderedDict()))
    assert "declares" in refused(path, canary)


def test_an_honest_storage_in_the_same_place(path):
    """So that the cases around it are refused for the reason they are made for."""
    with_weight(path, storage(numbers()))
    assert load_file(path, "cpu").generator.state_dict()["mapping.w_mean"].eq(1).all()


def test_enormous_declared_storage(path, canary):
    data = numbers()
    assert data[-128:-120] == struct.pack("<q", 30)
    with_weight(path, storage(data[:-128] + struct.pack("<q", 1 << 60) + data[-120:]))
    assert "cut short" in refused(path, canary)


@pytest.mark.parametrize("shape", [(1 << 40, 1), (5, -1), (1 << 58, 4)])
def test_enormous_declared_array(path, canary, shape):
    t = tensorflow_arrays(np.random.default_rng(0), 4)
    dump_tensorflow(path, tensorflow_generator(t))
    data = path.read_bytes()
    at = data.index(b"dlatent_avg")
    honest = data.index(b"K\x05\x85", at)  # the shape (5,)
    forged = pickle.dumps(shape, 2)[2:-1]
    path.write_bytes(data[:2] + data[11:honest] + forged + data[honest + 3 :])
    assert "declares an array" in refused(path, canary)


@pytest.mark.parametrize("start", [b"\x8e", b"\x96", b"\x8d"], ids=["bytes", "bytearray", "text"])
def test_enormous_declared_bytes(path, canary, start):
    path.write_bytes(b"\x80\x05" + start + struct.pack("<Q", 1 << 62) + b"x.")
    refused(path, canary)


def test_one_storage_for_every_tensor(path, canary):
    """A small file that would fill the memory with copies of the same bytes."""
    shared = torch.randn(512 * 512 * 9)
    t = rosinality_tensors(64, style_dim=512, base=1 << 20, maximum=512)
    path.write_bytes(torch_bytes({"g_ema": {k: shared[: v.numel()].view(v.shape) for k, v in t.items()}}))
    assert path.stat().st_size < 12e6
    refused(path, canary)


# Depth, length and cycles


@pytest.mark.parametrize(
    "data",
    [
        b"]" * 100_000 + b"a" * 99_999 + b".",
        b")" + b"\x85" * 200_000 + b".",
        b"}" + b")" + b"\x85" * 200_000 + b"Ns.",
        b"(" * 200_000 + b".",
        b"N" * 3_000_000 + b".",
        b"]" + b"2a" * 1_000 + b".",
        b"Nr\xff\xff\xff\x7f.",
        b"N" + b"\x8b\xff\xff\xff\x7f",
        b"KKKK\x93.",
        b"ctorch\nSize\n}" + short("__init__") + b"Nsb.",
    ],
    ids=["lists", "tuples", "key", "marks", "long", "cycle", "memo", "integer", "name", "build"],
)
def test_odd_programs(path, canary, data):
    path.write_bytes(b"\x80\x04" + data)
    refused(path, canary)


def test_modules_inside_themselves(path, canary):
    g = persistent("Generator")
    g.synthesis = persistent("SynthesisNetwork")
    dump_nvidia(path, G_ema=g)
    deep = persistent("Module")
    for _ in range(60):  # both children are the same module, so that a walk would take 2 ** 60 steps
        deep, child = persistent("Module"), deep
        deep.a = deep.b = child
    dump_nvidia(path, G_ema=deep)
    assert "deeper" in refused(path, canary)
    wide = persistent("Module")
    for _ in range(5):
        wide, child = persistent("Module"), wide
        for i in range(20):
            setattr(wide, f"m{i}", child)
    dump_nvidia(path, G_ema=wide)
    assert "more modules" in refused(path, canary)


def test_endless_text(path, canary):
    """Writing this list out would take 2 ** 60 characters."""
    endless = []
    for _ in range(60):
        endless = [endless, endless]
    t = tensorflow_arrays(np.random.default_rng(0), 4)
    dump_tensorflow(path, tensorflow_generator(t, name=endless, nonlinearity=endless))
    assert "nonlinearity=a list" in refused(path, canary)


def test_deep_keys_of_a_dictionary(path, canary):
    """Hashing this key would overflow the stack of C."""
    deep = b")" + b"\x85" * 300_000
    program = b"\x80\x04ccollections\nOrderedDict\n](" + b"(" + deep + b"Nle\x85R."
    path.write_bytes(program)
    refused(path, canary)
    zip_file(path, zipfile.ZIP_STORED, {"x/data.pkl": b"\x80\x04}" + short("g_ema") + program[2:-1] + b"s."})
    assert "no StyleGAN2 generator" in refused(path, canary)


def test_one_long_pickle_for_every_tensor(path, canary):
    load = Call(torch.storage._load_from_bytes, MAGIC + b"N" * 1_000_000)
    tensor = Call(torch._utils._rebuild_tensor_v2, load, 0, (1,), (1,), False, OrderedDict())
    g = nvidia_generator(resolution=8)
    for block in (g.synthesis.b4, g.synthesis.b8):
        for module in block.modules():
            module._buffers["resample_filter"] = tensor
    dump_nvidia(path, G_ema=g)
    assert "longer than that of any network" in refused(path, canary)


def test_one_large_storage_for_every_filter(path, canary):
    large = torch.zeros(3_000_000)
    t = rosinality_tensors(8) | {f"to_rgbs.{i}.kernel": large[:16].view(4, 4) for i in range(5000)}
    path.write_bytes(torch_bytes({"g_ema": t}))
    assert "small tensor in a large storage" in refused(path, canary)


def test_networks_made_of_themselves(path, canary):
    t = tensorflow_arrays(np.random.default_rng(0), 4)
    network = tensorflow_generator(t)
    network.state["components"]["mapping"].state["components"] = {f"m{i}": network for i in range(100)}
    dump_tensorflow(path, network)
    assert "other parts" in refused(path, canary)
