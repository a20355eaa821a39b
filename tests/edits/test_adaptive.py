"""Steps that follow the distance left, and handles between the pixels."""

import math
from dataclasses import replace

import pytest
import torch
from drag_reference import at, dense_map, picture_map, tiny_subject

from gansteer.edits.drag.adaptive import SLOW, SLOWEST
from gansteer.edits.drag.draggan import DragGANRun
from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.features import Features, Grid, View
from gansteer.edits.drag.tracking import BetweenPixels
from gansteer.edits.registry import start
from gansteer.models.generator import FeatureFrame

EDIT = Drag([(20.25, 33), (41, 10)], [(27, 30), (38, 16)], steps=8, method="adaptive")


def view(whole: torch.Tensor, size: int) -> View:
    grid = Grid(size, FeatureFrame(whole.shape[-1]))
    table = torch.cat([whole.flatten(1).t(), whole.new_zeros(1, len(whole))])
    return View(Features.of(grid, table, torch.ones(grid.r, grid.r, dtype=torch.bool)), lambda: whole)


def test_a_point_between_the_pixels_is_found_there() -> None:
    """Features that depend linearly on the place are fitted exactly."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    fields = torch.stack([x, y, x + 2 * y, 3 * x - y]).double()
    shift = torch.tensor([2.3, -1.4]).double()
    moved = fields - torch.tensor([2.3, -1.4, 2.3 - 2.8, 6.9 + 1.4]).double()[:, None, None]
    points = torch.tensor([[15.0, 14.0], [9.5, 20.25]]).double()
    tracker = BetweenPixels(view(fields, 32), points, 6.0)
    assert torch.allclose(tracker.track(view(moved, 32), points).points, points + shift, atol=1e-5)
    assert torch.allclose(tracker.track(view(fields, 32), points).points, points, atol=1e-12)  # nothing moved


def test_by_the_slow_way() -> None:
    """The best pixel of the window by loops, and the least squares of its neighbours' differences."""
    subject = tiny_subject(64)
    ws = subject.code.ws
    first = dense_map(subject, ws, "b32.conv1")
    then = dense_map(subject, ws + 0.1 * torch.randn(ws.shape, generator=torch.Generator().manual_seed(2)), "b32.conv1")
    a, b = picture_map(first, 64), picture_map(then, 64)
    px, py = 30.25, 21.5
    point = torch.tensor([[px, py]]).double()
    tracker = BetweenPixels(view(first, 64), point, 6.0)
    template = at(a, px, py)
    best = min(
        (float((at(b, px + dx, py + dy) - template).square().sum()), dx * dx + dy * dy, dx, dy)
        for dx in range(-5, 6)
        for dy in range(-5, 6)
    )
    x, y = px + best[2], py + best[3]
    across, down = (at(b, x + 1, y) - at(b, x - 1, y)) / 2, (at(b, x, y + 1) - at(b, x, y - 1)) / 2
    step = torch.linalg.lstsq(torch.stack([across, down], dim=1), (template - at(b, x, y))[:, None]).solution[:, 0]
    expected = torch.tensor([x, y]).double() + step.clamp(-0.5, 0.5)
    assert torch.allclose(tracker.track(view(then, 64), point).points[0], expected, atol=1e-4)
    assert torch.equal(tracker.track(view(first, 64), point).points[0], point[0])


def test_steps_shrink_with_the_distance_left() -> None:
    run = start(tiny_subject(64), EDIT)
    assert isinstance(run, DragGANRun)
    for progress in run:
        if progress.stop_reason is None:
            away = [distance for distance in progress.distances if distance > 0.5]
            left = sum(away) / len(away) if away else 0.0
            assert run._adam.learning_rate == pytest.approx(2e-2 * min(1.0, max(left / SLOW, SLOWEST)))
    assert run.taken > 0


def test_a_step_pulls_a_part_of_the_first_patch_and_fades_the_way() -> None:
    """The second step by the slow way: its loss from both pictures, Adam's step by its equations, then the fading."""
    subject = tiny_subject(64)
    drag = Drag([(20, 33)], [(29, 31)], steps=3, method="adaptive", tracker="none")
    run = start(subject, drag)
    assert isinstance(run, DragGANRun)
    run.step()
    ws = subject.code.ws
    offset = run._latent.offset.detach().clone()
    size, first = 64, picture_map(dense_map(subject, ws, "b32.conv1"), 64)

    def loss(moved: torch.Tensor) -> torch.Tensor:
        present = picture_map(dense_map(subject, torch.cat([ws[:6] + moved, ws[6:]]), "b32.conv1"), size)
        length = math.hypot(9, -2)
        parts = []
        for oy in range(-2, 3):
            for ox in range(-2, 3):
                if ox**2 + oy**2 < 9:
                    pattern = 0.75 * at(present, 20 + ox, 33 + oy).detach() + 0.25 * at(first, 20 + ox, 33 + oy)
                    parts.append((pattern - at(present, 20 + ox + 9 / length, 33 + oy - 2 / length)).abs().mean())
        return torch.stack(parts).mean()

    gradients = []
    for moved in (torch.zeros_like(offset), offset):
        moved = moved.clone().requires_grad_()
        value = loss(moved)
        gradients.append(torch.autograd.grad(value, moved)[0])
    assert run.step().loss == pytest.approx(float(value.detach()), rel=1e-6)
    g, h = gradients
    m, v = 0.9 * 0.1 * g + 0.1 * h, 0.999 * 0.001 * g**2 + 0.001 * h**2
    step = 2e-2 * (m / (1 - 0.9**2)) / ((v / (1 - 0.999**2)).sqrt() + 1e-8)
    assert torch.allclose(run._latent.offset.detach(), 0.98 * (offset - step), atol=1e-7)


def test_all_have_arrived_and_on_average_within_half_of_that() -> None:
    run = start(tiny_subject(64), EDIT)
    assert isinstance(run, DragGANRun)
    for distances, there in (([0.9, 0.1], True), ([1.1, 0.0], False), ([0.6, 0.5], False), ([0.5, 0.5], True)):
        assert run._arrived(torch.tensor(distances, dtype=torch.float64)) == there


def test_the_defaults_of_each_method() -> None:
    subject = tiny_subject(64)
    fitted = replace(EDIT, method="adaptive").fitted(subject)
    assert (fitted.tracker, fitted.learning_rate, fitted.tolerance, fitted.patience) == (
        "between-pixels",
        2e-2,
        0.5,
        20,
    )
    fitted = replace(EDIT, method="draggan").fitted(subject)
    assert (fitted.tracker, fitted.learning_rate, fitted.tolerance, fitted.patience) == ("nearest", 5e-3, 1.0, 60)
    given = replace(EDIT, tracker="confident", learning_rate=1e-3, tolerance=2.0, patience=7).fitted(subject)
    assert (given.tracker, given.learning_rate, given.tolerance, given.patience) == ("confident", 1e-3, 2.0, 7)


@pytest.mark.parametrize("engine", ["region", "dense"])
def test_both_engines_agree(engine: str) -> None:
    one, other = (start(tiny_subject(64), replace(EDIT, engine=e, steps=3)) for e in ("dense", engine))  # type: ignore[arg-type]
    for a, b in zip(one, other, strict=True):
        assert torch.allclose(torch.tensor(a.points), torch.tensor(b.points), atol=1e-6)
        assert a.loss == pytest.approx(b.loss, rel=1e-6)


def test_a_drag_arrives_and_gives_up_when_it_comes_no_nearer() -> None:
    run = start(tiny_subject(64), Drag([(20, 33)], [(21, 33)], steps=100))
    *_, last = run
    assert last.stop_reason is not None
    stuck = start(tiny_subject(64), Drag([(20, 33)], [(60, 60)], learning_rate=0.0, patience=3))
    *_, last = stuck
    assert last.stop_reason == "no nearer for 3 steps (the nearest picture is kept)"
