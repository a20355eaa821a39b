"""Dragging pictures that have a layout: which blob moves first and how far, joint steps, and what stays still."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from gansteer.edits.arrangement.differences import gain_of
from gansteer.edits.arrangement.edit import layout_of
from gansteer.edits.drag import natural
from gansteer.edits.drag.blobs import COVERS, MovingLayout, covering, first_move
from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.features import Engine, Extractor
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.models.layout import Blob, Layout, heatmaps
from gansteer.subject import Model, Subject
from support.layouts import tiny_model


def blobs(*each: tuple[float, float, float, float], **more: Any) -> Layout:
    return Layout.of([Blob(x, y, size, (0.0,), present, **more) for x, y, size, present in each], 1, torch.float64)


def test_the_blob_that_covers_a_point_has_the_highest_heatmap_there() -> None:
    rng = torch.Generator().manual_seed(1)
    layout = blobs(
        *[
            (*(32 * torch.rand(2, generator=rng)).tolist(), 2 + 6 * float(torch.rand((), generator=rng)), 1.0)
            for _ in range(5)
        ]
    )
    maps = heatmaps(layout, 32)[0]  # [K, 32, 32]
    found = []
    expected = []
    for y in range(0, 32, 3):
        for x in range(0, 32, 3):
            heights = [float(maps[k, y, x]) for k in range(5)]
            best = max(range(5), key=lambda k: heights[k])
            expected.append(best if heights[best] >= COVERS else -1)
            found.append(int(covering(layout, torch.tensor([[x, y]], dtype=torch.float64))))
    assert found == expected
    assert -1 in expected


def test_hidden_blobs_and_no_blobs_cover_nothing() -> None:
    point = torch.tensor([[5.0, 5.0]], dtype=torch.float64)
    assert covering(blobs((5, 5, 4, 0.0)), point).tolist() == [-1]
    assert covering(blobs((5, 5, 4, 1.0))[[]], point).tolist() == [-1]


def test_first_move_is_the_whole_way_over_the_gain() -> None:
    layout = blobs((5, 5, 3, 1.0), (20, 20, 3, 1.0), (28, 5, 3, 1.0))
    points = torch.tensor([[6, 5], [4, 5], [20, 21], [31, 31]], dtype=torch.float64)
    targets = torch.tensor([[10, 5], [4, 9], [20, 11], [0, 31]], dtype=torch.float64)
    shift, carried = first_move(layout, points, targets, 0.8)
    assert torch.allclose(shift, torch.tensor([[2.5, 2.5], [0, -12.5], [0, 0]], dtype=torch.float64))
    assert torch.allclose(carried, torch.tensor([[2.5, 2.5], [2.5, 2.5], [0, -12.5], [0, 0]], dtype=torch.float64))


def test_a_moving_layout_takes_children_along_and_is_differentiable() -> None:
    layout = replace(blobs((5, 5, 3, 1.0), (9, 9, 2, 1.0), (20, 20, 3, 1.0)), parents=torch.tensor([-1, 0, -1]))
    moving = MovingLayout(layout, 32)
    assert moving.present() is layout
    moving.jump(torch.tensor([[4.0, 2.0], [0, 0], [0, 0]]))
    assert torch.allclose(moving.present().centres, torch.tensor([[9, 7], [13, 11], [20, 20]], dtype=torch.float64))
    (gradient,) = torch.autograd.grad(moving.layout().centres.sum(), moving.offset)
    assert torch.allclose(gradient, 16 * torch.tensor([[2, 2], [1, 1], [1, 1]], dtype=torch.float64))


@pytest.mark.parametrize("layer", ["b4.conv1", "b16.conv1", "b32.conv0"])
def test_few_cells_of_a_moving_layout_equal_the_whole_map(model: Model, layer: str) -> None:
    """Features at some cells and their gradients in w and in the centres, both engines in float64."""
    wide = replace(model, generator=tiny_model().generator.double())
    code = wide.sample(3).code
    assert code.layout is not None
    size = int(layer[1:].split(".")[0])
    rng = torch.Generator().manual_seed(0)
    need = torch.rand(size, size, generator=rng) < 0.3
    pull = torch.randn(int(need.sum()), 1, dtype=torch.float64, generator=rng)
    pull[torch.rand(len(pull), generator=rng) < 0.7] = 0  # a loss that looks at few of them
    found = []
    engines: tuple[Engine, ...] = ("dense", "region")
    for engine in engines:
        moving = MovingLayout(code.layout, 32)
        with torch.no_grad():
            moving.offset += 0.1 * torch.randn(moving.offset.shape, generator=torch.Generator().manual_seed(1))
        rows = code.ws[:2].clone().requires_grad_()
        values = Extractor(wide.generator, code, 2, layer, engine)(rows, need, moving.layout()).at(need)
        found.append((values, *torch.autograd.grad((values * pull).sum(), [rows, moving.offset])))
    still = Extractor(wide.generator, code, 2, layer, "region")(code.ws[:2], need).at(need)
    assert (still - found[0][0]).abs().max() > 1e-3
    for dense, region in zip(*found, strict=True):
        assert dense.abs().max() > 1e-6
        torch.testing.assert_close(region, dense, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("engine", ["dense", "region"])
def test_features_are_differentiable_in_the_centres(model: Model, engine: Engine) -> None:
    """Against differences, in float64."""
    wide = replace(model, generator=tiny_model().generator.double())
    code = wide.sample(3).code
    extract = Extractor(wide.generator, code, 2, "b16.conv1", engine)
    assert code.layout is not None
    moving = MovingLayout(code.layout, 32)
    need = torch.ones(16, 16, dtype=torch.bool)
    weight = torch.randn(257, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def total() -> torch.Tensor:
        table = extract(code.ws[:2], need, moving.layout()).table
        return (table * weight[:, : table.shape[1]]).sum()

    (gradient,) = torch.autograd.grad(total(), moving.offset)
    assert gradient.abs().max() > 1e-6
    step = 1e-6
    for k, axis in ((0, 0), (1, 1), (3, 0)):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                moving.offset[k, axis] += sign * step
                values.append(float(total()))
                moving.offset[k, axis] -= sign * step
        assert float(gradient[k, axis]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4, abs=1e-7)


def handle_on(subject: Subject, blob: int) -> tuple[float, float]:
    x, y = layout_of(subject).centres[blob].tolist()
    return min(max(x, 2.0), 29.0), min(max(y, 2.0), 29.0)


def dragged(subject: Subject, layout: Any, steps: int, **more: Any) -> Any:
    handle = handle_on(subject, 1)
    target = (handle[0] + (6 if handle[0] < 16 else -6), handle[1])
    return start(subject, Drag([handle], [target], layout=layout, steps=steps, **more)), handle, target


def test_the_blob_goes_first_and_w_stays_in_that_step(subject: Subject) -> None:
    run, handle, target = dragged(subject, "move+joint", 4)
    first, second, *later = list(run)
    assert first.subject.code.layout is layout_of(subject)
    assert torch.equal(second.subject.code.ws, subject.code.ws)
    blob = int(covering(layout_of(subject), torch.tensor([handle], dtype=torch.float64)))
    moved = layout_of(second.subject).centres - layout_of(subject).centres
    expected = torch.zeros_like(moved)
    expected[blob, 0] = (target[0] - handle[0]) / gain_of(subject.model)
    assert torch.allclose(moved, expected, atol=1e-4)
    if later and not later[0].stop_reason:
        assert not torch.equal(later[0].subject.code.ws, subject.code.ws)
        assert not torch.equal(layout_of(later[0].subject).centres, layout_of(second.subject).centres)
    for name in ("sizes", "styles", "present"):
        assert torch.equal(getattr(layout_of(run.subject), name), getattr(layout_of(subject), name))


def test_joint_steps_move_w_and_centres_together_from_the_start(subject: Subject) -> None:
    run, _, _ = dragged(subject, "joint", 3, method="draggan")
    _, second, *_ = list(run)
    assert not torch.equal(second.subject.code.ws, subject.code.ws)
    moved = (layout_of(second.subject).centres - layout_of(subject).centres).abs()
    assert 0 < float(moved.max()) <= 0.01 * 16 * 1.001  # Adam's first step is the learning rate


def test_a_joint_step_of_least_change_by_the_equations(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """`(J^T J + mu)^-1 J^T u` over w in the metric of pictures and over the centres, J by differences; in float64."""
    monkeypatch.setattr("gansteer.edits.drag.picture_metric.SAMPLES", (2, 2))
    for name, value in (("CG_STEPS", 60), ("LONGEST", 1e9), ("PROBE", 1e-6), ("ENOUGH", 0.0)):
        monkeypatch.setattr(natural, name, value)
    subject = replace(model, generator=tiny_model().generator.double()).sample(3)
    handle = handle_on(subject, 1)
    drag = Drag(
        [handle], [(handle[0] + 3, handle[1] + 1)], method="natural", layout="joint", layer="b16.conv1", space="w"
    )
    run: Any = start(subject, drag)
    loss, latent, moving = run._look(), run._latent, run._blobs
    unknowns = [latent.offset, moving.offset]
    units = torch.cat([torch.ones(latent.offset.numel()), torch.full((moving.offset.numel(),), natural.BLOB_UNIT)])
    patches = natural.Patches.of(run._seen.detach(), run._points, run._r1)
    stiff = natural.STIFFNESS**0.5 * patches.pixel()[0]

    def set_to(z: torch.Tensor) -> None:
        with torch.no_grad():
            for parameter, part in zip(unknowns, (units * z).split([p.numel() for p in unknowns]), strict=True):
                parameter.copy_(part.view_as(parameter))

    def changed(z: torch.Tensor) -> torch.Tensor:
        """How far the handle's patch moves by least squares, and the rest of its change, in pixels."""
        set_to(z)
        with torch.no_grad():
            seen = run._extract(latent.rows(), torch.ones(16, 16, dtype=torch.bool), moving.layout()).sample(patches.q)
        g = (patches.slope[0] * patches.inside[0, :, :, None]).reshape(-1, 2)
        change = ((seen - patches.before)[0] * patches.inside[0]).flatten()
        normal = g.t() @ g
        v = -torch.linalg.solve(normal + natural.RIDGE * normal.diagonal().sum() * torch.eye(2), g.t() @ change)
        return torch.cat([v, stiff * (change + g @ v)])

    eye = 1e-5 * torch.eye(len(units), dtype=torch.float64)
    j = torch.stack([(changed(e) - changed(-e)) / 2e-5 for e in eye], dim=1)
    assert j[:2, latent.offset.numel() :].abs().max() > 1e-3  # centres do move the handle
    set_to(torch.zeros(len(units), dtype=torch.float64))
    u = torch.cat([run._way()[0], torch.zeros(len(j) - 2, dtype=torch.float64)])
    d = j.t() @ u
    mu = natural.DAMPING * (j @ d).square().sum() / d.square().sum()
    delta = torch.linalg.solve(j.t() @ j + mu * torch.eye(len(d)), d)
    there = (j @ delta)[:2]
    share = min(natural.FURTHER, float(u[:2] @ there / there.square().sum()))
    run._advance(loss)
    found = torch.cat([parameter.detach().flatten() for parameter in unknowns])
    assert (found - share * units * delta).norm() < 1e-3 * found.norm()


def test_fixed_leaves_the_layout_alone(subject: Subject) -> None:
    run, _, _ = dragged(subject, "fixed", 3)
    last = list(run)[-1]
    assert last.subject.code.layout is subject.code.layout


@pytest.mark.parametrize("method", ["draggan", "gauss-newton", "freedrag", "natural"])
def test_every_method_begins_with_the_blob_and_runs_to_its_end(subject: Subject, method: Any) -> None:
    run, _, _ = dragged(subject, "move+joint", 6, method=method)
    steps = list(run)
    assert steps[-1].stop_reason
    assert all(math.isfinite(d) for p in steps for d in p.distances)
    assert not torch.equal(layout_of(steps[1].subject).centres, layout_of(subject).centres)


def test_the_same_drag_gives_the_same_picture(subject: Subject) -> None:
    pictures = []
    for _ in range(2):
        run, _, _ = dragged(subject, "move+joint", 4)
        list(run)
        pictures.append(run.subject.render())
    assert torch.equal(*pictures)


def test_gauss_newton_refuses_joint() -> None:
    with pytest.raises(UserError, match="gauss-newton moves w only"):
        Drag([(1, 1)], [(2, 2)], method="gauss-newton", layout="joint")
