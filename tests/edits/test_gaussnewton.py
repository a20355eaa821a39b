"""Gauss-Newton against the equations, and against Adam."""

from dataclasses import replace

import pytest
import torch
from drag_reference import at, dense_map, picture_map, tiny_subject

from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.gauss_newton import GaussNewtonRun
from gansteer.edits.registry import start
from gansteer.errors import UserError

EDIT = Drag([(20, 33), (41, 10)], [(27, 30), (38, 16)], method="gauss-newton", steps=20)


def half_mask() -> torch.Tensor:
    mask = torch.zeros(64, 64)
    mask[5:50, 11:60] = 1
    return mask


def test_residual_is_motion_supervision_and_mask_with_squares() -> None:
    subject = tiny_subject(64)
    run = start(subject, replace(EDIT, mask=half_mask(), lambda_mask=20.0, r1=3.0, stride=2.0, pull=3.0))
    assert isinstance(run, GaussNewtonRun)
    run.step()
    run._look()
    dense = dense_map(subject, run._latent.w(), "b32.conv1")
    first = dense_map(subject, subject.code.ws, "b32.conv1")
    resized = picture_map(dense, 64)
    total = 0.0
    for (px, py), (tx, ty) in zip(run._points.tolist(), EDIT.targets, strict=True):
        length = max(((tx - px) ** 2 + (ty - py) ** 2) ** 0.5 / 2.0, 1.0)
        dx, dy = (tx - px) / length, (ty - py) / length
        disc = [(x, y) for x in range(-3, 4) for y in range(-3, 4) if x * x + y * y < 9]
        parts = [(at(resized, px + x, py + y) - at(resized, px + x + dx, py + y + dy)).square().mean() for x, y in disc]
        total += float(torch.stack(parts).mean())
    keep = torch.nn.functional.avg_pool2d(1 - half_mask().double()[None], 2)[0]
    total += 20 * float(((dense - first).square() * keep).mean())
    total += 3 * float(run._latent.moved().detach().square().mean())
    assert float(run._residual(run._seen).detach().square().sum()) == pytest.approx(total, rel=1e-9)


def test_one_step_solves_the_damped_linear_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many CG steps as unknowns and no limit, the step is `-(J^T J + mu)^-1 J^T r`, J by double differences."""
    monkeypatch.setattr("gansteer.edits.drag.gauss_newton.CG_STEPS", 60)
    monkeypatch.setattr("gansteer.edits.drag.gauss_newton.LONGEST", 1e9)
    monkeypatch.setattr("gansteer.edits.drag.gauss_newton.PROBE", 1e-6)
    run = start(tiny_subject(64), replace(EDIT, space="w"))
    assert isinstance(run, GaussNewtonRun)
    loss = run._look()
    offset = run._latent.offset
    need = run._seen.known
    columns = []
    for i in range(offset.numel()):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                offset.view(-1)[i] += sign * 1e-5
                values.append(run._residual(run._features(need)))
                offset.view(-1)[i] -= sign * 1e-5
        columns.append((values[0] - values[1]) / 2e-5)
    jacobian = torch.stack(columns, dim=1)
    r = run._residual(run._features(need)).detach()
    g = jacobian.t() @ r
    mu = 0.1 * (jacobian @ g).square().sum() / g.square().sum()
    expected = -torch.linalg.solve(jacobian.t() @ jacobian + mu * torch.eye(len(g)), g)
    run._seen = run._features(need)
    before = offset.detach().clone()
    run._advance(loss)
    got = (offset.detach() - before).view(-1)
    assert expected.norm() > 1e-3
    assert (got - expected).norm() < 1e-3 * expected.norm()


def test_the_patch_is_as_wide_as_two_cells_or_as_memory_allows() -> None:
    subject = tiny_subject(64)
    assert EDIT.fitted(subject).r1 == 2 * 64 / 32
    assert replace(EDIT, method="draggan").fitted(subject).r1 == 3.0
    many = [(float(x), float(y)) for x in range(20) for y in range(20)]
    crowd = replace(EDIT, handles=many, targets=many, layer="b8.conv1").fitted(subject)
    assert 3.0 < (crowd.r1 or 0) < 2 * 64 / 8
    with pytest.raises(UserError, match=r"no layer 'b5\.conv1'"):
        replace(EDIT, layer="b5.conv1").fitted(subject)


def test_it_needs_a_fraction_of_the_steps() -> None:
    subject = tiny_subject(64, seed=1, channels=32)
    edit = replace(EDIT, handles=[(20, 33)], targets=[(27, 30)], steps=200)
    fast, slow = start(subject, edit), start(subject, replace(edit, method="draggan", learning_rate=5e-3))
    *_, last = fast
    *_, _ = slow
    assert last.stop_reason == "all handles have arrived"
    assert 3 * fast.taken < slow.taken  # type: ignore[attr-defined]
    assert torch.equal(last.subject.code.ws[6:], subject.code.ws[6:])


def test_region_and_dense_engine_agree() -> None:
    subject = tiny_subject(64)
    a, b = (start(subject, replace(EDIT, engine=engine, mask=half_mask())) for engine in ("region", "dense"))
    for _ in range(4):
        p, q = a.step(), b.step()
        assert p.points == q.points
        assert p.loss == pytest.approx(q.loss, rel=1e-5)


def test_exact_mask_is_refused() -> None:
    with pytest.raises(UserError, match="exact_mask"):
        replace(EDIT, exact_mask=True)
