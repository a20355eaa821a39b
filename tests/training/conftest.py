"""Fixtures of the training tests."""

import pytest
from small_runs import TINY, save_pictures

from gansteer.training.config import TrainConfig


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture
def tiny(pictures, tmp_path):
    """`tiny(name, **changes)`: the configuration of a run in the folder `name`."""

    def make(name: str = "run", **changes: object) -> TrainConfig:
        return TrainConfig(**{"data": pictures, "out": tmp_path / name, **TINY, **changes})

    return make
