"""Augmentations against loops and matrices; neutral where they must be, differentiable everywhere."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gansteer.training.augment import ada, colour, cutout, diffaugment, geometry, translate, unchanged
from gansteer.training.distributed import ProcessGroup, StepRandom

CPU = torch.device("cpu")


def random(batch, step=0):
    return StepRandom(0, step, 0, batch, ProcessGroup(), CPU)


class Script:
    """Draws that come from a list, so that a test knows them."""

    def __init__(self, batch, *values):
        self.batch, self.values = batch, list(values)

    def _next(self, size):
        return (
            torch.as_tensor(self.values.pop(0), dtype=torch.float64)
            .expand(self.batch)
            .reshape(self.batch, *[1] * len(size))
        )

    def uniform(self, low, high, *size):
        """`low <= value < high` is checked: a value out of range is a mistake in the test."""
        value = self._next(size)
        assert ((low <= value) & (value < high)).all()
        return value

    def normal(self, *size):
        return self._next(size)


def pictures(batch=2, size=8, seed=0):
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def moved(x, down, right):
    y = np.zeros_like(x)
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            if 0 <= i - down < x.shape[1] and 0 <= j - right < x.shape[2]:
                y[:, i, j] = x[:, i - down, j - right]
    return y


def test_translation_by_whole_pixels():
    x = pictures(3, 16)
    got = translate(x, Script(3, [1.5, -1.2, 0.0], [-1.01, 2.9, 0.99])).pictures  # type: ignore[arg-type]
    for i, (down, right) in enumerate([(1, -2), (-2, 2), (0, 0)]):
        np.testing.assert_array_equal(got[i].numpy(), moved(x[i].numpy(), down, right))


def test_translation_reaches_an_eighth_and_no_further_evenly():
    shifts = []
    for step in range(50):
        lit = torch.zeros(8, 1, 16, 16)
        lit[:, :, 8, 8] = 1
        where = translate(lit, random(8, step)).pictures.nonzero()
        shifts += [(int(y) - 8, int(x) - 8) for _, _, y, x in where]
    assert len(shifts) == 400
    for axis in range(2):
        counts = np.bincount([s[axis] + 2 for s in shifts], minlength=5)
        assert len(counts) == 5
        assert counts.min() > 50  # 80 expected of each of -2 ... 2


def test_cutout():
    x = pictures(2, 20)
    got = cutout(x, Script(2, [3.7, 19.2], [10.0, 0.4]))  # type: ignore[arg-type]
    for i, (row, col) in enumerate([(3, 10), (19, 0)]):
        expected = x[i].numpy().copy()
        for a in range(20):
            for b in range(20):
                if abs(a - row) <= 2 and abs(b - col) <= 2:  # half of 20 % of 20
                    expected[:, a, b] = 0
        np.testing.assert_array_equal(got[i].numpy(), expected)


def test_diffaugment_step_by_step():
    x = pictures(2, 16)
    bright, saturation, contrast = [0.3, -0.2], [0.4, -0.7], [-0.25, 0.5 - 1e-9]
    script = Script(2, bright, saturation, contrast, 1.0, 0.0, 5.0, 9.0)
    got = diffaugment(x, script, colour=0.5).pictures  # type: ignore[arg-type]
    assert not script.values
    for i in range(2):
        y = x[i].numpy() + 0.5 * bright[i]
        grey = y.mean(axis=0, keepdims=True)
        y = grey + (y - grey) * (1 + 0.5 * saturation[i])
        y = y.mean() + (y - y.mean()) * (1 + 0.5 * contrast[i])
        y = moved(y, 1, 0)
        y[:, 4:7, 8:11] = 0  # |row - 5| <= 1.6
        np.testing.assert_allclose(got[i].numpy(), y, rtol=1e-12, atol=1e-12)


def changed(result):
    """The pictures among what an augmentation returns."""
    return result if isinstance(result, torch.Tensor) else result.pictures


@pytest.mark.parametrize("augment", [geometry, colour, ada])
def test_ada_at_zero_changes_nothing(augment):
    x = pictures(4, 16).float()
    y = changed(augment(x, torch.tensor(0.0), random(4)))
    torch.testing.assert_close(y, x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("augment", [geometry, colour])
def test_ada_chooses_its_share_of_pictures(augment):
    """With k operations, (1 - p)^k of the pictures stay; each of p counts less where an operation may draw neutral."""
    x = pictures(200, 8).float()
    y = changed(augment(x, torch.tensor(0.1), random(200)))
    same = ((y - x).abs().amax(dim=(1, 2, 3)) < 1e-4).float().mean()
    assert 0.45 < same < 0.75


# The order in which `geometry` and `colour` draw: pairs of a value and the chance it is kept by (kept below p).
OFF, ON = 0.99, 0.0


def geometry_script(batch, mirror=None, quarter=None, down=None, right=None, scale=None, before=None, part=None):
    def pair(value, neutral=0.1):
        return (neutral, OFF) if value is None else (value, ON)

    values = [*pair(mirror), *pair(quarter), *pair(right), *pair(down), *pair(scale), *pair(before)]
    values += [*pair(None), *pair(None), *pair(None), *pair(part)]  # anisotropy, second rotation, fractional shifts
    return Script(batch, *values)


@pytest.mark.parametrize(
    ("flags", "reference"),
    [
        ({"mirror": 1.5}, lambda x: x.flip(3)),
        ({"mirror": 0.5}, lambda x: x),
        ({"quarter": 1.5}, lambda x: x.rot90(1, (2, 3))),
        ({"quarter": 2.5}, lambda x: x.flip(2, 3)),
        ({"quarter": 3.5}, lambda x: x.rot90(3, (2, 3))),
        ({"before": math.pi / 2}, lambda x: x.rot90(1, (2, 3))),
    ],
)
def test_geometry_on_the_grid(flags, reference):
    x = pictures(2, 8)
    torch.testing.assert_close(
        geometry(x, torch.tensor(0.5), geometry_script(2, **flags)).pictures, reference(x), rtol=0, atol=1e-6
    )


def test_geometry_shifts_by_whole_pixels_with_reflection():
    x = pictures(2, 16)
    got = geometry(x, torch.tensor(0.5), geometry_script(2, right=0.12, down=-0.06)).pictures  # 1.92 and -0.96 pixels
    torch.testing.assert_close(got[:, :, 1:, :14], x[:, :, :15, 2:], rtol=0, atol=1e-6)
    torch.testing.assert_close(got[:, :, 1:, 14:], x[:, :, :15].flip(3)[:, :, :, :2], rtol=0, atol=1e-6)


def test_geometry_scales_about_the_centre():
    x = pictures(1, 8)
    # 2^(-5 * 0.2): every output pixel sees half as far.
    got = geometry(x, torch.tensor(0.5), geometry_script(1, scale=-5.0)).pictures
    grid = (torch.arange(8) + 0.5 - 4) / 2 + 4 - 0.5  # input pixel of each output pixel
    expected = torch.zeros(3, 8, 8, dtype=torch.float64)
    for i in range(8):
        for j in range(8):
            a, b = int(grid[i].floor()), int(grid[j].floor())
            u, v = float(grid[i]) - a, float(grid[j]) - b
            expected[:, i, j] = (
                (1 - u) * (1 - v) * x[0, :, a, b] + (1 - u) * v * x[0, :, a, b + 1]
                + u * (1 - v) * x[0, :, a + 1, b] + u * v * x[0, :, a + 1, b + 1]
            )  # fmt: skip
    torch.testing.assert_close(got[0], expected, rtol=0, atol=1e-6)


def test_colours_against_the_matrices_of_the_paper():
    """Brightness, contrast, luma flip, hue, saturation as 4 x 4 matrices, one after the other (appendix B)."""
    x = pictures(2, 4)
    b, c, hue, s = 0.7, -0.8, 1.1, 0.6
    script = Script(2, b, ON, c, ON, 1.5, ON, hue, ON, s, ON)
    got = colour(x, torch.tensor(0.5), script)  # type: ignore[arg-type]
    axis = np.ones(3) / math.sqrt(3)
    along = np.outer(axis, axis)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    steps = [
        (np.eye(3), 0.2 * b * np.ones(3)),
        (2 ** (0.5 * c) * np.eye(3), np.zeros(3)),
        (np.eye(3) - 2 * along, np.zeros(3)),
        (np.eye(3) * math.cos(hue) + cross * math.sin(hue) + along * (1 - math.cos(hue)), np.zeros(3)),  # Rodrigues
        (along + (np.eye(3) - along) * 2**s, np.zeros(3)),
    ]
    for i in range(2):
        y = x[i].numpy().reshape(3, -1)
        for matrix, shift in steps:
            y = matrix @ y + shift[:, None]
        np.testing.assert_allclose(got[i].numpy().reshape(3, -1), y, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("augment", [diffaugment, lambda x, d: ada(x, torch.tensor(0.8), d)])
def test_gradients_by_finite_differences(augment):
    x = pictures(2, 8).requires_grad_()
    cotangent, direction, h = pictures(2, 8, seed=1), pictures(2, 8, seed=2), 1e-5
    y = augment(x, random(2)).pictures
    assert y.shape == x.shape
    (grad,) = torch.autograd.grad((y * cotangent).sum(), x)
    above, below = ((augment(x.detach() + s * h * direction, random(2)).pictures * cotangent).sum() for s in (1, -1))
    assert float((grad * direction).sum()) == pytest.approx(float(above - below) / (2 * h), rel=1e-5)


@pytest.mark.parametrize("augment", [diffaugment, lambda x, d: ada(x, torch.tensor(0.8), d)])
def test_processes_augment_as_one(augment):
    x = pictures(8, 8)
    joint = augment(x, random(8))
    for rank in range(2):
        part = augment(x[rank::2], StepRandom(0, 0, 0, 8, ProcessGroup(rank, 2), CPU))
        torch.testing.assert_close(part.pictures, joint.pictures[rank::2], rtol=0, atol=1e-12)
        torch.testing.assert_close(part.transform.source, joint.transform.source[rank::2], rtol=0, atol=1e-12)


# --- where things went -----------------------------------------------------------------------------------------------------


def lit_at(places, size):
    """Pictures with one soft spot of light each, at `places [B, 2]` in units of half a picture."""
    at = (2 * torch.arange(size, dtype=torch.float64) + 1) / size - 1
    x, y = places[:, 0, None, None], places[:, 1, None, None]
    spots = torch.exp(-((at[None, None] - x) ** 2 + (at[None, :, None] - y) ** 2) / 0.03)
    return spots[:, None].expand(-1, 3, -1, -1)


def light_at(maps, places):
    """How bright `maps [B, C, s, s]` are at `places [B, 2]`."""
    return F.grid_sample(maps, places[:, None, None], align_corners=False).mean(dim=(1, 2, 3))


@pytest.mark.parametrize(
    "augment", [translate, lambda x, r: geometry(x, torch.tensor(1.0), r)], ids=["shift", "affine"]
)
def test_points_and_maps_follow_the_picture(augment):
    places = (torch.rand(24, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64) - 0.5) * 0.6
    moved = augment(lit_at(places, 64), random(24))
    points = moved.transform.points(places[:, None])[:, 0]
    inside = (points.abs() < 0.9).all(dim=1)
    assert inside.sum() > 12
    assert (points - places).norm(dim=1).median() > 0.1
    # A map of another size, of the same place, moves alike.
    for maps in (moved.pictures, moved.transform.maps(lit_at(places, 32)[:, :1])):
        assert (light_at(maps, points)[inside] > 0.85).all()
        assert (light_at(maps, places) > 0.85).float().mean() < 0.7
    # Back again, by the definition of the transform: places in the changed picture to those in the original.
    source = moved.transform.source
    back = (source[:, :, :2] @ points[..., None])[..., 0] + source[:, :, 2]
    torch.testing.assert_close(back, places, rtol=0, atol=1e-6)


def test_maps_of_the_pictures_size_move_as_pictures_do():
    x = pictures(6, 16)
    moved = translate(x, random(6))
    torch.testing.assert_close(moved.transform.maps(x), moved.pictures, rtol=0, atol=1e-9)
    moved = geometry(x, torch.tensor(0.9), random(6))
    torch.testing.assert_close(moved.transform.maps(x), moved.pictures, rtol=0, atol=0)
    same = unchanged(x)
    assert same.pictures is x
    torch.testing.assert_close(same.transform.maps(x), x, rtol=0, atol=1e-9)
    torch.testing.assert_close(same.transform.points(x[:, :2, :5, 0].mT), x[:, :2, :5, 0].mT)
