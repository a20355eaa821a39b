"""The figures of inversion against themselves computed by hand, on a tiny model and its own pictures."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from inverting import picture_of, tiny_model
from skimage.metrics import structural_similarity

from gansteer.cli import main
from gansteer.errors import UserError
from gansteer.evaluation import editability
from gansteer.evaluation import inversion as evaluation
from gansteer.evaluation.editability import arrivals
from gansteer.evaluation.inversion import (
    OWN,
    Judge,
    Local,
    Near,
    Record,
    local,
    measured,
    near,
    of_picture,
    summed_up,
)
from gansteer.evaluation.records import read_records
from gansteer.inversion.edit import Inversion
from gansteer.models.tuning import Tuning
from gansteer.subject import Subject


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr(evaluation, "BASELINE", 4)
    monkeypatch.setattr(editability, "DRAG_STEPS", 1)
    monkeypatch.setattr(evaluation, "SEEDS", 3)


def test_how_near(model):
    subject = model.sample(1, 1.0)
    target = model.sample(1, 0.6).render()[None].clamp(-1, 1)
    found = near(subject, target, None, 3.0)
    p, t = subject.render().clamp(-1, 1).numpy(), target[0].numpy()
    error = float(((p - t) ** 2).mean())
    assert found.mse == pytest.approx(error, rel=1e-5)
    assert found.psnr == pytest.approx(10 * np.log10(4 / error), rel=1e-5)
    wanted = structural_similarity(
        p, t, channel_axis=0, data_range=2.0, gaussian_weights=True, use_sample_covariance=False
    )
    assert found.ssim == pytest.approx(wanted, abs=0.08)  # borders are counted otherwise
    assert (found.seconds, found.size, found.landmarks) == (3.0, 0, None)
    same = near(subject, torch.tensor(p)[None], None, 0.0)
    assert same.perceptual < 1e-6
    assert same.ssim == pytest.approx(1)


def test_how_local(model):
    bias = "synthesis.blocks.3.torgb.bias"
    tuning = Tuning(model.generator, {bias: torch.tensor([0.01, 0.01, 0.01])})
    found = local(Subject(model, model.sample(0).w, tuning=tuning))
    assert found.psnr == pytest.approx(10 * np.log10(4 / 0.01**2), abs=2)  # a little more where the picture is clamped
    none = local(Subject(model, model.sample(0).w, tuning=Tuning(model.generator, {bias: torch.zeros(3)})))
    assert none.psnr > 100


def test_drags_are_counted(model):
    assert len(arrivals(model.sample(0), None)) == 5
    assert arrivals(model.sample(0), None) == arrivals(model.sample(0), None)


def test_summing_up():
    first = Near(20.0, 0.04, 0.5, 0.3, 5.0, 1.0, 100)
    second = Near(30.0, 0.02, 0.7, 0.1, 3.0, 3.0, 300)
    records = [
        Record("a", OWN, None, (True, True), {"smile": 0.2, "age": 0.1}),
        Record("b", OWN, None, (True, False), {"smile": 0.4, "age": 0.1}),
        Record("a", "tuned", first, (True, False), {"smile": 0.1, "age": 0.1}, Local(0.04, 0.2)),
        Record("b", "tuned", second, (False, False), {"smile": 0.2, "age": 0.2}, Local(0.02, 0.4)),
    ]
    report = summed_up("m", records)
    own, tuned = report.options
    assert (report.pictures, own.name, tuned.name) == (2, OWN, "tuned")
    assert (own.near, own.drags, own.arrived, own.local) == (None, 4, 0.75, None)
    assert own.gain == pytest.approx(1.0)
    assert asdict(tuned.near) == pytest.approx(
        {"psnr": 25.0, "mse": 0.03, "ssim": 0.6, "perceptual": 0.2, "landmarks": 4.0, "seconds": 2.0, "size": 300}
    )
    assert tuned.arrived == 0.25
    assert tuned.changes == pytest.approx({"smile": 0.15, "age": 0.15})
    assert tuned.gain == pytest.approx((0.15 / 0.3 + 0.15 / 0.1) / 2)
    assert tuned.local.psnr == pytest.approx(10 * np.log10(4 / 0.03))
    bare = summed_up("m", [replace(r, arrived=(), changes=None, local=None) for r in records[2:]]).options[0]
    assert (bare.arrived, bare.gain, bare.local) == (None, None, None)
    with pytest.raises(UserError, match="nothing was measured"):
        summed_up("m", [])


def test_all_options_of_a_picture(model):
    edit = Inversion(picture_of(model.sample(0)), projection=2, tuning_steps=2)
    found = measured(model, "a.png", 3, picture_of(model.sample(5)), edit, Judge())
    every = ["w", "w+ without prior", "w+", "tuned", "tuned without locality"]
    assert [r.option for r in found] == [OWN, *every]
    assert all(len(r.arrived) == 5 for r in found)
    assert [r.near is None for r in found] == [True] + [False] * 5
    assert [r.local is not None for r in found] == [False] * 4 + [True] * 2
    assert found[3].near.seconds < found[4].near.seconds  # the pivot's time is a part of the tuned picture's


def test_the_command_goes_on_where_it_was(model, tmp_path, capsys):
    from gansteer.checkpoints.native import save_model

    save_model(model, tmp_path / "tiny.safetensors")
    folder, lines = tmp_path / "photos", tmp_path / "found.jsonl"
    folder.mkdir()
    args = ["evaluate", "inversion", "--model", str(tmp_path / "tiny.safetensors"), "--data", str(folder), "--no-faces",
            "--projection", "3", "--tuning-steps", "2", "--device", "cpu", "--no-edits"]  # fmt: skip
    assert main(args) == 2
    assert "holds no pictures" in capsys.readouterr().err
    for seed in range(3):
        model.sample(seed).image.save(folder / f"{seed}.png")
    assert main([*args, "--count", "1", "--records", str(lines), "--json", str(tmp_path / "report.json")]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("PSNR", "w+", "tuned", "1 pictures"))
    report = json.loads((tmp_path / "report.json").read_text())
    assert [option["name"] for option in report["options"]] == ["w", "w+", "tuned"]
    before = lines.read_text()
    assert main([*args, "--count", "3", "--part", "1/2", "--records", str(lines)]) == 0
    assert lines.read_text().startswith(before)
    assert [[r.picture for r in of_it] for of_it in read_records(lines, of_picture)[1]] == [
        ["0.png"] * 3,
        ["2.png"] * 3,
    ]
    assert main([*args, "--part", "4/4"]) == 2
    assert "no picture for part 4/4" in capsys.readouterr().err
    assert main([*args, "--part", "3/2"]) == 2
    assert "--part is one of several" in capsys.readouterr().err
    assert main([*args, "--records", str(lines), "--projection", "4"]) == 2
    assert "is of other weights or settings" in capsys.readouterr().err
    assert main([*args, "--minutes", "1e-9"]) == 2
    assert "nothing was measured" in capsys.readouterr().err
    lines.write_text(before + '{"picture": "x"}\n')
    assert main([*args, "--records", str(lines)]) == 2
    assert "damaged one: remove it to begin anew" in capsys.readouterr().err
