"""The portraits' recipes, which are scripts beside each other, as modules."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

RECIPES = Path(__file__).parents[2] / "recipes" / "portraits"


@pytest.fixture
def recipe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The recipe that the test's module names as `RECIPE`."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(RECIPES))
    yield importlib.import_module(request.module.RECIPE)
    for name in set(sys.modules) - before:
        if (RECIPES / f"{name}.py").exists():
            del sys.modules[name]
