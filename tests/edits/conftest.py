"""What tests of several kinds of edit share. Those of kinds that need no layout have models of their own."""

import pytest

from gansteer.subject import Model, Subject
from support.layouts import tiny_model


@pytest.fixture(scope="module")
def model() -> Model:
    """A tiny model whose pictures have layouts."""
    return tiny_model()


@pytest.fixture(scope="module")
def subject(model: Model) -> Subject:
    """One of its pictures."""
    return model.sample(3)
