"""Equivariance: against loops, and on pictures that move along, or do not."""

from dataclasses import replace

import pytest
import torch
from test_step import reals, trainer_for

from gansteer.training.augment import shifted
from gansteer.training.equivariance import Equivariance, centred, moved_difference


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


def test_a_step_draws_its_pictures_again_in_the_middle(tiny):
    config = tiny(layout="hierarchical", alignment=0.0, equivariance=2.0, batch=6)
    trainer = trainer_for(config)
    (term,) = trainer.terms
    assert isinstance(term, Equivariance)
    seen = []
    asked = term.loss

    def loss(drawn, d, report):
        codes, pictures = [], []
        inner = drawn.redraw

        def redraw(code):
            codes.append(code)
            pictures.append(inner(code))
            return pictures[-1]

        object.__setattr__(drawn, "redraw", redraw)
        found = asked(drawn, d, report)
        seen.append((drawn, codes, pictures, found, report))
        return found

    term.loss = loss
    trainer.step(reals(config), torch.zeros(6, dtype=torch.long))
    ((drawn, (code,), (middle,), found, report),) = seen
    assert torch.equal(code.ws, drawn.code.ws)
    layout, size = drawn.code.layout, drawn.pictures.shape[-1]
    assert float((code.layout.centres[:, 0] - (size - 1) / 2).abs().max()) <= 0.5
    way = layout.centres - code.layout.centres
    torch.testing.assert_close(way, way[:, :1].round().expand_as(way))
    assert bool(way.any())
    for name in ("sizes", "styles", "present"):
        assert torch.equal(getattr(code.layout, name), getattr(layout, name))
    assert not middle.requires_grad
    expected = moved_difference(drawn.pictures, middle, way[:, 0].long())
    torch.testing.assert_close(report["equivariance"], expected, check_dtype=False)
    torch.testing.assert_close(found, 2 * expected)
    assert any(p.grad is not None and bool(p.grad.any()) for p in trainer.nets.g.parameters())


def test_layouts_in_the_middle_are_themselves(tiny):
    trainer = trainer_for(tiny(layout="hierarchical", alignment=0.0, equivariance=1.0))
    layout = trainer.nets.g.sample_layout(4, torch.Generator().manual_seed(0))
    there, way = centred(layout, 8)
    assert torch.allclose(there.centres + way[:, None], layout.centres)
    again, none = centred(there, 8)
    assert not bool(none.any())
    assert torch.equal(again.centres, there.centres)
    assert torch.equal(centred(replace(layout, centres=layout.centres + 3), 8)[1], way + 3)
