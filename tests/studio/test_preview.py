"""Previews that are drawn without the interpreter are the pictures of the model."""

import gc
from dataclasses import replace

import pytest
import torch
from client import studio_model

from gansteer.models.code import Code
from gansteer.models.tuning import Tuning
from gansteer.studio import preview
from gansteer.studio.preview import Previews


@pytest.mark.parametrize("resolution", [64, 16])
def test_previews_are_the_models_own_pictures(resolution: int) -> None:
    model, previews = studio_model(), Previews()
    torch.manual_seed(1)
    plain = model.sample(3)
    turned = replace(plain, code=Code(plain.code.ws, {"b16.conv1": torch.randn(8), "b8.torgb": torch.randn(8)}))
    for subject in (plain, turned, model.sample(4)):
        drawn = previews.draw(None, lambda subject=subject: previews.render(subject, resolution)).result(60)
        assert drawn.shape == (3, resolution, resolution)
        assert torch.equal(drawn, subject.render(resolution))
    assert not torch.equal(plain.render(), turned.render())
    previews.close()


def test_what_was_recorded_goes_with_its_model() -> None:
    model, previews = studio_model(), Previews()
    previews.render(model.sample(0), 64)
    assert len(previews._recorded) == 1
    del model
    gc.collect()
    assert not previews._recorded
    previews.close()


def test_a_photo_is_drawn_by_its_own_weights() -> None:
    model, previews = studio_model(), Previews()
    weight = model.generator.state_dict()["synthesis.blocks.0.convs.conv1.weight"]
    tuned = replace(
        model.sample(0), tuning=Tuning(model.generator, {"synthesis.blocks.0.convs.conv1.weight": weight + 1})
    )
    assert previews.fits(model.sample(0))
    assert not previews.fits(tuned)
    previews.close()


def test_where_nothing_can_be_recorded_previews_are_drawn_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(preview.torch.jit, "trace")
    subject, previews = studio_model().sample(0), Previews()
    assert torch.equal(previews.render(subject, 64), subject.render())
    assert not previews.fits(subject), "the next are drawn between two steps"
    previews.close()
