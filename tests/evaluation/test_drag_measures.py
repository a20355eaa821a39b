"""What is measured of a drag, against loops and other libraries; and the cases that all rows share."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from gansteer.evaluation.drags import measures
from gansteer.evaluation.drags.cases import between, draggable, landmark_case, near_ways, perturbed, point_set
from gansteer.models.face_reader import is_whole
from gansteer.models.latent_transformer import MOVING_ROWS, SIGMA
from support.tiny import tiny_model


def pixel(picture: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """Between pixels, by hand: `[C]`."""
    height, width = picture.shape[1:]
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    x0, y0 = math.floor(x), math.floor(y)
    found = torch.zeros(len(picture), dtype=torch.float64)
    for dx in (0, 1):
        for dy in (0, 1):
            share = (1 - abs(x - x0 - dx)) * (1 - abs(y - y0 - dy))
            if share > 0:
                found += share * picture[:, y0 + dy, x0 + dx].double()
    return found


def test_the_dragged_patch_by_loops() -> None:
    rng = torch.Generator().manual_seed(1)
    before, after = (torch.rand(3, 20, 20, generator=rng) * 2 - 1 for _ in range(2))
    handles, targets = (
        torch.tensor([[4.0, 6.5], [0.5, 19.0]]).double(),
        torch.tensor([[9.25, 3.0], [18.0, 2.0]]).double(),
    )
    for gamma in (0.25, 1.0, 2.5):
        total = 0.0
        reach = math.floor(gamma)
        for (hx, hy), (tx, ty) in zip(handles.tolist(), targets.tolist(), strict=True):
            for dx in range(-reach, reach + 1):
                for dy in range(-reach, reach + 1):
                    a, b = pixel(before, hx + dx, hy + dy), pixel(after, tx + dx, ty + dy)
                    total += float((((a + 1) / 2 - (b + 1) / 2) ** 2).sum()) / (1 + 2 * reach) ** 2
        found = measures.patch_difference(before, after, handles, targets, gamma)
        assert found == pytest.approx(total / 2, rel=1e-9)
    assert measures.patch_difference(before, before, handles, handles, 2.0) == 0


def test_frechet_distance_by_scipy() -> None:
    rng = np.random.default_rng(0)
    for n, m, d in ((40, 30, 5), (6, 9, 12)):  # more samples than features, and fewer
        a, b = rng.normal(size=(n, d)), rng.normal(size=(m, d)) @ rng.normal(size=(d, d)) + 1
        s, t = np.cov(a.T), np.cov(b.T)
        product = scipy.linalg.eigvals(s @ t)
        root = np.sqrt(np.clip(product.real, 0, None)).sum()
        expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s) + np.trace(t) - 2 * root
        assert measures.frechet(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, rel=1e-6)
        assert measures.frechet(torch.from_numpy(a), torch.from_numpy(a)) == pytest.approx(0, abs=1e-9)


def test_the_plain_differences() -> None:
    a, b = torch.full((3, 4, 4), -1.0), torch.full((3, 4, 4), 1.0)
    assert measures.mean_square(a, b) == 1
    assert measures.mean_change(a, b) == 255
    assert measures.mean_distance(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0, 4.0], [1.0, 1.0]])) == 2.5


def test_intervals_hold_the_mean_and_leave_out_what_was_not_measured() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64).tolist()
    mean, low, high = measures.interval([*values, math.nan])
    assert mean == pytest.approx(sum(values) / 400)
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)  # of 400 normal numbers
    assert all(math.isnan(x) for x in measures.interval([math.nan]))


def test_a_face_is_whole_where_both_readers_agree() -> None:
    marks = torch.rand(68, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 100
    points = torch.stack([marks[36:42].mean(0), marks[42:48].mean(0), marks[30], marks[48], marks[54]])
    assert is_whole(marks, points + 2.0, 100)  # 2.8 px, below 3 %
    assert not is_whole(marks, points + 2.2, 100)
    assert not is_whole(marks, None, 100)


def test_point_sets_and_what_can_be_dragged() -> None:
    marks = torch.arange(136, dtype=torch.float64).view(68, 2)
    assert point_set(marks, 1).tolist() == [[60, 61]]
    assert point_set(marks, 5)[0].tolist() == [77, 78]
    assert len(point_set(marks, 68)) == 68
    with pytest.raises(ValueError, match="1, 5 or 68"):
        point_set(marks, 3)
    handles = torch.tensor([[5.0, 5.0], [5.2, 4.9], [5.0, -1.0], [7.0, 7.0], [8.0, 8.0]])
    targets = torch.tensor([[6.0, 6.0], [6.0, 6.0], [6.0, 6.0], [31.5, 7.0], [31.0, 0.0]])
    assert draggable(handles, targets, 32).tolist() == [True, False, False, False, True]


def test_a_case_depends_on_its_number_alone() -> None:
    model = tiny_model(32)

    def read(picture: torch.Tensor) -> torch.Tensor:
        """Any function of the picture."""
        return (picture[0].flatten()[:136].view(68, 2).double().sigmoid() * 31).clone()

    one, two = (landmark_case(model, number, 68, 0.7, read) for number in (4, 5))
    again = landmark_case(model, 4, 68, 0.7, read)
    assert torch.equal(one.handles, again.handles)
    assert not torch.equal(one.handles[:3], two.handles[:3])
    here, there = read(model.sample(8, 0.7).render()), read(model.sample(9, 0.7).render())
    assert torch.equal(one.wanted, there)
    kept = draggable(here, there, 32)
    assert torch.equal(one.handles, here[kept])
    assert torch.equal(one.targets, there[kept])
    five = between(one.subject, here, there, 5)
    assert five.wanted.shape == (5, 2)


def test_the_paired_reconstruction_moves_the_first_rows_a_tenth_of_the_way() -> None:
    model = tiny_model(64)
    start, end = perturbed(model, 3, 0.7)
    again = perturbed(model, 3, 0.7)[1]
    assert torch.equal(end.code.ws, again.code.ws)
    assert torch.equal(end.code.ws[MOVING_ROWS:], start.code.ws[MOVING_ROWS:])
    random = (
        start.code.ws[:MOVING_ROWS] + (end.code.ws - start.code.ws)[:MOVING_ROWS] / SIGMA
    )  # w2 = w1 + sigma (v - w1)
    assert not torch.allclose(random[0], random[1])  # every row has a z of its own
    reached = torch.stack([model.generator.map(torch.randn(1, 8).double(), None, psi=1.0)[0, 0] for _ in range(500)])
    assert random.norm(dim=1).max() < 2 * reached.norm(dim=1).max()


def test_a_mask_is_free_near_the_ways() -> None:
    """Pixel by pixel, by the nearest of many places on the lines."""
    handles, targets = (
        torch.tensor([[5.0, 6.0], [20.0, 20.0]]).double(),
        torch.tensor([[15.5, 10.0], [20.0, 20.0]]).double(),
    )
    free = near_ways(handles, targets, 32, 0.125)
    places = torch.stack([(1 - s / 400) * handles + s / 400 * targets for s in range(401)])
    for y in range(32):
        for x in range(32):
            away = float((places - torch.tensor([x, y])).norm(dim=2).min())
            assert bool(free[y, x]) == (away <= 4) or abs(away - 4) < 0.01
