"""Smoothness of paths, on generators whose steps are known."""

from itertools import pairwise

import pytest
import torch

from gansteer.errors import UserError
from gansteer.evaluation.smoothness import path_changes, smoothness
from gansteer.models.code import Code
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.subject import Card, Model


def tiny(**config):
    torch.manual_seed(0)
    fields = {"resolution": 8, "z_dim": 4, "w_dim": 5, "channel_base": 32, "channel_max": 4, "mapping_layers": 2}
    return Model(Card("tiny"), StyleGAN2Generator(GeneratorConfig(**(fields | config))).eval().requires_grad_(False))


def test_changes_are_those_of_the_pictures():
    model = tiny()
    start, end = model.sample(0).code.ws, model.sample(1).code.ws
    pictures = [model.generator.synthesize(Code((start * (1 - t) + end * t)[None])) for t in (0.0, 0.5, 1.0)]
    expected = [((b - a) ** 2).mean().sqrt() for a, b in pairwise(pictures)]
    torch.testing.assert_close(path_changes(model, Code(start), Code(end), 2), torch.stack(expected))


def test_a_picture_that_jumps_is_not_smooth():
    model = tiny()
    report = smoothness(model, paths=3, steps=20)
    assert 1 <= report.typical <= report.worst
    assert report.smooth == (report.worst <= 4)
    # A generator whose picture goes by the sign of w: still, but for one jump.
    for layer in model.generator.synthesis.modules():
        if hasattr(layer, "affine"):
            layer.affine.register_forward_pre_hook(lambda module, args: (args[0].sign(),))
    jumping = smoothness(model, paths=3, steps=20)
    assert jumping.worst > 4
    assert not jumping.smooth


def test_classes_and_bad_numbers():
    assert smoothness(tiny(c_dim=2), paths=2, steps=3).paths == 2
    with pytest.raises(UserError, match="--steps at least 2"):
        smoothness(tiny(), paths=1, steps=1)
