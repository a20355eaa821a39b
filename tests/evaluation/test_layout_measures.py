"""What is said of an edit of a layout, on pictures and maps that are drawn by hand."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from gansteer.edits.arrangement.differences import centroid, change, drawn_by_difference, slope
from gansteer.evaluation.layout_measures import (
    appeared,
    attention_contrast,
    disc,
    disequilibrium,
    drawn_by_reader,
    gone,
    inside_outside,
    kind_of,
    r2,
    remains,
    replaced,
    thing_under,
    things,
)

SIZE = 64


def picture(*discs: tuple[float, float, float, float]) -> Tensor:
    """`[3, 64, 64]`: a dark ground with discs of (x, y, radius, brightness)."""
    out = torch.full((3, SIZE, SIZE), -0.5)
    for x, y, radius, value in discs:
        out[:, disc(SIZE, (x, y), radius)] = value
    return out


def kinds(*boxes: tuple[int, int, int, int, int]) -> Tensor:
    """`[64, 64]`: background with boxes of (x0, y0, x1, y1, kind), the later ones in front."""
    out = torch.zeros(SIZE, SIZE, dtype=torch.long)
    for x0, y0, x1, y1, kind in boxes:
        out[y0:y1, x0:x1] = kind
    return out


def test_change_and_centroid_are_those_of_plain_loops() -> None:
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.rand(3, 5, 7, generator=rng) * 3 - 1.5 for _ in range(2))
    found = change(a, b)
    x = y = total = 0.0
    for i in range(5):
        for j in range(7):
            expected = sum(
                abs(min(max(float(a[c, i, j]), -1), 1) - min(max(float(b[c, i, j]), -1), 1)) for c in range(3)
            )
            assert float(found[i, j]) == pytest.approx(expected / 3 * 127.5, rel=1e-5)
            x, y, total = x + float(found[i, j]) * j, y + float(found[i, j]) * i, total + float(found[i, j])
    assert centroid(found) == pytest.approx((x / total, y / total))
    assert centroid(torch.zeros(4, 4)) is None


def test_what_a_blob_draws_by_difference_is_its_disc_alone() -> None:
    base = picture((10, 50, 5, 0.3))
    with_blob = picture((10, 50, 5, 0.3), (40, 20, 6, 0.8))
    with_blob[:, 60, :] += 0.1  # a weak change elsewhere doesn't pull
    found = drawn_by_difference(with_blob, base)
    assert found is not None
    assert torch.equal(found > 0, disc(SIZE, (40, 20), 6))
    assert torch.allclose(found[20, 40], torch.tensor(1.3 * 127.5))
    assert centroid(found) == pytest.approx((40, 20))
    assert drawn_by_difference(base + 0.02, base) is None


def test_what_a_blob_draws_by_the_reader_is_what_the_base_does_not_show() -> None:
    base = kinds((0, 40, 20, 60, 3))
    now = kinds((0, 40, 20, 60, 3), (10, 50, 50, 60, 5), (2, 2, 8, 8, 4))
    found = drawn_by_reader(now, base)
    assert found is not None
    assert torch.equal(found, kinds((10, 50, 50, 60, 1), (2, 2, 8, 8, 1)) > 0)
    assert kind_of(now, found) == 5
    assert drawn_by_reader(base, base) is None
    assert drawn_by_reader(kinds(), base) is None  # what was hidden there is nothing that the blob draws
    assert drawn_by_reader(kinds((0, 0, 2, 2, 4)), kinds()) is None  # four pixels of 64 x 64 are noise


def test_the_thing_under_a_blob() -> None:
    now = kinds((10, 10, 30, 30, 2), (28, 10, 50, 30, 7))
    found = thing_under(now, disc(SIZE, (20, 20), 12).double())
    assert found is not None
    assert found[0] == 2
    assert int(found[1].sum()) == 18 * 20
    assert thing_under(now, disc(SIZE, (20, 55), 6).double()) is None
    assert len(things(now)) == 2


def test_gone_and_not_replaced() -> None:
    before = kinds((10, 10, 30, 30, 2))
    region = before == 2
    assert gone(region, before, kinds())
    assert not gone(region, before, before)
    assert remains(region, before, kinds((10, 10, 30, 15, 2))) == 0.25
    other = kinds((12, 12, 28, 28, 6))
    assert replaced(region, before, other) == pytest.approx(256 / 400)
    assert not gone(region, before, other)


def test_what_stood_behind_may_come_to_light() -> None:
    wide = (0, 20, 60, 40, 11)  # a rug under the chair
    before = kinds(wide, (20, 15, 35, 35, 4))
    region = before == 4
    assert gone(region, before, kinds(wide))
    assert replaced(region, before, kinds(wide)) == 0


def test_a_thing_that_appears() -> None:
    before = kinds((40, 40, 60, 60, 2))
    after = kinds((40, 40, 60, 60, 2), (10, 10, 20, 20, 6))
    assert appeared(before, after, (15, 15), 6)
    assert appeared(before, after, (24, 15), 6)
    assert not appeared(before, after, (40, 15), 6)
    assert not appeared(before, before, (50, 50), 6)


def test_inside_and_outside() -> None:
    size = torch.arange(16.0).view(4, 4)
    place = torch.zeros(4, 4, dtype=torch.bool)
    place[0] = True
    assert inside_outside(size, place) == (1.5, 9.5)
    assert math.isnan(inside_outside(size, torch.zeros_like(place))[0])


def test_contrast_of_attention_is_sklearns_area_under_the_curve() -> None:
    from sklearn.metrics import roc_auc_score

    rng = torch.Generator().manual_seed(1)
    attention = torch.rand(20, 20, generator=rng).mul(10).round()  # with ties
    place = torch.rand(20, 20, generator=rng) < 0.3
    expected = roc_auc_score(place.flatten().numpy(), attention.flatten().numpy())
    assert attention_contrast(attention, place) == pytest.approx(float(expected))
    assert attention_contrast(place.float(), place) == 1
    assert math.isnan(attention_contrast(attention, torch.zeros_like(place)))


def test_slope_and_r2_are_those_of_least_squares() -> None:
    rng = np.random.default_rng(2)
    asked = rng.normal(size=50)
    obtained = 0.8 * asked + 0.1 * rng.normal(size=50)
    (expected, *_), *_ = np.linalg.lstsq(asked[:, None], obtained, rcond=None)
    assert slope(asked, obtained) == pytest.approx(float(expected))
    line = np.polyfit(asked, obtained, 1)
    explained = 1 - ((obtained - np.polyval(line, asked)) ** 2).sum() / ((obtained - obtained.mean()) ** 2).sum()
    assert r2(asked, obtained) == pytest.approx(explained)
    assert r2(asked, np.zeros(50)) == 0


def test_disequilibrium_is_zero_at_a_draw_and_signed() -> None:
    assert disequilibrium([1, 2, 3], [3, 2, 1]) == 0
    assert disequilibrium([2.0, 4.0], [0.0, 2.0]) == pytest.approx(2.0)
    assert disequilibrium([0.0, 2.0], [2.0, 4.0]) == pytest.approx(-2.0)
