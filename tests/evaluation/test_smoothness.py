"""Smoothness of paths, on generators whose steps are known."""

from itertools import pairwise

import pytest
import torch

from gansteer.errors import UserError
from gansteer.evaluation.smoothness import path_changes, smoothness
from gansteer.models.code import Code
from support.tiny import smallest_model


def test_changes_are_those_of_the_pictures():
    model = smallest_model()
    start, end = model.sample(0).code.ws, model.sample(1).code.ws
    pictures = [model.generator.synthesize(Code((start * (1 - t) + end * t)[None])) for t in (0.0, 0.5, 1.0)]
    expected = [((b - a) ** 2).mean().sqrt() for a, b in pairwise(pictures)]
    torch.testing.assert_close(path_changes(model, Code(start), Code(end), 2), torch.stack(expected))


def test_a_picture_that_jumps_is_not_smooth():
    model = smallest_model()
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
    assert smoothness(smallest_model(c_dim=2), paths=2, steps=3).paths == 2
    with pytest.raises(UserError, match="--steps at least 2"):
        smoothness(smallest_model(), paths=1, steps=1)
