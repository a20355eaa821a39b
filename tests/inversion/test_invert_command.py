"""`gansteer invert` and what takes its files, as their user runs them."""

import json

import numpy as np
import pytest
from inverting import tiny_model
from PIL import Image

from gansteer.checkpoints.registry import load
from gansteer.cli import main
from gansteer.steerfile import open_session


@pytest.fixture
def folder(tmp_path, monkeypatch):
    from gansteer.checkpoints.native import save_model

    monkeypatch.chdir(tmp_path)
    save_model(tiny_model(), tmp_path / "tiny.safetensors")
    tiny_model().sample(5, 1.0).image.resize((80, 80)).save(tmp_path / "photo.png")
    return tmp_path


def invert(*args):
    return main(["invert", *args, "--model", "tiny.safetensors", "--device", "cpu", "--start", "mean",
                 "--projection", "5", "--tuning-steps", "4"])  # fmt: skip


def opened(folder):
    return open_session(folder / "photo.steer", lambda name: load(folder / f"{name}.safetensors", "cpu")).node


def test_a_photo_is_brought_in_and_used(folder, capsys):
    assert invert("photo.png", "--whole", "--out", "photo.steer", "--picture", "back.png", "--paste", "whole.png",
                  "--film", "film.webp") == 0  # fmt: skip
    said = capsys.readouterr().out
    assert "this takes about" in said
    assert "dB after the projection" in said
    assert "9 steps" in said
    node = opened(folder)
    assert node.source == {"photo": "photo.png"}
    assert node.edit.crop.size == 80
    with Image.open("whole.png") as whole, Image.open("film.webp") as film, Image.open("back.png") as back:
        assert whole.size == (80, 80)
        assert film.n_frames == 10  # type: ignore[attr-defined]
        assert film.size == (512, 256)
        assert np.array_equal(np.asarray(back), np.asarray(node.subject.image))
    subject = ["--subject", "photo.steer", "--model", "tiny.safetensors", "--device", "cpu"]
    assert main(["sample", *subject, "--out", "again.png"]) == 0
    assert (folder / "again.png").read_bytes() == (folder / "back.png").read_bytes()
    drag = ["drag", *subject, "--steps", "3"]
    assert main([*drag, "--point", "10,10:14,10", "--out", "drag.png", "--json", "drag.json"]) == 0
    assert json.loads((folder / "drag.json").read_text())["source"] == {"subject": "photo.steer"}
    assert main([*drag, "--replay", "drag.json", "--out", "replay.png"]) == 0
    assert (folder / "replay.png").read_bytes() == (folder / "drag.png").read_bytes()


def test_a_folder_of_photos(folder, capsys):
    """One line each; what is done stays, what failed is tried again."""
    photos = folder / "photos"
    photos.mkdir()
    for i, name in enumerate(("a.png", "b.jpg", "b.png")):
        tiny_model().sample(i, 1.0).image.resize((80, 80)).save(photos / name)
    (photos / "broken.png").write_bytes(b"no picture")
    (photos / "._a.png").write_bytes(b"of a Mac")
    (photos / "notes.txt").write_text("none either")
    assert invert("photos", "--whole", "--out", "subjects") == 2
    said = capsys.readouterr()
    lines = [line for line in said.out.splitlines() if line]
    assert [line.partition(":")[0] for line in lines] == ["a.png", "b.jpg", "b.png", "broken.png"]
    assert "dB after the projection" in lines[0]
    assert "is not a picture" in lines[3]
    assert said.err.strip().endswith("1 of 4 photos failed; run again to try only those")
    written = sorted(path.name for path in (folder / "subjects").iterdir())
    assert written == ["a.steer", "b.jpg.steer", "b.png.steer"]
    kept = (folder / "subjects" / "a.steer").stat().st_mtime_ns
    Image.new("RGB", (80, 80)).save(photos / "broken.png")
    assert invert("photos", "--whole", "--out", "subjects") == 0
    assert capsys.readouterr().out.count("done before") == 3
    assert (folder / "subjects" / "a.steer").stat().st_mtime_ns == kept
    assert (folder / "subjects" / "broken.steer").exists()
    assert invert("photos", "--whole", "--out", "subjects", "--picture", "x.png") == 2
    assert "belongs to one photo" in capsys.readouterr().err
    (folder / "empty").mkdir()
    assert invert("empty", "--whole", "--out", "none") == 2
    assert "holds no pictures" in capsys.readouterr().err


def test_a_folder_is_left_after_any_photo(folder, monkeypatch, capsys):
    from gansteer.edits.inversion.pivotal import PivotalTuning

    photos = folder / "photos"
    photos.mkdir()
    for name in ("a.png", "b.png"):
        (photos / name).write_bytes((folder / "photo.png").read_bytes())
    advance, runs = PivotalTuning.advance, []

    def interrupted(self, loss):
        if self not in runs:
            runs.append(self)
        if len(runs) == 2:
            raise KeyboardInterrupt
        advance(self, loss)

    with monkeypatch.context() as patched:
        patched.setattr(PivotalTuning, "advance", interrupted)
        assert invert("photos", "--whole", "--out", "subjects") == 130
    assert "stopped at b.png: the same command goes on from there" in capsys.readouterr().err
    assert [path.name for path in (folder / "subjects").iterdir()] == ["a.steer"]
    assert invert("photos", "--whole", "--out", "subjects") == 0
    assert sorted(path.name for path in (folder / "subjects").iterdir()) == ["a.steer", "b.steer"]


def test_ctrl_c_keeps_what_was_reached(folder, monkeypatch, capsys):
    from gansteer.edits.inversion.pivotal import PivotalTuning

    advance = PivotalTuning.advance

    def interrupted(self, loss):
        if self.taken == 2:
            raise KeyboardInterrupt
        advance(self, loss)

    monkeypatch.setattr(PivotalTuning, "advance", interrupted)
    assert invert("photo.png", "--crop", "40,40,60", "--out", "photo.steer", "--picture", "back.png") == 130
    assert "stopped; wrote photo.steer" in capsys.readouterr().err
    assert opened(folder).edit.crop.size == 60
    assert (folder / "back.png").exists()


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["photo.png", "--out", "photo.png"], "ends in .steer"),
        (["missing.png", "--whole", "--out", "a.steer"], "cannot be read"),
        (["tiny.safetensors", "--whole", "--out", "a.steer"], "not a picture"),
        (["photo.png", "--out", "nowhere/a.steer"], "no folder"),
        (["photo.png", "--out", "a.steer"], "draws no faces that could be aligned to: give --crop"),
        (["photo.png", "--crop", "1,2", "--out", "a.steer"], "write x,y,size"),
        (["photo.png", "--crop", "500,2,10", "--out", "a.steer"], "outside the photo"),
        (["photo.png", "--crop", "5,2,10", "--whole", "--out", "a.steer"], "give one of"),
        (["photo.png", "--whole", "--out", "a.steer", "--film", "a.avi"], "ends in"),
        (["photo.png", "--whole", "--out", "a.steer", "--perceptual", "lpips"], "needs the extra"),
    ],
)
def test_mistakes_are_one_line(args, complaint, folder, capsys):
    before = sorted(folder.iterdir())
    assert invert(*args) == 2
    said = capsys.readouterr().err.strip()
    assert complaint in said
    assert "\n" not in said
    assert sorted(folder.iterdir()) == before


def test_model_or_subject(folder, capsys):
    assert main(["sample", "--out", "a.png"]) == 2
    assert "give --model, such as" in capsys.readouterr().err
    assert invert("photo.png", "--whole", "--out", "photo.steer") == 0
    assert main(["sample", "--subject", "photo.steer", "--out", "a.png"]) == 2  # models have files, too
    assert "there is no model 'tiny'" in capsys.readouterr().err
    assert main(["drag", "--subject", "photo.png", "--point", "1,1:2,2", "--out", "a.png"]) == 2
    assert "photo.png" in capsys.readouterr().err


def test_an_edited_picture_goes_back_into_the_photo(folder, capsys):
    from gansteer.edits.inversion.crop import Crop, paste

    assert invert("photo.png", "--crop", "30,40,40,10", "--out", "photo.steer") == 0
    Image.new("RGB", (32, 32), (255, 0, 0)).save("red.png")
    args = ["--photo", "photo.png", "--subject", "photo.steer", "--model", "tiny.safetensors", "--out", "whole.png"]
    assert main(["paste", "red.png", *args]) == 0
    with Image.open("whole.png") as whole, Image.open("photo.png") as photo:
        expected = paste(photo.convert("RGB"), Crop(30, 40, 40, 10), Image.new("RGB", (32, 32), (255, 0, 0)))
        assert np.array_equal(np.asarray(whole), np.asarray(expected))
    assert main(["paste", "photo.steer", *args]) == 2
    assert "photo.steer is not a picture" in capsys.readouterr().err
    assert main(["paste", "red.png", *args, "--feather", "3"]) == 2
    assert "--feather is from 0 to 0.5" in capsys.readouterr().err
