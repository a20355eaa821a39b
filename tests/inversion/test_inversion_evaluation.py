"""The figures of inversion against themselves computed by hand, on a tiny model and its own pictures."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from inverting import picture_of, tiny_model
from skimage.metrics import structural_similarity

from gansteer.cli import main
from gansteer.directions import Direction, Directions
from gansteer.edits.attribute.portrait_scores import PORTRAIT_SCORES
from gansteer.edits.inversion.edit import Inversion
from gansteer.errors import UserError
from gansteer.evaluation import editability
from gansteer.evaluation import inversion as evaluation
from gansteer.evaluation.editability import ATTRIBUTES, Reference, arrivals, changes, levels
from gansteer.evaluation.inversion import (
    OWN,
    TRUNCATED,
    Judge,
    Local,
    Near,
    Record,
    measured,
    near,
    of_picture,
    summed_up,
)
from gansteer.evaluation.records import read_records
from gansteer.models.face_reader import HAIR_COLORS
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
    judge = Judge(model)
    found = judge.local(Subject(model, model.sample(0).code, tuning=tuning))
    assert found.psnr == pytest.approx(10 * np.log10(4 / 0.01**2), abs=2)  # a little more where the picture is clamped
    none = judge.local(Subject(model, model.sample(0).code, tuning=Tuning(model.generator, {bias: torch.zeros(3)})))
    assert none.psnr > 100


def test_attributes_are_turned_both_ways_and_compared_with_pictures_of_the_same_level(model, monkeypatch):
    """The reader is a stand-in whose every score is the mean of the picture, so that all can be worked out by hand."""
    monkeypatch.setattr(editability, "OWN_PICTURES", 5)
    monkeypatch.setattr(editability, "NEAREST", 2)
    monkeypatch.setattr(editability, "TOGETHER", 2)

    class Reader:
        def read(self, pictures):
            level = pictures.mean(dim=(1, 2, 3))
            return SimpleNamespace(hair_color=torch.zeros(len(pictures), len(HAIR_COLORS)), **dict.fromkeys(
                (name for name in PORTRAIT_SCORES if name != "hair_color"), 0.5 + level / 4
            ))  # fmt: skip

    def seen(subject, name):
        share = 0.5 + float(subject.render().clamp(-1, 1).mean()) / 4
        return np.log(share / (1 - share)) if name == "gender" else share

    rng = torch.Generator().manual_seed(0)
    entries = [
        Direction(name, "w", torch.nn.functional.normalize(torch.randn(w, generator=rng), dim=0), 2.0)
        for w in [model.generator.config.w_dim] for name in ATTRIBUTES
    ]  # fmt: skip
    directions = Directions(model.card.name, model.digest, tuple(entries))
    subjects = [model.sample(seed, 1.0) for seed in range(5)]
    found = changes(subjects, Reader(), directions)  # type: ignore[arg-type]
    for entry in entries:
        for i, subject in enumerate(subjects):
            up, down = (
                replace(
                    subject, code=replace(subject.code, ws=subject.code.ws + sign * 1.5 * 2.0 * entry.vector.float())
                )
                for sign in (1, -1)
            )
            wanted = (seen(up, entry.name) - seen(down, entry.name)) / 2
            assert float(found[entry.name][i]) == pytest.approx(wanted, rel=1e-3, abs=1e-7)
    reference = Reference.of(model, Reader(), directions)  # type: ignore[arg-type]
    target = model.sample(9, 1.0).render()[None].clamp(-1, 1)
    expected = reference.at(levels(target, Reader()))  # type: ignore[arg-type]
    for name in ATTRIBUTES:
        far = [abs(seen(s, name) - seen(model.sample(9, 1.0), name)) for s in subjects]
        assert expected[name] == pytest.approx(float(found[name][np.argsort(far)[:2].copy()].mean()))
        assert reference.mean()[name] == pytest.approx(float(found[name].mean()))


def test_drags_are_counted(model):
    assert len(arrivals(model.sample(0), None)) == 5
    assert arrivals(model.sample(0), None) == arrivals(model.sample(0), None)


def test_summing_up():
    first = Near(20.0, 0.04, 0.5, 0.3, 5.0, 1.0, 100)
    second = Near(30.0, 0.02, 0.7, 0.1, 3.0, 3.0, 300)
    records = [
        Record("a", OWN, None, (True, True), {"smile": 0.2, "age": 0.1}),
        Record("b", OWN, None, (True, False), {"smile": 0.4, "age": 0.1}),
        Record("a", TRUNCATED, None, (), {"smile": 0.6, "age": 0.2}),
        Record("a", "tuned", first, (True, False), {"smile": 0.1, "age": 0.1}, Local(0.04, 0.2)),
        Record("b", "tuned", second, (False, False), {"smile": 0.2, "age": 0.2}, Local(0.02, 0.4)),
    ]
    report = summed_up("m", records)
    nearer, own, tuned = report.options
    assert (nearer.name, nearer.arrived, nearer.gain) == (TRUNCATED, None, pytest.approx(2.0))
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
    bare = summed_up("m", [replace(r, arrived=(), changes=None, local=None) for r in records[3:]]).options[0]
    assert (bare.arrived, bare.gain, bare.local) == (None, None, None)
    with pytest.raises(UserError, match="nothing was measured"):
        summed_up("m", [])


def test_all_options_of_a_picture(model):
    edit = Inversion(picture_of(model.sample(0)), projection=2, tuning_steps=2)
    found = measured("a.png", 3, picture_of(model.sample(5)), edit, Judge(model))
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
