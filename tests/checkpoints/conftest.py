"""A file to be refused, and what would be there if something in it had run."""

import pytest


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.pkl"


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"
