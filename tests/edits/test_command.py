"""`gansteer drag` as its user runs it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from drag_reference import tiny_subject
from PIL import Image

import gansteer
from gansteer.cli import main
from gansteer.commands.drag_advice import advice, broken
from gansteer.edits.api import Progress
from gansteer.edits.drag.edit import Drag

FLAGS = ["--learning-rate", "0.02", "--steps", "5", "--device", "cpu"]


@pytest.fixture
def model(tmp_path: Path) -> str:
    from gansteer.checkpoints.native import save_model

    path = tmp_path / "tiny.safetensors"
    save_model(tiny_subject(64, dtype=torch.float32).model, path)
    return str(path)


def drag(*args: object) -> int:
    return main(["drag", *map(str, args), *FLAGS])


def test_picture_film_record_and_replay(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (5, 5, 60, 50))
    mask.save(tmp_path / "mask.png")
    out, again, film, written = (tmp_path / name for name in ("out.png", "again.png", "out.webp", "out.json"))
    pairs = ["--point", "20,33:27,30", "--point", "41,10:38.5,16"]
    assert drag("--model", model, "--seed", 7, *pairs, "--mask", tmp_path / "mask.png", "--out", out,
                "--film", film, "--json", written) == 0  # fmt: skip
    assert capsys.readouterr().out.startswith(f"wrote {out}")
    with Image.open(out) as picture, Image.open(film) as shots:
        assert picture.size == (64, 64)
        assert shots.n_frames > 1  # type: ignore[attr-defined]
    recorded = json.loads(written.read_text())
    assert recorded["source"]["seed"] == 7
    assert recorded["edits"][0]["edit"]["targets"] == [[27, 30], [38.5, 16]]
    assert drag("--model", model, "--replay", written, "--out", again) == 0
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--out", "out.png"], "--point"),
        (["--point", "20,33", "--out", "out.png"], "x,y:x,y"),
        (["--point", "20,33:99,1", "--out", "out.png"], "outside the picture"),
        (["--point", "20,33:20,nan", "--out", "out.png"], "finite"),
        (["--point", "20,33:25,33", "--out", "nowhere/out.png"], "no folder"),
        (["--point", "20,33:25,33", "--out", "out.png", "--film", "out.avi"], "ends in"),
        (["--point", "20,33:25,33", "--out", "out.png", "--mask", "missing.png"], "cannot be read"),
        (["--point", "20,33:25,33", "--out", "out.png", "--layer", "b99.conv1"], "no layer"),
        (["--replay", "missing.json", "--out", "out.png"], "cannot be read"),
    ],
)
def test_mistakes_are_one_line(
    args: list[str], complaint: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert drag("--model", model, *args) == 2
    said = capsys.readouterr().err.strip()
    assert complaint in said
    assert "\n" not in said
    assert not (tmp_path / "out.png").exists()


def test_jobs_resume_and_survive_failures(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs, folder = tmp_path / "jobs.jsonl", tmp_path / "results"
    lines = [
        '{"seed": 1, "points": ["20,30:26,28"], "name": "first"}',
        "nonsense",
        '{"seed": 2, "points": ["20,30:22,99"]}',
        '{"seed": 2, "points": ["20,30:22,35"], "steps": "many"}',
        '{"seed": 2, "points": ["20,30:22,35"], "r1": "wide"}',
        '{"seed": 2, "points": ["20,30:22,35"], "psi": 9}',
        '{"seed": 2, "points": ["20,30:22,35"], "film": "a.webp"}',
        "",
        '{"seed": 3, "points": ["20,30:22,35", "40,30:40,33"], "steps": 2}',
    ]
    jobs.write_text("\n".join(lines))
    assert drag("--model", model, "--jobs", jobs, "--out", folder) == 2
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 8
    assert "6 of 8 jobs failed" in said.err
    assert {path.name for path in folder.iterdir()} == {
        "first.png", "first.json", "line-00009.png", "line-00009.json", "results.jsonl"
    }  # fmt: skip
    results = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert [(result["line"], result["ok"]) for result in results] == [
        (1, True), *((line, False) for line in range(2, 8)), (9, True)
    ]  # fmt: skip
    # As if the machine had gone down while writing: a cut line; then the bad lines are put right.
    with (folder / "results.jsonl").open("a") as log:
        log.write('{"line": 9, "ke')
    before = (folder / "first.png").stat().st_mtime_ns
    lines[1:7] = [""] * 6
    jobs.write_text("\n".join(lines))
    assert drag("--model", model, "--jobs", jobs, "--out", folder) == 0
    assert capsys.readouterr().out.count("done before") == 2
    assert (folder / "first.png").stat().st_mtime_ns == before


def test_ctrl_c_writes_what_was_reached(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gansteer.edits.drag.draggan import DragGANRun

    look, calls = DragGANRun._look, []

    def interrupted(self: DragGANRun) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return look(self)

    monkeypatch.setattr(DragGANRun, "_look", interrupted)
    out, written = tmp_path / "out.png", tmp_path / "out.json"
    assert drag("--model", model, "--point", "20,33:50,30", "--out", out, "--json", written) == 130
    assert "stopped after 2 steps" in capsys.readouterr().err
    assert len(json.loads(written.read_text())["steps"]) == 3
    monkeypatch.setattr(DragGANRun, "_look", look)
    assert drag("--model", model, "--replay", written, "--out", tmp_path / "again.png") == 0
    assert (tmp_path / "again.png").read_bytes() == out.read_bytes()


def test_what_to_do_when_handles_do_not_arrive(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (64, 64), 255).save(tmp_path / "mask.png")
    flags = ["--mask", tmp_path / "mask.png", "--reach", 3, "--out", tmp_path / "out.png"]
    assert drag("--model", model, "--seed", 7, "--point", "20,33:50,33", *flags) == 0
    said = capsys.readouterr()
    assert said.out.startswith("wrote")
    (note,) = (line for line in said.err.splitlines() if line.startswith("note: "))
    for word in ("half as far", "--steps 5", "--lambda-mask (10)", "--reach 3"):
        assert word in note


@pytest.mark.parametrize(
    ("left", "why", "says"),
    [
        (4.0, "no nearer for 60 steps (the nearest picture is kept)", "part of the way"),
        (9.0, "no nearer for 60 steps (the nearest picture is kept)", "hardly came nearer"),
        (0.5, "all handles have arrived", None),
        (9.0, "the latent blew up: lower the learning rate (the nearest picture is kept)", None),
    ],
)
def test_advice_goes_by_the_way_that_is_left(left: float, why: str, says: str | None) -> None:
    subject = tiny_subject(64, dtype=torch.float32)
    first = Progress(0, 1.0, subject, ((1.0, 1.0),), (10.0,))
    line = advice(Drag([(1, 1)], [(11, 1)]), first, replace(first, distances=(left,), stop_reason=why))
    assert line is None if says is None else says in (line or "")


def test_a_face_that_came_apart_is_told() -> None:
    start = gansteer.load("portraits").sample(7)
    far = replace(start, code=replace(start.code, ws=start.code.ws * -3))
    assert "--reach 10" in (broken(start, far) or "")
    assert broken(start, start) is None
    assert broken(far, far) is None  # there was none before
