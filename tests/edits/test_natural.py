"""Drags by least change: the metric, the tracker and the step against the equations."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from drag_reference import at, dense_map, picture_map, tiny_subject

from gansteer.checkpoints.picture_metric import METRICS
from gansteer.checkpoints.registry import load
from gansteer.edits.drag import natural
from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.features import Features, Grid, View
from gansteer.edits.drag.natural import NaturalRun, Patches, least_change
from gansteer.edits.drag.patch_flow import PatchFlow
from gansteer.edits.drag.picture_metric import RIDGE, PictureMetric, slopes
from gansteer.edits.record import stored_edit
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.models.generator import FeatureFrame
from gansteer.subject import Model
from support.tiny import tiny_model

EDIT = Drag([(20, 33), (41, 10)], [(24, 31), (39, 13)], method="natural", steps=20)


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the metric: for time."""
    monkeypatch.setattr("gansteer.edits.drag.picture_metric.SAMPLES", (4, 3))


def half_mask() -> torch.Tensor:
    mask = torch.zeros(64, 64)
    mask[5:50, 11:60] = 1
    return mask


def test_metric_is_how_much_pictures_change() -> None:
    """Slopes are J^T u with J by differences; the root's inverse square is their mean product and the ridge."""
    model = tiny_model(64)
    metric = PictureMetric.of(model)
    assert PictureMetric.of(model) is metric
    code = model.sample(0, 0.7).code
    rng = torch.Generator().manual_seed(0)
    u = torch.randn(3, 64, 64, generator=rng).double() / (3 * 64 * 64) ** 0.5
    total = torch.stack([model.sample(seed, 0.7).render().square().mean() for seed in range(4)]).mean().sqrt()
    for row, column in ((0, 3), (4, 7)):
        values = []
        for sign in (1, -1):
            ws = code.ws.clone()
            ws[row, column] += sign * 1e-6
            values.append((model.generator.synthesize(replace(code, ws=ws))[0] * u).sum())
        expected = (values[0] - values[1]) / 2e-6 / total
        assert float(metric.slopes[0, row, column]) == pytest.approx(float(expected), rel=1e-5)
    s = metric.slopes[:, :6]
    m = sum(torch.einsum("rd,re->rde", one, one) for one in s) / len(s)
    ridge = RIDGE * torch.linalg.eigvalsh(m).mean() * torch.eye(8)
    assert torch.allclose(torch.linalg.inv(metric.root(6, "w+") @ metric.root(6, "w+")), m + ridge, rtol=1e-8)
    together = metric.slopes[:, :6].sum(dim=1)
    inverse = torch.linalg.inv(metric.root(6, "w")[0] @ metric.root(6, "w")[0])
    m = together.t() @ together / len(together)
    assert torch.allclose(inverse, m + RIDGE * torch.linalg.eigvalsh(m).mean() * torch.eye(8), rtol=1e-8)


def test_large_and_conditional_models_have_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gansteer.edits.drag.picture_metric.WHOLE", 32)
    model = tiny_model(64, classes=3, dtype=torch.float32)
    metric = PictureMetric.of(model)
    assert metric.slopes.shape == (32, 10, 8)
    assert metric.slopes.dtype == torch.float64
    assert bool(metric.slopes[:, 0].any())
    assert not bool(metric.slopes[:, -1].any())  # beyond the layer that is looked at


def test_what_was_measured_is_kept_with_the_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr("gansteer.edits.drag.picture_metric.KEPT", 32)
    measured = []

    def watched(model: Model) -> torch.Tensor:
        measured.append(model)
        return slopes(model)

    monkeypatch.setattr("gansteer.edits.drag.picture_metric.slopes", watched)
    model, other = tiny_model(32, dtype=torch.float32), tiny_model(32, seed=5, dtype=torch.float32)
    first = PictureMetric.of(model).slopes
    PictureMetric.of.cache_clear()
    assert torch.equal(PictureMetric.of(model).slopes, first)
    assert len(measured) == 1
    assert not torch.equal(PictureMetric.of(other).slopes, first)
    assert len(measured) == 2
    (mine,) = METRICS.files(model)
    for damage in (b"", b"nonsense", mine.read_bytes()[:-40]):
        mine.write_bytes(damage)
        PictureMetric.of.cache_clear()
        assert torch.equal(PictureMetric.of(model).slopes, first)
    assert len(measured) == 5
    mine.parent.rename(tmp_path / "elsewhere")
    mine.parent.write_text("no folder")
    PictureMetric.of.cache_clear()
    assert torch.equal(PictureMetric.of(model).slopes, first)
    PictureMetric.of.cache_clear()


@pytest.mark.parametrize("name", ["portraits", "rooms"])
def test_the_package_has_the_metrics_of_its_models(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each direction of the first picture as it is measured now, but for the scale, which is of all pictures."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr("gansteer.edits.drag.picture_metric.SAMPLES", (1, 3))
    model = load(name, "cpu")
    kept = PictureMetric.of(model).slopes
    assert len(kept) == 96
    assert not list(tmp_path.iterdir())
    now = slopes(model)
    likeness = torch.nn.functional.cosine_similarity(kept[:3].flatten(1), now.flatten(1))
    assert bool((likeness > 0.9999).all())


def test_conjugate_gradients_solve_the_damped_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(natural, "ENOUGH", 0.0)
    rng = torch.Generator().manual_seed(0)
    j, u = torch.randn(4, 9, generator=rng).double(), torch.randn(4, generator=rng).double()
    delta, there = least_change(u, lambda y: j.t() @ y, lambda x: j @ x, 8, 0.3)
    d = j.t() @ u
    mu = 0.3 * (j @ d).square().sum() / d.square().sum()
    expected = torch.linalg.solve(j.t() @ j + mu * torch.eye(9), d)
    assert torch.allclose(delta, expected)
    assert torch.allclose(there, j @ delta)


def test_one_step_by_the_equations(monkeypatch: pytest.MonkeyPatch) -> None:
    """`(J^T J + nu E^T E + mu)^-1 (J^T u + nu E^T e)`, J and E by differences of motion and rest on the whole map."""
    for name, value in (("CG_STEPS", 200), ("STIFFNESS", 0.5), ("LONGEST", 1e9), ("PROBE", 1e-6), ("ENOUGH", 0.0)):
        monkeypatch.setattr(natural, name, value)
    subject = tiny_subject(64)
    run = start(
        subject, replace(EDIT, handles=EDIT.handles[:1], targets=EDIT.targets[:1], space="w", layer="b32.conv1")
    )
    assert isinstance(run, NaturalRun)
    loss, offset = run._look(), run._latent.offset
    (px, py), (tx, ty) = EDIT.handles[0], EDIT.targets[0]
    first = picture_map(dense_map(subject, subject.code.ws, "b32.conv1"), 64)
    disc = [(px + x, py + y) for x in range(-3, 4) for y in range(-3, 4) if x * x + y * y < 9]
    gx = torch.cat([(at(first, x + 1, y) - at(first, x - 1, y)) / 2 for x, y in disc])
    gy = torch.cat([(at(first, x, y + 1) - at(first, x, y - 1)) / 2 for x, y in disc])
    g = torch.stack([gx, gy], dim=1)
    normal = g.t() @ g
    normal = normal + 1e-2 * normal.diagonal().sum() * torch.eye(2)

    unit = torch.linalg.solve(normal, g.t()).square().sum().div(2).sqrt()  # of features, in pixels

    def told(change: torch.Tensor) -> torch.Tensor:
        """Motion, and the rest by the root of nu and the unit."""
        v = -torch.linalg.solve(normal, g.t() @ change)
        return torch.cat([v, 0.5**0.5 * unit * (change + g @ v)])

    def change(z: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            offset.copy_(z)
            now = picture_map(dense_map(subject, run._latent.w(), "b32.conv1"), 64)
            offset.zero_()
        return told(torch.cat([at(now, x, y) - at(first, x, y) for x, y in disc]))

    eye = 1e-5 * torch.eye(offset.numel()).double()
    columns = [(change(e.view_as(offset)) - change(-e.view_as(offset))) / 2e-5 for e in eye]
    j = torch.stack(columns, dim=1)
    way = torch.tensor([tx - px, ty - py]).double()
    back = torch.randn(len(g), generator=torch.Generator().manual_seed(0)).double()  # as if it had changed before
    assert run._first_patches.shape == (1, len(disc), len(g) // len(disc))
    order = [disc.index((px + x, py + y)) for x, y in natural.disc(3.0).tolist()]
    run._first_patches = run._first_patches + back.view(len(disc), -1)[order]
    u = torch.cat([way * (64 / 96) / way.norm(), 0.25 * told(back)[2:]])
    d = j.t() @ u
    mu = natural.DAMPING * (j @ d).square().sum() / d.square().sum()
    expected = torch.linalg.solve(j.t() @ j + mu * torch.eye(len(d)), d)
    v = (j @ expected)[:2]
    expected = expected * min(float(u[:2] @ v / (v @ v)), natural.FURTHER)
    run._advance(loss)
    assert (offset.detach().view(-1) - expected).norm() < 1e-2 * expected.norm()
    carried = (j @ expected).tolist()
    assert run._expected is not None
    assert run._expected[0].tolist() == pytest.approx([px + carried[0], py + carried[1]], abs=0.01)


def view(shift: float) -> View:
    """Waves, moved to the right."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    fields = torch.stack([(0.3 * (x - shift)).sin(), (0.25 * y).cos(), (0.2 * (x - shift) + 0.3 * y).sin()]).double()
    grid = Grid(32, FeatureFrame(32))
    table = torch.cat([fields.flatten(1).t(), fields.new_zeros(1, 3)])
    return View(Features.of(grid, table, torch.ones(32, 32, dtype=torch.bool)), lambda: fields)


def test_motion_is_told_from_what_only_looks_like_it() -> None:
    """A patch that moves has a small rest; one that is painted over along its slope has a large one for the same motion."""
    points = torch.tensor([[15.0, 14.0], [0.0, 20.25]]).double()
    patches = Patches.of(view(0).features, points, 3.0)
    assert patches.inside[:, :, 0].sum(dim=1).tolist()[0] == patches.q.shape[1] > patches.inside[1].sum()
    v, rest = patches.told(view(0.2).features.sample(patches.q))
    assert torch.allclose(v, torch.tensor([[0.2, 0.0]]).double().expand(2, 2), atol=0.03)
    painted = patches.before.clone()
    painted[:, 0] += 9.0
    w, more = patches.told(painted)
    assert patches.pixel()[0] * rest[0].norm() < 0.1 * v[0].norm()
    assert (patches.pixel() * more.flatten(1).norm(dim=1) > w.norm(dim=1)).all()
    g, change = patches.slope[0].flatten(0, 1), (painted - patches.before)[0].flatten()
    assert torch.allclose(w[0], -torch.linalg.lstsq(g, change[:, None]).solution[:, 0], rtol=0.1)
    assert torch.allclose(more[0].flatten(), change + g @ w[0])


def test_patches_are_followed_between_pixels_and_back() -> None:
    points = torch.tensor([[15.0, 14.0], [9.5, 20.25]]).double()
    tracker = PatchFlow(view(0), points, 6.0, 3.0)
    there = tracker.track(view(1.4), points).points
    assert torch.allclose(there, points + torch.tensor([1.4, 0]).double(), atol=0.05)
    assert torch.allclose(tracker.track(view(0), there).points, points, atol=0.05)
    expected = points + torch.tensor([4.0, 0]).double()
    found = tracker.track(view(4.6), expected)
    assert torch.allclose(found.points, points + torch.tensor([4.6, 0]).double(), atol=0.2)
    assert found.sure.all()


def test_a_patch_that_is_lost_is_where_it_is_expected() -> None:
    points = torch.tensor([[15.0, 14.0], [9.5, 20.25]]).double()
    tracker = PatchFlow(view(0), points, 3.0, 3.0)
    far = points + torch.tensor([2.5, 0]).double()
    found = tracker.track(view(0), far)  # half of its window is 1.5 px
    assert torch.equal(found.points, far)
    assert not found.sure.any()


def test_it_arrives_in_few_steps_and_goes_back() -> None:
    subject = tiny_subject(64, seed=2, channels=32)
    edit = replace(EDIT, handles=[(20, 33)], targets=[(24, 31)])
    there = start(subject, edit)
    *_, last = there
    assert last.stop_reason == "all handles have arrived"
    assert there.taken <= 12  # type: ignore[attr-defined]
    assert torch.equal(last.subject.code.ws[6:], subject.code.ws[6:])
    *_, end = start(last.subject, replace(edit, handles=edit.targets, targets=edit.handles))
    assert end.stop_reason == "all handles have arrived"
    changed = [float((each.subject.render() - subject.render()).abs().mean()) for each in (last, end)]
    assert changed[1] < 0.8 * changed[0]


def test_region_and_dense_engine_agree_with_a_mask_and_priors() -> None:
    subject = tiny_subject(64)
    edit = replace(EDIT, mask=half_mask(), pull=0.5, manifold=0.1, reach=5.0)
    a, b = (start(subject, replace(edit, engine=engine)) for engine in ("region", "dense"))
    for _ in range(3):
        p, q = a.step(), b.step()
        assert torch.tensor(p.points).sub(torch.tensor(q.points)).abs().max() < 1e-5
        assert p.loss == pytest.approx(q.loss, rel=1e-4)


def test_a_mask_holds_the_rest() -> None:
    subject = tiny_subject(64, seed=2, channels=32)
    edit = replace(EDIT, handles=[(20, 33)], targets=[(22, 32)], mask=half_mask(), steps=8)
    changed = []
    for weight in (0.0, 1.0):
        *_, last = start(subject, replace(edit, lambda_mask=weight))
        change = (last.subject.render() - subject.render()).abs().mean(dim=0)
        changed.append(float(change[half_mask() == 0].mean()))
        assert last.distances[0] < 5**0.5
    assert changed[1] < 0.8 * changed[0]


def test_what_suits_it() -> None:
    subject = tiny_subject(64)
    fitted = EDIT.fitted(subject)
    assert (fitted.tracker, fitted.patience, fitted.tolerance) == ("patch-flow", 2, 0.5)
    card = replace(subject.model.card, drag_layer="b16.conv1")
    coarse = replace(subject, model=replace(subject.model, card=card))
    assert EDIT.fitted(coarse).layer == "b32.conv1"
    assert replace(EDIT, handles=[(3, 3)], targets=[(4, 4)]).fitted(coarse).layer == "b32.conv1"
    assert replace(EDIT, method="draggan").fitted(coarse).layer == "b16.conv1"
    with pytest.raises(UserError, match="exact_mask"):
        replace(EDIT, exact_mask=True)


def test_what_is_done_unless_a_method_is_given() -> None:
    """Least change where it has been measured to be better; and a run goes on as it began."""
    subject = tiny_subject(64)
    few = Drag([(20, 33)], [(24, 31)])
    assert few.fitted(subject).method == "natural"
    assert replace(few, mask=torch.ones(64, 64)).fitted(subject).method == "natural"
    others: list[dict[str, Any]] = [
        {"mask": half_mask()}, {"learning_rate": 1e-2}, {"exact_mask": True}, {"metric": "model"},
        {"tracker": "nearest"}, {"as_released": True},
    ]  # fmt: skip
    for other in others:
        assert replace(few, **other).fitted(subject).method == "draggan"
        assert replace(few, **other, method="adaptive").suited() == (
            "draggan" if "as_released" in other else "adaptive"
        )
    points = [(10.0 + 5 * i, 20.0) for i in range(6)]
    many = replace(few, handles=points, targets=points)
    assert many.fitted(subject).method == "draggan"
    run = start(subject, few)
    assert isinstance(run, NaturalRun)
    run.revise(many)
    assert run.edit.method == "natural"
    assert stored_edit({"kind": "drag", "handles": [[1, 2]], "targets": [[3, 4]]}).method == "draggan"
