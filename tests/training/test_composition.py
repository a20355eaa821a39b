"""Composition: against loops, and on drawings that are composed, or are not."""

from dataclasses import replace

import pytest
import torch
from test_step import asked_in_a_step, trainer_for

from gansteer.models.layout import heatmaps
from gansteer.training.augment import shifted
from gansteer.training.composition import Composition, difference, edges, territory


def rand(*size, seed=0):
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_difference_and_edges_are_their_formulas():
    some, full, empty = (2 * rand(2, 3, 12, 12, seed=s) - 1 for s in range(3))
    kept, gone = rand(2, 1, 12, 12, seed=3), rand(2, 1, 12, 12, seed=4) ** 2
    known = (rand(2, 1, 1, 12, seed=5) > 0.2).double()
    fine = total = 0.0
    away = torch.zeros(2, 3, 12, 12, dtype=torch.float64)
    weight = torch.ones(2, 12, 12, dtype=torch.float64)
    for b in range(2):
        for y in range(12):
            for x in range(12):
                k, r = float(kept[b, 0, y, x]), float(gone[b, 0, y, x])
                m = k * k / (k * k + r * r + 0.0016)
                weight[b, y, x] = 1 + 4 * (r > 0.1) + 2 * (k > 0.1)
                for c in range(3):
                    composed = m * float(full[b, c, y, x]) + (1 - m) * float(empty[b, c, y, x])
                    away[b, c, y, x] = (float(some[b, c, y, x]) - composed) * abs(2 * m - 1) * known[b, 0, 0, x]
                    fine += float(away[b, c, y, x].abs() * weight[b, y, x]) / 864
    for b in range(2):
        for c in range(3):
            for y in range(0, 12, 4):
                for x in range(0, 12, 4):
                    cell = away[b, c, y : y + 4, x : x + 4].mean().abs() * weight[b, y : y + 4, x : x + 4].mean()
                    total += 2 * float(cell) / 54
    assert float(difference(some, full, empty, kept, gone, known)) == pytest.approx(fine + total, rel=1e-9)
    rows = [
        sum(abs(float(empty[b, c, y, x + 1] - empty[b, c, y, x])) for x in range(2, 9))
        for b in range(2) for c in range(3) for y in range(12)
    ]  # fmt: skip
    assert float(edges(empty)) == pytest.approx(sum(rows) / len(rows), rel=1e-9)


def test_pictures_move_by_whole_pixels():
    x = rand(3, 2, 4, 8)
    found, known = shifted(x, torch.tensor([[2], [-3], [0]]), torch.zeros(3, 1, dtype=torch.long))
    assert torch.equal(found[0, ..., 2:], x[0, ..., :-2])
    assert torch.equal(found[1, ..., :-3], x[1, ..., 3:])
    assert torch.equal(found[2], x[2])
    assert known[:, 0, 0].tolist() == [[0] * 2 + [1] * 6, [1] * 5 + [0] * 3, [1] * 8]


def test_what_is_composed_costs_nothing_and_a_thing_that_stays_does():
    kept, gone, known = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 1, 16)
    kept[..., 2:6, 2:6], gone[..., 9:14, 9:14] = 1, 1
    empty = torch.full((1, 3, 16, 16), 0.2)
    full = torch.where((kept + gone) > 0, 0.9, empty)
    some = torch.where(kept > 0, 0.9, empty)
    m, clear = territory(kept, gone)
    assert float(m[..., 2:6, 2:6].min()) > 0.99
    assert float(m.sum()) == pytest.approx(16, rel=0.01)
    assert float(clear.min()) > 0.99
    assert float(difference(some, full, empty, kept, gone, known)) < 0.01
    assert float(difference(full, full, empty, kept, gone, known)) > 0.1
    assert float(difference(empty, full, empty, kept, gone, known)) > 0.05
    assert float(edges(empty)) == 0


def test_a_step_draws_the_first_half_again_with_some_blobs_moved_and_with_none(tiny):
    config = tiny(layout="objects:3", layout_noise=False, alignment=0.0, composition=2.0, batch=16)
    trainer = trainer_for(config)
    assert isinstance(trainer.terms[0], Composition)
    codes, pictures = [], []

    def watch(drawn):
        inner = drawn.redraw

        def redraw(code):
            codes.append(code)
            pictures.append(inner(code))
            return pictures[-1]

        object.__setattr__(drawn, "redraw", redraw)

    drawn, found, report = asked_in_a_step(trainer, config, watch)
    (some, none), pictures = codes, [picture.detach() for picture in pictures]
    layout = drawn.code.layout[:8]
    assert len(some.ws) == len(none.ws) == 8
    assert torch.equal(some.ws, drawn.code.ws[:8])
    assert 0 < int(some.layout.present.sum()) < int(layout.present.sum())
    assert not bool(none.layout.present.any())
    way = some.layout.centres - layout.centres
    assert not bool(way[..., 1].any())
    shift = way[:, 0, 0].round().long()
    assert 2 < int((shift != 0).sum()) <= 8
    assert int(shift.abs().max()) <= 2  # a quarter of eight pixels
    stays = (some.layout.present == layout.present).double()[..., None, None]
    heat = heatmaps(replace(layout, centres=some.layout.centres), 8)
    full, known = shifted(drawn.pictures[:8].detach(), shift[:, None], torch.zeros(8, 1, dtype=torch.long))
    expected = difference(
        pictures[0], full, pictures[1], (heat * stays).amax(1, True), (heat * (1 - stays)).amax(1, True), known
    )
    torch.testing.assert_close(report["composition/difference"], expected, check_dtype=False)
    torch.testing.assert_close(found, 2 * (expected + 2 * edges(pictures[1])), check_dtype=False)
    assert any(p.grad is not None and bool(p.grad.any()) for p in trainer.nets.g.parameters())
