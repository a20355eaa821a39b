"""The edit Inversion: its stages, its terms against loops, what is kept, and what is refused."""

import json
import math

import numpy as np
import pytest
import torch
from inverting import picture_of, short, tiny_model
from PIL import Image

from gansteer.edits.drag.edit import Drag
from gansteer.edits.inversion.crop import Crop
from gansteer.edits.inversion.edit import Inversion
from gansteer.edits.inversion.estimate import estimate
from gansteer.edits.inversion.perceptual import comparison
from gansteer.edits.inversion.pivotal import LIGHT_BYTES, PivotalTuning, low_rank, no_changes, tunable
from gansteer.edits.inversion.projection import Projection, mean_subject, noise_regulariser, rate
from gansteer.edits.inversion.run import peak_signal
from gansteer.edits.record import edit_from_json, edit_to_json
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.models.tuning import changed
from gansteer.steerfile import open_subject, save_subject


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def stages(run):
    return [(p.step, p.stage) for p in run]


def test_the_stages_follow_each_other_and_come_nearer(model):
    run = start(model.sample(0), short(model, projection=40, tuning_steps=30))
    found = list(run)
    assert [p.step for p in found] == list(range(71))
    assert [p.stage for p in found] == ["first guess"] + ["projection"] * 40 + ["tuning"] * 30
    assert [p.stop_reason for p in found[:-1]] == [None] * 70
    assert found[-1].stop_reason == f"reconstructed to {found[-1].metrics['psnr']:.1f} dB"
    assert found[40].metrics["psnr"] > found[0].metrics["psnr"] + 3
    assert found[-1].metrics["psnr"] > found[40].metrics["psnr"] + 1
    # What is said of the last picture holds for what the subject draws, its weights rounded to float16.
    target = run.edit.picture.permute(2, 0, 1).float() / 127.5 - 1  # type: ignore[attr-defined]
    drawn = float(peak_signal(run.subject.render()[None], target[None]))
    assert abs(drawn - found[-1].metrics["psnr"]) < 0.1
    assert run.step() is found[-1]
    torch.testing.assert_close(found[0].subject.code.ws, mean_subject(model).code.ws)


def test_every_stage_may_be_left_out(model):
    assert stages(start(model.sample(0), short(model, tuning="none", projection=2))) == [
        (0, "first guess"), (1, "projection"), (2, "projection"),
    ]  # fmt: skip
    assert stages(start(model.sample(0), short(model, projection=0, tuning_steps=2))) == [
        (0, "first guess"), (1, "tuning"), (2, "tuning"),
    ]  # fmt: skip
    assert stages(start(model.sample(0), short(model, projection=0, tuning="none"))) == [(0, "first guess")]
    assert stages(start(model.sample(0), short(model, projection=0, tuning_steps=0))) == [(0, "first guess")]


def test_the_same_edit_gives_the_same_bytes_and_can_be_left_and_entered(model):
    edit = short(model, noise=1e3)
    one, other = start(model.sample(0), edit), start(model.sample(0), edit)
    *_, last = one
    for _ in zip(range(5), other, strict=False):
        pass
    *_, same = other
    assert torch.equal(last.subject.code.ws, same.subject.code.ws)
    assert torch.equal(last.subject.render(), same.subject.render())
    assert last.subject.tuning.changes.keys() == same.subject.tuning.changes.keys()


def test_progress_is_a_picture_that_stays(model):
    run = start(model.sample(0), short(model, projection=1, tuning_steps=4))
    found = list(run)
    early = found[3].subject
    before = early.render()
    assert not torch.equal(before, found[-1].subject.render())
    assert torch.equal(early.render(), before)


def test_w_is_one_for_all_rows_and_the_present_may_be_the_start(model):
    found = list(start(model.sample(0), short(model, space="w", tuning="none")))
    rows = found[-1].subject.code.ws
    assert torch.equal(rows, rows[:1].expand_as(rows))
    assert not torch.equal(rows, found[0].subject.code.ws)
    present = model.sample(3)
    run = start(present, short(model, seed=3, start="present", projection=0, tuning="none"))
    assert torch.equal(run.step().subject.code.ws, present.code.ws)


def test_the_prior_keeps_w_among_the_models_own(model):
    free = list(start(model.sample(0), short(model, projection=60, tuning="none")))[-1].subject.code.ws
    held = list(start(model.sample(0), short(model, projection=60, tuning="none", prior=10.0)))[-1].subject.code.ws
    mean = model.generator.mapping.w_mean
    assert (held - mean).norm() < 0.8 * (free - mean).norm()


def test_the_noise_regulariser_is_the_loop():
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(r, r)) for r in (4, 8, 32)]
    total = 0.0
    for level in maps:
        while True:
            r = len(level)
            across = sum(level[y, x] * level[y, (x - 1) % r] for y in range(r) for x in range(r)) / r**2
            down = sum(level[y, x] * level[(y - 1) % r, x] for y in range(r) for x in range(r)) / r**2
            total += across**2 + down**2
            if r <= 8:
                break
            level = level.reshape(r // 2, 2, r // 2, 2).mean(axis=(1, 3))
    found = noise_regulariser([torch.tensor(x) for x in maps])
    np.testing.assert_allclose(float(found), total, rtol=1e-10)


def test_optimised_noise_stays_noise_and_is_kept(model):
    *_, last = start(model.sample(0), short(model, noise=1e5, tuning_steps=2))
    names = [name for name in last.subject.tuning.changes if name.endswith("noise_fixed")]
    assert len(names) == len(list(model.generator.synthesis.layers()))
    for name in names:
        noise = last.subject.generator.state_dict()[name]
        assert abs(float(noise.mean())) < 0.01
        assert abs(float(noise.square().mean()) - 1) < 0.01


def test_the_rate_rises_and_falls():
    assert rate(0.025) == pytest.approx(0.5)
    assert rate(0.5) == 1
    assert rate(0.875) == pytest.approx(0.5)
    assert rate(1 - 1e-9) < 1e-6


def test_the_perceptual_distance_is_the_equation():
    from gansteer.checkpoints.efficientnet import load_efficientnet

    rng = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 3, 48, 48, generator=rng, dtype=torch.float64) * 2 - 1 for _ in range(2))
    network = load_efficientnet().double()
    expected = []
    for i in range(2):
        layers = []
        for fa, fb in zip(network.taps(a[i : i + 1]), network.taps(b[i : i + 1]), strict=True):
            fa, fb = (f[0].numpy() / np.sqrt((f[0].numpy() ** 2).sum(0) + 1e-8) for f in (fa, fb))
            layers.append(((fa - fb) ** 2).sum(0).mean())
        expected.append(np.mean(layers))
    distance = comparison("efficientnet-lite0", a)(b)
    np.testing.assert_allclose(distance(a).numpy(), expected, rtol=1e-9)
    np.testing.assert_allclose(distance(b).numpy(), 0, atol=1e-12)


def test_light_tuning_fits_its_budget_and_full_is_everything():
    generator = tiny_model(channel_base=8192, channel_max=64).generator
    state = generator.state_dict()
    large, small = tunable(generator)
    budget = sum(state[n].numel() for n in small) + 20_000
    rank = low_rank(generator, budget)

    def numbers(rank):
        return sum(min(rank * (state[n].shape[0] + state[n][0].numel()), state[n].numel()) for n in large)

    assert numbers(rank) <= 20_000 < numbers(rank + 1)
    assert not any("affine" in name or "noise_fixed" in name for name in [*large, *small])
    assert LIGHT_BYTES < 2_000_000
    changes = no_changes(generator, rank, 0)
    assert sum(x.numel() for x in changes.values()) <= budget
    assert any(name.endswith(".left") for name in changes)
    for name, weight in changed(state, changes).items():
        assert torch.equal(weight, state[name])  # nothing yet, but every one can be moved
        weight.sum().backward()
    lefts = [name for name, x in changes.items() if name.endswith(".left") and float(x.grad.abs().sum()) > 0]
    assert len(lefts) == sum(name.endswith(".left") for name in changes)
    assert no_changes(generator, None, 0).keys() == {*large, *small}


@pytest.mark.parametrize("tuning", ["light", "full"])
def test_the_tuned_weights_are_never_the_models_own(model, tuning):
    before = {name: x.clone() for name, x in model.generator.state_dict().items()}
    *_, last = start(model.sample(0), short(model, tuning=tuning, tuning_steps=3))
    for name, x in model.generator.state_dict().items():
        assert torch.equal(x, before[name])
        own = last.subject.generator.state_dict()[name].data_ptr() != x.data_ptr()
        assert own == any(change.startswith(name) for change in last.subject.tuning.changes)
    assert not any(x.requires_grad for x in last.subject.generator.parameters())


def test_locality_holds_the_other_pictures():
    model = tiny_model(seed=1)

    def change(locality):
        *_, last = start(model.sample(0), short(model, locality=locality, tuning_steps=60, tuning_rate=2e-3))
        plain = [model.sample(seed, 1.0) for seed in range(20)]
        tuned = [last.subject.generator.synthesize(s.code)[0] for s in plain]
        return float(sum((a - s.render()).square().mean() for a, s in zip(tuned, plain, strict=True)) / 20)

    assert change(2.0) < 0.5 * change(0.0)


def test_tuning_differentiates_the_stated_loss():
    """The gradient of one tuning step against finite differences, locality included, in float64."""
    model = tiny_model(dtype=torch.float64, resolution=16)
    edit = short(model, tuning_steps=4)
    compare = comparison("efficientnet-lite0", model.generator.synthesis.constant)
    target = edit.picture.double().permute(2, 0, 1)[None] / 127.5 - 1

    def loss(change):
        stage = PivotalTuning(mean_subject(model), edit, compare)
        left = next(x for name, x in stage._changes.items() if name.endswith("torgb.weight"))
        with torch.no_grad():
            left.view(-1)[3] += change
        picture = stage.draw()
        return compare(target)(picture).sum() + 10 * (picture - target).square().mean() + stage.held(picture), left

    value, left = loss(0.02)
    (gradient,) = torch.autograd.grad(value, left)
    slope = float(loss(0.02 + 1e-5)[0].detach() - loss(0.02 - 1e-5)[0].detach()) / 2e-5
    assert slope == pytest.approx(float(gradient.view(-1)[3]), rel=1e-4)
    assert abs(slope) > 1e-4


def test_projection_shakes_w_from_the_mean_only():
    model = tiny_model(dtype=torch.float64, resolution=16)
    w = model.generator.mapping(torch.randn(4096, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    deviation = math.sqrt(float((w - w.mean(0)).square().sum(1).mean()))
    shaken, still = (Projection(mean_subject(model), short(model), explore) for explore in (True, False))
    assert shaken._explore == pytest.approx(0.05 * deviation)
    plain = mean_subject(model).render()
    torch.testing.assert_close(still.draw()[0].detach(), plain)
    assert (shaken.draw()[0].detach() - plain).abs().max() > 1e-3


def test_a_photo_opens_bit_for_bit(model, tmp_path):
    edit = short(model, crop=Crop(3.5, 4.5, 9.0, 2.0), noise=1e4)
    *_, last = start(model.sample(0), edit)
    save_subject(last.subject, tmp_path / "photo.steer", {"photo": "me.jpg"}, edit)
    opened = open_subject(tmp_path / "photo.steer", lambda name: model)
    assert torch.equal(opened.render(), last.subject.render())
    assert torch.equal(opened.code.ws, last.subject.code.ws)
    # and is edited like any other picture
    drag = Drag([(10, 10)], [(14, 10)], steps=3)
    one, other = (list(start(s, drag))[-1].subject for s in (opened, last.subject))
    assert torch.equal(one.render(), other.render())
    assert one.tuning is opened.tuning


def test_the_edit_as_json(model):
    edit = short(model, crop=Crop(3.5, 4.5, 9.0, 2.0), noise=1e4, locality=0.25)
    again = edit_from_json(json.loads(json.dumps(edit_to_json(edit))))
    assert isinstance(again, Inversion)
    assert torch.equal(again.picture, edit.picture)
    assert again.crop == edit.crop
    fields = ("start", "space", "projection", "noise", "tuning", "tuning_steps", "locality", "pixels", "seed")
    assert all(getattr(again, name) == getattr(edit, name) for name in fields)
    with pytest.raises(UserError):
        edit_from_json({**edit_to_json(edit), "space": "z"})


def test_what_it_costs_is_told_beforehand(model):
    none, light, full = (estimate(model, short(model, tuning=t)) for t in ("none", "light", "full"))
    assert none.size < light.size
    assert none.memory < full.memory
    assert "s, " in str(light)
    assert light.seconds > 0


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"picture": torch.zeros(4, 5, 3, dtype=torch.uint8)}, "must be square"),
        ({"picture": torch.zeros(3, 8, 8, dtype=torch.uint8)}, "must be square"),
        ({"picture": torch.zeros(8, 8, 3)}, "8 bits"),
        ({"projection": -1}, "must not be negative"),
        ({"locality": math.nan}, "must be a number"),
        ({"noise": -1.0}, "must be a number"),
    ],
)
def test_edits_that_are_none(fields, complaint):
    with pytest.raises(UserError, match=complaint):
        Inversion(**{"picture": torch.zeros(8, 8, 3, dtype=torch.uint8), **fields})


def test_pictures_that_do_not_fit(model):
    with pytest.raises(UserError, match="16 px but tiny draws 32 px"):
        start(model.sample(0), Inversion(torch.zeros(16, 16, 3, dtype=torch.uint8)))
    with pytest.raises(UserError, match="tiny has no encoder: run gansteer train-encoder"):
        start(model.sample(0), short(model, start="encoder"))


def test_a_reconstruction_that_blows_up_keeps_the_last_picture(model):
    run = start(model.sample(0), short(model, learning_rate=1e30))
    *_, last = run
    assert "blew up" in last.stop_reason
    assert bool(last.subject.render().isfinite().all())


def test_a_model_of_one_channel():
    """The photo is compared as grey, so that a grey picture of the model itself is found again."""
    grey = tiny_model(img_channels=1)
    wanted = grey.sample(1)
    coloured = torch.from_numpy(np.array(wanted.image.convert("RGB")))
    for tuning in ("none", "light"):
        run = start(grey.sample(0), Inversion(coloured, projection=25, tuning=tuning, tuning_steps=5, start="mean"))
        first, *_, last = run
        assert last.metrics["psnr"] > first.metrics["psnr"] + 1
        assert last.subject.image.mode == "L"
    # Brightness is that of BT.601, which Pillow's conversion to grey has too.
    colours = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    run = start(grey.sample(0), Inversion(colours, projection=0, tuning="none", start="mean"))
    by_pillow = np.asarray(Image.fromarray(colours.numpy()).convert("L"), float)
    drawn = np.asarray(mean_subject(grey).render()[0].clamp(-1, 1), float) * 127.5 + 127.5
    expected = 10 * np.log10(255**2 / ((drawn - by_pillow) ** 2).mean())
    assert run.step().metrics["psnr"] == pytest.approx(expected, abs=0.05)


def test_a_conditional_model(model):
    classes = tiny_model(c_dim=3)
    subject = classes.sample(1, 1.0, label=2)
    edit = Inversion(picture_of(subject), projection=3, tuning_steps=2, start="mean")
    *_, last = start(classes.sample(0, label=0), edit)
    assert last.step == 5
