"""The face detector on portraits and on what is none, and its parts against loops."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansteer.checkpoints import mtcnn as weights
from gansteer.checkpoints.mtcnn import load_face_detector
from gansteer.errors import UserError
from gansteer.evaluation.faces import faces
from gansteer.models import mtcnn
from gansteer.models.mtcnn import suppress
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.subject import Card, Model

PORTRAITS = Path(__file__).parent.parent / "data" / "portraits"
LABELS = [json.loads(line) for line in (PORTRAITS / "labels.jsonl").read_text().splitlines()]


def portrait(label, size):
    """The picture `[3, size, size]` in [-1, 1], and the box around eyes, nose and mouth."""
    with Image.open(PORTRAITS / Path(label["file"]).name) as opened:
        small = opened.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
    inner = np.array(label["lm"])[17:] * size / 256  # landmarks are in pixels of the rendered picture, 256 px
    return torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 127.5 - 1, (*inner.min(0), *inner.max(0))


@pytest.fixture(scope="module")
def detector():
    return load_face_detector()


@pytest.mark.parametrize("size", [64, 128])
def test_the_face_is_found_where_it_is(detector, size):
    for label in LABELS:
        picture, (left, top, right, bottom) = portrait(label, size)
        found = detector.find(picture)
        boxes, scores = found.boxes, found.scores
        assert len(boxes) == 1
        assert 0.7 <= float(scores[0]) <= 1
        x0, y0, x1, y1 = boxes[0].tolist()
        centre = ((x0 + x1) / 2, (y0 + y1) / 2)
        assert left < centre[0] < right
        assert top < centre[1] < bottom
        assert 0.8 < (x1 - x0) / (right - left) < 2
        lm = np.array(label["lm"]) * size / 256
        true = [lm[36:42].mean(0), lm[42:48].mean(0), lm[30], lm[48], lm[54]]  # eyes, tip of the nose, mouth's corners
        error = np.linalg.norm(found.points[0].numpy() - true, axis=1)
        assert error.max() < 0.08 * size
    assert len(LABELS) >= 6


def test_no_face_is_found_where_none_is(detector):
    rng = torch.Generator().manual_seed(0)
    assert len(detector.find(torch.rand(3, 96, 96, generator=rng) * 2 - 1).boxes) == 0
    assert len(detector.find(torch.zeros(3, 96, 96)).boxes) == 0
    assert len(detector.find(torch.zeros(3, 8, 8)).boxes) == 0  # smaller than the smallest face
    for label in LABELS:
        picture = portrait(label, 128)[0]
        assert len(detector.find(picture.flip(1)).boxes) == 0  # upside down
        tiles = picture.reshape(3, 8, 16, 8, 16).flip(1, 3).reshape(3, 128, 128)
        assert len(detector.find(tiles).boxes) == 0  # cut into tiles and laid out anew


def test_two_faces_are_two(detector):
    both = torch.cat([portrait(LABELS[0], 128)[0], portrait(LABELS[1], 128)[0]], dim=2)
    boxes = detector.find(both).boxes
    assert sorted(x > 128 for x in ((boxes[:, 0] + boxes[:, 2]) / 2).tolist()) == [False, True]


@pytest.mark.parametrize("inside", [False, True])
def test_suppression_is_the_loop(inside):
    rng = np.random.default_rng(0)
    corner, size, scores = rng.uniform(0, 20, (40, 2)), rng.uniform(5, 15, (40, 2)), rng.uniform(0, 1, 40)
    boxes = np.concatenate([corner, corner + size], axis=1)

    def overlap(a, b):
        width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
        return width * height / (min(areas) if inside else sum(areas) - width * height)

    stay = []
    for i in np.argsort(-scores):
        if all(overlap(boxes[i], boxes[j]) <= 0.4 for j in stay):
            stay.append(i)
    assert suppress(torch.tensor(boxes), torch.tensor(scores), 0.4, inside).tolist() == stay
    assert 1 < len(stay) < 40


def test_boxes_may_hang_over_the_border():
    picture = torch.ones(3, 20, 20)
    crops = mtcnn._crops(picture, torch.tensor([[-10.0, 0.0, 10.0, 20.0], [30.0, 30.0, 40.0, 40.0]]), 4)
    assert crops[0, 0].tolist() == [[0.0, 0.0, 1.0, 1.0]] * 4
    assert not crops[1].any()


def test_share_of_faces():
    torch.manual_seed(0)
    config = GeneratorConfig(resolution=32, z_dim=4, w_dim=5, channel_base=64, channel_max=4, mapping_layers=2)
    model = Model(Card("noise"), StyleGAN2Generator(config).eval().requires_grad_(False))
    done = []
    report = faces(model, 20, data=PORTRAITS, report=lambda at, total: done.append((at, total)))
    assert (report.found, report.share) == (0, 0.0)
    assert report.real_share is not None
    assert report.real_share >= 0.5  # at 32 px
    assert report.eyes is None
    assert report.real_eyes is not None
    assert report.real_eyes.faces == round(report.real_share * 6)
    assert done == [(1, 2), (2, 2)]  # a batch of drawn pictures, and one of real ones


def test_without_the_weights_it_says_what_to_install(monkeypatch):
    def missing(name):
        raise weights.PackageNotFoundError(name)

    monkeypatch.setattr(weights, "files", missing)
    with pytest.raises(UserError, match=r"pip install --no-deps facenet-pytorch==2\.6\.0"):
        load_face_detector()
