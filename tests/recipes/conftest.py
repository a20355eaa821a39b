"""The recipes, which are scripts beside each other in a folder, as modules."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def recipe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The recipe that the test's module names as `RECIPE`, of the portraits unless its `FOLDER` says otherwise."""
    before = set(sys.modules)
    folder = RECIPES / getattr(request.module, "FOLDER", "portraits")
    monkeypatch.syspath_prepend(str(folder))
    yield importlib.import_module(request.module.RECIPE)
    for name in set(sys.modules) - before:
        if (folder / f"{name}.py").exists():
            del sys.modules[name]
