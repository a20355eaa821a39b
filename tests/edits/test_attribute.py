"""Attribute edits: exactness, composition with drags, sliders, and mistakes."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from drag_reference import tiny_subject

from gansteer.directions import Direction, Directions
from gansteer.edits.attribute.edit import Attribute, sliders, styles_of
from gansteer.edits.attribute.fitting import sample, seeded_z
from gansteer.edits.attribute.unsupervised import fit_components
from gansteer.edits.drag.edit import Drag
from gansteer.edits.record import edit_from_json, edit_to_json
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.steerfile import open_subject, save_subject
from gansteer.subject import Model, Subject
from support.tiny import tiny_model


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.norm(dim=-1, keepdim=True)


def directions_of(model: Model) -> Directions:
    """Seeded random ones, in all spaces, and the principal components."""
    codes = sample(model, 300)
    entries = list(fit_components(codes.w, 3))
    for i, name in enumerate(("smile", "age", "yaw")):
        for space in ("w", "s", "z"):
            x = codes.codes(space).double()
            scale = x.std(dim=0) if space == "s" else None
            y = x if scale is None else x / scale
            n = unit(x.shape[1], seed=i)
            level = unit(x.shape[1], seed=i + 10)
            intercept = -float((y @ n).mean())
            entries.append(
                Direction(name, space, n, float((y @ n).std()), intercept, scale, level, about={"samples": 300})
            )
    entries.append(Direction("late", "w", unit(8, seed=20), 0.5, rows=(4, 5)))
    return Directions("tiny", model.digest, tuple(entries))


@pytest.fixture(scope="module")
def subject() -> Subject:
    return tiny_subject(64)


@pytest.fixture(scope="module")
def directions(subject: Subject) -> Directions:
    return directions_of(subject.model)


def after(subject: Subject, edit: Attribute) -> Subject:
    run = start(subject, edit)
    (progress,) = run
    assert progress.stop_reason == "done"
    assert run.subject is progress.subject
    return run.subject


def test_a_step_is_one_deviation_along_the_normal(subject: Subject, directions: Directions) -> None:
    """The paper's own formula: w' = w + alpha n, with alpha in deviations."""
    smile = directions.get("smile")
    moved = after(subject, Attribute({"smile": 1.5}, directions=directions))
    assert torch.allclose(moved.code.ws, subject.code.ws + 1.5 * smile.std * smile.vector, atol=1e-12)
    assert torch.allclose(smile.values(moved.code.ws), smile.values(subject.code.ws) + 1.5, atol=1e-6)
    both = after(subject, Attribute({"smile": 1.5, "age": -1}, directions=directions))
    one_by_one = after(moved, Attribute({"age": -1}, directions=directions))
    assert torch.allclose(both.code.ws, one_by_one.code.ws, atol=1e-12)


@pytest.mark.parametrize("space", ["w", "s"])
def test_what_is_held_keeps_its_value(subject: Subject, directions: Directions, space: str) -> None:
    edit = Attribute({"smile": 3}, ("age", "yaw"), space=space, directions=directions)  # type: ignore[arg-type]
    moved = after(subject, edit)
    codes = [x.code.ws.mean(dim=0) if space == "w" else styles_of(x) for x in (subject, moved)]
    for name in ("age", "yaw"):
        held = directions.get(name, space)  # type: ignore[arg-type]
        assert abs(float(held.values(codes[1]) - held.values(codes[0]))) < 1e-12
        change = (codes[1] - codes[0]) / (1 if held.scale is None else held.scale)
        assert held.level is not None
        assert abs(float(change @ held.level)) < 1e-11
    assert (
        float(directions.get("smile", space).values(codes[1]) - directions.get("smile", space).values(codes[0])) > 0.3  # type: ignore[arg-type]
    )


def test_held_values_stay_on_chosen_layers_of_style_space(subject: Subject, directions: Directions) -> None:
    """Fewer channels move; the held value still does not."""
    edit = Attribute({"smile": 3}, ("age",), rows=(2, 5), space="s", directions=directions)
    moved = after(subject, edit)
    rows = {layer.name: layer.latent_index for layer in subject.generator.synthesis.layers()}
    assert set(moved.code.style_offsets) == {name for name, row in rows.items() if 2 <= row <= 5}
    age = directions.get("age", "s")
    assert abs(float(age.values(styles_of(moved)) - age.values(styles_of(subject)))) < 1e-12


@pytest.mark.parametrize("space", ["w", "s"])
def test_absolute_values_are_reached(subject: Subject, directions: Directions, space: str) -> None:
    wanted = {"smile": 1.25, "age": -0.5}
    edit = Attribute(wanted, ("yaw",), absolute=True, space=space, directions=directions)  # type: ignore[arg-type]
    moved = after(subject, edit)
    code = moved.code.ws.mean(dim=0) if space == "w" else styles_of(moved)
    for name, value in wanted.items():
        assert abs(float(directions.get(name, space).values(code)) - value) < 1e-9  # type: ignore[arg-type]


def test_only_chosen_rows_move(subject: Subject, directions: Directions) -> None:
    moved = after(subject, Attribute({"pc:2": 1}, rows=(1, 3), directions=directions))
    assert [bool((a != b).any()) for a, b in zip(moved.code.ws, subject.code.ws, strict=True)] == [
        1 <= row <= 3 for row in range(10)
    ]  # fmt: skip
    moved = after(subject, Attribute({"late": 1}, directions=directions))  # a direction that was made for some rows
    assert [bool((a != b).any()) for a, b in zip(moved.code.ws, subject.code.ws, strict=True)] == [
        row in (4, 5) for row in range(10)
    ]


def test_a_change_in_z_is_the_change_of_the_mapping(directions: Directions) -> None:
    model = tiny_model(64)
    z = seeded_z(model, 1, 7)[0]
    subject = model.sample(7, 0.7)
    smile = directions.get("smile", "z")
    edit = Attribute({"smile": 2}, space="z", z=z, psi=0.7, directions=directions)
    moved = after(subject, edit)
    wanted = model.generator.map((z + 2 * smile.std * smile.vector)[None], psi=0.7)[0]
    assert torch.allclose(moved.code.ws, wanted, atol=1e-10)
    dragged = replace(subject, code=replace(subject.code, ws=subject.code.ws + 0.1))  # what was done before stays
    assert torch.allclose(after(dragged, edit).code.ws, wanted + 0.1, atol=1e-10)


def test_a_change_in_z_is_that_of_the_class() -> None:
    model = tiny_model(16, classes=3)
    n, z = unit(8), seeded_z(model, 1, 7)[0]
    directions = Directions("tiny", model.digest, (Direction("smile", "z", n, 0.5),))
    edit = Attribute({"smile": 2}, space="z", z=z, psi=0.7, directions=directions, label=2)
    wanted = model.generator.map((z + n)[None], torch.eye(3, dtype=torch.float64)[[2]], psi=0.7)[0]
    assert torch.allclose(after(model.sample(7, 0.7, 2), edit).code.ws, wanted, atol=1e-6)  # n is kept in float32
    with pytest.raises(UserError, match="give a label from 0 to 2"):
        after(model.sample(7, 0.7, 2), replace(edit, label=None))


@pytest.mark.parametrize("space", ["w", "s"])
def test_no_strength_changes_no_byte(subject: Subject, directions: Directions, space: str) -> None:
    edit = Attribute({"smile": 0, "age": 0.0}, ("yaw",), space=space, directions=directions)  # type: ignore[arg-type]
    assert after(subject, edit) is subject


@pytest.mark.parametrize("space", ["w", "s"])
@pytest.mark.parametrize("seed", range(3))
def test_there_and_back_is_the_same_picture(space: str, seed: int) -> None:
    """In float32, as pictures are drawn."""
    subject = tiny_subject(64, seed, dtype=torch.float32)
    directions = directions_of(subject.model)
    edit = Attribute({"smile": 1.7, "age": -0.6}, ("yaw",), space=space, directions=directions)  # type: ignore[arg-type]
    away = after(subject, edit)
    back = after(away, replace(edit, change={"smile": -1.7, "age": 0.6}))
    assert away.image.tobytes() != subject.image.tobytes()
    assert torch.equal(back.code.ws, subject.code.ws)
    assert not any(bool(offset.any()) for offset in back.code.style_offsets.values())
    assert torch.equal(back.render(), subject.render())


@pytest.mark.parametrize("space", ["w", "s"])
def test_the_way_back_may_be_another(space: str, tmp_path: Path) -> None:
    """One by one, in another order, over a file, and with a drag of other rows in between."""
    subject = tiny_subject(64, dtype=torch.float32)
    directions = directions_of(subject.model)
    now = subject
    for name, steps in (("smile", 1.7), ("age", -0.6), ("yaw", 0.3), ("smile", -1.7), ("yaw", -0.3)):
        now = after(now, Attribute({name: steps}, space=space, directions=directions))  # type: ignore[arg-type]
    run = start(now, Drag([(20, 33)], [(27, 30)], learning_rate=2e-2, steps=3))
    *_, last = run
    save_subject(last.subject, tmp_path / "now.steer", {})
    opened = open_subject(tmp_path / "now.steer", lambda name: subject.model)
    back = after(opened, Attribute({"age": 0.6}, space=space, directions=directions))  # type: ignore[arg-type]
    assert not torch.equal(
        now.code.ws[6:] if space == "w" else now.render(), subject.code.ws[6:] if space == "w" else subject.render()
    )
    assert torch.equal(back.code.ws[6:], subject.code.ws[6:])
    assert not any(bool(offset.any()) for offset in back.code.style_offsets.values())
    # The rows that were dragged have no rest any more, and nothing is made of the stale one.
    away = after(back, Attribute({"smile": 2}, space=space, directions=directions))  # type: ignore[arg-type]
    again = after(away, Attribute({"smile": -2}, space=space, directions=directions))  # type: ignore[arg-type]
    assert torch.equal(again.code.ws, back.code.ws)


def test_an_absolute_value_and_the_one_before() -> None:
    subject = tiny_subject(64, dtype=torch.float32)
    directions = directions_of(subject.model)
    (smile,) = (s for s in sliders(subject, directions) if s.name == "smile")
    edit = Attribute({"smile": 2.5}, ("age",), absolute=True, directions=directions)
    away = after(subject, edit)
    assert torch.equal(after(away, replace(edit, change={"smile": smile.value})).code.ws, subject.code.ws)


def test_drags_and_attributes_mix_in_any_order() -> None:
    subject = tiny_subject(64, dtype=torch.float32)
    directions = directions_of(subject.model)
    drag = Drag([(20, 33)], [(27, 30)], learning_rate=2e-2, steps=3)
    smile, style = (Attribute({"smile": 1}, space=space, directions=directions) for space in ("w", "s"))
    for order in ((drag, smile, style, drag), (style, drag, smile), (smile, drag, style)):
        now = subject
        for edit in order:
            run = start(now, edit)
            list(run)
            kept = {name: x for name, x in now.code.style_offsets.items() if edit is not style}
            assert all(torch.equal(run.subject.code.style_offsets[name], x) for name, x in kept.items())
            assert run.subject.image.tobytes() != now.image.tobytes()
            now = run.subject
        value = directions.get("smile").values(now.code.ws[9]) - directions.get("smile").values(subject.code.ws[9])
        assert abs(float(value) - 1) < 1e-4  # the last row is moved by the attribute alone


def test_offsets_add_up(subject: Subject, directions: Directions) -> None:
    edit = Attribute({"smile": 1}, space="s", directions=directions)
    twice = after(after(subject, edit), edit)
    once = after(subject, Attribute({"smile": 2}, space="s", directions=directions))
    assert all(
        torch.allclose(twice.code.style_offsets[name], once.code.style_offsets[name], atol=1e-12)
        for name in once.code.style_offsets
    )
    smile = directions.get("smile", "s")
    assert abs(float(smile.values(styles_of(once)) - smile.values(styles_of(subject))) - 2) < 1e-6


def test_an_edit_survives_json(subject: Subject, directions: Directions) -> None:
    edit = Attribute({"smile": 2.5}, ("age",), (0, 4), space="s", directions=directions)
    back = edit_from_json(json.loads(json.dumps(edit_to_json(edit))))
    assert edit.directions is not None
    assert len(edit.directions.entries) == 2  # only what it needs
    assert (back.change, back.hold, back.rows, back.space) == (edit.change, edit.hold, edit.rows, edit.space)
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            after(subject, back).code.style_offsets.values(),
            after(subject, edit).code.style_offsets.values(),
            strict=True,
        )
    )
    plain = edit_from_json({"kind": "attribute", "change": {"smile": 1}, "hold": ["age"]})
    assert plain.change == {"smile": 1.0}
    assert plain.title == "smile +1"


def test_sliders_tell_and_set_values(subject: Subject, directions: Directions) -> None:
    found = {slider.name: slider for slider in sliders(subject, directions)}
    assert list(found) == ["pc:1", "pc:2", "pc:3", "smile", "age", "yaw", "late"]
    smile = found["smile"]
    assert abs(smile.value - float(directions.get("smile").values(subject.code.ws).mean())) < 1e-9
    assert smile.low <= min(smile.value, -3)
    assert smile.high >= max(smile.value, 3)
    moved = after(subject, Attribute({"smile": 2.0 - smile.value}, directions=directions))
    assert abs({s.name: s.value for s in sliders(moved, directions)}["smile"] - 2) < 1e-6
    assert sliders(subject) == []  # nothing ships for this model


def test_sliders_end_where_pictures_break_and_duds_are_not_offered(subject: Subject, directions: Directions) -> None:
    told = {"smile": {"low": -1.0, "high": 4.0, "moves": 2.5}, "age": {"moves": -0.4}, "yaw": {"moves": -1.2}}
    entries = tuple(replace(e, about={**e.about, **told.get(e.name, {})}) for e in directions.entries)
    measured = replace(directions, entries=entries)
    found = {slider.name: slider for slider in sliders(subject, measured)}
    assert list(found) == ["pc:1", "pc:2", "pc:3", "smile", "yaw", "late"]
    smile, yaw = found["smile"], found["yaw"]
    assert (smile.low, smile.high) == (min(-1, math.floor(smile.value)), max(4, math.ceil(smile.value)))
    assert (yaw.low, yaw.high) == (min(-3, math.floor(yaw.value)), max(3, math.ceil(yaw.value)))
    assert "age" in {slider.name for slider in sliders(subject, measured, every=True)}


def test_mistakes(subject: Subject, directions: Directions) -> None:
    def edit(*args: object, **kwargs: object) -> None:
        after(subject, Attribute(*args, **{"directions": directions, **kwargs}))  # type: ignore[arg-type]

    for arguments, options, complaint in (
        (({"smiles": 1},), {}, "did you mean 'smile'"),
        (({"smile": 1}, ("agee",)), {}, "did you mean 'age'"),
        (({"smile": 1}, ("smile",)), {}, "both changed and held"),
        (({},), {}, "at least one attribute"),
        (({"smile": float("nan")},), {}, "give deviations from"),
        (({"smile": 1e4},), {}, "give deviations from"),
        (({"smile": 1},), {"rows": (3, 10)}, "rows of this model go from 0 to 9"),
        (({"smile": 1},), {"rows": (4, 3)}, "from the first to the last"),
        (({"smile": 1},), {"space": "z"}, "needs the z"),
        (({"smile": 1},), {"space": "z", "z": torch.zeros(3)}, r"is \[8\]"),
        (({"smile": 1},), {"directions": None}, "no direction 'smile'"),
        (({"smile": 1},), {"directions": replace(directions, digest="other")}, "other weights"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=complaint):
            edit(*arguments, **options)
    double = replace(directions, entries=(*directions.entries, replace(directions.get("smile"), name="grin")))
    with pytest.raises(UserError, match="hold fewer"):
        edit({"smile": 1}, ("grin",), directions=double)
    with pytest.raises(UserError, match="cannot be set one by one"):
        edit({"smile": 1, "grin": 2}, absolute=True, directions=double)
