"""Records run again bit for bit; films show the steps; bad files are refused in one line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from drag_reference import tiny_subject
from PIL import Image

from gansteer.edits.drag.edit import Drag
from gansteer.edits.record import edit_from_json, edit_to_json, record, replay, stored_edit
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.film import check_film, frames, marked, save_film
from gansteer.models.code import Code
from gansteer.subject import Subject

EDIT = Drag([(20, 33), (41, 10)], [(27, 30), (38, 16)], learning_rate=1e-2, steps=6, tolerance=0.5)


def subject32() -> Subject:
    return tiny_subject(64, dtype=torch.float32)


def masked() -> Drag:
    mask = torch.zeros(64, 64)
    mask[3:50, 7:61] = 1
    return replace(EDIT, mask=mask)


def test_an_edit_survives_json() -> None:
    edit = replace(masked(), tracker="confident", r1=2.5)
    back = edit_from_json(json.loads(json.dumps(edit_to_json(edit))))
    assert back.mask is not None
    assert edit.mask is not None
    assert torch.equal(back.mask, edit.mask)
    assert replace(back, mask=None).__dict__ == replace(edit, mask=None).__dict__


@pytest.mark.parametrize("method", ["draggan", "gauss-newton", "freedrag", "natural"])
def test_replay_is_the_same_bit_for_bit(method: str) -> None:
    """Also after the run was revised, with style offsets, and when it was left in the middle."""
    subject = subject32()
    subject = Subject(subject.model, Code(subject.code.ws, {"b16.conv1": torch.linspace(-0.3, 0.4, 8)}))
    run = start(subject, replace(masked(), method=method, patience=20))  # type: ignore[arg-type]
    progresses = [run.step() for _ in range(4)]
    run.revise(replace(EDIT, handles=[(30, 12)], targets=[(36, 15)], method=method, patience=20))  # type: ignore[arg-type]
    progresses += [run.step() for _ in range(3)]
    written = json.loads(json.dumps(record(run, progresses, {"seed": 3})))
    again = replay(written, subject32().model)
    assert torch.equal(again.subject.code.ws, run.subject.code.ws)
    assert torch.equal(again.subject.render(), run.subject.render())
    assert [step["step"] for step in written["steps"]] == [0, 1, 2, 3, 3, 4, 5]
    assert not torch.equal(run.subject.code.ws, subject.code.ws)
    assert [again.step().points for _ in range(2)] == [run.step().points for _ in range(2)]  # and it can go on


def test_replay_refuses_what_is_not_its_own() -> None:
    run = start(subject32(), EDIT)
    run.step()
    run.step()
    good = json.loads(json.dumps(record(run)))
    model = subject32().model
    with pytest.raises(UserError, match="other weights"):
        replay(good, tiny_subject(64, seed=5, dtype=torch.float32).model)
    with pytest.raises(UserError, match="no record"):
        replay({"format": 1}, model)
    with pytest.raises(UserError, match="format 7"):
        replay({**good, "format": 7}, model)
    with pytest.raises(UserError, match="otherwise than recorded"):
        replay({**good, "result": {**good["result"], "w": "0" * 64}}, model)
    with pytest.raises(UserError, match="no field 'speed'"):
        edit_from_json({"kind": "drag", "handles": [[1, 2]], "targets": [[3, 4]], "speed": 9})
    with pytest.raises(UserError, match="this is no drag"):
        edit_from_json(
            {"kind": "drag", "handles": [[1, 2]], "targets": [[3, 4]], "mask": {"shape": [3, 4], "bits": "AAAA"}}
        )


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
@pytest.mark.parametrize("marks", [True, False])
def test_film(tmp_path: Path, suffix: str, marks: bool) -> None:
    run = start(subject32(), replace(EDIT, learning_rate=5e-2))
    progresses = list(run)
    target = tmp_path / f"film{suffix}"
    save_film(frames(progresses, EDIT, marks=marks), target)
    with Image.open(target) as film:
        assert film.n_frames == len(progresses)  # type: ignore[attr-defined]
        assert film.size == ((512, 512) if marks else (64, 64))
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_long_films_are_thinned_and_end_with_the_end() -> None:
    run = start(subject32(), EDIT)
    progresses = list(run)
    shots = list(frames(progresses, EDIT, marks=False, most=3))
    assert len(shots) == 3
    assert shots[-1].tobytes() == progresses[-1].subject.image.tobytes()


def test_marks_stand_where_the_points_are() -> None:
    picture = Image.new("RGB", (64, 64))
    page = marked(picture, [(10.0, 50.0)], [(40.0, 20.0)], [[(5.0, 50.0), (10.0, 50.0)]])
    assert page.getpixel((10 * 8 + 4, 50 * 8 + 4)) == (229, 57, 53)
    assert page.getpixel((40 * 8 + 4, 20 * 8 + 4)) == (30, 136, 229)
    assert page.getpixel((7 * 8 + 4, 50 * 8 + 4)) == (255, 193, 7)
    assert page.getpixel((50 * 8 + 4, 10 * 8 + 4)) == (0, 0, 0)


def test_films_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ends in"):
        check_film(tmp_path / "film.avi")
    with pytest.raises(UserError, match="no folder"):
        check_film(tmp_path / "nowhere" / "film.webp")


def test_mp4(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    run = start(subject32(), EDIT)
    save_film(frames(list(run), EDIT), tmp_path / "film.mp4")
    with av.open(str(tmp_path / "film.mp4")) as film:
        assert len(list(film.decode(video=0))) >= 7


def test_freedrag_takes_no_tracker_but_files_of_before_open() -> None:
    with pytest.raises(UserError, match="leave the tracker out"):
        Drag([(1, 2)], [(3, 4)], method="freedrag", tracker="nearest")
    stored = {"kind": "drag", "handles": [[1, 2]], "targets": [[3, 4]], "method": "freedrag", "tracker": "nearest"}
    assert stored_edit(stored).tracker is None
    assert stored_edit({**stored, "method": "draggan"}).tracker == "nearest"
    assert Drag([(8, 9)], [(9, 9)], method="freedrag").fitted(tiny_subject(32)).tracker is None
