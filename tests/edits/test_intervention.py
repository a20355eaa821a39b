"""Interventions against slow references, regions of all kinds, and mistakes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from drag_reference import tiny_subject
from scipy.optimize import minimize, rosen, rosen_der
from test_attribute import directions_of

from gansteer.edits.attribute.edit import Attribute, styles_of
from gansteer.edits.drag.edit import Drag
from gansteer.edits.intervention.edit import Intervention, together
from gansteer.edits.intervention.lbfgs import LBFGS
from gansteer.edits.intervention.locality import channel_energy, local_channels
from gansteer.edits.intervention.mixture import Wanted, schedule
from gansteer.edits.record import edit_from_json, edit_to_json
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.subject import Subject

REGION = torch.zeros(64, 64)
REGION[20:40, 10:34] = 1


@pytest.fixture(scope="module")
def subject() -> Subject:
    return tiny_subject(64, dtype=torch.float32)


def edit(subject: Subject, **kwargs: object) -> Intervention:
    arguments = {"change": {"smile": 2.0}, "region": REGION, "directions": directions_of(subject.model), **kwargs}
    return Intervention(**arguments)  # type: ignore[arg-type]


def change_of(before: Subject, after: Subject) -> torch.Tensor:
    return after.render() - before.render()


def leak(before: Subject, after: Subject) -> float:
    return float((change_of(before, after).abs().mean(dim=0) * (1 - REGION)).sum() / (1 - REGION).sum() * 127.5)


# --- The edit ---------------------------------------------------------------------------------------------------------


def test_outside_stays_far_more_than_with_the_edit_in_w(subject: Subject) -> None:
    wanted = edit(subject)
    run = start(subject, wanted)
    *_, last = run
    whole = start(subject, Attribute({"smile": 2.0}, directions=wanted.directions)).step().subject
    assert last.stop_reason is not None
    assert last.stop_reason.startswith("the rest of the picture")
    assert run.leak.mean == pytest.approx(leak(subject, last.subject), rel=1e-4)  # type: ignore[attr-defined]
    assert run.leak.whole == pytest.approx(leak(subject, whole), rel=1e-4)  # type: ignore[attr-defined]
    assert run.leak.mean < 0.4 * run.leak.whole  # type: ignore[attr-defined]
    inside = [(change_of(subject, x) * REGION).square().sum() for x in (last.subject, whole)]
    assert float(inside[0]) > 0.3 * float(inside[1])  # it did not get there by doing nothing
    assert torch.equal(last.subject.code.ws, subject.code.ws)
    assert run.step() is last


def test_it_begins_with_the_paper_s_mixture(subject: Subject) -> None:
    """Ds = (1 - lambda) Ds_z + lambda Ds_n with lambda = 1/2, from the two edits themselves."""
    wanted = edit(subject)
    run = start(subject, wanted)
    mixture = run.mixture  # type: ignore[attr-defined]
    half = torch.full_like(mixture.realistic, 0.5)
    first = run.changed(mixture.change(half)[0])  # type: ignore[attr-defined]
    loss = float(mixture.loss(half, mixture.wanted(64)))
    whole = start(subject, Attribute({"smile": 2.0}, directions=wanted.directions)).step().subject
    realistic = styles_of(whole) - styles_of(subject)
    assert wanted.directions is not None
    smile = wanted.directions.get("smile", "s")
    assert smile.scale is not None
    gain = float((realistic / smile.scale) @ smile.vector)
    precise = (
        start(subject, Attribute({"smile": gain / smile.std}, space="s", directions=wanted.directions)).step().subject
    )
    mixed = (realistic + styles_of(precise) - styles_of(subject)) / 2
    assert torch.allclose(styles_of(first) - styles_of(subject), mixed, atol=1e-5)
    # toRGBs, which the boundary does not know, go half of the way of the edit in w.
    here, there = (x.generator.styles(x.code)["b32.torgb"][0] for x in (subject, whole))
    assert torch.allclose(first.code.style_offsets["b32.torgb"], (there - here) / 2, atol=1e-5)
    picture, before, goal = first.render(), subject.render(), whole.render()
    pixels = slow_loss(*(x.double().numpy() for x in (picture, before, goal, REGION)), wanted.lambda_inside)  # type: ignore[arg-type, call-arg]
    cosine = float(torch.cosine_similarity(mixed / smile.scale, smile.vector, dim=0))
    norm = 0.5 * len(mixed) ** 0.5
    assert loss == pytest.approx(pixels + 1e-2 * (1 - cosine) + 1e-6 * norm, rel=1e-3)


def slow_loss(picture: np.ndarray, before: np.ndarray, goal: np.ndarray, inside: np.ndarray, weight: float) -> float:
    """The two terms of `Wanted.of`, channel by channel."""
    out = sum(((picture - before)[c] ** 2 * (1 - inside)).sum() for c in range(3))
    out_w = sum(((goal - before)[c] ** 2 * (1 - inside)).sum() for c in range(3))
    missed = sum(((picture - goal)[c] ** 2 * inside).sum() for c in range(3))
    missed_w = sum(((goal - before)[c] ** 2 * inside).sum() for c in range(3))
    return out / out_w + weight * missed / missed_w


def test_the_loss_is_what_its_equation_says() -> None:
    rng = np.random.default_rng(0)
    one, other, before, goal = rng.normal(size=(4, 3, 8, 8))

    def loss(picture: np.ndarray, inside: np.ndarray) -> float:
        b, g, m, p = (torch.from_numpy(x)[None] for x in (before, goal, inside, picture))
        return float(Wanted.of(b, g, m, 0.3).loss(p))

    sharp, soft = (rng.random((8, 8)) > 0.5).astype(float), rng.random((8, 8))
    assert loss(one, sharp) == pytest.approx(slow_loss(one, before, goal, sharp, 0.3), rel=1e-12)
    # Where the region is neither, but for a constant.
    fall = slow_loss(one, before, goal, soft, 0.3) - slow_loss(other, before, goal, soft, 0.3)
    assert loss(one, soft) - loss(other, soft) == pytest.approx(fall, rel=1e-9)
    same = torch.from_numpy(before)[None]
    assert torch.isfinite(Wanted.of(same, same, torch.from_numpy(sharp)[None], 0.3).loss(same)).all()


def test_blocks_open_from_coarse_to_fine_and_so_does_the_picture_that_is_looked_at(subject: Subject) -> None:
    plan = schedule(tiny_subject(64).generator)
    assert plan[0] == (4, 16)
    assert plan[-1] == (64, 64)
    assert plan == sorted(plan)
    run = start(subject, edit(subject, steps=len(plan) + 2))
    sizes = {layer.name: layer.resolution for layer in subject.generator.synthesis.layers()}
    at_start = run.step().subject  # has looked, not moved
    moved_by = []
    for _ in plan[1:]:
        now = run.step().subject
        moved_by.append(
            max(sizes[n] for n in sizes if not torch.equal(now.code.style_offsets[n], at_start.code.style_offsets[n]))
        )
    assert moved_by[0] == 4
    assert moved_by == sorted(moved_by)
    assert all(size <= opened for size, (opened, _) in zip(moved_by, plan, strict=False))
    assert {4, 8, 16, 32} <= set(moved_by)
    *_, last = run
    assert not torch.equal(last.subject.code.style_offsets["b64.conv1"], at_start.code.style_offsets["b64.conv1"])


def test_several_together_reach_what_each_does_alone() -> None:
    """In float64, where rounding cannot grow into another way, and before any of them has settled."""
    subject = tiny_subject(16)
    region = torch.zeros(16, 16)
    region[4:9, 3:12] = 1
    directions = directions_of(subject.model)
    edits = [Intervention({"smile": 2.0}, region, directions=directions, steps=33)]
    edits.append(replace(edits[0], change={"smile": 0.0}))
    edits.append(Intervention({"age": -1.0}, region.flip(0), channels=9, directions=directions, steps=33))
    alone = []
    for each in edits:
        run = start(subject, each)
        *_, last = run
        alone.append(last.subject)
    found = together([start(subject, each) for each in edits])
    assert found[1] is subject
    for a, b in zip(alone, found, strict=True):
        assert a.code.style_offsets.keys() == b.code.style_offsets.keys()
        assert all(torch.allclose(x, b.code.style_offsets[name], atol=1e-6) for name, x in a.code.style_offsets.items())


def test_the_search_is_as_good_as_scipy_s() -> None:
    """Rosenbrock's valley from two places and a stretched bowl, all at once."""
    begin = torch.tensor([[-1.2, 1.0, 0.5, 0.3], [2.0, -1.0, 1.5, -0.7], [3.0, 2.0, 1.0, -4.0]], dtype=torch.float64)
    stretch = torch.tensor([1.0, 100.0, 1e4, 3.0], dtype=torch.float64)
    search, wrong = LBFGS(begin), 0
    for step in range(200):
        x = search.trial
        loss = torch.tensor([rosen(x[0].numpy()), rosen(x[1].numpy()), float((stretch * x[2] ** 2).sum())])
        gradient = torch.stack([*(torch.from_numpy(rosen_der(x[i].numpy())) for i in (0, 1)), 2 * stretch * x[2]])
        if step in (5, 11):  # something that is no number is like a step too far
            loss[0] = torch.nan
            wrong += 1
        before = search.loss.clone()
        search.tell(loss.double(), gradient)
        assert bool((search.loss <= before).all())
    assert wrong == 2
    for i in (0, 1):
        scipy = minimize(rosen, begin[i].numpy(), jac=rosen_der, method="L-BFGS-B", options={"maxiter": 200})
        assert float(search.loss[i]) < max(10 * scipy.fun, 1e-9)
    assert float(search.loss[2]) < 1e-12


def test_a_sparse_one_moves_few_channels(subject: Subject) -> None:
    wanted = edit(subject, channels=6, steps=40)
    *_, last = start(subject, wanted)
    moved = sum(int((x != 0).sum()) for x in last.subject.code.style_offsets.values())
    assert moved == 6
    assert leak(subject, last.subject) < leak(
        subject, start(subject, Attribute({"smile": 2.0}, directions=wanted.directions)).step().subject
    )


def test_rows_and_held_attributes(subject: Subject) -> None:
    wanted = edit(subject, rows=(3, 6), hold=("age",), steps=2)
    run = start(subject, wanted)
    *_, last = run
    blocks = list(subject.generator.synthesis.each_block())
    layers = [*subject.generator.synthesis.layers(), *(block.torgb for block in blocks)]
    assert set(last.subject.code.style_offsets) == {layer.name for layer in layers if 3 <= layer.latent_index <= 6}
    assert wanted.directions is not None
    age = wanted.directions.get("age", "s")
    assert age.level is not None
    precise = run.mixture.precise[0, : len(age.scale)].double() / age.scale  # type: ignore[attr-defined]
    assert abs(float(precise @ age.vector)) < 1e-4 * float(precise.norm())


def test_it_mixes_with_drags_and_attributes(subject: Subject) -> None:
    directions = directions_of(subject.model)
    first = start(subject, Attribute({"age": 1}, space="s", directions=directions)).step().subject
    *_, last = start(first, edit(subject, steps=30))
    assert not torch.equal(last.subject.code.style_offsets["b16.conv0"], first.code.style_offsets["b16.conv0"])
    run = start(last.subject, Drag([(20, 33)], [(27, 30)], learning_rate=2e-2, steps=3))
    list(run)
    assert all(
        torch.equal(x, run.subject.code.style_offsets[name]) for name, x in last.subject.code.style_offsets.items()
    )


def test_the_same_steps_give_the_same_bytes_also_when_left_in_the_middle(subject: Subject) -> None:
    wanted = edit(subject, steps=12)
    *_, straight = start(subject, wanted)
    run = start(subject, wanted)
    for progress in run:
        if progress.step == 5:
            break
    *_, resumed = run
    assert all(
        torch.equal(x, resumed.subject.code.style_offsets[name])
        for name, x in straight.subject.code.style_offsets.items()
    )


def test_an_intervention_survives_json(subject: Subject) -> None:
    wanted = edit(subject, hold=("age",), channels=9)
    back = edit_from_json(json.loads(json.dumps(edit_to_json(wanted))))
    assert torch.equal(back.region, wanted.region)
    plain = {f: getattr(wanted, f) for f in ("change", "hold", "channels", "steps", "lambda_inside")}
    assert {f: getattr(back, f) for f in plain} == plain
    assert back.directions.names("s") == ["smile", "age"]
    assert wanted.title == "smile +2 in a region"


def test_nothing_to_change(subject: Subject) -> None:
    (progress,) = start(subject, edit(subject, change={"smile": 0.0}))
    assert progress.subject is subject


def test_mistakes(subject: Subject) -> None:
    directions = directions_of(subject.model)
    only_w = replace(directions, entries=tuple(d for d in directions.entries if d.space == "w"))
    for kwargs, complaint in (
        ({"region": torch.zeros(64, 64)}, "region is empty"),
        ({"region": torch.ones(64, 64)}, "whole picture"),
        ({"region": torch.eye(32)}, "is 32x32 but the picture is 64x64"),
        ({"region": torch.zeros(3, 64, 64)}, "height, width"),
        ({"hold": ("smile",)}, "both changed and held"),
        ({"change": {"smil": 1}}, "did you mean 'smile'"),
        ({"change": {}}, "at least one"),
        ({"directions": only_w}, "no direction 'smile' in s"),
        ({"directions": replace(directions, digest="x")}, "other weights"),
        ({"directions": None}, "no direction"),
        ({"steps": 0}, "at least 1"),
        ({"channels": 0}, "at least 1"),
        ({"lambda_attr": float("nan")}, "number from 0"),
        ({"rows": (0, 40)}, "go from 0 to 9"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=complaint):
            start(subject, edit(subject, **kwargs))


# --- Channels ---------------------------------------------------------------------------------------------------------


def test_the_energy_of_channels_is_that_of_all_derivatives() -> None:
    """Against the whole Jacobian."""
    subject = tiny_subject(16)
    region = torch.zeros(16, 16)
    region[4:9, 3:12] = 1
    inside, outside = channel_energy(subject, region, probes=800)
    generator = subject.generator
    styles = generator.styles(subject.code)

    def draw(style: torch.Tensor) -> torch.Tensor:
        return generator.synthesis({**styles, "b8.conv1": style})[0]

    jacobian = torch.autograd.functional.jacobian(draw, styles["b8.conv1"], vectorize=True)[:, :, :, 0]  # [3, H, W, C]
    energy = jacobian.square().sum(dim=0)  # [H, W, C]
    start = subject.generator.config.channels(4) + subject.generator.config.channels(4)  # type: ignore[attr-defined]
    mine = slice(start, start + jacobian.shape[-1])
    assert torch.allclose(inside[mine], (energy * region[:, :, None]).sum(dim=(0, 1)), rtol=0.3)
    assert torch.allclose(outside[mine], (energy * (1 - region)[:, :, None]).sum(dim=(0, 1)), rtol=0.3)


def test_local_channels_are_strong_inside_and_weak_outside() -> None:
    inside = torch.tensor([9.0, 9.0, 0.001, 4.0])
    outside = torch.tensor([90.0, 1.0, 0.0, 1.0])
    assert local_channels(inside, outside, torch.ones(4), 2).tolist() == [False, True, False, True]
    assert local_channels(inside, outside, torch.tensor([1.0, 0.0, 1.0, 1.0]), 1).tolist() == [
        False,
        False,
        False,
        True,
    ]
    assert local_channels(inside, outside, torch.ones(4), 99).all()
