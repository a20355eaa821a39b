"""Trackers that look at the picture, against warps that are known."""

import pytest
import torch
import torch.nn.functional as F

from gansteer.edits.drag.features import Features, Grid, View
from gansteer.edits.drag.optical_flow import at, flow_between
from gansteer.edits.drag.trackers import make_tracker
from gansteer.edits.drag.tracking import Tracker
from gansteer.models.generator import FeatureFrame
from support.tiny import tiny_model

pytest.importorskip("cv2")
SIZE = 64
POINTS = torch.tensor([[20.0, 24.0], [40.0, 30.5], [31.0, 44.0]], dtype=torch.float64)


def texture() -> torch.Tensor:
    """`[3, H, W]`, smooth noise: something to follow everywhere."""
    noise = torch.rand(1, 3, SIZE // 4, SIZE // 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return F.interpolate(noise, (SIZE, SIZE), mode="bicubic", align_corners=False)[0].clamp(-1, 1)


def turned(picture: torch.Tensor, angle: float, shift: tuple[float, float]) -> torch.Tensor:
    """The picture turned about its middle, then shifted by pixels."""
    turn = torch.tensor(angle)
    rows = [[turn.cos(), turn.sin(), 0.0], [-turn.sin(), turn.cos(), 0.0]]
    theta = torch.tensor(rows)
    back = theta[:, :2] @ (torch.tensor(shift) * 2 / SIZE)
    theta[:, 2] = -back
    grid = F.affine_grid(theta[None], [1, 3, SIZE, SIZE], align_corners=False)
    return F.grid_sample(picture[None], grid, padding_mode="border", align_corners=False)[0]


def truth(points: torch.Tensor, angle: float, shift: tuple[float, float]) -> torch.Tensor:
    """Where the points are in `turned`."""
    turn = torch.tensor(angle, dtype=torch.float64)
    matrix = torch.stack([torch.stack([turn.cos(), -turn.sin()]), torch.stack([turn.sin(), turn.cos()])])
    middle = (SIZE - 1) / 2
    return (points - middle) @ matrix.t() + middle + torch.tensor(shift, dtype=torch.float64)


def view(picture: torch.Tensor) -> View:
    grid = Grid(SIZE, FeatureFrame(4))
    features = Features.of(grid, torch.zeros(17, 2), torch.ones(4, 4, dtype=torch.bool))
    return View(features, lambda: picture)


@pytest.mark.parametrize("name", ["lucas-kanade", "dense-flow"])
def test_a_known_warp_is_followed_from_picture_to_picture(name: str) -> None:
    picture = texture()
    tracker: Tracker = make_tracker(name, tiny_model(32), view(picture), POINTS, 6.0)  # type: ignore[arg-type]
    points = POINTS
    for step in range(1, 6):
        angle, shift = 0.03 * step, (0.8 * step, -0.5 * step)
        tracked = tracker.track(view(turned(picture, angle, shift)), points)
        points = tracked.points
        assert tracked.sure.all()
        assert (points - truth(POINTS, angle, shift)).norm(dim=1).max() < 0.6
    assert (points - POINTS).norm(dim=1).min() > 3


def test_the_field_of_flow() -> None:
    picture = texture()
    field = flow_between(picture, turned(picture, 0.0, (2.0, -1.0)))
    middle = field[16:48, 16:48].reshape(-1, 2)
    assert (middle - torch.tensor([2.0, -1.0]).double()).norm(dim=1).median() < 0.2


def test_a_field_between_its_pixels() -> None:
    y, x = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    field = torch.stack([x, 10 * y], dim=-1).double()
    found = at(field, torch.tensor([[2.25, 3.5], [0.0, 0.0], [6.0, 4.0]]).double())
    assert torch.allclose(found, torch.tensor([[2.25, 35.0], [0.0, 0.0], [6.0, 40.0]]).double())
