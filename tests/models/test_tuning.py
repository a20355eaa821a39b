"""Tuned weights against a copied generator whose weights were changed by hand."""

import copy

import pytest
import torch

from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.features import Extractor
from gansteer.edits.registry import start
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.models.tuning import Tuning
from gansteer.subject import Card, Model, Subject

CONV, RGB, BIAS = "blocks.1.convs.conv0.weight", "blocks.2.torgb.weight", "blocks.2.convs.conv1.bias"


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = GeneratorConfig(resolution=16, z_dim=4, w_dim=5, channel_base=64, channel_max=6, mapping_layers=2)
    return Model(Card("tiny"), StyleGAN2Generator(config).double().eval().requires_grad_(False))


def changes_of(model):
    state = model.generator.state_dict()
    rng = torch.Generator().manual_seed(1)

    def random(*shape):
        return 0.3 * torch.randn(shape, generator=rng, dtype=torch.float64)

    o, i = state[f"synthesis.{CONV}"].shape[:2]
    return {
        f"synthesis.{CONV}.left": random(o, 2),
        f"synthesis.{CONV}.right": random(2, i * 9),
        f"synthesis.{RGB}": random(*state[f"synthesis.{RGB}"].shape),
        f"synthesis.{BIAS}": random(*state[f"synthesis.{BIAS}"].shape).half(),
        "synthesis.blocks.1.convs.conv1.noise_fixed": random(8, 8),
    }


def by_hand(model, changes):
    copied = copy.deepcopy(model.generator)
    for name, weight in copied.state_dict().items():
        if name in changes:
            weight += changes[name].double()
        if f"{name}.left" in changes:
            for o in range(weight.shape[0]):
                row = sum(changes[f"{name}.left"][o, k] * changes[f"{name}.right"][k] for k in range(2))
                weight[o] += row.reshape(weight.shape[1:])
    return copied


def test_a_tuned_subject_is_drawn_by_the_changed_weights(model):
    plain = model.sample(3)
    changes = changes_of(model)
    tuned = Subject(model, plain.code, tuning=Tuning(model.generator, changes))
    expected = by_hand(model, changes).synthesize(plain.code)[0]
    torch.testing.assert_close(tuned.render(), expected)
    assert (tuned.render() - plain.render()).abs().max() > 0.1
    torch.testing.assert_close(model.sample(3).render(), plain.render())  # the model itself is as it was


def test_only_the_changed_weights_take_memory(model):
    tuning = Tuning(model.generator, changes_of(model))
    own = {name for name, x in tuning.generator.state_dict().items()
           if x.data_ptr() != model.generator.state_dict()[name].data_ptr()}  # fmt: skip
    assert own == {name.removesuffix(".left").removesuffix(".right") for name in tuning.changes}
    assert tuning.size == sum(x.nbytes for x in tuning.changes.values())
    assert not any(x.requires_grad or x.is_meta for x in tuning.generator.parameters())


@pytest.mark.parametrize("engine", ["region", "dense"])
def test_dragging_sees_the_tuned_weights(model, engine):
    changes = changes_of(model)
    subject = Subject(model, model.sample(3).code, tuning=Tuning(model.generator, changes))
    run = start(subject, Drag(handles=[(5, 5)], targets=[(9, 5)], layer="b16.conv1", engine=engine, rows=6))
    need = torch.ones(16, 16, dtype=torch.bool)
    found = run._extract(subject.code.ws, need).map()  # type: ignore[attr-defined]
    plain = Extractor(model.generator, subject.code, 6, "b16.conv1", engine)(subject.code.ws, need).map()
    expected = by_hand(model, changes).features(subject.code, ["b16.conv1"])["b16.conv1"][0]
    torch.testing.assert_close(found, expected)
    assert (plain - expected).abs().max() > 0.1
    assert run.step().subject.tuning is subject.tuning


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("synthesis.nothing", torch.zeros(3), "no weight"),
        (f"synthesis.{BIAS}", torch.zeros(77), "does not fit"),
        (f"synthesis.{CONV}.left", torch.zeros(6, 2), "lacks one of its two factors"),
        (f"synthesis.{BIAS}", torch.full([4], torch.nan), "not finite"),
        (f"synthesis.{BIAS}.left", torch.zeros(4, 1), "lacks one"),
    ],
)
def test_what_does_not_fit_is_refused(model, name, change, complaint):
    with pytest.raises(ValueError, match=complaint):
        Tuning(model.generator, {name: change})
