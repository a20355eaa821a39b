"""The renderer's recipe draws the same people as the published data: a seed is a person for good."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SEEDS = {
    "h00014.jpg": 1019,
    "h00024.jpg": 100218,
    "h00006.jpg": 654,
    "h00030.jpg": 100782,
    "h00018.jpg": 150,
    "h00001.jpg": 100413,
}
"""Of the held-out pictures in tests/data, found by searching the published seeds for their first two numbers."""


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The recipe's modules; they import each other by their plain names."""
    monkeypatch.syspath_prepend(str(ROOT / "recipes/portraits/render"))
    yield {name: importlib.import_module(name) for name in ("sample", "model")}
    for name in ("sample", "model"):
        del sys.modules[name]


def numbers(value: object) -> list[float]:
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [x for part in parts for x in numbers(part)]
    return [float(value)] if isinstance(value, int | float) else []


def test_seeds_are_the_published_people(recipe: dict[str, ModuleType]) -> None:
    lines = (ROOT / "tests/data/portraits/labels.jsonl").read_text().splitlines()
    assert len(lines) == len(SEEDS)
    for text in lines:
        published = json.loads(text)
        drawn = recipe["sample"].draw(SEEDS[published["file"]])[0].label
        assert set(published) - set(drawn) == {"lm", "eyes2d", "file"}
        for name, value in drawn.items():
            if isinstance(value, str):
                assert value == published[name], name
            elif isinstance(value, dict):
                assert list(value) == list(published[name]), name
            np.testing.assert_allclose(numbers(value), numbers(published[name]), atol=5.1e-5, err_msg=name)


def test_landmark_vertices_are_68_different_ones() -> None:
    vertices = json.loads((ROOT / "recipes/portraits/render/landmarks68.json").read_text())
    assert len(set(vertices)) == 68


def test_camera_projects_its_target_to_the_middle(recipe: dict[str, ModuleType]) -> None:
    camera = recipe["model"].Camera(np.array([0.1, -0.2, 1.6]), 0.12)
    right = camera.target + np.array([camera.half, 0, 0])
    above = camera.target + np.array([0, 0, camera.half])
    places = camera.project(np.stack([camera.target, right, above]), 256)
    np.testing.assert_allclose(places, [[128, 128], [256, 128], [128, 0]], atol=1e-9)


def test_rotation_turns_as_the_labels_say(recipe: dict[str, ModuleType]) -> None:
    rotation = recipe["model"].rotation
    ahead, right = np.array([0, 0, 1.0]), np.array([1.0, 0, 0])  # x to the picture's right, y up
    assert (rotation(20, 0, 0) @ ahead)[0] > 0.3
    assert (rotation(0, 20, 0) @ ahead)[1] < -0.3
    assert (rotation(0, 0, 20) @ right)[1] > 0.3
    np.testing.assert_allclose(rotation(10, 20, 30) @ rotation(10, 20, 30).T, np.eye(3), atol=1e-12)
