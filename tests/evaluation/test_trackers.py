"""The table of trackers: one that is always right must win it, one that guesses must lose it."""

from dataclasses import replace

import pytest
import torch

from gansteer.cli import main
from gansteer.edits.drag.features import View
from gansteer.edits.drag.tracking import Tracked
from gansteer.errors import UserError
from gansteer.evaluation.drags.cases import Landmarks
from gansteer.evaluation.drags.trackers import MakeTracker, followed, named
from gansteer.subject import Model
from support.tiny import tiny_model

MODEL = tiny_model(32)


def brightest(picture: torch.Tensor) -> torch.Tensor:
    """Landmarks that really depend on the picture: centres of its brightness in windows, `[68, 2]`."""
    weight = picture.mean(dim=0).sigmoid().double()  # [32, 32]
    found = []
    for i in range(68):
        x, y = 2 + i % 17, 4 + 5 * (i // 17)
        window = weight[y : y + 8, x : x + 8].softmax(dim=0)
        rows, columns = torch.arange(8).double()[:, None], torch.arange(8).double()
        total = window.sum()
        found.append([x + float((window * columns).sum() / total), y + float((window * rows).sum() / total)])
    return torch.tensor(found, dtype=torch.float64)


def reader(model: Model) -> Landmarks:
    return brightest


class Oracle:
    """Sees what the truth sees."""

    def __init__(self, view: View, points: torch.Tensor) -> None:
        pass

    def track(self, view: View, points: torch.Tensor) -> Tracked:
        return Tracked(brightest(view.picture()), torch.ones(len(points), dtype=torch.bool))


class Guess:
    """Anywhere."""

    def __init__(self, view: View, points: torch.Tensor) -> None:
        self.rng = torch.Generator().manual_seed(0)

    def track(self, view: View, points: torch.Tensor) -> Tracked:
        found = torch.rand(len(points), 2, generator=self.rng, dtype=torch.float64) * 31
        return Tracked(found, torch.ones(len(points), dtype=torch.bool))


def test_the_one_that_is_right_wins_and_the_one_that_guesses_loses() -> None:
    def trackers(model: Model) -> dict[str, MakeTracker]:
        return {**named(("nearest", "none"), model), "right": Oracle, "guess": Guess}

    found = followed(MODEL, reader, trackers, walks=3, steps=3, seed=5)
    rows = sorted(found.rows, key=lambda row: row.error[0])
    assert rows[0].tracker == "right"
    assert rows[0].error == (0, 0, 0)
    assert rows[0].within["1"] == 1
    assert rows[-1].tracker == "guess"
    still = next(row for row in found.rows if row.tracker == "none")
    assert still.error[0] == pytest.approx(found.motion)
    again = followed(MODEL, reader, trackers, walks=3, steps=3, seed=5)
    assert replace(again, rows=()) == replace(found, rows=())
    assert again.rows[0] == found.rows[0]


def test_names_and_numbers_that_there_are_not() -> None:
    with pytest.raises(UserError, match="there is no tracker 'raft'"):
        named(("raft",), MODEL)
    with pytest.raises(UserError, match="--strength"):
        followed(MODEL, reader, lambda model: {}, walks=1, strength=2.0)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "trackers", "--model", "portraits", "--walks", "1", "--steps", "1", "--device", "cpu"]
    assert main([*words, "--trackers", "none", "nearest"]) == 0
    out = capsys.readouterr().out
    assert "nearest" in out
    assert "68 landmarks of 1 walks of portraits" in out
    assert main([*words, "--trackers", "raft"]) == 2
    assert "there is no tracker 'raft'" in capsys.readouterr().err
