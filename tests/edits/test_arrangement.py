"""Arranging blobs: what changes, what stays to the bit, what is refused."""

import json
import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gansteer.edits.arrangement.differences import change, gain_of
from gansteer.edits.arrangement.edit import MAX_BLOBS, Arrangement, NewBlob, layout_of, number, style_of
from gansteer.edits.record import edit_from_json, edit_to_json, record, replay
from gansteer.edits.registry import KINDS, start
from gansteer.errors import UserError
from gansteer.models.layout import Layout
from gansteer.subject import Model, Subject
from support.layouts import tiny_model


def after(subject: Subject, **changes: Any) -> Subject:
    run = start(subject, Arrangement(**changes))
    for _ in run:
        pass
    assert run.stop_reason == "done"
    return run.subject


def same(a: Layout, b: Layout) -> bool:
    return all(torch.equal(getattr(a, field.name), getattr(b, field.name)) for field in fields(Layout))


def test_nothing_to_change_is_the_same_subject(subject: Subject) -> None:
    assert after(subject) is subject
    assert after(subject, shows=(1,)) is subject  # it is there already


def test_every_change_does_what_it_says_and_nothing_else(subject: Subject) -> None:
    before = layout_of(subject)
    moved = layout_of(after(subject, moves={1: (3.5, -2.0)}))
    assert torch.allclose(moved.centres[1] - before.centres[1], torch.tensor([3.5, -2.0]), atol=1e-5)
    assert same(replace(moved, centres=before.centres), before)
    assert torch.equal(moved.centres[[0, 2, 3]], before.centres[[0, 2, 3]])

    larger = layout_of(after(subject, resizes={2: 1.5}))
    assert float(larger.sizes[2]) == pytest.approx(1.5 * float(before.sizes[2]), rel=1e-6)
    assert same(replace(larger, sizes=before.sizes), before)

    restyled = layout_of(after(subject, restyles={0: 77}))
    expected = np.asarray(style_of(77, 4), np.float32)
    assert np.array_equal(restyled.styles[0].numpy(), expected)
    assert same(replace(restyled, styles=before.styles), before)

    hidden = layout_of(after(subject, removes=(3,)))
    assert hidden.present.tolist() == [1, 1, 1, 0]
    assert same(replace(hidden, present=before.present), before)

    added = layout_of(after(subject, adds=(NewBlob(10, 20), NewBlob(1.5, 2, 6, 9))))
    assert same(added[:4], before)
    assert added.centres[4:].tolist() == [[10, 20], [1.5, 2]]
    assert added.sizes[4:].tolist() == [float(before.sizes.median()), 6]
    assert not torch.equal(added.styles[4], added.styles[5])

    twice = layout_of(after(subject, duplicates=(1,)))
    assert torch.equal(twice.styles[4], before.styles[1])
    assert torch.equal(twice.sizes[4], before.sizes[1])
    assert float(twice.centres[4, 0]) != float(before.centres[1, 0])
    assert float(twice.centres[4, 1]) == float(before.centres[1, 1])

    fewer = layout_of(after(subject, deletes=(1,)))
    assert same(fewer, before[[0, 2, 3]])


def test_w_offsets_and_other_rounding_stay(model: Model) -> None:
    subject = model.sample(4)
    rounding = {"w": torch.full((1,), 1e-9, dtype=torch.float64)}
    result = after(replace(subject, rounding=rounding), moves={0: (1.0, 0.3)})
    assert torch.equal(result.code.ws, subject.code.ws)
    assert torch.equal(result.rounding["w"], rounding["w"])


@pytest.mark.parametrize(
    ("there", "back"),
    [
        ({"moves": {1: (3.7, -2.1), 2: (0.1, 0.2)}}, {"moves": {1: (-3.7, 2.1), 2: (-0.1, -0.2)}}),
        ({"resizes": {0: 1.3}}, {"resizes": {0: 1 / 1.3}}),
        ({"removes": (0, 2)}, {"shows": (0, 2)}),
        ({"adds": (NewBlob(3, 4),)}, {"deletes": (4,)}),
    ],
)
def test_there_and_back_is_the_same_picture(subject: Subject, there: dict[str, Any], back: dict[str, Any]) -> None:
    first = after(subject, **there)
    assert not torch.equal(first.render(), subject.render())
    again = after(first, **back)
    assert torch.equal(again.render(), subject.render())
    assert same(layout_of(again), layout_of(subject))


def test_many_small_moves_there_and_back(subject: Subject) -> None:
    now = subject
    for i in range(20):
        now = after(now, moves={1: (0.1 * i, -0.3)})
    for i in range(20):
        now = after(now, moves={1: (-0.1 * i, 0.3)})
    assert torch.equal(now.render(), subject.render())


def test_only_the_neighbourhood_of_a_blob_changes(subject: Subject) -> None:
    """With the local layer and a blob of a pixel in the corner, far pixels stay bit for bit: float32's exp is 0 there."""
    small = after(subject, resizes={blob: 0.02 for blob in range(4)})
    changed = change(small.render(), after(small, restyles={0: 5}).render())
    assert float(changed.max()) > 0 or float(layout_of(small).sizes[0]) < 0.1


def test_children_go_along(model: Model) -> None:
    faces = tiny_model(law="hierarchical")
    subject = faces.sample(0)
    before = layout_of(subject).centres
    assert torch.allclose(
        layout_of(after(subject, moves={0: (2.0, 1.0)})).centres - before, torch.tensor([2.0, 1.0]), atol=1e-5
    )
    child = layout_of(after(subject, moves={1: (2.0, 1.0)})).centres - before
    assert [bool(row.any()) for row in child] == [False, True] + [False] * 5
    orphans = layout_of(after(subject, deletes=(0,)))
    assert orphans.parents.tolist() == [-1] * 6
    kept = layout_of(after(subject, deletes=(2,)))
    assert kept.parents.tolist() == [-1] + [0] * 5


def test_a_film_goes_evenly_and_ends_with_the_result(subject: Subject) -> None:
    changes: dict[str, Any] = {"moves": {1: (8.0, 4.0)}, "removes": (0,), "adds": (NewBlob(5, 5),), "deletes": (2,)}
    run = start(subject, Arrangement(**changes, steps=4))
    steps = list(run)
    assert [p.step for p in steps] == [1, 2, 3, 4]
    assert [p.stop_reason for p in steps] == [None, None, None, "done"]
    places = [layout_of(p.subject).centres[1] - layout_of(subject).centres[1] for p in steps]
    for i, place in enumerate(places, 1):
        assert torch.allclose(place, torch.tensor([8.0, 4.0]) * i / 4, atol=1e-4)
    heights = torch.stack([layout_of(p.subject).present[0] for p in steps])
    assert torch.allclose(heights, torch.tensor([0.75, 0.5, 0.25, 0.0]))
    assert torch.allclose(
        torch.stack([layout_of(p.subject).present[4] for p in steps[:3]]), torch.tensor([0.25, 0.5, 0.75])
    )
    assert same(layout_of(run.subject), layout_of(after(subject, **changes)))
    assert run.step() is steps[-1]


def test_blobs_beyond_the_border_on_it_and_on_each_other(subject: Subject) -> None:
    before = layout_of(subject)
    away = after(subject, moves={0: (100.0, 0.0)})
    hidden = after(subject, removes=(0,))
    assert torch.allclose(away.render(), hidden.render(), atol=1e-3)
    x, y = before.centres[1].tolist()
    for place in ((-x, -y), (31 - x, 31 - y)):
        assert after(subject, moves={1: place}).render().isfinite().all()
    onto = (before.centres[1] - before.centres[0]).tolist()
    assert after(subject, moves={0: tuple(onto)}).render().isfinite().all()
    assert after(subject, resizes={1: 1e-6}).render().isfinite().all()


def test_no_blobs_at_all(model: Model, subject: Subject) -> None:
    empty = after(subject, deletes=(0, 1, 2, 3))
    assert len(layout_of(empty)) == 0
    assert empty.render().isfinite().all()
    assert len(layout_of(after(empty, adds=(NewBlob(3, 3),)))) == 1
    with pytest.raises(UserError, match=r"no blob 0: it has none"):
        after(empty, removes=(0,))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"moves": {4: (1, 1)}}, "no blob 4: it has blobs 0 to 3"),
        ({"moves": {-1: (1, 1)}}, "no blob -1"),
        ({"moves": {0: (math.nan, 1)}}, "finite"),
        ({"moves": {0: (1e9, 1)}}, "far beyond the picture"),
        ({"resizes": {0: 0.0}}, "above 0"),
        ({"resizes": {0: math.inf}}, "above 0"),
        ({"resizes": {0: 1e9}}, "give another factor"),
        ({"restyles": {0: -1}}, "seed of a style"),
        ({"removes": (1, 1)}, "named twice"),
        ({"removes": (1,), "moves": {1: (1, 1)}}, "removed and changed"),
        ({"removes": (1,), "deletes": (1,)}, "removed and changed"),
        ({"adds": (NewBlob(math.inf, 0),)}, "finite"),
        ({"adds": (NewBlob(1e9, 0),)}, "far beyond the picture"),
        ({"adds": (NewBlob(1, 1, 1e9),)}, "larger than any picture"),
        ({"adds": (NewBlob(1, 1, -1),)}, "above 0"),
        ({"adds": (NewBlob(1, 1),) * 1000}, f"at most {MAX_BLOBS} blobs"),
        ({"adds": (NewBlob(1, 1),) * (MAX_BLOBS - 3)}, f"at most {MAX_BLOBS} blobs, this would have {MAX_BLOBS + 1}"),
        ({"steps": 0}, "from 1 to"),
    ],
)  # fmt: skip
def test_refusals_are_one_line(subject: Subject, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        Arrangement(**changes).check(subject)
    assert "\n" not in str(error.value)


def test_a_model_without_layout_says_which_have_one(subject: Subject) -> None:
    import gansteer

    with pytest.raises(UserError, match=r"portraits draws without a layout; models that have one: ") as error:
        start(gansteer.load("portraits").sample(0), Arrangement(removes=(0,)))
    assert "\n" not in str(error.value)


def test_json_and_back() -> None:
    edit = Arrangement(
        {2: (20.25, -4.0)}, {0: 1.1}, {1: 77}, (4,), (5,), (6,), (3,), (NewBlob(40, 90), NewBlob(1.5, 2, 3.25, 8)), 12
    )
    packed = json.loads(json.dumps(edit_to_json(edit)))
    back = edit_from_json(packed)
    assert back.__dict__ == edit.__dict__
    for name, value in (("moves", {"a": [1, 2]}), ("moves", {"1": [1]}), ("removes", ["x"]), ("adds", [{"x": 1}])):
        with pytest.raises(UserError, match="this is no arrangement"):
            edit_from_json({**packed, name: value})
    assert "arrangement" in KINDS


def test_recorded_and_replayed(model: Model, subject: Subject) -> None:
    edit = Arrangement(moves={2: (4.0, -2.5)}, restyles={1: 5}, steps=3)
    run = start(subject, edit)
    steps = list(run)
    kept = json.loads(json.dumps(record(run, steps, {"seed": 3})))
    again = replay(kept, model)
    assert torch.equal(again.subject.render(), run.subject.render())


def test_titles_and_command_lines() -> None:
    edit = Arrangement(
        moves={2: (20.0, -4.1)}, removes=(4,), restyles={1: 77}, adds=(NewBlob(40, 90), NewBlob(-1, 2, 3, 4))
    )
    assert edit.title == "Move blob 2, restyle blob 1, remove blob 4, add 2 blobs"
    assert Arrangement(moves={0: (1, 1), 1: (1, 1), 5: (1, 1)}).title == "Move blobs 0, 1 and 5"
    assert edit.command_line("") == [
        "arrange", "--move 2:+20,-4.1", "--restyle 1:77", "--remove 4", "--add=40,90", "--add=-1,2,3:4",
    ]  # fmt: skip
    for x in (0.1, 1 / 3, 1e-7, 123456.789, 20.0):
        assert float(number(x)) == x


def test_gain_of_a_model_is_measured_once_and_bounded(model: Model) -> None:
    gain = gain_of(model)
    assert 0.5 <= gain <= 1.5
    assert gain_of(model) == gain


def test_gain_is_the_slope_of_discs(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    from gansteer.edits.arrangement import differences

    def discs(code: Any, **how: Any) -> Tensor:
        found = []
        for k in range(len(code.layout.sizes)):
            one = code.layout[k]
            picture = torch.zeros(3, 32, 32)
            y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
            for blob in one.blobs:
                cx, cy = 15.5 + 0.8 * (blob.x - 15.5), 15.5 + 0.8 * (blob.y - 15.5)
                if blob.present:
                    picture[:, (x - cx) ** 2 + (y - cy) ** 2 < 9] = 1.0
            found.append(picture)
        return torch.stack(found)

    monkeypatch.setattr(type(model.generator), "synthesize", lambda self, code, **how: discs(code))
    assert differences.gain_of.__wrapped__(model) == pytest.approx(0.8, abs=0.06)
