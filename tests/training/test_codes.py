"""Latents of known pictures against NumPy's principal components; anchored steps against the same written out."""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.stats
import torch
from safetensors.torch import load_file, save_file
from small_runs import save_pictures
from test_step import CPU, PlainAdam, noise_places, reals, trainer_for

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.checkpoints.readers import FACES
from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.models.face_reader import resize
from gansteer.models.layout_laws import HierarchicalLaw
from gansteer.training.augment import diffaugment
from gansteer.training.codes import (
    LatentTargets,
    describe_faces,
    describe_features,
    described,
    expressive_parts,
    fit_coder,
    gaussianise,
    normal_scores,
    principal_components,
)
from gansteer.training.data import Pictures
from gansteer.training.distributed import ProcessGroup, StepRandom
from gansteer.training.losses import part_distance
from gansteer.training.phases import AdversarialPhase, ReconstructionPhase, schedule_of
from gansteer.training.run import train

ANCHORED = {"loss": "projected", "anchor": 0.5, "g_lr": 1e-4, "d_lr": 1e-4, "style_mixing": 1.0}


def descriptions(count=40):
    """Two kinds of description with very different scales, each with a few strong directions."""
    rng = torch.Generator().manual_seed(0)
    factors = torch.randn(count, 3, generator=rng, dtype=torch.float64) * torch.tensor([3.0, 2.0, 1.0])
    mix = [torch.randn(3, n, generator=rng, dtype=torch.float64) for n in (30, 50)]
    noise = [0.01 * torch.randn(count, n, generator=rng, dtype=torch.float64) for n in (30, 50)]
    return [5 + 1000 * (factors @ mix[0] + noise[0]), factors @ mix[1] + noise[1]]


def test_components_are_those_of_numpy():
    found = descriptions()
    coder = principal_components(found, 3)
    z = ((torch.cat(found, dim=1) - coder.mean) @ coder.basis).numpy()
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(3), atol=1e-9)
    blocks = [d.numpy() - d.numpy().mean(axis=0) for d in found]
    joined = np.concatenate([b / np.sqrt((b**2).sum(axis=1).mean()) for b in blocks], axis=1)
    left = np.linalg.svd(joined, full_matrices=False)[0][:, :3] * np.sqrt(len(joined))
    np.testing.assert_allclose(np.abs(left.T @ z) / len(z), np.eye(3), atol=1e-6)  # equal up to signs


def test_too_few_or_too_similar_pictures():
    with pytest.raises(UserError, match="more pictures than latent dimensions: 3 are not above 3"):
        principal_components([d[:3] for d in descriptions()], 3)
    flat = torch.outer(torch.arange(9.0), torch.ones(4))
    with pytest.raises(UserError, match="do not differ in 3 ways"):
        principal_components([flat, flat], 3)


def test_normal_scores_are_those_of_the_ranks():
    values = torch.randn(500, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64).exp()
    quantiles = values.sort(dim=0).values.t().contiguous()
    ranks = scipy.stats.rankdata(values.numpy(), axis=0)
    np.testing.assert_allclose(normal_scores(values, quantiles), scipy.stats.norm.ppf((ranks - 0.5) / 500), atol=1e-9)
    far = normal_scores(torch.tensor([[-1.0, 0.0, 1e9]], dtype=torch.float64), quantiles)
    assert far.isfinite().all()
    assert far[0, 0] < -2.9 < 2.9 < far[0, 2]


def test_components_that_depend_on_each_other_become_normal_and_uncorrelated():
    rng = torch.Generator().manual_seed(3)
    u = torch.randn(2000, 3, generator=rng, dtype=torch.float64)
    z = torch.stack([u[:, 0].exp(), u[:, 0].abs() + 0.1 * u[:, 1], u[:, 2] ** 3], dim=1)
    z = z - z.mean(dim=0)
    left, _, _ = torch.linalg.svd(z, full_matrices=False)
    white = left * 2000**0.5
    once = normal_scores(white, white.sort(dim=0).values.t().contiguous())
    for turn, quantiles in zip(*gaussianise(white), strict=True):
        white = normal_scores(white @ turn, quantiles)
    first, last = ((x.t() @ x / 2000 - torch.eye(3)).abs().max() for x in (once, white))
    assert last < 0.03 < 0.1 < first
    assert all(scipy.stats.kstest(column, "norm").pvalue > 0.9 for column in white.t())


@pytest.mark.parametrize("kind", ["features", "faces"])
def test_a_data_set_has_normal_codes(pictures, kind):
    data = Pictures(pictures, 8, mirror=True)
    describe = (
        partial(describe_features, backbone=load_efficientnet())
        if kind == "features"
        else partial(describe_faces, reader=FACES.load())
    )
    descriptions = described(data, describe, CPU)
    coder = fit_coder(descriptions, 4)
    z = coder(descriptions)
    expected = scipy.stats.norm.ppf((np.arange(len(z)) + 0.5) / len(z))
    np.testing.assert_allclose(z.sort(dim=0).values, np.repeat(expected[:, None], 4, axis=1), atol=1e-3)
    with torch.no_grad():
        one = describe(data[7][0][None].float() / 127.5 - 1)
    torch.testing.assert_close(coder(one)[0], z[7], atol=1e-3, rtol=1e-3)
    sizes = [112 * 8 * 8, 320 * 4 * 4] if kind == "features" else [68 * 2, 8 + 1 + 7 + 6]
    assert [d.shape[1] for d in one] == [3 * 16 * 16, *sizes]


def pyramid(x, y):
    """Sum of the mean differences of both pictures' block means."""
    total = 0
    for k in (1, 2, 4, 8):
        blocks = [p.unfold(2, k, k).unfold(3, k, k).mean(dim=(4, 5)) for p in (x, y)]
        total = total + (blocks[0] - blocks[1]).abs().mean()
    return total


def landmarks_of(count):
    return torch.rand(count, 68, 2, generator=torch.Generator().manual_seed(3)) * 0.5 + 0.2


def parts(x, y, landmarks):
    """Eyes with their brows and the mouth, pixel by pixel: each part's mean counts a third."""
    size = x.shape[-1]
    groups = [[*range(17, 22), *range(36, 42)], [*range(22, 27), *range(42, 48)], list(range(48, 68))]
    weights = torch.zeros(len(x), size, size)
    for picture, points in enumerate(landmarks):
        for group in groups:
            (left, top), (right, bottom) = points[group].min(dim=0).values, points[group].max(dim=0).values
            margin = 0.2 * max(right - left, bottom - top)
            cells = [
                (i, j)
                for i in range(size)
                for j in range(size)
                if left - margin < (j + 0.5) / size < right + margin
                and top - margin < (i + 0.5) / size < bottom + margin
            ]
            for i, j in cells:
                weights[picture, i, j] += 1 / (3 * len(cells))
    total = 0
    for k in (1, 2, 4):
        blocks = [p.unfold(2, k, k).unfold(3, k, k).mean(dim=(4, 5)) for p in (x, y)]
        weight = weights.unfold(1, k, k).unfold(2, k, k).sum(dim=(3, 4))
        total = total + ((blocks[0] - blocks[1]).abs().mean(dim=1) * weight).sum() / len(x)
    return total


def test_weights_of_expressive_parts():
    landmarks = landmarks_of(2)
    weights = expressive_parts(landmarks, 32)
    torch.testing.assert_close(weights.sum(dim=(1, 2, 3)), torch.ones(2))
    x, y = (torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(i)) for i in range(2))
    torch.testing.assert_close(part_distance(x, y, weights), parts(x, y, landmarks))


def test_a_face_beyond_the_picture_has_no_parts_and_breaks_nothing():
    weights = expressive_parts(landmarks_of(1) + 5, 16)
    assert torch.equal(weights, torch.zeros(1, 1, 16, 16))


@pytest.mark.parametrize("landmarks", [None, landmarks_of(4)])
def test_redrawing_written_out(tiny, landmarks):
    """Three steps of Adam with momentum, the mapping network thirty times as fast and the noise a tenth, on the pixels."""
    config = tiny(**ANCHORED, anchor_images=100, anchor_lr=2e-3)
    trainer = trainer_for(config)
    plain, start = copy.deepcopy(trainer.nets), copy.deepcopy(trainer.nets)
    pictures = reals(config)
    x = pictures.float() / 127.5 - 1
    codes = torch.randn(config.batch, config.z_dim, generator=torch.Generator().manual_seed(1))
    g = plain.g.requires_grad_(True)
    rates = [
        {"params": [p], "lr": 2e-3 * (30 if name.startswith("mapping") else 0.1 if "noise" in name else 1)}
        for name, p in g.named_parameters()
    ]
    plain_adam = torch.optim.Adam(rates, betas=(0.9, 0.99), eps=1e-8)
    for step in range(3):
        report = trainer.step(pictures, torch.zeros(config.batch, dtype=torch.long), LatentTargets(codes, landmarks))
        assert list(report) == ["anchor/pixels", "anchor/parts"][: 1 if landmarks is None else 2]
        random = StepRandom(config.seed, step, 0, config.batch, ProcessGroup(), CPU)
        z = random.normal(config.z_dim)
        ws = g.map((codes + 0.1 * z) / 1.01**0.5)
        random.normal(config.z_dim)  # the w that others are mixed with
        fakes = g.synthesize(Code(ws), noise=lambda batch, r, d=random: d.normal(1, r, r))
        loss = pyramid(fakes, x)
        torch.testing.assert_close(report["anchor/pixels"], loss.detach())
        if landmarks is not None:
            loss = loss + 3 * parts(fakes, x, landmarks)
        plain_adam.zero_grad()
        loss.backward()
        plain_adam.step()
    for (name, ours), theirs in zip(trainer.nets.g.named_parameters(), plain.g.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3, msg=name)
    for name, value in trainer.nets.d.state_dict().items():
        assert torch.equal(value, start.d.state_dict()[name])


def plain_anchored_step(config, nets, pictures, codes, anchored, landmarks):
    """One step whose first `anchored` rows draw the first pictures again, with the discriminator's lesson."""
    g, d = nets.g, nets.d
    g.requires_grad_(True)
    random = StepRandom(config.seed, 0, 0, config.batch, ProcessGroup(), CPU)
    x = pictures.float() / 127.5 - 1
    z, other = random.normal(config.z_dim), random.normal(config.z_dim)
    ws = g.map(torch.cat([(codes[:anchored] + 0.1 * z[:anchored]) / 1.01**0.5, z[anchored:]]))
    row = 1 + int(random.coin()[1] * (g.config.num_ws - 1))
    ws = torch.cat([ws[:anchored], torch.cat([ws[anchored:, :row], g.map(other)[anchored:, row:]], dim=1)])
    fakes = g.synthesize(Code(ws), noise=lambda batch, r: random.normal(1, r, r))
    changed = [diffaugment(p, StepRandom(config.seed, 0, 2, config.batch, ProcessGroup(), CPU)) for p in (fakes, x)]
    features, real = (d.features(c.pictures) for c in changed)
    ratios = [
        (f[i] - r[i]).abs().mean() / r[i].abs().mean()
        for f, r in zip(features, real, strict=True)
        for i in range(anchored)
    ]
    loss = config.anchor_weight * (sum(ratios) / len(ratios) + 12 * pyramid(fakes[:anchored], x[:anchored]))
    if landmarks is not None:
        loss = loss + config.anchor_weight * 9 * parts(fakes[:anchored], x[:anchored], landmarks[:anchored])
    parameters = list(d.levels.parameters())
    for p in parameters:
        p.requires_grad_(True)
    logits = d.judge([r.detach() for r in real]), d.judge([f.detach() for f in features])
    PlainAdam(config.d_lr, None)(parameters, (1 - logits[0]).relu().mean() + (1 + logits[1]).relu().mean())
    loss = loss - d.judge(features).mean()
    PlainAdam(config.g_lr, None, noise_places(g))(list(g.parameters()), loss)


@pytest.mark.parametrize("landmarks", [None, landmarks_of(4)])
def test_an_anchored_step_written_out(tiny, landmarks):
    config = tiny(**ANCHORED)
    trainer = trainer_for(config)
    plain, start = copy.deepcopy(trainer.nets), copy.deepcopy(trainer.nets)
    pictures = reals(config)
    codes = torch.randn(config.batch, config.z_dim, generator=torch.Generator().manual_seed(1))
    report = trainer.step(pictures, torch.zeros(config.batch, dtype=torch.long), LatentTargets(codes, landmarks))
    plain_anchored_step(config, plain, pictures, codes, config.batch // 2, landmarks)
    assert "loss/d" in report
    for name in ("g", "d"):
        ours, theirs, before = (dict(getattr(n, name).state_dict()) for n in (trainer.nets, plain, start))
        moved = 0
        for key, value in ours.items():
            off = (value - theirs[key]).abs() > 2e-6 + 1e-4 * theirs[key].abs()
            assert off.float().mean() < 0.03 or key == "mapping.w_mean", key
            moved += not torch.equal(value, before[key])
        assert moved > 0.5 * len(ours) if name == "g" else moved > 0


def test_the_discriminator_comes_in_slowly(tiny):
    schedule = schedule_of(tiny(**ANCHORED, anchor_images=16))
    phases = [schedule.phase(images) for images in range(0, 32, 4)]
    assert [type(phase) for phase in phases] == [ReconstructionPhase] * 5 + [AdversarialPhase] * 3
    assert [phase.weight(4 * i) for i, phase in enumerate(phases) if i > 4] == [0.5, 1, 1]  # type: ignore[attr-defined]


def test_portraits_keep_their_landmarks(tiny, tmp_path):
    data = save_pictures(tmp_path / "large", size=16)
    old = tiny("old", data=data, images=4, **ANCHORED)
    list(train(old))
    assert "landmarks" not in load_file(old.out / "codes.safetensors")
    with pytest.raises(UserError, match="holds latents of another kind: use --anchor-faces"):
        list(train(tiny("new", data=data, resolution=16, images=4, grow=old.out, anchor_faces=True, **ANCHORED)))
    faces = tiny("faces", data=data, images=4, anchor_faces=True, **ANCHORED)
    (progress,) = list(train(faces))
    assert progress.losses["anchor/parts"] > 0
    codes = load_file(faces.out / "codes.safetensors")
    shown = Pictures(data, 8)
    pictures = torch.stack([shown[i][0] for i in range(len(shown))]).float() / 127.5 - 1
    with torch.no_grad():
        points = FACES.load()(resize(pictures)).points
    torch.testing.assert_close(codes["landmarks"], (points + 0.5) / 128)
    # A run from before landmarks were kept: its latents stay, and landmarks are found.
    kept = codes.pop("landmarks")
    save_file(codes, faces.out / "codes.safetensors")
    grown = tiny("grown", data=data, resolution=16, images=4, grow=faces.out, anchor_faces=True, **ANCHORED)
    list(train(grown))
    found = load_file(grown.out / "codes.safetensors")
    assert found["landmarks"].shape == kept.shape
    assert torch.equal(found["basis"], codes["basis"])


def test_growing_keeps_the_latents(tiny, tmp_path):
    data = save_pictures(tmp_path / "large", size=16)
    small = tiny("small", data=data, images=8, **ANCHORED)
    list(train(small))
    big = tiny("big", data=data, resolution=16, images=4, grow=small.out, **ANCHORED)
    list(train(big))
    for name, x in load_file(small.out / "codes.safetensors").items():
        assert torch.equal(load_file(big.out / "codes.safetensors")[name], x)
    more = save_pictures(tmp_path / "more", size=16, count=12)
    list(train(tiny("more", data=more, resolution=16, images=4, grow=small.out, **ANCHORED)))
    again = load_file(tmp_path / "more" / "codes.safetensors")
    assert again["codes"].shape == (12, 4)
    assert torch.equal(again["basis"], load_file(small.out / "codes.safetensors")["basis"])


def test_known_pictures_with_layouts(tiny, tmp_path):
    """A recipe finds their layouts; the run keeps them, goes on, and one that grows from it takes them along."""
    data = save_pictures(tmp_path / "large", size=16)
    flags = {**ANCHORED, "layout": "hierarchical", "alignment": 0.0, "resolution": 16}
    run = tiny("run", data=data, images=4, **flags)
    with pytest.raises(UserError, match="a recipe finds them: see recipes/portraits/known_heads"):
        list(train(run))
    layout = HierarchicalLaw().sample(len(Pictures(data, 16)), 16, 16, torch.Generator().manual_seed(0))
    known = LatentTargets(torch.randn(len(layout.sizes), 4), None, layout.to("cpu", torch.float32))
    run.out.mkdir(exist_ok=True)
    save_file({name: x.contiguous() for name, x in known.tensors().items()}, run.out / "codes.safetensors")
    (progress,) = list(train(run))
    assert progress.losses["anchor/pixels"] > 0
    list(train(replace(run, images=8)))
    grown = tiny("grown", data=data, images=4, grow=run.out, **flags)
    list(train(grown))
    found = load_file(grown.out / "codes.safetensors")
    for name, x in known.tensors().items():
        assert torch.equal(found[name], x)
    more = tiny("more", data=save_pictures(tmp_path / "more", size=16, count=12), images=4, grow=run.out, **flags)
    with pytest.raises(UserError, match="holds latents of 10 pictures"):
        list(train(more))
    save_file({"codes": known.codes, "layout.centres": layout.centres.float()}, run.out / "codes.safetensors")
    with pytest.raises(UserError, match="is damaged"):
        list(train(replace(run, images=12)))


def faces_run(tiny, tmp_path, name):
    """A short run with --anchor-faces, and the same pictures with two more."""
    data = save_pictures(tmp_path / "some", size=16)
    config = tiny(name, data=data, images=4, anchor_faces=True, **ANCHORED)
    list(train(config))
    return config, save_pictures(tmp_path / "more", size=16, count=12)


def test_pictures_can_be_added_to_a_run_that_found_its_own_latents(tiny, tmp_path):
    config, more = faces_run(tiny, tmp_path, "own")
    before = load_file(config.out / "codes.safetensors")
    list(train(replace(config, data=more, images=8)))
    after = load_file(config.out / "codes.safetensors")
    torch.testing.assert_close(after["codes"][:10], before["codes"], rtol=1e-3, atol=1e-3)
    assert len(after["codes"]) == 12


@pytest.mark.parametrize("coder", ["a stranger", "none"])
@pytest.mark.parametrize("grown", [False, True])
def test_pictures_cannot_be_added_to_latents_of_a_recipe(tiny, tmp_path, coder, grown):
    """Those of latents.py and prior.py are not their coder's: new pictures would get latents of another kind."""
    config, more = faces_run(tiny, tmp_path, "recipe")
    path = config.out / "codes.safetensors"
    codes = load_file(path)
    codes["codes"] = codes["codes"].flip(1) + 0.1
    if coder == "none":
        codes = {name: codes[name] for name in ("codes", "landmarks")}
    save_file(codes, path)
    kept = path.read_bytes()
    wanted = tiny("grown", grow=config.out, anchor_faces=True, **ANCHORED) if grown else config
    with pytest.raises(
        UserError, match=r"holds latents of 10 pictures .* that a recipe found, and .*more has 12: train on"
    ):
        list(train(replace(wanted, data=more, images=8)))
    assert path.read_bytes() == kept
    list(train(replace(wanted, data=config.data, images=8)))  # with its own pictures it goes on
    assert torch.equal(load_file(wanted.out / "codes.safetensors")["codes"], codes["codes"])


def test_a_share_of_no_picture(tiny):
    with pytest.raises(UserError, match=r"--anchor 0.1 of 4 pictures a process is none: give more of either"):
        list(train(tiny(**{**ANCHORED, "anchor": 0.1})))


def test_a_damaged_file_of_latents(tiny):
    config = tiny(images=4, **ANCHORED)
    list(train(config))
    (config.out / "codes.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"codes\.safetensors is damaged: remove it"):
        list(train(tiny(images=8, **ANCHORED)))


def test_impossible_anchors(tiny):
    for flags, message in (
        ({"anchor": 1.0, "loss": "projected"}, "--anchor is a share"),
        ({"anchor": 0.5, "loss": "stylegan2"}, "--loss projected"),
        ({"anchor_images": -1}, "--anchor-images"),
        ({"anchor_faces": True}, "use it with --anchor"),
        ({"anchor_images": 8, "discriminator_images": 8}, "choose one of them"),
    ):
        with pytest.raises(UserError, match=message):
            tiny(**flags)
