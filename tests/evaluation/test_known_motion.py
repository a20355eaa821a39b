"""Pictures whose motion is known, brought in and dragged."""

import json
from pathlib import Path

import pytest
import torch

from gansteer.errors import UserError
from gansteer.evaluation.drags.known_motion import KnownMotion
from gansteer.subject import to_image
from support.tiny import tiny_model


def folder_of(tmp_path: Path, size: int) -> Path:
    folder = tmp_path / "pairs"
    folder.mkdir()
    model = tiny_model(size)
    lines = []
    for i, name in enumerate(("0000_base", "0000_turned", "0000_jaw")):
        to_image(model.sample(i).render()).save(folder / f"{name}.png")
        marks = torch.arange(136, dtype=torch.float64).view(68, 2) % (size - 8) + 2 + i
        lines.append(json.dumps({"file": f"{name}.png", "lm": marks.tolist()}))
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_handles_and_targets_are_the_true_landmarks(tmp_path: Path) -> None:
    """A reader that is off by the same everywhere changes nothing; labels are of a picture twice as large."""
    folder = folder_of(tmp_path, 64)
    model = tiny_model(32)
    true = (torch.arange(136, dtype=torch.float64).view(68, 2) % 56 + 2 + 0.5) / 2 - 0.5

    def read(picture: torch.Tensor) -> torch.Tensor:
        return true + torch.tensor([3.0, -2.0]).double()

    known = KnownMotion(folder, model, read, projection=2)
    for number, off in ((0, 0.5), (1, 1.0)):
        case = known.case(number, 5)
        assert case.goal is not None
        assert case.goal.shape == (3, 32, 32)
        assert case.wanted is not None
        eye = true[36:42].mean(dim=0)
        assert torch.allclose(case.wanted[0], eye + off)
        assert torch.allclose(case.handles[0], eye)
    assert not torch.equal(known.case(0, 1).goal, known.case(1, 1).goal)
    assert known.case(0, 1).subject is known.case(1, 1).subject  # brought in once
    with pytest.raises(UserError, match="give --pairs 2 at most"):
        known.case(2, 1)


def test_a_damaged_folder_is_told(tmp_path: Path) -> None:
    model = tiny_model(32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty\.jsonl cannot be read"):
        KnownMotion(tmp_path / "empty", model, lambda picture: picture, 1)
    (tmp_path / "empty.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="no file of landmarks"):
        KnownMotion(tmp_path / "empty", model, lambda picture: picture, 1)
