"""Layouts that are found without labels, on drawn rooms whose things are known."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

FOLDER, RECIPE = "rooms", "known_layouts"
COUNT = 40
Box = tuple[int, int, int, int]


def rooms(seed: int = 0) -> tuple[np.ndarray, list[list[Box]]]:
    """Rooms of three shaded colours with a picture on the wall and up to two things on the floor, `uint8 [n, 128, 128, 3]`."""
    rng = np.random.default_rng(seed)
    shade = np.linspace(1, 0.8, 128)[None, :, None]
    pictures, boxes = [], []
    for i in range(COUNT):
        ceiling, wall, floor = (rng.uniform(0.45, 0.9, 3) for _ in range(3))
        x = np.concatenate([np.tile(c, (h, 128, 1)) for c, h in ((ceiling, 10), (wall, 75), (floor, 43))]) * shade
        mine = [(int(rng.integers(4, 106)), 28, 18, 14)]
        first = int(rng.integers(4, 104))
        mine += [(left, 70, 20, 26) for left in (first, 4 + (first + 46) % 100)[: i % 3]]
        for left, top, width, height in mine:
            x[top : top + height, left : left + width] = rng.uniform(0, 0.1, 3)
        pictures.append((255 * x).astype(np.uint8))
        boxes.append(mine)
    return np.stack(pictures), boxes


def test_blobs_lie_on_the_things_and_nowhere_else(recipe: ModuleType) -> None:
    pictures, boxes = rooms()
    small = pictures.reshape(COUNT, 64, 2, 64, 2, 3).mean((2, 4)) / 255
    empty, colours = recipe.empty_rooms(small)
    assert colours.shape == (COUNT, 9)
    for i, mine in enumerate(boxes):
        layout = recipe.layout_of(recipe.things(2 * small[i] - 1, 2 * empty[i] - 1))
        blobs = sorted(layout[layout[:, 3] > 0].tolist())
        expected = sorted(((x + w / 2) / 64 - 1, (y + h / 2) / 64 - 1, w * h) for x, y, w, h in mine)
        assert len(blobs) == len(expected), i
        for (x, y, radius, _), (true_x, true_y, area) in zip(blobs, expected, strict=True):
            assert abs(x - true_x) < 0.04
            assert abs(y - true_y) < 0.04
            assert radius == pytest.approx(min(max(0.85 * (area / np.pi) ** 0.5 / 64, 0.1), 0.36), abs=0.05)


def test_a_region_of_two_colours_is_two_things_and_one_of_one_is_one(recipe: ModuleType) -> None:
    picture = np.full((64, 64, 3), 0.9)
    picture[20:50, 10:50] = -0.5
    alone = (*np.nonzero(picture[..., 0] < 0),)
    assert recipe.halves(alone, picture) is None
    picture[20:50, 30:50] = 0.5
    parts = recipe.halves(alone, picture)
    assert sorted(len(rows) for rows, _ in parts) == [600, 600]
    assert {bool((columns < 30).all()) for _, columns in parts} == {True, False}


def test_what_is_written_and_that_held_out_rooms_are_left_out(recipe: ModuleType, tmp_path: Path) -> None:
    pictures, _ = rooms()
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{i:06d}.png")
    recipe.main(tmp_path / "out.npz", [tmp_path])
    used = [i for i in range(COUNT) if i % 13 != 7]
    with np.load(tmp_path / "out.npz") as found:
        assert np.array_equal(found["pictures"], pictures[used])
        n, layouts, codes = len(used), found["layouts"], found["codes"]
        assert np.array_equal(layouts[n:, :, 0], -layouts[:n, :, 0])
        assert np.array_equal(layouts[n:, :, 1:], layouts[:n, :, 1:])
        assert codes.shape == (2 * n, 6, 16)
        there = codes[layouts[..., 3] > 0]
        assert np.abs(there.mean(0)).max() < 0.2
        assert np.abs(there[:, 0].std() - 1) < 0.3
        assert found["z"].shape == (2 * n, 16)
