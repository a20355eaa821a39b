"""How alike eyes are: on drawn eyes whose openings and irises are known, and on portraits."""

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansteer.evaluation.eyes import EyePair, alike, between_lids, eye_pairs
from gansteer.models.face_reader import eye_opening, eye_openings

PORTRAITS = Path(__file__).parent.parent / "data" / "portraits"
CORNERS = ((20.0, 40.0), (50.0, 70.0))
"""x of the corners of the right and the left eye."""


def drawn(irises, opening=(8.0, 8.0), size=90):
    """A picture `[1, 3, size, size]` of two eyes with dark irises at these shares of their width, and its landmarks."""
    landmarks = torch.zeros(1, 68, 2, dtype=torch.float64)
    picture = torch.ones(1, 3, size, size, dtype=torch.float64)
    y = torch.arange(size, dtype=torch.float64)
    for k, ((left, right), iris, height) in enumerate(zip(CORNERS, irises, opening, strict=True)):
        across = left + (right - left) * torch.tensor([0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3], dtype=torch.float64)
        down = 45 + height / 2 * torch.tensor([0, -1, -1, 0, 1, 1], dtype=torch.float64)
        landmarks[0, 36 + 6 * k : 42 + 6 * k] = torch.stack([across, down], dim=1)
        x = left + iris * (right - left)
        dark = (y[None, :] - x).square() + (y[:, None] - 45).square() < 3**2
        picture[:, :, dark] = -1.0
    return picture, landmarks


def test_openings_are_those_of_the_geometry():
    landmarks = drawn((0.5, 0.5), (8.0, 5.0))[1]
    assert eye_openings(landmarks)[0].tolist() == pytest.approx([8 / 20, 5 / 20])
    yaw = torch.tensor([60.0], dtype=torch.float64)
    assert float(eye_opening(landmarks, yaw)) == pytest.approx(6.5 / 20 / 2)


def look(irises, **more):
    (pair,) = eye_pairs(*drawn(irises, **more))
    return pair.look


def test_eyes_that_look_the_same_way_are_alike():
    assert look((0.4, 0.4)) == pytest.approx(0, abs=1e-9)
    near, far = look((0.4, 0.5)), look((0.3, 0.7))
    assert 5 < near < far < 127.5
    assert look((0.4, 0.4), opening=(8.0, 6.0)) < near  # lids are the frame of what is compared
    picture, landmarks = drawn((0.3, 0.7))
    (halved,) = eye_pairs(0.5 * picture, landmarks)
    assert halved.look == pytest.approx(far / 2)
    (grey,) = eye_pairs(picture[:, :1], landmarks)
    assert grey.look == pytest.approx(far)
    colours = between_lids(picture, landmarks[:, 36:42])[0, 0].mean(dim=0)
    assert float((1 + (colours < 0).nonzero().float()).mean()) / 18 == pytest.approx(0.3, abs=0.03)  # where the iris is


def test_a_shut_eye_has_no_look_and_means_are_of_what_is_seen():
    picture, landmarks = drawn((0.4, 0.6))
    shut, low = drawn((0.5, 0.5), (8.0, 1.0))
    pairs = eye_pairs(torch.cat([picture, shut]), torch.cat([landmarks, low]))
    assert pairs[0].opening == pytest.approx(0, abs=1e-9)
    assert (pairs[1].opening, pairs[1].look) == (pytest.approx(7 / 20), None)
    found = alike([*pairs, EyePair(-0.1, 30.0)])
    assert found is not None
    assert (found.faces, found.open_faces) == (3, 2)
    assert found.opening == pytest.approx((7 / 20 + 0.1) / 3)
    assert found.look == pytest.approx((30.0 + pairs[0].look) / 2)
    assert alike([]) is None
    assert alike(pairs[1:]).look is None


def test_eyes_of_a_portrait_are_more_alike_than_eyes_of_two_people():
    labels = [json.loads(line) for line in (PORTRAITS / "labels.jsonl").read_text().splitlines()]
    eyes = []
    for label in labels:
        with Image.open(PORTRAITS / Path(label["file"]).name) as opened:
            picture = torch.from_numpy(np.array(opened.convert("RGB"))).permute(2, 0, 1)[None] / 127.5 - 1
        landmarks = torch.tensor(label["lm"]) * picture.shape[-1] / 256 - 0.5
        eyes.append([between_lids(picture, landmarks[None, i : i + 6])[0] for i in (36, 42)])
    own = torch.stack([(right - left).abs().mean() for right, left in eyes]).mean()
    others = [(a[0] - b[1]).abs().mean() for a, b in permutations(eyes, 2)]
    assert own < 0.8 * torch.stack(others).mean()
