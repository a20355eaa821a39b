"""DragGAN's terms against the slow reference."""

import math

import drag_reference as reference
import pytest
import torch
from drag_reference import at, picture_map

from gansteer.edits.drag.draggan import motion_loss
from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.features import Features, Grid, View
from gansteer.edits.drag.mask import MaskTerm
from gansteer.edits.drag.tracking import Nearest, disc, reach, square
from gansteer.models.generator import FeatureFrame


def random_features(r: int, channels: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randn(channels, r, r, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def as_features(grid: Grid, dense: torch.Tensor) -> Features:
    table = torch.nn.functional.pad(dense.flatten(1).t(), (0, 0, 0, 1))
    return Features.of(grid, table, torch.ones(grid.r, grid.r, dtype=torch.bool))


@pytest.mark.parametrize(("size", "r"), [(16, 16), (32, 16), (64, 16), (128, 16)])
def test_sampling_is_that_of_the_resized_map(size: int, r: int) -> None:
    dense = random_features(r)
    features = as_features(Grid(size, FeatureFrame(r)), dense)
    resized = picture_map(dense, size)
    points = torch.rand(200, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * (size - 1)
    whole = torch.stack([torch.arange(size), torch.arange(size).flip(0)], dim=1).double()
    corners = torch.tensor([[0, 0], [size - 1, 0], [0, size - 1], [size - 1, size - 1.0]]).double()
    points = torch.cat([points, whole, corners])
    expected = torch.stack([at(resized, x, y) for x, y in points.tolist()])
    assert (features.sample(points) - expected).abs().max() < 1e-12
    # Knowing just the cells said to be needed is enough, and poison elsewhere does not matter.
    part = points[::3]
    need = features.grid.need(part)
    known = Features.of(
        features.grid, torch.cat([features.at(need), torch.full([1, 5], 1e300, dtype=torch.float64)]), need
    )
    assert (known.sample(part) - expected[::3]).abs().max() < 1e-12


@pytest.mark.parametrize(("size", "r"), [(16, 16), (64, 16), (128, 16)])
def test_squares_look_at_the_cells_of_their_points(size: int, r: int) -> None:
    grid = Grid(size, FeatureFrame(r))
    rng = torch.Generator().manual_seed(2)
    for points in (
        torch.rand(3, 2, generator=rng).double() * (size - 1),
        torch.tensor([[0, size - 1.0], [5, 2]]).double(),
    ):
        all_points = (points[:, None] + square(4.5)).clamp(0, size - 1)
        assert torch.equal(grid.need_around(points, reach(4.5)), grid.need(all_points))


POINTS = ([(9.0, 4.0), (2.0, 27.0), (30.0, 20.0), (15.0, 15.0)], [(21.0, 7.0), (0.0, 27.5), (31.0, 31.0), (15.0, 15.0)])


@pytest.mark.parametrize("r1", [1.0, 3.0, 4.5])
def test_motion_loss_and_its_gradient(r1: float) -> None:
    grid = Grid(32, FeatureFrame(16))
    dense = random_features(16).requires_grad_()
    p, t = (torch.tensor(points, dtype=torch.float64) for points in POINTS)
    d = (t - p) / (t - p).norm(dim=1, keepdim=True).clamp_min(1)
    loss = motion_loss(as_features(grid, dense), p, d, r1)
    expected = reference.motion_loss(picture_map(dense, 32), *POINTS, r1)
    assert abs(float((loss - expected).detach())) < 1e-12
    (got,) = torch.autograd.grad(loss, dense)
    (slow,) = torch.autograd.grad(expected, dense)
    assert (got - slow).abs().max() < 1e-12
    assert got.abs().max() > 0


def test_source_patch_gets_no_gradient() -> None:
    """Where only the unshifted patch looks, the gradient is zero: content is pulled forwards, not the target back."""
    dense = random_features(32).requires_grad_()
    p = torch.tensor([[10.0, 20.0]], dtype=torch.float64)
    loss = motion_loss(as_features(Grid(32, FeatureFrame(32)), dense), p, torch.tensor([[1.0, 0.0]]).double(), 1.0)
    (g,) = torch.autograd.grad(loss, dense)
    assert g[:, 20, 11].abs().min() > 0
    assert g[:, 20, 10].abs().max() == 0
    assert g[:, 10, 20].abs().max() == 0
    assert g[:, 11, 20].abs().max() == 0


@pytest.mark.parametrize(
    ("norm", "radius"), [(1, 5.5), (2, 5.5), (1, 33.0)]
)  # 33: more pixels than are compared at once
def test_tracking_is_the_nearest_in_the_window(norm: int, radius: float) -> None:
    grid = Grid(32, FeatureFrame(16))
    first, now = random_features(16), random_features(16, seed=5)
    points = [(9.0, 4.0), (2.0, 27.0), (31.0, 20.0)]
    p = torch.tensor(points, dtype=torch.float64)
    tracker = Nearest(View(as_features(grid, first), lambda: torch.zeros(1)), p, radius, norm)
    got = tracker.track(View(as_features(grid, now), lambda: torch.zeros(1)), p).points.tolist()
    resized, resized_now = picture_map(first, 32), picture_map(now, 32)
    expected = [reference.track(resized_now, at(resized, *point), point, radius, norm) for point in points]
    assert [tuple(point) for point in got] == expected
    assert expected != points


def test_neighbourhoods() -> None:
    assert sorted(map(tuple, disc(1.5).tolist())) == [
        (x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if math.hypot(x, y) < 1.5
    ]
    assert len(disc(3)) == 25
    assert len(square(3)) == 25
    assert len(square(3.5)) == 49
    assert square(3)[0].tolist() == [0, 0]
    assert disc(1.0).tolist() == [[0, 0]]


@pytest.mark.parametrize("margin", [0, 2])
@pytest.mark.parametrize("exact", [False, True])
def test_mask_term(exact: bool, margin: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gansteer.edits.drag.mask.CHUNK", 50)  # several parts
    monkeypatch.setattr("gansteer.edits.drag.mask.BLOCK", 12)
    frame = FeatureFrame(16 + 2 * margin, margin)
    grid = Grid(32, frame)
    first, now = random_features(frame.size), random_features(frame.size, seed=5).requires_grad_()
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[5:25, 9:30] = True  # borders inside cells, and whole blocks
    term = MaskTerm(mask, grid, exact)
    term.remember(as_features(grid, first))
    loss = term(as_features(grid, now), 7.0)
    keep = 1 - mask.double()
    change = frame.crop(now - first)
    if exact:
        expected = 7 * (picture_map(change, 32).abs() * keep).mean()
    else:
        cells = torch.stack([keep[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean() for i in range(16) for j in range(16)])
        expected = 7 * (change.abs() * cells.view(16, 16)).sum() / change[0].numel() / 5
        expected = expected * 16**2 / frame.size**2  # a mean over all cells, those beyond the picture too
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-12)
    (got,) = torch.autograd.grad(3 * loss, now)
    (slow,) = torch.autograd.grad(3 * expected, now)
    assert (got - slow).abs().max() < 1e-12
    need = term.need  # nothing else is looked at
    known = Features.of(grid, torch.nn.functional.pad(now.flatten(1).t()[need.flatten()], (0, 0, 0, 1)), need)
    assert torch.equal(term(known, 7.0), loss)


def test_nothing_pulls_while_nothing_has_changed() -> None:
    """At the start F is F0, and the slope of an absolute value is taken as 0 there."""
    grid = Grid(32, FeatureFrame(16))
    first = random_features(16).requires_grad_()
    for exact in (False, True):
        term = MaskTerm(torch.zeros(32, 32, dtype=torch.bool), grid, exact)
        term.remember(as_features(grid, first.detach()))
        loss = term(as_features(grid, first))
        (slope,) = torch.autograd.grad(loss, first)
        assert float(loss.detach()) == 0
        assert not slope.any()


def test_mask_polarity() -> None:
    """1 = may move: a change inside costs nothing, one outside does."""
    mask = torch.zeros(16, 16)
    mask[:, 8:] = 1
    edit = Drag([(12, 3)], [(14, 3)], mask=mask)
    assert edit.mask is not None
    term = MaskTerm(edit.mask, Grid(16, FeatureFrame(16)), exact=False)
    first = random_features(16)
    term.remember(as_features(Grid(16, FeatureFrame(16)), first))
    inside, outside = first.clone(), first.clone()
    inside[:, :, 8:] += 1
    outside[:, :, :8] += 1
    assert float(term(as_features(Grid(16, FeatureFrame(16)), inside))) == 0
    assert float(term(as_features(Grid(16, FeatureFrame(16)), outside))) == pytest.approx(0.5)
