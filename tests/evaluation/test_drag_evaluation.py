"""`gansteer evaluate drags`: as something that is stopped and goes on, and what it makes of what it found."""

import json
import math
from pathlib import Path

import pytest
import torch

from gansteer.checkpoints.native import save_model
from gansteer.cli import main
from gansteer.errors import UserError
from gansteer.evaluation.drags import rows
from gansteer.evaluation.drags import run as runs
from gansteer.evaluation.drags.cases import Case
from gansteer.evaluation.drags.correspondence import follow, reconstruction_case
from gansteer.evaluation.drags.judge import Judge
from gansteer.evaluation.drags.measures import mean_change
from gansteer.evaluation.drags.rows import PUBLISHED, ROWS, chosen
from support.tiny import tiny_model

EMBEDDING = "AAAAPAAA"  # three numbers of float16


def record(number: int, row: str, distance: float, points: int = 1) -> runs.Record:
    return runs.Record(points, number, row, {}, {"distance": distance, "back": math.nan}, EMBEDDING)


def test_rows_are_chosen_by_words() -> None:
    assert chosen(()) == ROWS
    assert list(chosen(("no edit", "published"))) == ["no edit", "DragGAN, published"]
    assert chosen(("rate 5e-3",))["rate 5e-3"] == {**PUBLISHED, "learning_rate": 5e-3}
    with pytest.raises(UserError, match="nonsense"):
        chosen(("natural", "nonsense"))


def test_what_is_left_to_do_comes_case_by_case() -> None:
    plan = runs.Plan("m", "landmarks", (1, 5), 0.7)
    some = {"a": None, "b": {}}
    left = runs.tasks(plan, some, 10, 2, [record(10, "a", 1.0), record(11, "a", 1.0), record(11, "b", 1.0)])
    assert [(task.number, task.points, list(task.rows)) for task in left] == [
        (10, 1, ["b"]), (10, 5, ["a", "b"]), (11, 5, ["a", "b"]),
    ]  # fmt: skip


def test_only_cases_that_all_rows_have_done_are_summed_up() -> None:
    plan, model = runs.Plan("m", "landmarks", (1,), 0.7), tiny_model(32)
    some = {"no edit": None, "a": {}}
    records = [record(i, row, d) for i, row, d in ((0, "no edit", 8), (0, "a", 2), (1, "no edit", 99), (2, "a", 77))]
    records += [record(3, "no edit", 4), record(3, "a", 1)]
    found = runs.summed_up(plan, model, some, 0, records)
    still, moved = found.tables[0].rows
    assert (still.cases, moved.cases) == (2, 2)
    assert moved.measures["distance"][0] == 1.5
    assert moved.measures["back"] is None
    assert moved.relative == pytest.approx(1.5 / 6)
    assert moved.frechet == pytest.approx(0, abs=1e-6)
    assert still.frechet is None
    with pytest.raises(UserError, match="more time"):
        runs.summed_up(plan, model, some, 0, records[:1])


def test_records_come_back_from_their_lines() -> None:
    one = record(3, "a", 2.5)
    back = runs.Record.from_json(json.loads(json.dumps(one.to_json(), allow_nan=False)))
    assert back.measures["distance"] == 2.5
    assert math.isnan(back.measures["back"])
    assert (back.number, back.row, back.embedding) == (3, "a", EMBEDDING)


def test_a_point_is_followed_to_where_it_went() -> None:
    """w moves a little, so the points hardly: following there and back ends where it began."""
    model = tiny_model(64)
    case = reconstruction_case(model, 1, 0.7)
    assert 0 < len(case.handles) <= 32
    assert case.goal is not None
    assert ((case.targets >= 0) & (case.targets <= 63)).all()
    subject = model.sample(1)
    points = torch.tensor([[20.0, 20.0], [40.0, 33.0]]).double()
    assert torch.equal(follow(subject, subject, points), points)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    model = tiny_model(32, dtype=torch.float32)
    save_model(model, path)
    return path


def measure(tiny: Path, folder: Path, *words: str) -> dict:
    out = folder / "a.json"
    command = ["evaluate", "drags", "--model", str(tiny), "--device", "cpu", "--json", str(out)]
    assert main([*command, "--records", str(folder / "a.jsonl"), *words]) == 0
    return json.loads(out.read_text())


def without_seconds(report: dict) -> dict:
    for table in report["tables"]:
        for row in table["rows"]:
            del row["measures"]["seconds"]
    return report


def test_a_run_that_was_killed_goes_on_without_a_difference(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--points", "1", "--pairs", "2", "--rows", "no edit", "rate 1e-2", "--protocol", "there-and-back"]
    whole = measure(tiny, tmp_path, *words)
    lines = (tmp_path / "a.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 1 + 4
    (tmp_path / "a.jsonl").write_text("".join(lines[:3]) + lines[3][:20])  # killed while it wrote
    again = measure(tiny, tmp_path, *words)
    assert without_seconds(again) == without_seconds(whole)
    assert [row["cases"] for row in whole["tables"][0]["rows"]] == [2, 2]
    earlier = "".join(lines).replace('"tracking_layer": null, ', "")  # before there was that setting
    assert earlier.count("tracking_layer") == 0
    (tmp_path / "a.jsonl").write_text(earlier)
    assert without_seconds(measure(tiny, tmp_path, *words)) == whole
    assert (tmp_path / "a.jsonl").read_text() == earlier
    others = "".join(lines).replace('"learning_rate": 0.01', '"learning_rate": 0.02')  # what the row once meant
    (tmp_path / "a.jsonl").write_text(others)
    assert without_seconds(measure(tiny, tmp_path, *words)) == whole
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 1 + 4 + 2
    assert whole["tables"][0]["rows"][0]["relative"] == 1
    assert "no edit" in capsys.readouterr().out
    assert (
        main(["evaluate", "drags", "--model", str(tiny), "--psi", "0.5", "--records", str(tmp_path / "a.jsonl")]) == 2
    )
    assert "other weights or settings" in capsys.readouterr().err


def test_a_row_with_a_mask_is_known_by_it(tiny: Path, tmp_path: Path) -> None:
    words = ["--points", "1", "--pairs", "1", "--rows", "no edit", "mask, 0.2"]
    whole = measure(tiny, tmp_path, *words)
    (_, masked) = whole["tables"][0]["rows"]
    assert masked["settings"]["free"] == 0.2
    lines = (tmp_path / "a.jsonl").read_text()
    assert measure(tiny, tmp_path, *words) == whole
    assert (tmp_path / "a.jsonl").read_text() == lines
    measure(tiny, tmp_path, *words[:-1], "mask, 0.3")
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == len(lines.splitlines()) + 1


def test_targets_on_one_pixel_are_dragged_back_as_one() -> None:
    """The inner lips of a mouth that closes."""
    model = tiny_model(32, dtype=torch.float32)
    handles, targets = (torch.tensor(points).double() for points in ([[10, 12], [10, 20]], [[14, 15.2], [14, 15.4]]))
    case = Case(model.sample(1), handles, targets)
    plan = runs.Plan("m", "there-and-back", (68,), 0.7)
    settings = {"method": "draggan", "steps": 12, "learning_rate": 5e-2}
    found, _ = runs.measured(case, settings, 68, plan, Judge.of(model))
    there = runs.carry_out(case.subject, handles, targets, settings).subject
    back = runs.carry_out(there, targets[:1], handles[:1], settings).subject
    assert found["back"] == mean_change(back.render(), case.subject.render()) > 0


def test_rows_that_cannot_be_run_are_left_out_unless_they_are_asked_for(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "ROWS", {"no edit": None, "latent transformer": {"method": "transformer"}})
    found = measure(tiny, tmp_path, "--points", "1", "--pairs", "1")
    assert [row["row"] for row in found["tables"][0]["rows"]] == ["no edit"]
    assert "latent transformer is left out: tiny has no latent transformer" in capsys.readouterr().err
    assert main(["evaluate", "drags", "--model", str(tiny), "--rows", "transformer"]) == 2
    assert "run gansteer train-transformer" in capsys.readouterr().err


def test_reconstruction_reports_what_the_paper_does(tiny: Path, tmp_path: Path) -> None:
    found = measure(tiny, tmp_path, "--protocol", "reconstruction", "--pairs", "1", "--rows", "no edit")
    row = found["tables"][0]["rows"][0]
    assert found["tables"][0]["points"] == 32
    assert {"mse", "perceptual", "left"} <= {name for name, value in row["measures"].items() if value}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--points", "3"], "--points is one or more of 1, 5, 68"),
        (["--rows", "nonsense"], "no row contains 'nonsense'"),
        (["--pairs", "0"], "--pairs must be at least 1"),
        (["--protocol", "known-motion"], "needs --data"),
        (["--first", "-1"], "--first must not be negative"),
        (["--json", "a.txt"], "ends in .json"),
    ],
)
def test_mistakes_are_one_line(tiny: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "drags", "--model", str(tiny), *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
