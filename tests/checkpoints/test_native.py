"""Our own format: exact round trips, and files that are damaged or not written."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file as read_tensors
from safetensors.torch import save_file

from gansteer.checkpoints.files import convert, describe, load_file
from gansteer.checkpoints.native import save_model
from gansteer.errors import UserError
from gansteer.subject import Card, Model
from support.tiny import smallest_model
from support.waiting import PATIENCE

CARD = Card(
    name="tiny",
    domain="nothing",
    licence="MIT",
    description="Zwölf \N{SNOWMAN} lines\nof text",
    training={"images": 25_000_000, "loss": "logistic", "r1": 0.1, "data": ["a", "b"], "resumed": None},
    metrics={"frechet": 3.25, "floor": 1e-9},
    limits=("too small", "no faces"),
    drag_layer="b8.conv1",
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "config", [{}, {"c_dim": 3, "conv_clamp": 256.0}, {"conv_clamp": 256, "img_channels": 1}], ids=str
)
def test_round_trip_is_exact(tmp_path, dtype, config):
    model = smallest_model(CARD, dtype, **config)
    save_model(model, tmp_path / "x", dtype)
    again = load_file(tmp_path / "x", "cpu", dtype)
    assert again.card == model.card
    assert again.generator.config == model.generator.config
    before, after = model.generator.state_dict(), again.generator.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    label = 1 if config.get("c_dim") else None
    assert torch.equal(model.sample(3, label=label).render(), again.sample(3, label=label).render())
    save_model(again, tmp_path / "y", dtype)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_half_precision_takes_half_the_room_and_is_widened(tmp_path):
    model = smallest_model(CARD, channel_max=64, channel_base=512)
    save_model(model, tmp_path / "full")
    save_model(model, tmp_path / "half", torch.float16)
    assert (tmp_path / "half").stat().st_size < 0.6 * (tmp_path / "full").stat().st_size
    state = load_file(tmp_path / "half", "cpu").generator.state_dict()
    for name, tensor in model.generator.state_dict().items():
        assert state[name].dtype == torch.float32
        assert torch.equal(state[name], tensor.half().float()), name
    assert "synthesis.blocks.0.convs.conv1.noise_fixed" in read_tensors(tmp_path / "half")


def test_values_beyond_half_precision_are_not_written(tmp_path):
    model = smallest_model(CARD)
    model.generator.synthesis.constant.fill_(1e6)
    with pytest.raises(UserError, match="not finite"):
        save_model(model, tmp_path / "half", torch.float16)
    assert list(tmp_path.iterdir()) == []


def test_folder_stands_for_its_model(tmp_path):
    save_model(smallest_model(CARD), tmp_path / "model.safetensors")
    assert load_file(tmp_path, "cpu").card == CARD


def test_convert_and_describe(tmp_path):
    save_model(smallest_model(CARD), tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    about = describe(tmp_path / "b.safetensors")
    assert (about.kind, about.card, about.problem) == ("gansteer safetensors", CARD, None)


def rewrite(path, tensors=None, **changes):
    """The file with some of its header or tensors changed."""
    with safe_open(path, "pt") as handle:
        about = json.loads(handle.metadata()["gansteer"])
    about.update({key: change(about[key]) if callable(change) else change for key, change in changes.items()})
    save_file(read_tensors(path) | (tensors or {}), path, metadata={"gansteer": json.dumps(about)})


def changed(**fields):
    return lambda old: {**old, **fields}


HEADERS = {
    "newer than this gansteer": {"format": 3},
    "holds a discriminator": {"kind": "discriminator"},
    "contains NaN": {"config": changed(z_dim=float("nan"))},
    "contains Infinity": {"config": changed(conv_clamp=float("inf"))},
    "z_dim is 4.5": {"config": changed(z_dim=4.5)},
    "z_dim is True": {"config": changed(z_dim=True)},
    "declares z_dim 100000": {"config": changed(z_dim=100_000)},
    "power of two": {"config": changed(resolution=12)},
    "unexpected keyword": {"config": changed(colour=1)},
    "damaged configuration": {"config": [1]},
    "damaged card": {"card": None},
    "'name' is unknown or of the wrong type": {"card": changed(name=3)},
    "'colour' is unknown": {"card": changed(colour="red")},
    "control characters": {"card": changed(description="\x1b[2J")},
    "lacks the tensor synthesis.blocks.2": {"config": changed(resolution=16)},
    "of shape": {"config": changed(w_dim=6)},
}  # fmt: skip


@pytest.mark.parametrize("problem", HEADERS)
def test_damaged_headers(tmp_path, problem):
    path = tmp_path / "x.safetensors"
    save_model(smallest_model(CARD), path)
    rewrite(path, **HEADERS[problem])  # type: ignore[arg-type]
    with pytest.raises(UserError) as caught:
        load_file(path, "cpu")
    assert problem in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


TENSORS = {
    "of shape [3]": {"mapping.w_mean": torch.ones(3)},
    "lacks I64": {"mapping.w_mean": torch.ones(5, dtype=torch.int64)},
    "unknown tensor 'odd'": {"odd": torch.ones(3)},
    "not finite": {"mapping.w_mean": torch.full((5,), float("nan"))},
}


@pytest.mark.parametrize("problem", TENSORS)
def test_damaged_tensors(tmp_path, problem):
    path = tmp_path / "x.safetensors"
    save_model(smallest_model(CARD), path)
    rewrite(path, TENSORS[problem])
    with pytest.raises(UserError) as caught:
        load_file(path, "cpu")
    assert problem in str(caught.value)


@pytest.mark.parametrize("part", [0.002, 0.01, 0.1, 0.5, 0.999])
def test_cut_short(tmp_path, part):
    path = tmp_path / "x.safetensors"
    save_model(smallest_model(CARD), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(UserError, match=r"x\.safetensors"):
        load_file(path, "cpu")


def test_without_a_card(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="without gansteer's card"):
        load_file(tmp_path / "x.safetensors", "cpu")


def test_saving_into_a_missing_folder(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        save_model(smallest_model(CARD), tmp_path / "absent" / "x.safetensors")


FULL_DISK = """
import resource, sys
from test_native import CARD
from support.tiny import smallest_model
from gansteer.checkpoints.native import save_model
from gansteer.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # the system refuses to write on, as on a full disk
try:
    save_model(smallest_model(CARD, channel_max=64, channel_base=512), sys.argv[1])
except UserError as error:
    print(error)
"""


def test_full_disk_leaves_the_previous_file(tmp_path):
    path = tmp_path / "x.safetensors"
    save_model(smallest_model(CARD), path)
    before = path.read_bytes()
    here = __import__("pathlib").Path(__file__).parent
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parent)!r}]\n{FULL_DISK}", path],
        capture_output=True, text=True, check=True, timeout=PATIENCE,
    )  # fmt: skip
    assert "could not be written" in run.stdout
    assert run.stdout.count("\n") == 1
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_cards_with_unusable_numbers_are_refused(tmp_path):
    model = Model(replace(CARD, metrics={"frechet": float("nan")}), smallest_model(CARD).generator)
    with pytest.raises(UserError, match="card"):
        save_model(model, tmp_path / "x.safetensors")
