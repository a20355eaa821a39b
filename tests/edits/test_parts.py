"""Regions by name, by clusters of features, and grown."""

import numpy as np
import pytest
import torch
from drag_reference import tiny_subject
from scipy.spatial import ConvexHull

import gansteer
from gansteer.checkpoints.readers import FACES
from gansteer.edits.intervention.parts import (
    PARTS,
    cluster_mask,
    feature_clusters,
    grown_mask,
    part_mask,
    part_of,
    parts_of,
)
from gansteer.errors import UserError
from gansteer.models.face_reader import HAIR_STYLES
from gansteer.subject import Subject

REGION = torch.zeros(64, 64)
REGION[20:40, 10:34] = 1


@pytest.fixture(scope="module")
def subject() -> Subject:
    return tiny_subject(64, dtype=torch.float32)


# --- Regions ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def portrait() -> Subject:
    return gansteer.load("portraits", "cpu").sample(3)


def test_parts_hold_their_landmarks_and_little_else(portrait: Subject) -> None:
    landmarks = FACES.load().read(portrait.render()[None]).landmarks[0]
    which = {"mouth": range(48, 68), "eyes": range(36, 48), "brows": range(17, 27), "face": range(17, 68)}
    for part, indices in which.items():
        mask = part_mask(landmarks, part, 128)
        assert all(bool(mask[round(float(y)), round(float(x))]) for x, y in landmarks[list(indices)])
    for part, indices in (("mouth", range(48, 60)), ("nose", range(27, 36))):
        hull = ConvexHull(landmarks[list(indices)].double().numpy())
        assert 0.8 * hull.volume < int(part_mask(landmarks, part, 128).sum()) < 5 * hull.volume + 200
    mouth, eyes = (part_mask(landmarks, part, 128) for part in ("mouth", "eyes"))
    assert not bool((mouth & eyes).any())
    assert all(bool(part_of(portrait, part).any()) for part in PARTS if part != "hair")
    together = parts_of(portrait)
    assert set(PARTS) - set(together) <= {"hair"}
    assert all(torch.equal(mask, part_of(portrait, part)) for part, mask in together.items())
    with pytest.raises(UserError, match="did you mean 'mouth'"):
        part_of(portrait, "mouths")
    with pytest.raises(UserError, match="outside the picture"):
        part_mask(landmarks + 500, "mouth", 128)


def test_hair_is_above_the_forehead_and_not_in_the_face() -> None:
    model, reader, found = gansteer.load("portraits", "cpu"), FACES.load(), 0
    for seed in range(3, 9):
        subject = model.sample(seed)
        faces = reader.read(subject.render()[None])
        if HAIR_STYLES[int(faces.hair_style[0].argmax())] == "bald":
            with pytest.raises(UserError, match="no hair"):
                part_of(subject, "hair")
            continue
        found += 1
        hair, points = part_of(subject, "hair"), faces.landmarks[0].double()
        chin, brows = points[8], points[17:27].mean(dim=0)
        crown = (brows + 0.6 * (brows - chin)).round().long()
        around = hair[crown[1] - 2 : crown[1] + 3, crown[0] - 6 : crown[0] + 7]
        assert float(around.float().mean()) > 0.8, seed
        assert not any(bool(hair[round(float(y)), round(float(x))]) for x, y in points[27:68]), (
            seed
        )  # nose, eyes, mouth
        assert not bool(hair[:, :3].any() | hair[:, -3:].any()), seed  # background
        assert not bool(hair[-8:].any()), seed  # clothes
    assert found >= 3


def test_a_grown_mask_is_a_dilation() -> None:
    mask = torch.zeros(30, 30, dtype=torch.bool)
    mask[10, 12] = mask[20, 3] = True
    y, x = torch.meshgrid(torch.arange(30), torch.arange(30), indexing="ij")
    near = ((y - 10) ** 2 + (x - 12) ** 2 <= 4.5**2) | ((y - 20) ** 2 + (x - 3) ** 2 <= 4.5**2)
    assert torch.equal(grown_mask(mask, 4.5), near)
    assert torch.equal(grown_mask(mask, 0.5), mask)


def test_clusters_are_those_of_a_slow_spherical_k_means(subject: Subject) -> None:
    """The same start and rounds with loops over cells."""
    layer, count = "b16.conv1", 3
    found = feature_clusters(subject, layer, count, rounds=4)
    features = subject.generator.features(subject.code, [layer])[layer][0].numpy()
    features = features - features.mean(axis=(1, 2), keepdims=True)
    cells = features.reshape(features.shape[0], -1).T
    cells = cells / np.linalg.norm(cells, axis=1, keepdims=True)
    centres = [cells[0]]
    while len(centres) < count:
        centres.append(cells[np.argmin([max(c @ cell for c in centres) for cell in cells])])
    for _ in range(4):
        member = [int(np.argmax([c @ cell for c in centres])) for cell in cells]
        centres = [
            np.sum([cell for cell, k in zip(cells, member, strict=True) if k == j], axis=0) for j in range(count)
        ]
        centres = [c / np.linalg.norm(c) for c in centres]
    likeness = torch.from_numpy((np.array(centres) @ cells.T).reshape(1, count, 16, 16))
    wanted = torch.nn.functional.interpolate(likeness, (64, 64), mode="bilinear")[0].argmax(dim=0)
    assert float((found == wanted).float().mean()) > 0.999
    assert set(found.unique().tolist()) == {0, 1, 2}


def test_a_point_chooses_its_cluster(subject: Subject) -> None:
    mask = cluster_mask(subject, (5, 40))
    assert bool(mask[40, 5])
    assert 0 < int(mask.sum()) < 64 * 64
    with pytest.raises(UserError, match="outside the picture"):
        cluster_mask(subject, (70, 3))
