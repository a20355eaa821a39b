"""FreeDrag's rules against the paper's numbers, and its behaviour on a network."""

from dataclasses import replace

import pytest
import torch
from drag_reference import at, dense_map, picture_map, tiny_subject

from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.freedrag import FreeDragRun, adaptation
from gansteer.edits.registry import start

EDIT = Drag([(20, 33), (41, 10)], [(27, 30), (38, 16)], method="freedrag", learning_rate=1e-2, steps=40)


def test_adaptation_has_the_papers_fixed_points() -> None:
    scale = torch.tensor(0.3, dtype=torch.float64)
    assert float(adaptation(0.2 * scale, scale)) == pytest.approx(0.5)
    assert float(adaptation(0.8 * scale, scale)) == pytest.approx(0.1)


def test_loss_is_the_distance_between_patch_and_template() -> None:
    subject = tiny_subject(64)
    run = start(subject, EDIT)
    first = run.step()
    assert first.points == EDIT.handles
    assert first.loss == pytest.approx(0, abs=1e-12)
    assert isinstance(run, FreeDragRun)
    run._points = run._points + torch.tensor([[2.0, -1.0], [0.0, 1.5]])
    features = run._features(run._segment_need())
    resized = picture_map(dense_map(subject, run._latent.w(), "b32.conv1"), 64)
    origin = picture_map(dense_map(subject, subject.code.ws, "b32.conv1"), 64)
    for i, (x, y) in enumerate([(22, 32), (41, 11.5)]):
        offsets = [(dx, dy) for dx in (-3, 0, 3) for dy in (-3, 0, 3)]
        px, py = EDIT.handles[i]
        slow = [(at(resized, x + dx, y + dy) - at(origin, px + dx, py + dy)).abs().mean() for dx, dy in offsets]
        assert float(run._discrepancy(features)[i].detach()) == pytest.approx(float(torch.stack(slow).mean()), rel=1e-9)


def test_carriers_stay_on_their_segments_and_never_pass_the_target() -> None:
    run = start(tiny_subject(64), EDIT)
    assert isinstance(run, FreeDragRun)
    went = 0.0
    for progress in run:
        for (x, y), (px, py), (tx, ty) in zip(progress.points, EDIT.handles, EDIT.targets, strict=True):
            length = ((tx - px) ** 2 + (ty - py) ** 2) ** 0.5
            along = ((x - px) * (tx - px) + (y - py) * (ty - py)) / length
            across = ((x - px) * (ty - py) - (y - py) * (tx - px)) / length
            assert abs(across) < 1e-9
            assert along <= length + 1e-9
            went = max(went, along)
    assert went > 0


def decide(l_end: list[float], l_in: list[float]) -> torch.Tensor:
    """Where the two carriers are after a decision with these discrepancies, in units of `l`, as way gone on."""
    run = start(tiny_subject(64), replace(EDIT, targets=[(44, 33), (41, 50)]))
    assert isinstance(run, FreeDragRun)
    run._match, run._l_in = torch.tensor(l_end) * run._l, torch.tensor(l_in) * run._l
    before = run._points
    run._relocate(run._features(run._segment_need()).detach())
    return ((run._points - before) * torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double()).sum(dim=1)


def test_advance_wait_or_go_back() -> None:
    moved = decide([0.4, 0.8], [1.0, 0.9])
    assert moved[0] > 0  # matched well: on
    assert moved[1] == 0  # matched better than before: wait
    back = decide([0.9, 0.9], [0.8, 0.8])
    assert (back <= 1e-9).all()  # pulled in vain: back towards where the template came from
    assert (back > -6.1).all()


def test_it_arrives_and_holds_appearance() -> None:
    subject = tiny_subject(64)
    run = start(subject, replace(EDIT, handles=[(20, 33)], targets=[(26, 30)], steps=300))
    *_, last = run
    assert last.stop_reason == "all handles have arrived"
    assert torch.equal(last.subject.code.ws[6:], subject.code.ws[6:])
    assert not torch.equal(last.subject.code.ws[:6], subject.code.ws[:6])
