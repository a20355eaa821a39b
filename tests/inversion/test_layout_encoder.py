"""Encoders of models whose pictures have layouts."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from inverting import picture_of

from gansteer.checkpoints.inverter import find_inverter, save_inverter
from gansteer.edits.inversion.edit import Inversion
from gansteer.edits.registry import start
from gansteer.models.code import Code
from gansteer.models.layout import Layout
from gansteer.subject import Model
from gansteer.training.config import InverterTraining
from gansteer.training.inverter import InverterTrainer
from support.layouts import tiny_model

STEPS = InverterTraining(steps=16, batch=6, learning_rate=3e-3, looks=32)


@pytest.fixture(scope="module")
def model() -> Model:
    """Random weights, whose pictures depend on where the blobs are, brought to about the range of pictures."""
    model = tiny_model(law="hierarchical", blobs=7)
    for block in model.generator.synthesis.each_block():
        block.torgb.weight.mul_(0.02)
    return model


def code_of(model: Model, seeds: range) -> Code:
    return Code.batch([model.sample(seed, 1.0).code for seed in seeds])


def test_codes_are_vectors_and_back(model: Model) -> None:
    trainer = InverterTrainer(model, STEPS)
    code, head = code_of(model, range(5)), trainer.head
    v = head.vector(code)
    assert v.shape == (5, head.config.width) == (5, 8 * model.generator.config.num_ws + 7 * 3)
    back = head.code(v, model.generator.mean_code())
    assert code.layout is not None
    assert back.layout is not None
    torch.testing.assert_close(back.ws, code.ws)
    torch.testing.assert_close(back.layout.centres, code.layout.centres, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(back.layout.sizes, code.layout.sizes)
    torch.testing.assert_close(back.layout.parents, code.layout.parents)


def test_places_count_as_much_as_w(model: Model) -> None:
    """Over many pictures each number of a blob has the mean 0 and the deviation of w, the shared first size too."""
    head = InverterTrainer(model, STEPS).head
    blobs = head.vector(code_of(model, range(200)))[:, -7 * 3 :] / head.spread
    assert blobs.mean(dim=0).abs().max() < 0.2
    torch.testing.assert_close(blobs.std(dim=0), torch.ones(21), atol=0.2, rtol=0)


def test_an_untrained_one_guesses_the_mean_place(model: Model) -> None:
    trainer = InverterTrainer(model, STEPS)
    layout = trainer.inverter(torch.zeros(2, 3, 32, 32)).layout
    assert layout is not None
    torch.testing.assert_close(layout.centres, torch.full((2, 7, 2), 15.5), atol=1.0, rtol=0)


@pytest.fixture(scope="module")
def trained(model: Model) -> InverterTrainer:
    trainer = InverterTrainer(model, STEPS)
    for _ in trainer:
        pass
    trainer.see_curvature()
    return trainer


def test_its_pictures_need_the_places_that_it_found(model: Model, trained: InverterTrainer) -> None:
    """With its blobs in the middle instead, what it guesses draws the pictures worse."""
    with torch.no_grad():
        pictures = model.generator.synthesize(code_of(model, range(1000, 1024))).clamp(-1, 1)
        found = trained.inverter.code(trained.head(trained.inverter.trunk.taps(pictures)))
        middle = model.generator.mean_code().layout
        assert middle is not None
        still = replace(found, layout=Layout.batch([middle] * 24))
        errors = [float((model.generator.synthesize(c) - pictures).square().mean()) for c in (found, still)]
    assert errors[0] < errors[1]


def test_known_places_teach_it(model: Model) -> None:
    """The term of w+ and that of the blobs' places, each a mean, against the numbers."""
    trainer = InverterTrainer(model, replace(STEPS, latent=0.3, flat=0.0))
    head = trainer.head
    true = head.vector(code_of(model, range(3)))
    found = true + torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    apart = ((found - true) / head.spread).square()
    ws, blobs = apart[:, : -7 * 3], apart[:, -7 * 3 :]
    torch.testing.assert_close(trainer._held(found, true), 0.3 * (ws.mean() + blobs.mean()))
    true[0] = torch.nan
    torch.testing.assert_close(trainer._held(found, true), 0.2 * (ws[1:].mean() + blobs[1:].mean()))


def test_a_photo_begins_where_the_encoder_saw_it(
    model: Model, trained: InverterTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    from gansteer.checkpoints.inverter import ENCODERS

    save_inverter(trained.head, model, ENCODERS.out(model, None), {})
    encoder = find_inverter(model)
    assert encoder is not None
    assert encoder.head.config.blobs == 7
    picture = picture_of(model.sample(4, 1.0))
    first = start(model.sample(0), Inversion(picture, projection=0, tuning="none")).step()
    expected = encoder(picture.permute(2, 0, 1)[None].float() / 127.5 - 1)[0]
    assert first.subject.code.layout is not None
    assert expected.layout is not None
    torch.testing.assert_close(first.subject.code.layout.centres, expected.layout.centres)
    torch.testing.assert_close(first.subject.code.ws, expected.ws)


def test_it_goes_on_from_one_that_knew_w_alone(model: Model, tmp_path: Path) -> None:
    trainer = InverterTrainer(model, STEPS)
    plain = type(trainer.head)(replace(trainer.head.config, blobs=0))
    torch.nn.init.normal_(plain.rows.weight, std=0.05)
    save_inverter(plain, model, tmp_path / "plain.safetensors", {})
    begun = InverterTrainer(model, STEPS, None, tmp_path / "plain.safetensors").head
    torch.testing.assert_close(begun.rows.weight, plain.rows.weight.half().float())
    assert not begun.layout.weight.any()
    torch.testing.assert_close(begun.blob_spread, trainer.head.blob_spread)


def test_pictures_whose_things_come_and_go_are_guessed_by_w_alone(tmp_path: Path) -> None:
    rooms = tiny_model(drop=0.3)
    trainer = InverterTrainer(rooms, InverterTraining(steps=2, batch=4, looks=16))
    assert trainer.head.config.blobs == 0
    assert [now.step for now in trainer] == [1, 2]
    trainer.see_curvature()
    found = trainer.inverter(torch.zeros(1, 3, 32, 32)).layout
    assert found is not None
    assert len(found) == 0
