"""Honest files with bytes changed: a model or one line of refusal, never anything else, in bounded memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_files import (
    dump_nvidia,
    dump_tensorflow,
    nvidia_generator,
    rosinality_tensors,
    tensorflow_arrays,
    tensorflow_generator,
    torch_bytes,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_elsewhere import save

from gansteer.checkpoints.files import describe, load_file
from gansteer.checkpoints.native import save_model
from gansteer.errors import UserError
from support.tiny import smallest_model

KINDS = ["nvidia", "tensorflow", "rosinality", "legacy", "native", "whole network", "state dict", "encoder"]


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("honest")
    dump_nvidia(folder / "nvidia", G_ema=nvidia_generator(resolution=4, maximum=2))
    dump_tensorflow(folder / "tensorflow", tensorflow_generator(tensorflow_arrays(np.random.default_rng(0), 4)))
    (folder / "rosinality").write_bytes(torch_bytes({"g_ema": rosinality_tensors(4), "latent_avg": torch.ones(5)}))
    legacy = torch_bytes(
        {"g_ema": rosinality_tensors(4), "latent_avg": torch.ones(5)}, _use_new_zipfile_serialization=False
    )
    (folder / "legacy").write_bytes(legacy)
    save_model(smallest_model(resolution=4), folder / "native")
    network = nvidia_generator(resolution=4, maximum=2)
    save(folder / "whole network", network)
    torch.save(network.state_dict(), folder / "state dict")
    decoder = {f"decoder.{name}": value for name, value in rosinality_tensors(4).items()}
    torch.save({"state_dict": decoder, "latent_avg": torch.ones(6, 5), "opts": {"size": 4}}, folder / "encoder")
    return {kind: (folder / kind).read_bytes() for kind in KINDS}


def forget_peak():
    """Let this process's peak of memory be what it uses now."""
    Path("/proc/self/clear_refs").write_text("5")


def peak():
    """The most memory that this process used since `forget_peak`, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(choice=st.data())
def test_changed_bytes(tmp_path_factory, honest, kind, choice):
    data = bytearray(honest[kind])
    for _ in range(choice.draw(st.integers(1, 4))):
        at = choice.draw(st.integers(0, len(data) - 1))
        length = choice.draw(st.integers(0, 8))
        data[at : at + length] = choice.draw(st.binary(max_size=8))
    path = tmp_path_factory.mktemp("changed") / "x"
    path.write_bytes(data)
    forget_peak()
    before, refusals = peak(), []
    for read in (lambda: load_file(path, "cpu"), lambda: describe(path)):
        try:
            read()
        except UserError as error:
            refusals.append(str(error))
    assert peak() - before < 64e6 + 20 * len(data)
    assert all(line.isprintable() and len(line) < len(str(path)) + 300 for line in refusals)


@pytest.mark.parametrize("kind", KINDS)
def test_the_honest_files_load(tmp_path, honest, kind):
    (tmp_path / "x").write_bytes(honest[kind])
    assert load_file(tmp_path / "x", "cpu").resolution == 4
