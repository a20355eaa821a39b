"""`gansteer arrange`, `sample --show-layout` and `evaluate layout` on a tiny model with a layout; what the shell refuses."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gansteer
from gansteer.checkpoints.native import save_model
from gansteer.checkpoints.registry import models_with_layout, shipped
from gansteer.cli import main
from gansteer.edits.arrangement.edit import Arrangement, NewBlob
from gansteer.edits.registry import start
from gansteer.layout_picture import with_blobs
from gansteer.models.layout import Blob, Layout
from gansteer.steerfile import open_subject
from support.layouts import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_model(tiny_model(), path)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_the_examples_of_the_documentation(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, film, record = tmp_path / "out.png", tmp_path / "out.webp", tmp_path / "out.json"
    flags = ["--move", "2:+10,-4", "--remove", "3", "--restyle", "1:77", "--add", "20,25"]
    assert (
        main(
            [
                "arrange",
                "--model",
                str(model),
                "--seed",
                "3",
                *flags,
                "--out",
                str(out),
                "--film",
                str(film),
                "--json",
                str(record),
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert said == f"wrote {out}: Move blob 2, restyle blob 1, remove blob 3, add a blob\n"
    subject = gansteer.load(str(model)).sample(3)
    edit = Arrangement(moves={2: (10, -4)}, removes=(3,), restyles={1: 77}, adds=(NewBlob(20, 25),))
    run = start(subject, edit)
    run.step()
    assert np.array_equal(pixels(out), np.asarray(run.subject.image.convert("RGB")))
    with Image.open(film) as shown:
        assert getattr(shown, "n_frames", 1) == 24
    again = tmp_path / "again.png"
    assert main(["arrange", "--model", str(model), "--replay", str(record), "--out", str(again)]) == 0
    assert np.array_equal(pixels(again), pixels(out))
    assert "bit for bit" in capsys.readouterr().out


def test_list_prints_every_blob(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["arrange", "--model", str(model), "--seed", "3", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    layout = gansteer.load(str(model)).sample(3).code.layout
    assert layout is not None
    assert lines[0].split() == ["blob", "x", "y", "size", "draws"]
    for number, (line, blob) in enumerate(zip(lines[1:], layout.blobs, strict=True)):
        assert line.split() == [str(number), f"{blob.x:.1f}", f"{blob.y:.1f}", f"{blob.size:.1f}", "there", "-"]


def test_a_subject_is_kept_and_arranged_on(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "a.steer", tmp_path / "b.steer"
    assert (
        main(
            [
                "arrange",
                "--model",
                str(model),
                "--seed",
                "3",
                "--move",
                "1:0.1,0.7",
                "--remove",
                "0",
                "--out",
                str(first),
            ]
        )
        == 0
    )
    assert (
        main(
            [
                "arrange",
                "--model",
                str(model),
                "--subject",
                str(first),
                "--move",
                "1:-0.1,-0.7",
                "--show",
                "0",
                "--out",
                str(second),
            ]
        )
        == 0
    )
    back = open_subject(second, lambda known: gansteer.load(str(model)))
    assert torch.equal(back.render(), gansteer.load(str(model)).sample(3).render())
    listed = main(["arrange", "--model", str(model), "--subject", str(first), "--list"])
    assert listed == 0
    assert capsys.readouterr().out.splitlines()[-4].split()[4] == "hidden"


def test_the_command_line_of_an_edit_is_that_edit(model: Path, tmp_path: Path) -> None:
    edit = Arrangement(
        {2: (20 / 3, -4.0)}, {0: 1.1}, {1: 77}, (3,), (), (), (1,), (NewBlob(-1.5, 9), NewBlob(1.5, 2, 3.25, 8))
    )
    words = [part for word in edit.command_line("") for part in word.split(" ")]
    out = tmp_path / "out.png"
    assert main([words[0], "--model", str(model), "--seed", "3", *words[1:], "--out", str(out)]) == 0
    run = start(gansteer.load(str(model)).sample(3), edit)
    run.step()
    assert np.array_equal(pixels(out), np.asarray(run.subject.image.convert("RGB")))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "say what to change"),
        (["--list", "--remove", "1"], "leave the other flags out"),
        (["--move", "2"], "write the blob, a colon"),
        (["--move", "x:1,1"], "write the blob, a colon"),
        (["--move", "1:1"], "write pixels to the right and down"),
        (["--move", "1:nan,1"], "write pixels to the right and down"),
        (["--move", "1:1,1", "--move", "1:2,2"], "names blob 1 twice"),
        (["--move", "9:1,1"], "no blob 9: it has blobs 0 to 3"),
        (["--move", "1:1e9,1"], "far beyond the picture"),
        (["--resize", "1:big"], "how many times as large"),
        (["--resize", "1:0"], "sizes must be above 0"),
        (["--restyle", "1:-1"], "a whole number from 0 on"),
        (["--remove", "one"], "write the numbers of blobs"),
        (["--remove", "1,1"], "named twice"),
        (["--add", "1"], "write x,y in pixels"),
        (["--add", "1,1"] * 1000, "at most 64 blobs"),
        (["--remove", "1", "--film", "film.txt"], "a film's file ends in"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_leave_nothing_behind(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], says: str
) -> None:
    out = tmp_path / "out.png"
    assert main(["arrange", "--model", str(model), *flags, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    [["arrange", "--remove", "1"], ["arrange", "--list"], ["sample", "--show-layout"], ["evaluate", "layout"]],
)
def test_a_model_without_layout_says_which_have_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    out = [] if "evaluate" in command else ["--out", str(tmp_path / "out.png")]
    assert main([*command, "--model", "portraits", *out]) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r"gansteer: portraits draws without a layout; models that have one: .+\n", said)
    assert not any(tmp_path.iterdir())


def test_models_with_layout_are_found_by_their_files(model: Path, tmp_path: Path) -> None:
    shutil.copy(model, tmp_path / "blobs.safetensors")
    shutil.copy(shipped()["portraits"], tmp_path / "portraits.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    assert models_with_layout(tmp_path) == ["blobs"]


def test_show_layout_draws_a_circle_for_every_blob_that_is_there(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    assert main(["sample", "--model", str(model), "--seeds", "0-3", "--show-layout", "--out", str(out)]) == 0
    assert pixels(out).shape == (512, 512, 3)
    blank = Image.new("RGB", (64, 64))
    layout = Layout.of([], 4)
    assert not np.asarray(with_blobs(blank, layout)).any()
    one = layout.added(Blob(31.5, 31.5, 16, (0.0,) * 4))
    drawn = np.asarray(with_blobs(blank, one)).any(axis=2)
    y, x = np.nonzero(drawn)
    far = np.hypot(x - 127.5, y - 127.5)
    assert abs(far.max() - 64) < 2  # 16 px of 64 are 64 of 256
    assert not np.asarray(with_blobs(blank, one.shown(0, False))).any()


def test_evaluate_layout_goes_on_where_it_stopped(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, records = tmp_path / "report.json", tmp_path / "records.jsonl"
    command = ["evaluate", "layout", "--model", str(model), "--records", str(records), "--json", str(report)]
    assert main([*command, "--scenes", "2"]) == 0
    before = records.read_text()
    assert main([*command, "--scenes", "3"]) == 0
    assert "without alignment" in capsys.readouterr().out  # its column stands there, with dashes
    assert records.read_text().startswith(before)
    assert len(records.read_text().splitlines()) == 4  # the head and three pictures
    found: dict[str, Any] = json.loads(report.read_text())
    assert found["scenes"] == 3
    assert {row["name"] for row in found["rows"]} >= {
        "thing appears where a blob is added",
        "move: change outside over inside",
    }
    assert main([*command, "--psi", "0.5"]) == 2
    assert "other weights or settings" in capsys.readouterr().err
    wrong = [["--scenes", "1"], ["--runs", str(tmp_path)], ["--things", str(tmp_path)], ["--samples", "3"]]
    wrong += [["--data", str(tmp_path)], ["--data", str(tmp_path), "--runs", str(tmp_path)]]
    for flags in wrong:
        assert main(["evaluate", "layout", "--model", str(model), *flags]) == 2
        assert re.fullmatch(r"gansteer: .+\n", capsys.readouterr().err), flags


def test_evaluate_layout_drag(model: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = ["evaluate", "layout-drag", "--model", str(model), "--json", str(report), "--scenes", "4", "--steps", "3"]
    assert main(command) == 0
    names = {row["name"] for row in json.loads(report.read_text())["rows"]}
    assert {f"{way}: pixels left" for way in ("fixed", "move", "joint", "move+joint")} <= names
    assert main([*command, "--method", "draggan"]) == 0
    other = json.loads(report.read_text())
    assert other["method"] == "draggan"
