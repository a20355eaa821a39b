"""A drag's run against the published loop, how it ends, and what it refuses."""

import math
from dataclasses import replace

import drag_reference as reference
import pytest
import torch
from drag_reference import at, picture_map, tiny_subject
from PIL import Image
from test_drag_terms import as_features, random_features

from gansteer.edits.drag.draggan import directions, motion_loss
from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.features import Extractor, Grid
from gansteer.edits.drag.tracking import around, disc
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.models.generator import FeatureFrame
from gansteer.subject import Model, Subject

EDIT = Drag([(20, 33), (41, 10)], [(27, 30), (38, 16)], learning_rate=1e-2, steps=6, tolerance=0.5, method="draggan")


def slow_run(subject: Subject, edit: Drag, steps: int) -> tuple[list, list, torch.Tensor]:
    """DragGAN by the book: dense maps, torch's Adam, template of the first picture, track before the step."""
    size, layer, count = subject.model.resolution, edit.layer or "b32.conv1", edit.rows
    shared = edit.space == "w"
    v = torch.zeros_like(subject.code.ws[: 1 if shared else count]).requires_grad_()
    adam = torch.optim.Adam([v], lr=edit.learning_rate)
    points, templates, first = list(edit.handles), None, None
    seen, losses = [], []
    for _ in range(steps + 1):
        w = torch.cat([subject.code.ws[:count] + v, subject.code.ws[count:]])
        dense = reference.joined_map(subject, w, layer)
        resized = picture_map(dense, size)
        looked_at = picture_map(reference.joined_map(subject, w, edit.tracking_layer or layer), size).detach()
        if templates is None:
            first = dense.detach()
            templates = [at(looked_at, *p) for p in points]
        points = [reference.track(looked_at, f, p, 6.0) for f, p in zip(templates, points, strict=True)]
        loss = reference.motion_loss(resized, points, list(edit.targets), 3.0)
        if edit.mask is not None:
            keep = torch.nn.functional.avg_pool2d(1 - edit.mask.double()[None], size // dense.shape[-1])[0]
            loss = loss + edit.lambda_mask * ((dense - first).abs() * keep).mean()
        seen.append([tuple(map(float, p)) for p in points])
        losses.append(float(loss.detach()))
        adam.zero_grad()
        loss.backward()
        adam.step()
    return seen, losses, w.detach()


def half_mask() -> torch.Tensor:
    mask = torch.zeros(64, 64)
    mask[5:50, 11:60] = 1
    return mask


BOTH: list[dict] = [
    {}, {"space": "w"}, {"mask": half_mask(), "lambda_mask": 0.5}, {"rows": 3, "layer": "b64.conv0"},
    {"tracking_layer": "b16.conv1"},
]  # fmt: skip
WHOLE: list[dict] = [
    {"layer": "b16.conv1+b32.conv1"}, {"layer": "b64.conv0+b8.conv1", "tracking_layer": "b32.conv1+b16.conv1"},
]  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "changes"),
    [*((engine, each) for engine in ("region", "dense") for each in BOTH), *(("auto", each) for each in WHOLE)],
)
def test_a_run_is_the_published_loop(engine: str, changes: dict) -> None:
    subject = tiny_subject(64)
    edit = replace(EDIT, engine=engine, **changes)  # type: ignore[arg-type]
    seen, losses, w = slow_run(subject, edit, steps=6)
    run = start(subject, edit)
    progresses = list(run)
    assert run.taken == 6  # type: ignore[attr-defined]
    assert [progress.step for progress in progresses[:-1]] == list(range(6))
    assert [list(progress.points) for progress in progresses[:-1]] == seen[:-1]
    assert [progress.loss for progress in progresses[:-1]] == pytest.approx(losses[:-1], rel=1e-8)
    assert seen[-1] != seen[0]
    assert (run._present().code.ws - w).abs().max() < 1e-7  # type: ignore[attr-defined]  # the last latent looked at, whichever was best


def test_the_mask_term_is_an_exact_penalty() -> None:
    """Above a threshold of lambda the handle stays, and so does everything else but for Adam's trembling."""
    subject = tiny_subject(64)
    moved = []
    for weight in (0.1, 1000.0):
        run = start(subject, replace(EDIT, mask=half_mask(), lambda_mask=weight, learning_rate=2e-3, steps=30))
        for _ in range(20):
            run.step()
        moved.append(float((run._latent.offset.detach()).norm()))  # type: ignore[attr-defined]
    assert moved[1] < 0.2 * moved[0]


def test_rows_that_carry_appearance_stay_bit_for_bit() -> None:
    subject = tiny_subject(64)
    run = start(subject, EDIT)
    *_, last = run
    assert torch.equal(last.subject.code.ws[6:], subject.code.ws[6:])
    assert not torch.equal(last.subject.code.ws[:6], subject.code.ws[:6])
    assert torch.equal(subject.code.ws, tiny_subject(64).code.ws)  # the start is as it was


def test_handle_on_its_target_changes_nothing() -> None:
    subject = tiny_subject(64)
    run = start(subject, Drag([(20, 33), (5, 9)], [(20, 33), (5, 9)]))
    progresses = list(run)
    assert len(progresses) == 1
    assert progresses[0].stop_reason == "all handles have arrived"
    assert torch.equal(run.subject.code.ws, subject.code.ws)


def test_one_handle_on_its_target_is_held_while_the_other_moves() -> None:
    features = as_features(Grid(32, FeatureFrame(32)), random_features(32).requires_grad_())
    p = torch.tensor([[10.0, 20.0]]).double()
    loss = motion_loss(features, p, torch.zeros(1, 2).double(), 3.0)
    assert float(loss.detach()) == 0


def test_interrupted_and_resumed_equals_uninterrupted() -> None:
    subject = tiny_subject(64)
    one, two = start(subject, EDIT), start(subject, EDIT)
    for number, _ in enumerate(one):
        if number == 2:
            break
    resumed = [one.step() for _ in range(3)]
    straight = [two.step() for _ in range(6)]
    assert [p.points for p in resumed] == [p.points for p in straight[3:]]
    assert torch.equal(one.subject.code.ws, two.subject.code.ws)
    after = list(one)
    assert after[-1].stop_reason is not None
    assert one.step() is after[-1]  # an ended run stays ended


def test_revise_goes_on_from_the_present_picture() -> None:
    subject = tiny_subject(64)
    run = start(subject, EDIT)
    for _ in range(4):
        run.step()
    middle = run.subject
    edit = Drag([(30, 12)], [(36, 15)], method="draggan", learning_rate=1e-2, steps=3, mask=half_mask())
    run.revise(edit)
    revised = [run.step() for _ in range(3)]
    fresh = start(middle, edit)
    expected = [fresh.step() for _ in range(3)]
    assert [p.points for p in revised] == [p.points for p in expected]
    assert torch.equal(run.subject.code.ws, fresh.subject.code.ws)
    assert [p.step for p in revised] == [3, 4, 5]


def test_regions_follow_a_handle_that_jumps() -> None:
    """With a tiny window the handle leaves its region at every step; the result is that of the dense engine."""
    subject = tiny_subject(128)
    edit = Drag([(60, 33)], [(90, 50)], method="draggan", learning_rate=5e-2, steps=8, r1=2, r2=8)
    region, dense = start(subject, replace(edit, engine="region")), start(subject, replace(edit, engine="dense"))
    for _ in range(8):
        a, b = region.step(), dense.step()
        assert a.points == b.points
        assert a.loss == pytest.approx(b.loss, rel=1e-8)


def test_the_result_is_the_picture_of_the_reported_points() -> None:
    subject = tiny_subject(64)
    run = start(subject, EDIT)
    progress = run.step()
    assert progress.step == 0
    assert torch.equal(progress.subject.code.ws, subject.code.ws)
    assert isinstance(run.step().subject.image, Image.Image)


def test_limit_keeps_the_nearest() -> None:
    run = start(tiny_subject(64), EDIT)
    progresses = list(run)
    assert "step limit of 6" in (run.stop_reason or "")
    best = min(progresses[:-1], key=lambda p: sum(p.distances))
    assert sum(progresses[-1].distances) <= sum(best.distances)


def test_no_nearer_is_said() -> None:
    run = start(tiny_subject(64), Drag([(20, 33)], [(60, 60)], method="draggan", learning_rate=0.0, patience=3))
    *_, last = run
    assert "no nearer for 3 steps" in (last.stop_reason or "")
    assert torch.equal(last.subject.code.ws, tiny_subject(64).code.ws)


def test_blow_up_stops_and_keeps_the_best() -> None:
    run = start(tiny_subject(64), Drag([(20, 33)], [(60, 60)], method="draggan", learning_rate=50.0))
    *_, last = run
    assert "blew up" in (last.stop_reason or "")
    assert bool(torch.isfinite(run.subject.code.ws).all())
    assert bool(torch.isfinite(run.subject.render()).all())


def whitened(model: Model) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Axes (columns) and deviations of w by an ordinary singular value decomposition, and w's deviation per coordinate."""
    w = model.generator.sample_w(4096)
    w = w - w.mean(dim=0)
    _, singular, axes = torch.linalg.svd(w, full_matrices=False)
    return axes.t(), singular / math.sqrt(len(w) - 1), float(w.square().sum(dim=1).mean().div(w.shape[1]).sqrt())


def test_steps_in_the_models_metric() -> None:
    """Adam with one second moment, on the offset along the principal axes, in deviations times w's deviation."""
    subject = tiny_subject(64)
    axes, deviation, spread = whitened(subject.model)
    run = start(subject, replace(EDIT, space="w", metric="model"))
    m, v, w = torch.zeros(8).double(), 0.0, subject.code.ws[:6].clone()
    for step in range(1, 5):
        loss = run._look()  # type: ignore[attr-defined]
        rows = w.clone().requires_grad_()
        features = run._extract(rows, run._seen.known)  # type: ignore[attr-defined]
        again = motion_loss(
            features, run._points, directions(run._points, run._targets), run._r1, run._seen.detach().sample(  # type: ignore[attr-defined]
                around(run._points, disc(run._r1))  # type: ignore[attr-defined]
            )
        )  # fmt: skip
        (slow,) = torch.autograd.grad(again, rows)
        slow = slow.sum(dim=0) @ axes * deviation / spread
        m, v = 0.9 * m + 0.1 * slow, 0.999 * v + 0.001 * float(slow.square().mean())
        z = 1e-2 * (m / (1 - 0.9**step)) / (math.sqrt(v / (1 - 0.999**step)) + 1e-8)
        w = w - z * deviation / spread @ axes.t()
        run._advance(loss)  # type: ignore[attr-defined]
        assert (run._latent.rows().detach() - w).abs().max() < 1e-3 * float((w - subject.code.ws[:6]).abs().max())  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["draggan", "gauss-newton", "freedrag"])
@pytest.mark.parametrize(("space", "metric"), [("w", "model"), ("w+", "model"), ("w+", "plain")])
def test_the_latent_stays_within_its_reach(space: str, metric: str, method: str) -> None:
    subject = tiny_subject(64)
    axes, deviation, _ = whitened(subject.model)
    edit = replace(EDIT, space=space, metric=metric, method=method, learning_rate=0.1, steps=40)  # type: ignore[arg-type]
    lengths = []
    for limit in (0.0, 0.2):
        run = start(subject, replace(edit, reach=limit))
        for progress in run:
            moved = (progress.subject.code.ws - subject.code.ws)[:6] @ axes / deviation
            lengths.append((limit, float(moved.square().sum(dim=1).mean().sqrt())))
    assert max(length for limit, length in lengths if not limit) > 0.3
    assert 0.199 < max(length for limit, length in lengths if limit) < 0.2001


def test_patience_of_methods() -> None:
    subject, edit = tiny_subject(64), Drag([(20, 33)], [(24, 33)], method="draggan")
    assert edit.fitted(subject).patience == 60
    for method in ("adaptive", "gauss-newton"):
        assert replace(edit, method=method).fitted(subject).patience == 20
        assert replace(edit, method=method, patience=9).fitted(subject).patience == 9


def test_the_end_of_the_reach_is_said() -> None:
    run = start(tiny_subject(64), Drag([(20, 33)], [(60, 60)], method="draggan", reach=0.01, patience=3))
    *_, last = run
    assert "at the end of its reach" in (last.stop_reason or "")


@pytest.mark.parametrize("prior", ["pull", "manifold"])
def test_priors_hold_the_latent_near(prior: str) -> None:
    subject = tiny_subject(64)
    free, held = start(subject, EDIT), start(subject, replace(EDIT, **{prior: 100.0}))  # type: ignore[arg-type]
    for _ in range(6):
        a, b = free.step(), held.step()
    assert (
        0
        < float((b.subject.code.ws - subject.code.ws).norm())
        < 0.9 * float((a.subject.code.ws - subject.code.ws).norm())
    )


@pytest.mark.parametrize("tracker", ["nearest", "nearest-l2", "confident"])
def test_trackers_find_the_handles_where_they_are(tracker: str) -> None:
    run = start(tiny_subject(64), replace(EDIT, tracker=tracker))  # type: ignore[arg-type]
    assert run.step().points == EDIT.handles


def test_no_tracking_leaves_the_handles() -> None:
    run = start(tiny_subject(64), replace(EDIT, tracker="none"))
    *_, last = run
    assert last.points == EDIT.handles
    assert last.step == 6


# --- bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"handles": []}, "at least one handle"),
        ({"handles": [(1, 2), (5, 6)]}, "2 handles but 1 targets"),
        ({"handles": [(math.nan, 2)]}, "finite"),
        ({"targets": [(3, math.inf)]}, "finite"),
        ({"handles": [(1, 2), (1.2, 2)], "targets": [(3, 4), (5, 6)]}, "two handles stand on pixel 1,2"),
        ({"r1": 0.0}, "r1"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"steps": 0}, "steps"),
        ({"mask": torch.ones(3, 4, 5)}, "mask"),
        ({"tracking_layer": "b16.conv1", "method": "natural"}, "leave tracking_layer out"),
        ({"handles": [(x, 2) for x in range(1001)], "targets": [(3, 4)] * 1001}, "1001 handles are too many"),
    ],
)
def test_impossible_edits(arguments: dict, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        Drag(**{"handles": [(1, 2)], "targets": [(3, 4)], **arguments})


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"handles": [(64, 2)]}, "handle 64,2 lies outside"),
        ({"targets": [(3, -1)]}, "target 3,-1 lies outside"),
        ({"mask": torch.ones(32, 64)}, "mask is 64x32"),
        ({"mask": torch.zeros(64, 64)}, "fixes the handle 1,2"),
        ({"layer": "b128.conv1"}, "no layer 'b128.conv1'"),
        ({"layer": "b16.conv1+b128.conv1"}, "no layer 'b128.conv1'"),
        ({"tracking_layer": "b128.conv1"}, "no layer 'b128.conv1'"),
        ({"layer": "b16.conv1+b32.conv1", "engine": "region"}, "several layers are computed whole"),
        ({"r1": 1e300}, "r1 of 1e[+]300 px takes too much memory: take at most 126$"),
        ({"r2": 260}, "take at most 250$"),
        ({"r2": 33, "tracker": "confident"}, "take at most 32$"),
        ({"handles": [(x, 2) for x in range(9)], "targets": [(3, 4)] * 9, "r2": 84}, "at most 83, or fewer handles"),
    ],
)
def test_edits_that_do_not_fit(arguments: dict, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        start(tiny_subject(64), Drag(**{"handles": [(1, 2)], "targets": [(3, 4)], **arguments}))
    assert "\n" not in str(error.value)


def test_extractor_on_unknown_layer() -> None:
    subject = tiny_subject(64)
    with pytest.raises(UserError, match=r"choose one of b4\.conv1"):
        Extractor(subject.model.generator, subject.code, 6, "b5.conv1", "auto")


def test_the_region_engine_elsewhere_than_on_the_cpu() -> None:
    """A device without numbers stands in for a GPU: which engine is right is known before anything is computed."""
    subject = tiny_subject(64)
    generator, code = subject.model.generator.to("meta"), subject.code.to("meta")
    with pytest.raises(UserError, match='choose "dense" or "auto" on meta'):
        Extractor(generator, code, 6, "b16.conv1", "region")
    Extractor(generator, code, 6, "b16.conv1", "auto")
