"""Whether a picture shows a whole face: the model's own do, and what is no face does not."""

import pytest
import torch

import gansteer
from gansteer.edits.drag import queries
from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.subject import Subject


def test_a_face_is_whole_and_what_is_none_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = gansteer.load("portraits").sample(46)
    assert queries.whole(subject, {}) is True
    torn = Subject(
        subject.model, Code(subject.code.ws + 40 * torch.randn(12, 1, generator=torch.Generator().manual_seed(0)))
    )
    assert queries.whole(torn, {}) is False

    def missing() -> None:
        raise UserError("facenet-pytorch is not installed")

    monkeypatch.setattr(queries, "load_face_detector", missing)
    queries._readers.cache_clear()
    assert queries.whole(subject, {}) is None, "without the second reader nobody knows"
    queries._readers.cache_clear()
