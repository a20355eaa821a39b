"""The figures of inversion against themselves computed by hand, on a tiny model and its own pictures."""

import json

import numpy as np
import pytest
import torch
from inverting import picture_of, tiny_model
from skimage.metrics import structural_similarity

from gansteer.cli import main
from gansteer.errors import UserError
from gansteer.evaluation import inversion as evaluation
from gansteer.evaluation.inversion import editable, faithful, inversion, local
from gansteer.inversion.edit import Inversion
from gansteer.models.tuning import Tuning
from gansteer.subject import Subject


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def test_how_near(model):
    subjects = [model.sample(seed, 1.0) for seed in (1, 2)]
    targets = torch.stack([model.sample(seed, 0.6).render().clamp(-1, 1) for seed in (1, 2)])
    found = faithful(
        "x", [(subject, seconds) for subject, seconds in zip(subjects, (1.0, 3.0), strict=True)], targets, None
    )
    pictures = [s.render().clamp(-1, 1).numpy() for s in subjects]
    errors = [float(((p - t) ** 2).mean()) for p, t in zip(pictures, targets.numpy(), strict=True)]
    assert found.mse == pytest.approx(np.mean(errors), rel=1e-5)
    assert found.psnr == pytest.approx(np.mean([10 * np.log10(4 / e) for e in errors]), rel=1e-5)
    ssims = [
        structural_similarity(p, t, channel_axis=0, data_range=2.0, gaussian_weights=True, use_sample_covariance=False)
        for p, t in zip(pictures, targets.numpy(), strict=True)
    ]
    assert found.ssim == pytest.approx(np.mean(ssims), abs=0.02)  # borders are counted otherwise
    assert (found.seconds, found.size, found.landmarks) == (2.0, 0, None)
    same = faithful("y", [(s, 0.0) for s in subjects], torch.stack([torch.tensor(p) for p in pictures]), None)
    assert same.perceptual < 1e-6
    assert same.ssim == pytest.approx(1)


def test_how_local(model):
    bias = "synthesis.blocks.3.torgb.bias"
    subject = Subject(
        model, model.sample(0).w, tuning=Tuning(model.generator, {bias: torch.tensor([0.01, 0.01, 0.01])})
    )
    found = local("x", [subject])
    assert found.psnr == pytest.approx(10 * np.log10(4 / 0.01**2), abs=2)  # a little more where the picture is clamped
    none = local("x", [Subject(model, subject.w, tuning=Tuning(model.generator, {bias: torch.zeros(3)}))])
    assert none.psnr > 100


def test_drags_are_counted(model):
    found = editable("x", [model.sample(0)], None, None)
    assert found.drags == 5
    assert 0 <= found.arrived <= 1
    assert found.gain is None


def test_all_of_it_and_the_command(model, tmp_path, monkeypatch, capsys):
    from gansteer.checkpoints.native import save_model

    for name, few in (("BASELINE", 4), ("DRAG_STEPS", 1), ("SEEDS", 3)):
        monkeypatch.setattr(evaluation, name, few)

    with pytest.raises(UserError, match="no pictures"):
        inversion(model, [], Inversion(picture_of(model.sample(0))))
    save_model(model, tmp_path / "tiny.safetensors")
    folder = tmp_path / "photos"
    folder.mkdir()
    args = ["evaluate", "inversion", "--model", str(tmp_path / "tiny.safetensors"), "--data", str(folder), "--no-faces",
            "--projection", "3", "--tuning-steps", "2", "--device", "cpu", "--count", "1"]  # fmt: skip
    assert main(args) == 2
    assert "holds no pictures" in capsys.readouterr().err
    model.sample(5).image.save(folder / "a.png")
    assert main([*args, "--no-edits", "--json", str(tmp_path / "report.json")]) == 0
    said = capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    names = [f["name"] for f in report["faithful"]]
    assert names == ["w", "w+", "tuned"]
    assert report["editable"] == []
    whole, _ = inversion(
        model, [picture_of(model.sample(5))], Inversion(picture_of(model.sample(5)), projection=2, tuning_steps=2)
    )
    every = ["w", "w+ without prior", "w+", "tuned", "tuned without locality"]
    assert [f.name for f in whole.faithful] == every
    assert [e.name for e in whole.editable] == ["the model's own", *every]
    assert [x.name for x in whole.local] == every[3:]
    assert all(name in said for name in ("PSNR", "w+", "tuned"))
