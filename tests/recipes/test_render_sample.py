"""What the renderer's recipe draws, and how it finishes pictures: all that needs no Blender."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import ConvexHull, Delaunay

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes/portraits/render"
EXPECTED_WORDS = ("grin", "female", "ponytail01", "young_lightskinned_female_diffuse3")
EXPECTED_NUMBERS = [0.03288, 18.27751, -0.82648, 0.16439, -0.0869, 0.092, 1.0674]
MODULES = ("sample", "model", "finish", "progress", "check")


@pytest.fixture(scope="module")
def recipe() -> Iterator[dict[str, ModuleType]]:
    """The recipe's modules; they import each other by their plain names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(RECIPE))
        yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        del sys.modules[name]


def test_a_seed_is_the_picture_that_was_rendered(recipe: dict[str, ModuleType]) -> None:
    """Of the first training picture, as its label has it."""
    person, look, place = recipe["sample"].draw(800000)
    label = person.label
    assert (label["expression"], label["sex"], label["hair"], label["skin"]) == EXPECTED_WORDS
    found = [label["age"], label["yaw"], label["roll"], label["facs"]["jawOpen"], place.right, place.down, place.scale]
    np.testing.assert_allclose(found, EXPECTED_NUMBERS, atol=1e-4)
    assert 1.5 <= look.catch <= 3


def test_heads_are_where_and_how_the_recipe_says(recipe: dict[str, ModuleType]) -> None:
    drawn = [recipe["sample"].draw(seed) for seed in range(700, 900)]
    places = np.array([[place.right, place.down, place.scale] for _, _, place in drawn])
    for values, low, high in zip(places.T, (-0.12, -0.12, 0.8), (0.12, 0.12, 1.15), strict=True):
        assert low <= values.min() < low + 0.05
        assert high - 0.05 < values.max() <= high
    rolls = [person.label["roll"] for person, _, _ in drawn]
    assert -10 <= min(rolls) < -9 < 9 < max(rolls) <= 10
    sides = [(p.label["facs"]["eyeBlinkLeft"], p.label["facs"]["eyeBlinkRight"]) for p, _, _ in drawn]
    assert all(abs(left - right) < 0.25 for left, right in sides)
    assert np.mean([left > right for left, right in sides]) == pytest.approx(0.5, abs=0.15)
    assert not {p.label["hair"] for p, _, _ in drawn} & {"bob01", "bob02"}  # they hang before an eye


def test_landmark_vertices_are_68_different_ones() -> None:
    vertices = json.loads((RECIPE / "landmarks68.json").read_text())
    assert len(set(vertices)) == 68


def test_camera_projects_its_target_to_the_middle(recipe: dict[str, ModuleType]) -> None:
    camera = recipe["model"].Camera(np.array([0.1, -0.2, 1.6]), 0.12)
    right = camera.target + np.array([camera.half, 0, 0])
    above = camera.target + np.array([0, 0, camera.half])
    points = np.stack([camera.target, right, above])
    np.testing.assert_allclose(camera.project(points, 256), [[128, 128], [256, 128], [128, 0]], atol=1e-9)
    placed = recipe["model"].placed(camera, 0.1, -0.05, 0.8)
    middle = np.array([0.6 * 256, 0.45 * 256])
    expected = middle + 0.8 * np.array([[0, 0], [128, 0], [0, -128]])
    np.testing.assert_allclose(placed.project(points, 256), expected, atol=1e-9)


def test_rotation_turns_as_the_labels_say(recipe: dict[str, ModuleType]) -> None:
    rotation = recipe["model"].rotation
    ahead, right = np.array([0, 0, 1.0]), np.array([1.0, 0, 0])  # x to the picture's right, y up
    assert (rotation(20, 0, 0) @ ahead)[0] > 0.3
    assert (rotation(0, 20, 0) @ ahead)[1] < -0.3
    assert (rotation(0, 0, 20) @ right)[1] > 0.3
    np.testing.assert_allclose(rotation(10, 20, 30) @ rotation(10, 20, 30).T, np.eye(3), atol=1e-12)


def test_hulls_are_those_of_another_library(recipe: dict[str, ModuleType]) -> None:
    finish = recipe["finish"]
    points = np.random.default_rng(0).uniform(4, 28, (20, 2))
    corners = finish.convex(points)
    expected = points[ConvexHull(points).vertices]
    assert sorted(map(tuple, corners)) == sorted(map(tuple, expected))
    rows, columns = np.mgrid[:32, :32] + 0.5
    centres, middle = np.stack([columns, rows], -1), points.mean(0)
    inner, outer = (
        Delaunay(middle + scale * (points - middle)).find_simplex(centres) >= 0 for scale in (0.85, 1.15)
    )  # pixels on the outline may be either
    mask = finish.hull(points, 32)
    assert mask[inner].all()
    assert not mask[~outer].any()
    assert 100 < inner.sum() < mask.sum() < outer.sum()
    assert not (mask & ~finish.hull(points, 32, 1.3)).any()


def face(finish: ModuleType, brightness: float) -> tuple[Any, np.ndarray]:
    """A skin of this luminance with a highlight and a hair over the right eye, and landmarks."""
    rng = np.random.default_rng(1)
    landmarks = np.concatenate([rng.uniform(2, 62, (17, 2)), rng.uniform(16, 48, (51, 2))])
    angle = 2 * np.pi * np.arange(6) / 6
    eye = 4 * np.stack([np.cos(angle), np.sin(angle)], 1)
    landmarks[36:42], landmarks[42:48] = np.add(eye, (24, 26)), np.add(eye, (40, 26))
    light = np.full((64, 64, 3), brightness)
    shows = np.ones((64, 64), int)
    shows[:, :24] = 2
    return finish.Rendered(light, np.ones((64, 64)), shows), landmarks


def test_exposure_goes_by_the_skin(recipe: dict[str, ModuleType]) -> None:
    finish = recipe["finish"]
    values = np.linspace(0, 6, 50)
    assert (np.diff(finish.toned(values)) >= 0).all()
    for shown in (0.02, 0.3, 0.7, 0.95):
        assert float(finish.toned(np.array(finish.linear_for(shown)))) == pytest.approx(shown)
    for albedo, shown in ((0.05, 0.34 + 0.33 * np.sqrt(0.125)), (0.4, 0.67)):
        for brightness in (0.01, 3.0):
            rendered, landmarks = face(finish, brightness)
            exposed = brightness * finish.gain(rendered, landmarks, albedo, 1, 0.0)
            assert float(finish.toned(np.array(exposed))) == pytest.approx(shown)
    rendered, landmarks = face(finish, 0.2)
    rendered.light[28:34, 28:34] = 4.0  # a highlight on the face: all of it is shown darker
    bright = 4.0 * finish.gain(rendered, landmarks, 0.4, 1, 0.0)
    assert float(finish.toned(np.array(bright))) == pytest.approx(finish.HIGHLIGHT)


def test_eyes_backgrounds_and_spots(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    finish, check = recipe["finish"], recipe["check"]
    rendered, landmarks = face(finish, 0.2)
    assert finish.free_of(rendered, landmarks[36:42], 2) == pytest.approx(0.5, abs=0.1)
    assert finish.free_of(rendered, landmarks[42:48], 2) == 1
    empty = finish.finished(np.zeros((64, 64, 3)), np.zeros((64, 64)), ((0.1, 0.2, 0.3), (0.4, 0.4, 0.4)))
    ends = finish.toned(np.array([[0.4, 0.4, 0.4], [0.1, 0.2, 0.3]]))
    np.testing.assert_allclose(empty[[0, -1], 5] / 255, ends, atol=0.02)
    pupils = landmarks[[36, 42]] - (4, 0)
    spots = sum(finish.glint(64, pupil + 0.3, 0.8) for pupil in pupils)
    picture = finish.finished(rendered.light + 3 * spots[..., None], rendered.cover, ((0, 0, 0), (0, 0, 0)))
    label = {"lm": landmarks.tolist(), "pupils": pupils.tolist(), "eyes_free": [1.0, 1.0]}
    assert check.measured(picture / 255, label).catch_lights == (True, True)
    assert check.measured(picture / 255, {**label, "eyes_free": [0.4, 1.0]}).catch_lights == (None, True)
    dull = finish.finished(rendered.light, rendered.cover, ((0, 0, 0), (0, 0, 0)))
    found = check.measured(dull / 255, label)
    assert (found.catch_lights, found.bright, found.dark) == ((False, False), 0, 0)
    assert check.measured(np.zeros((64, 64, 3)), label).dark == 1
    finish.save(picture, tmp_path / "a.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]
    with Image.open(tmp_path / "a.jpg") as saved:
        assert np.abs(np.asarray(saved, int) - picture).mean() < 2


def test_half_a_line_is_rendered_again(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    assert recipe["progress"].rendered_before(labels) == set()
    labels.write_text('{"file": "a.jpg"}\n{"file": "b.jpg"}\n{"file": "c.j')
    assert recipe["progress"].rendered_before(labels) == {"a.jpg", "b.jpg"}
    assert labels.read_text() == '{"file": "a.jpg"}\n{"file": "b.jpg"}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["labels.jsonl"]
