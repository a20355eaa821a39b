"""Runs in a folder: continued exactly, refused clearly, safe from full disks and Ctrl-C, grown."""

import json
import os
import resource
import signal
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_runs import save_pictures

from gansteer.checkpoints.registry import load
from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.models.layers import upsample
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.training.config import TrainConfig
from gansteer.training.data import Pictures
from gansteer.training.objectives import augmentation_of
from gansteer.training.run import train


def carry_out(config):
    return list(train(config))


def state_of(config):
    return torch.load(config.out / "checkpoint.pt", weights_only=True)


def same(a, b, where="state"):
    """Whether two states are equal bit for bit."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, pair in enumerate(zip(a, b, strict=True)):
            same(*pair, f"{where}.{i}")
    else:
        assert a == b, where


def lines(config):
    return [json.loads(line) for line in (config.out / "log.jsonl").read_text().splitlines()]


# --- continuing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags",
    [
        {"augment": "ada", "path_length": 2.0, "mirror": True},
        {"augment": "diffaugment", "conditional": True},
        {"loss": "projected"},
        {"loss": "projected", "anchor": 0.5, "anchor_images": 8},
        {"loss": "projected", "discriminator_images": 8},
    ],
    ids=["ada", "diffaugment", "projected", "anchored", "discriminator first"],
)
def test_a_continued_run_is_as_if_never_stopped(tiny, flags):
    whole = tiny("whole", images=24, **flags)
    carry_out(whole)
    halves = tiny("halves", images=12, **flags)
    carry_out(halves)
    assert state_of(halves)["steps"] == 3
    carry_out(replace(halves, images=24))
    assert state_of(halves)["steps"] == 6
    same(state_of(whole), state_of(halves))


def test_what_a_run_leaves(tiny):
    config = tiny(images=100, snapshot_images=40, mirror=True)
    reports = carry_out(config)
    assert [report.images for report in reports] == [40, 80, 100]
    assert all(report.total == 100 and report.images_per_second > 0 for report in reports)
    names = sorted(p.name for p in config.out.iterdir() if not p.name.startswith("events."))
    stamps = ("000000040", "000000080", "000000100")
    assert names == sorted(
        ["checkpoint.pt", "config.json", "log.jsonl"]
        + [f"snapshot-{s}.safetensors" for s in stamps]
        + [f"samples-{s}.png" for s in stamps]
    )
    assert [line["images"] for line in lines(config)] == [40, 80, 100]
    assert reports[-1].losses.items() <= lines(config)[-1].items()
    with Image.open(config.out / "samples-000000040.png") as page:
        assert page.size == (64, 32)
    model = load(config.out / "snapshot-000000100.safetensors", device="cpu")
    same(model.generator.state_dict(), state_of(config)["ema"])
    assert json.loads((config.out / "config.json").read_text())["mirror"] is True


def test_regularisers_are_reported_though_they_run_in_other_steps(tiny):
    """R1 runs in steps 0, 16, 32 ... and path length in 0, 4, 8 ...; reports are written after steps 9, 19, 29 ..."""
    config = tiny(images=160, path_length=2.0)
    carry_out(config)
    assert ["loss/r1" in line for line in lines(config)] == [True, True, False, True]
    assert all("loss/path_length" in line for line in lines(config))


def test_ctrl_c_keeps_a_state_that_continues_exactly(tiny):
    config = tiny("stopped", images=10**6, augment="ada")
    steps = train(config)
    assert next(steps).images == 40
    timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        for _ in steps:
            pass
    timer.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    stopped = state_of(config)
    whole = tiny("whole", images=stopped["steps"] * 4, augment="ada")
    carry_out(whole)
    same(state_of(whole), stopped)


def test_closing_the_iterator_saves(tiny):
    config = tiny(images=10**6)
    steps = train(config)
    next(steps)
    steps.close()
    assert state_of(config)["steps"] == 10


def test_the_checkpoint_is_written_on_time(tiny):
    config = tiny(images=10**6, checkpoint_minutes=0.0)
    steps = train(config)
    next(steps)
    next(steps)  # the first report's checkpoint precedes the second
    assert state_of(config)["steps"] == 20
    steps.close()


# --- what is refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 8}, r"--batch 4, not 8"),
        ({"g_lr": 0.001}, r"--g-lr 0.002, not 0.001"),
        ({"resolution": 4}, r"--resolution 8, not 4"),
        ({"augment": "diffaugment"}, r"--augment auto, not diffaugment"),
        ({"mirror": True}, r"--mirror False, not True"),
    ],
)
def test_another_configuration_is_refused(tiny, change, message):
    config = tiny(images=4)
    carry_out(config)
    before = (config.out / "checkpoint.pt").read_bytes()
    with pytest.raises(UserError, match=message) as caught:
        carry_out(replace(config, **change, images=8))
    # Another rate is a reason to go on from it, another resolution one to know what --grow can do first.
    assert (f"and --grow {config.out} to go on" in str(caught.value)) == ("resolution" not in change)
    assert (config.out / "checkpoint.pt").read_bytes() == before


def test_the_card_names_the_classes(tiny, tmp_path):
    for i, name in enumerate(("dogs", "cats")):
        save_pictures(tmp_path / "of" / name, count=3, seed=i)
        (tmp_path / "of" / name / "dataset.json").unlink()
    config = tiny(images=4, conditional=True, data=tmp_path / "of")
    carry_out(config)
    card = load(next(config.out.glob("snapshot-*.safetensors")), "cpu").card
    assert card.training["classes"] == ["cats", "dogs"]


def test_data_with_other_classes_is_refused(tiny, tmp_path):
    config = tiny(images=4, conditional=True)
    carry_out(config)
    other = save_pictures(tmp_path / "other", count=2)
    with pytest.raises(UserError, match=r"checkpoint.pt does not fit"):
        carry_out(replace(config, data=other, images=8))


@pytest.mark.parametrize("name", ["checkpoint.pt", "config.json"])
def test_a_damaged_run_is_refused(tiny, name):
    config = tiny(images=4)
    carry_out(config)
    whole = (config.out / name).read_bytes()
    (config.out / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=f"{name} is .*damaged"):
        carry_out(replace(config, images=8))


def test_nothing_is_written_when_the_data_are_wrong(tiny, tmp_path):
    folder = save_pictures(tmp_path / "bad")
    (folder / "03.png").write_bytes(b"")
    config = tiny(data=folder)
    with pytest.raises(UserError, match=r"03\.png is not a picture"):
        carry_out(config)
    assert not config.out.exists()


def test_folders_that_cannot_hold_a_run(tiny, tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        carry_out(tiny("missing/run"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        carry_out(tiny("file"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"batch": 0}, "--batch"),
        ({"g_lr": 0.0}, "--g-lr"),
        ({"style_mixing": 1.5}, "--style-mixing"),
        ({"resolution": 100}, "power of two"),
        ({"channel_base": 4}, "leaves no channel"),
        ({"path_length": -1.0}, "--path-length"),
        ({"r1_gamma": -1.0}, "--r1-gamma"),
        ({"ema_images": 0.0}, "--ema-images"),
        ({"workers": -1}, "--workers"),
        ({"loss": "projected", "conditional": True}, "ignores labels"),
    ],
)
def test_impossible_flags(tiny, flags, message):
    with pytest.raises(UserError, match=message):
        tiny(**flags)


def test_divergence_is_said(tiny):
    config = tiny(images=400, g_lr=1e30, d_lr=1e30, augment="none")
    with pytest.raises(UserError, match=r"diverged at 40 images: start a new run with smaller --g-lr") as caught:
        carry_out(config)
    assert "--grow" not in str(caught.value)  # there is no good state to go on from
    assert not (config.out / "checkpoint.pt").exists()


# --- a full disk -------------------------------------------------------------------------------------------------------------


@contextmanager
def files_no_larger_than(size):
    """Writing beyond `size` bytes of any file fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("what", ["checkpoint", "snapshot"])
def test_a_full_disk_leaves_what_was_there(tiny, what):
    config = tiny(images=40, snapshot_images=40)
    carry_out(config)
    kept = {p.name: p.read_bytes() for p in config.out.iterdir() if p.suffix in (".pt", ".safetensors", ".png")}
    more = replace(config, images=80, snapshot_images=10**6 if what == "checkpoint" else 80)
    with files_no_larger_than(2000), pytest.raises(UserError, match=f"{what}.* could not be written") as caught:
        carry_out(more)
    assert "\n" not in str(caught.value)
    assert {p.name: p.read_bytes() for p in config.out.iterdir() if p.name in kept} == kept
    assert not [p.name for p in config.out.iterdir() if p.name.endswith(".part")]
    carry_out(more)
    assert state_of(config)["steps"] == 20


def test_a_full_disk_while_logging(tiny):
    config = tiny(images=40)
    carry_out(config)
    with (config.out / "log.jsonl").open("a") as log:
        log.write("\n" * 5000)
    with files_no_larger_than(2000), pytest.raises(UserError, match=r"log\.jsonl could not be written"):
        carry_out(replace(config, images=80))
    assert state_of(config)["steps"] == 10


# --- growing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["stylegan2", "projected"])
@pytest.mark.parametrize("start", ["run", "snapshot"])
def test_growing(tiny, tmp_path, loss, start):
    small = tiny("small", images=8, snapshot_images=8, loss=loss)
    carry_out(small)
    data = save_pictures(tmp_path / "large", size=16)
    path = small.out if start == "run" else small.out / "snapshot-000000008.safetensors"
    # So slow that the first step changes next to nothing.
    big = tiny(
        "big", data=data, resolution=16, images=4, loss=loss, grow=path, g_lr=1e-12, d_lr=1e-12, snapshot_images=4
    )
    carry_out(big)
    before = load(small.out / "snapshot-000000008.safetensors", device="cpu").sample(3, psi=0.8)
    after = load(big.out / "snapshot-000000004.safetensors", device="cpu").sample(3, psi=1.0)
    ws = before.code.ws.new_zeros(6, 4)
    ws[:4], ws[4:] = before.code.ws, before.code.ws[-1]
    picture = after.model.generator.synthesize(Code(ws[None])).detach()
    torch.testing.assert_close(picture, upsample(before.render()[None]), rtol=1e-3, atol=1e-3)
    if loss == "projected":
        kept = [
            torch.equal(a, state_of(small)["d"][name]) for name, a in state_of(big)["d"].items() if "original" in name
        ]
        close = [
            torch.allclose(a, state_of(small)["d"][name], rtol=1e-4, atol=1e-6)
            for name, a in state_of(big)["d"].items() if "original" in name
        ]  # fmt: skip
        assert kept
        assert all(close) == (start == "run")  # a run brings its discriminator along
    carry_out(replace(big, images=8))  # continues without growing again
    assert state_of(big)["steps"] == 2


@pytest.mark.parametrize("larger", [False, True])
def test_the_average_of_a_grown_run(tiny, tmp_path, larger):
    """At the resolution of the model it goes on from it is as good as that, so it changes as slowly as it will later."""
    small = tiny("small", images=8)
    carry_out(small)
    data = save_pictures(tmp_path / "large", size=16)
    grown = tiny("grown", data=data, resolution=16 if larger else 8, images=4, grow=small.out, ema_images=1000)
    carry_out(grown)
    first = state_of(grown)
    carry_out(replace(grown, images=8))
    second = state_of(grown)
    keep = 0.5 ** (4 / (0.05 * 8 if larger else 1000))
    names = [name for name, _ in StyleGAN2Generator(grown.generator_config()).named_parameters()]
    for name in names:
        expected = keep * first["ema"][name] + (1 - keep) * second["g"][name]
        torch.testing.assert_close(second["ema"][name], expected, rtol=1e-4, atol=1e-7)
    assert sum(not torch.equal(first["ema"][name], second["g"][name]) for name in names) > 0.5 * len(names)


def test_growing_from_what_does_not_fit(tiny, tmp_path):
    small = tiny("small", images=4)
    carry_out(small)
    data = save_pictures(tmp_path / "large", size=32)
    for flags, message in (
        ({"w_dim": 6, "resolution": 16}, "has --w-dim 4: give the same"),
        ({"resolution": 32}, "draws 8 px; --grow goes on at 8 or twice that"),
        ({"channel_max": 3, "resolution": 16}, "are there: give at least --channel-base 32 --channel-max 4 to go on"),
        ({"conditional": True, "resolution": 16}, "of 0 classes; the data has 3 channels of 3"),
        ({"grow": tmp_path / "none" / "there"}, "there is no such file"),
        ({"grow": Path("portraitz")}, "did you mean 'portraits'"),
        ({"grow": Path("portraits")}, "portraits.safetensors has --z-dim 64: give the same"),  # by name, as everywhere
    ):
        with pytest.raises(UserError, match=message):
            carry_out(tiny("big", **{"data": data, "grow": small.out, **flags}))
        assert not (tmp_path / "big").exists()


def test_growing_with_classes(tiny, tmp_path):
    small = tiny("small", images=4, conditional=True)
    carry_out(small)
    big = tiny(
        "big",
        data=save_pictures(tmp_path / "large", size=16),
        resolution=16,
        images=4,
        grow=small.out,
        conditional=True,
    )
    carry_out(big)
    assert state_of(big)["ema"]["mapping.embed.weight"].shape == (4, 3)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of forking beside any thread
def test_worker_processes_change_nothing(tiny, monkeypatch):
    """With pictures too many to keep, which is when workers decode."""
    carry_out(tiny("alone", images=12))
    monkeypatch.setattr("gansteer.training.run.Pictures", partial(Pictures, cache_bytes=0))
    carry_out(tiny("helped", images=12, workers=2))
    same(state_of(tiny("alone")), state_of(tiny("helped")))


def test_defaults_are_of_one_piece():
    config = TrainConfig("data", "out")  # type: ignore[arg-type]
    assert augmentation_of(config) == "diffaugment"
    assert config.gamma == pytest.approx(0.0002 * 128**2 / 32)
    assert config.ema_half_life == 10_000
    assert augmentation_of(replace(config, loss="stylegan2")) == "ada"
    assert augmentation_of(replace(config, augment="none")) == "none"
