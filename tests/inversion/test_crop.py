"""Crops against slices, rotations and means by hand."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from gansteer.edits.inversion.align import parse_crop, similarity_crop
from gansteer.edits.inversion.crop import Crop, cut, paste
from gansteer.errors import UserError


def photo(width=90, height=70, seed=0):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def smooth(width=90, height=70):
    """Colours that are linear in x and y: any interpolation keeps them."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([2 * x, 3 * y, 60 + x + y], axis=-1).astype(np.uint8))


def test_an_upright_crop_is_a_slice():
    # Pixels 10..41 and 20..51: edges 9.5..41.5, so the centre is 25.5.
    found = cut(photo(), Crop(25.5, 35.5, 32), 32)
    np.testing.assert_array_equal(found.numpy(), np.asarray(photo())[20:52, 10:42])
    assert found.dtype == torch.uint8


def test_a_quarter_turn_is_numpy_s():
    # Clockwise by 90 degrees: the crop's right is the photo's down, so what was left becomes the top ... of the crop's left.
    found = cut(photo(), Crop(25.5, 35.5, 32, 90), 32)
    np.testing.assert_array_equal(found.numpy(), np.rot90(np.asarray(photo())[20:52, 10:42]))


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_shrinking_takes_the_mean(factor):
    side = 12 * factor
    found = cut(photo(), Crop(4.5 + side / 2, 2.5 + side / 2, side), 12).numpy()
    part = np.asarray(photo(), float)[3 : 3 + side, 5 : 5 + side]
    expected = part.reshape(12, factor, 12, factor, 3).mean(axis=(1, 3))
    assert np.abs(found - expected).max() <= 1


def test_a_turned_crop_lies_where_geometry_says():
    crop = Crop(45, 33, 30, 20)
    found = cut(smooth(), crop, 15).numpy().astype(float)
    c, s = math.cos(math.radians(20)), math.sin(math.radians(20))
    for row, column in ((0, 0), (3, 11), (14, 14)):
        u, v = ((i + 0.5) / 15 * 30 - 15 for i in (column, row))
        x, y = 45 + c * u - s * v, 33 + s * u + c * v
        np.testing.assert_allclose(found[row, column], (2 * x, 3 * y, 60 + x + y), atol=1)
    (x0, y0), _, (x2, y2), _ = crop.corners()
    np.testing.assert_allclose((x0, y0), (45 - 15 * c + 15 * s, 33 - 15 * s - 15 * c))
    np.testing.assert_allclose(((x0 + x2) / 2, (y0 + y2) / 2), (45, 33))


def test_beyond_the_border_it_is_mirrored():
    found = cut(photo(), Crop(-0.5, 35.5, 32), 32).numpy()
    np.testing.assert_array_equal(found[:, :16], found[:, 16:][:, ::-1])


def test_large_photos_are_cut_alike():
    large = smooth().resize((90 * 16, 70 * 16), Image.Resampling.BICUBIC)
    small = cut(smooth(), Crop(45, 33, 40, 10), 8).numpy().astype(float)
    found = cut(large, Crop(45.5 * 16 - 0.5, 33.5 * 16 - 0.5, 640, 10), 8).numpy().astype(float)
    assert np.abs(found - small).max() <= 3


def test_pasting_what_was_cut_changes_little_and_nothing_outside():
    crop = Crop(45, 33, 40, 15)
    back = np.asarray(paste(smooth(), crop, Image.fromarray(cut(smooth(), crop, 64).numpy())), float)
    assert np.abs(back - np.asarray(smooth(), float)).max() <= 4
    red = Image.new("RGB", (64, 64), (255, 0, 0))
    pasted = np.asarray(paste(photo(), crop, red, feather=0.2), float)
    y, x = np.mgrid[:70, :90]
    c, s = math.cos(math.radians(15)), math.sin(math.radians(15))
    u, v = (c * (x - 45) + s * (y - 33)) / 40, (-s * (x - 45) + c * (y - 33)) / 40
    far = np.maximum(abs(u), abs(v))
    np.testing.assert_array_equal(pasted[far >= 0.5], np.asarray(photo())[far >= 0.5])
    np.testing.assert_array_equal(pasted[far <= 0.29], np.broadcast_to((255, 0, 0), pasted[far <= 0.29].shape))
    between = (far > 0.35) & (far < 0.45)
    t = (0.5 - far[between]) / 0.2
    share = (3 * t**2 - 2 * t**3)[:, None]
    expected = np.asarray(photo(), float)[between] * (1 - share) + np.array([255, 0, 0]) * share
    assert np.abs(pasted[between] - expected).max() <= 1


def test_pasting_near_the_corner():
    pasted = paste(photo(), Crop(2, 2, 30, 40), Image.new("RGB", (16, 16)))
    assert pasted.size == (90, 70)
    np.testing.assert_array_equal(np.asarray(pasted)[40:], np.asarray(photo())[40:])


def test_a_similarity_is_found_again():
    template = np.array([[0.39, 0.42], [0.61, 0.42], [0.5, 0.56], [0.41, 0.66], [0.59, 0.66]])
    angle, size, centre = math.radians(-27), 133.0, np.array([301.0, 155.0])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = (template - 0.5) @ turn.T * size + centre
    crop = similarity_crop(torch.tensor(points), torch.tensor(template))
    np.testing.assert_allclose((crop.x, crop.y, crop.size, crop.angle), (301, 155, 133, -27))


def test_the_similarity_is_the_best_there_is():
    rng = np.random.default_rng(0)
    template, points = rng.uniform(0, 1, (5, 2)), rng.uniform(0, 100, (5, 2))
    crop = similarity_crop(torch.tensor(points), torch.tensor(template))

    def error(x, y, size, angle):
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        return ((((template - 0.5) @ turn.T * size + (x, y)) - points) ** 2).sum()

    best = np.array([crop.x, crop.y, crop.size, math.radians(crop.angle)])
    least = error(*best)
    for _ in range(200):
        assert error(*(best + rng.normal(0, [0.5, 0.5, 0.5, 0.01]))) > least


@pytest.mark.parametrize("text", ["1,2", "1,2,3,4,5", "a,b,c", "1,2,nan", "1,2,-5", "1,2,0"])
def test_crops_that_are_none(text):
    with pytest.raises(UserError, match=r"x,y,size"):
        parse_crop(text)


def test_crops_that_do_not_fit():
    with pytest.raises(UserError, match="outside the photo of 90x70"):
        cut(photo(), Crop(200, 5, 10), 8)
    with pytest.raises(UserError, match="twice as large"):
        cut(photo(), Crop(20, 5, 1000), 8)
    assert parse_crop("1,2,3,4") == Crop(1, 2, 3, 4)
