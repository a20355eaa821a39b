"""Equivariance: against loops, and on pictures that move along, or do not."""

from dataclasses import replace

import pytest
import torch
from test_run import carry_out, state_of
from test_step import asked_in_a_step, trainer_for

from gansteer.checkpoints.native import save_model
from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.subject import Card, Model
from gansteer.training.augment import shifted
from gansteer.training.equivariance import Equivariance, moved_difference, ways


def rand(*size, seed=0):
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_difference_is_its_formula():
    moved, middle = (2 * rand(2, 3, 8, 8, seed=s) - 1 for s in range(2))
    way = torch.tensor([[2, -1], [-3, 0]])
    away = torch.zeros(2, 3, 8, 8, dtype=torch.float64)
    for b in range(2):
        for y in range(8):
            for x in range(8):
                from_x, from_y = x - int(way[b, 0]), y - int(way[b, 1])
                if 0 <= from_x < 8 and 0 <= from_y < 8:
                    away[b, :, y, x] = moved[b, :, y, x] - middle[b, :, from_y, from_x]
    cells = [
        float(away[b, c, y : y + 4, x : x + 4].mean().abs())
        for b in range(2) for c in range(3) for y in (0, 4) for x in (0, 4)
    ]  # fmt: skip
    expected = float(away.abs().mean()) + 2 * sum(cells) / len(cells)
    assert float(moved_difference(moved, middle, way)) == pytest.approx(expected, rel=1e-9)


def test_a_picture_that_moves_along_costs_nothing_and_one_that_stays_does():
    middle = rand(2, 3, 16, 16)
    way = torch.tensor([[3, 1], [-2, 5]])
    along, _ = shifted(middle, way[:, :1], way[:, 1:])
    assert float(moved_difference(along, middle, way)) == 0
    assert float(moved_difference(middle, middle, way)) > 0.2


@pytest.fixture
def plain(tiny, tmp_path):
    """A model without a layout, in a file."""
    torch.manual_seed(0)
    path = tmp_path / "plain.safetensors"
    save_model(Model(Card(name="plain"), StyleGAN2Generator(tiny().generator_config()).eval()), path)
    return path


def test_a_step_compares_with_what_the_teacher_draws(tiny, plain):
    config = tiny(layout="hierarchical", alignment=0.0, equivariance=2.0, batch=6, grow=plain)
    trainer = trainer_for(config)
    (term,) = trainer.terms
    assert isinstance(term, Equivariance)
    before = {name: value.clone() for name, value in term.teacher.state_dict().items()}
    drawn, found, report = asked_in_a_step(trainer, config)
    size = drawn.pictures.shape[-1]
    middle = term.teacher.synthesize(Code(term.teacher.map(drawn.code.z)))
    way = torch.tensor(
        [[round(x - (size - 1) / 2), round(y - (size - 1) / 2)] for x, y in drawn.code.layout.centres[:, 0].tolist()]
    )
    assert torch.equal(ways(drawn.code.layout, size), way)
    assert bool(way.any())
    expected = moved_difference(drawn.pictures, middle, way)
    torch.testing.assert_close(report["equivariance"], expected, check_dtype=False)
    torch.testing.assert_close(found, 2 * expected)
    assert any(p.grad is not None and bool(p.grad.any()) for p in trainer.nets.g.parameters())
    assert all(torch.equal(value, before[name]) for name, value in term.teacher.state_dict().items())


def test_a_run_learns_from_what_it_grows_from(tiny, tmp_path):
    small = StyleGAN2Generator(replace(tiny().generator_config(), resolution=4)).eval()
    save_model(Model(Card(name="plain"), small), tmp_path / "small.safetensors")
    flags = {"layout": "hierarchical", "equivariance": 1.0, "grow": tmp_path / "small.safetensors"}
    whole, halves = tiny("whole", images=16, **flags), tiny("halves", images=8, **flags)
    carry_out(whole)  # from half its resolution
    carry_out(halves)
    carry_out(tiny("halves", images=16, **flags))
    a, b = state_of(whole)["ema"], state_of(halves)["ema"]
    assert all(torch.equal(a[name], b[name]) for name in a)
    with pytest.raises(UserError, match="StyleGAN2 without layout"):
        carry_out(tiny("again", **{**flags, "grow": max(whole.out.glob("snapshot-*.safetensors"))}))
