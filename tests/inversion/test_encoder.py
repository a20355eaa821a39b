"""Encoders: trained on a tiny generator, written, found again for just that model."""

import pytest
import torch
from inverting import picture_of, short, tiny_model

from gansteer.checkpoints import inverter as files
from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.checkpoints.inverter import find_inverter, load_inverter, save_inverter
from gansteer.cli import main
from gansteer.errors import UserError
from gansteer.models.inverter import Inverter, InverterConfig, InverterHead
from gansteer.training.inverter import InverterTrainer, InverterTraining


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The folder of a person's own encoders, empty."""
    monkeypatch.setattr(files, "own_folder", lambda: tmp_path / "own")
    return tmp_path / "own"


def head_of(model, seed=0):
    torch.manual_seed(seed)
    head = InverterHead(InverterConfig(model.generator.config.num_ws, model.generator.config.w_dim, 32))
    torch.nn.init.normal_(head.rows.weight, std=0.05)
    return head


def test_an_untrained_encoder_guesses_the_mean(model):
    trainer = InverterTrainer(model, InverterTraining(steps=1))
    found = Inverter(load_efficientnet(), trainer.head)(torch.zeros(2, 3, 32, 32))
    w = model.generator.mapping(torch.randn(20000, 8))
    assert (found - w.mean(dim=0)).abs().max() < 0.1
    assert float(trainer.head.spread) == pytest.approx(float((w - w.mean(0)).square().mean().sqrt()), rel=0.1)


def test_training_learns_the_models_own_pictures(model):
    trainer = InverterTrainer(model, InverterTraining(steps=30, batch=8, learning_rate=3e-3))
    done = list(trainer)
    assert [p.step for p in done] == list(range(1, 31))
    inverter = Inverter(load_efficientnet(), trainer.head)
    error = floor = 0.0
    for seed in range(1000, 1020):
        subject = model.sample(seed, 1.0)
        target = subject.render()[None].clamp(-1, 1)
        with torch.no_grad():
            guess = model.generator.synthesize(inverter(target))
            mean = model.generator.synthesize(model.generator.mapping.w_mean.expand_as(subject.w)[None])
        error += float((guess - target).square().mean())
        floor += float((mean - target).square().mean())
    assert error < 0.8 * floor


def test_training_is_told_by_its_seed_and_takes_real_pictures(model, tmp_path):
    for seed in range(4):
        model.sample(seed).image.save(tmp_path / f"{seed}.png")

    def losses(seed):
        return [p.loss for p in InverterTrainer(model, InverterTraining(steps=3, batch=4, seed=seed), tmp_path)]

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)
    trainer = InverterTrainer(model, InverterTraining(steps=1, batch=5), tmp_path)
    pictures, w = trainer._batch()
    assert (len(pictures), len(w)) == (5, 3)
    torch.testing.assert_close(pictures[:3], model.generator.synthesize(w).clamp(-1, 1))
    reals = [picture_of(model.sample(seed)).permute(2, 0, 1).float() for seed in range(4)]
    for picture in pictures[3:]:
        assert any(torch.allclose(picture, turned / 127.5 - 1) for x in reals for turned in (x, x.flip(2)))


def test_it_is_written_and_found_for_its_model_alone(model, own, tmp_path):
    head = head_of(model)
    assert find_inverter(model, (tmp_path,)) is None
    save_inverter(head, model, tmp_path / "one.safetensors", {"steps": 3})
    found = find_inverter(model, (tmp_path,))
    pictures = torch.rand(2, 3, 32, 32) * 2 - 1
    expected = Inverter(load_efficientnet(), head.half().float())(pictures)
    torch.testing.assert_close(found(pictures), expected)
    other = tiny_model(seed=3)
    assert find_inverter(other, (tmp_path,)) is None
    with pytest.raises(UserError, match="belongs to other weights than tiny's: run gansteer train-encoder"):
        load_inverter(tmp_path / "one.safetensors", other)
    (tmp_path / "two.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="is no encoder"):
        load_inverter(tmp_path / "two.safetensors", model)
    assert find_inverter(model, (tmp_path,)) is not None  # what is none is passed over
    with torch.no_grad():
        head.rows.bias.fill_(1e9)
    with pytest.raises(UserError, match="not finite in float16"):
        save_inverter(head.float(), model, tmp_path / "three.safetensors", {})


def test_the_command_and_the_first_guess(own, tmp_path, capsys):
    from gansteer.checkpoints.native import save_model
    from gansteer.checkpoints.registry import load

    save_model(tiny_model(), tmp_path / "tiny.safetensors")
    args = ["train-encoder", "--model", str(tmp_path / "tiny.safetensors"), "--device", "cpu"]
    assert main([*args, "--steps", "3", "--batch", "2"]) == 0
    assert "3 steps" in capsys.readouterr().out
    model = load(tmp_path / "tiny.safetensors", "cpu")
    (path,) = own.glob("*.safetensors")
    assert path.stat().st_size < 6e6
    encoder = find_inverter(model)
    edit = short(model, start="auto", projection=1, tuning="none")
    first = edit.begin(model.sample(0)).step()
    target = edit.picture.permute(2, 0, 1)[None].float() / 127.5 - 1
    torch.testing.assert_close(first.subject.w, encoder(target)[0])
    assert main([*args, "--steps", "0"]) == 2
    assert "steps must be at least 1" in capsys.readouterr().err
    assert main([*args, "--out", str(tmp_path / "x.bin")]) == 2
    assert "ends in .safetensors" in capsys.readouterr().err


def test_any_size_of_picture_is_encoded(model):
    inverter = Inverter(load_efficientnet(), head_of(model))
    assert inverter(torch.zeros(1, 3, 200, 200)).shape == (1, 8, 8)
    assert inverter(torch.zeros(1, 3, 16, 16)).shape == (1, 8, 8)
