"""The benchmark of drags as something that is stopped and goes on, and what it puts into a document."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch

from gansteer.checkpoints.native import save_model
from gansteer.checkpoints.registry import load
from gansteer.evaluation.drags.judge import Judge
from gansteer.models.face_reader import is_whole
from support.tiny import tiny_model

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # also that of the processes it starts

import drag_quality


def line(handles: int, drag: int, method: str, value: float) -> dict:
    return {
        "handles": handles,
        "drag": drag,
        "method": method,
        "changes": {},
        **dict.fromkeys(drag_quality.MEASURES, value),
    }


def test_every_beginning_has_its_share() -> None:
    counts = {1: 200, 3: 100, 5: 100}
    drags = drag_quality.order(counts)
    assert sorted(drags) == [(handles, number) for handles in (1, 3, 5) for number in range(counts[handles])]
    for length in range(1, 401):
        for handles, count in counts.items():
            assert abs(sum(drag[0] == handles for drag in drags[:length]) - length * count / 400) < 2


def test_a_drag_is_the_same_whichever_were_drawn_before() -> None:
    model = tiny_model(64)

    def read(picture: torch.Tensor) -> torch.Tensor:
        """Any function of the picture."""
        return 20 + 24 * picture[0].flatten()[:136].view(68, 2).double().sigmoid()

    one, two = (drag_quality.draw(model, 3, number, 0.7, read) for number in (4, 5))
    assert one == drag_quality.draw(model, 3, 4, 0.7, read)
    assert one.handles != two.handles
    for (x, y), (to_x, to_y) in zip(one.handles, one.targets, strict=True):
        assert 0.08 * 64 <= math.hypot(to_x - x, to_y - y) <= 0.30 * 64


def test_only_drags_that_all_rows_have_done_count() -> None:
    lines = [
        line(1, 0, "a", 1.0),
        line(1, 0, "b", 2.0),
        line(1, 1, "a", 9.0),
        line(3, 0, "a", 5.0),
        line(3, 0, "b", 6.0),
    ]
    row = drag_quality.Row
    finished = drag_quality.complete(lines, {"a": row({}), "b": row({})})
    assert finished[1]["a"]["steps"] == [1.0]
    assert finished[1]["b"]["steps"] == [2.0]
    assert finished[3]["a"]["back"] == [5.0]
    assert drag_quality.complete(lines, {"a": row({})})[1]["a"]["steps"] == [1.0, 9.0]
    finished = drag_quality.complete(lines, {"a": row({}), "b": row({}, 2)})  # shall not run drag 1
    assert finished[1]["a"]["steps"] == [1.0, 9.0]
    assert finished[1]["b"]["steps"] == [2.0]


def test_what_was_not_measured_has_no_figure() -> None:
    assert drag_quality.cell("back", [math.nan]) == "-"
    assert drag_quality.cell("face", [1.0, 0.0, math.nan]).startswith("50 % [0, 100]")


def test_a_picture_is_a_face_or_not() -> None:
    model = load("portraits")
    judge = Judge.of(model)
    if judge.face_points is None:
        pytest.skip("the package with MTCNN's weights is not installed")
    picture = model.sample(seed=7).render()
    moved = picture.roll(12, dims=2)  # both see the face where it is now, and neither where it was
    for marks, points, expected in (
        (picture, picture, True), (moved, moved, True), (picture, moved, False), (picture, torch.zeros(3, 128, 128), False),
    ):  # fmt: skip
        assert is_whole(judge.landmarks(marks), judge.face_points(points), 128) == expected


def test_started_again_it_goes_on_and_fills_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tiny_model(64, dtype=torch.float32), tmp_path / "tiny.safetensors")
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- quality -->\nold\n<!-- end of quality -->\nbelow\n")
    rows = ["--methods", "no edit", "Gauss-Newton, r1 8"]
    command = f"drag_quality --model {tmp_path}/tiny.safetensors --set steps=2 --json {tmp_path}/q.json --document {page} --several 0"
    for count, done in ((1, "0 of 2"), (2, "2 of 4")):
        monkeypatch.setattr(sys, "argv", [*command.split(), "--count", str(count), *rows])
        drag_quality.main()
        assert f"{done} drags are done" in capsys.readouterr().out
        text = page.read_text()
        assert text.startswith("above\n<!-- quality -->\nDrags of 1 handle on `tiny` (64 px, weights ")
        assert f"| Gauss-Newton, r1 8 | {count} |" in text
        assert text.endswith("<!-- end of quality -->\nbelow\n")
    measures = json.loads((tmp_path / "q.json").read_text())["measures"]["1"]
    assert measures["no edit"]["steps"] == [0.0, 0.0]
    assert measures["Gauss-Newton, r1 8"]["steps"] == [2.0, 2.0]
