"""Known edits: reading the pairs, which blob is meant, and distances from a truth that is known."""

import json
from pathlib import Path

import pytest

from gansteer.edits.arrangement.edit import Arrangement
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.evaluation.layout_pairs import (
    Pair,
    examine,
    nearest_blob,
    of_record,
    read_pairs,
    rows,
    to_record,
)
from gansteer.models.layout import heatmaps
from gansteer.subject import Subject
from support.layouts import tiny_model


def room(name: str, x: float | None, seed: int = 900000) -> dict:
    things = [{"id": 1, "kind": "bed", "centre": [0.5, 0.7]}]
    if x is not None:
        things.append({"id": 2, "kind": "chair", "centre": [x, 0.6]})
    return {"file": f"{seed}_{name}.jpg", "seed": seed, "things": things, "edit": {"thing": 2, "kind": "chair"}}


def test_pairs_are_read_with_what_moves_and_how_far(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    lines = [room("base", 0.7), room("moved", 0.6), room("removed", None), room("base", None, 900001)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    moved, removed = read_pairs(tmp_path / "pairs")
    assert (moved.name, moved.edit, moved.at) == ("900000", "moved", (0.7, 0.6))
    assert moved.way == (pytest.approx(-0.1), 0)
    assert moved.truth == tmp_path / "pairs" / "900000_moved.jpg"
    assert (removed.edit, removed.way) == ("removed", (0, 0))
    for text in ("", "{}", "nonsense"):
        (tmp_path / "pairs.jsonl").write_text(text)
        with pytest.raises(UserError, match="pairs"):
            read_pairs(tmp_path / "pairs")


def saved(subject: Subject, path: Path) -> Path:
    subject.image.save(path)
    return path


def test_an_edit_that_is_the_truth_has_no_distance(tmp_path: Path) -> None:
    """The base is the model's own picture, and the truth what its own arrangement makes of it."""
    subject = tiny_model().sample(3)
    layout = subject.code.layout
    assert layout is not None
    size = 32
    x, y = layout.centres[2].tolist()
    dx = 6.0 if x < 16 else -6.0
    blob = nearest_blob(subject, (x, y))

    def truth(edit: Arrangement, name: str) -> Path:
        run = start(subject, edit)
        run.step()
        return saved(run.subject, tmp_path / name)

    base = saved(subject, tmp_path / "base.png")
    at = (x + 0.5) / size, (y + 0.5) / size
    moved = Pair("1", "moved", base, truth(Arrangement(moves={blob: (dx, 0.0)}), "moved.png"), at, (dx / size, 0.0))
    removed = Pair("1", "removed", base, truth(Arrangement(removes=(blob,)), "removed.png"), at, (0.0, 0.0))
    records = [examine(subject, pair) for pair in (moved, removed)]
    for record in records:
        assert record is not None
        assert record.psnr > 40
        assert record.found["layout"].inside < 1
        assert record.found["no edit"].inside > 10
        assert of_record(json.loads(json.dumps(to_record(record)))) == record
    assert records[0] is not None
    assert "drag only" in records[0].found
    assert records[1] is not None
    assert "drag only" not in records[1].found
    found = {row.name: row.value.value for row in rows([r for r in records if r is not None])}
    assert found["moved: share in which layout is nearer than no edit where it should change"] == 1
    assert found["removed: share in which layout is nearer than no edit where it should change"] == 1


def test_a_pair_in_which_nothing_changes_is_left_out(tmp_path: Path) -> None:
    subject = tiny_model().sample(3)
    base = saved(subject, tmp_path / "base.png")
    assert examine(subject, Pair("1", "removed", base, base, (0.5, 0.5), (0.0, 0.0))) is None


def test_the_blob_that_is_meant_has_the_highest_heatmap_there() -> None:
    subject = tiny_model().sample(4)
    assert subject.code.layout is not None
    maps = heatmaps(subject.code.layout, 32)[0]
    for y, x in ((3, 9), (20, 30), (15, 15)):
        if float(maps[:, y, x].max()) > 0.02:
            assert nearest_blob(subject, (x, y)) == int(maps[:, y, x].argmax())
    assert nearest_blob(subject, (31.0, 0.0)) in range(4)
