"""Latents of known pictures against NumPy's principal components; anchored steps against the same written out."""

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_runs import save_pictures
from test_step import CPU, PlainAdam, reals, trainer_for

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.errors import UserError
from gansteer.training.augment import diffaugment
from gansteer.training.codes import describe, encode, fit_coder, principal_components
from gansteer.training.data import Pictures
from gansteer.training.distributed import Draws, World
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


def test_a_data_set_has_codes_of_unit_covariance(pictures):
    data, backbone = Pictures(pictures, 8, mirror=True), load_efficientnet()
    coder = fit_coder(data, backbone, 4)
    z = encode(data, backbone, coder)
    torch.testing.assert_close(z.T @ z / len(z), torch.eye(4), atol=1e-4, rtol=0)
    one = data[7][0][None].float() / 127.5 - 1
    with torch.no_grad():
        torch.testing.assert_close(coder(one, backbone)[0], z[7], atol=1e-4, rtol=1e-4)
        assert [d.shape[1] for d in describe(one, backbone)] == [3 * 16 * 16, 112 * 8 * 8, 320 * 4 * 4]


def plain_anchored_step(config, nets, pictures, codes, known, contest):
    """One step whose first `known` rows draw the first pictures again, with the discriminator's lesson if `contest`."""
    g, d = nets.g, nets.d
    g.requires_grad_(True)
    draws = Draws(config.seed, 0, 0, config.batch, World(), CPU)
    x = pictures.float() / 127.5 - 1
    z, other = draws.normal(config.z_dim), draws.normal(config.z_dim)
    ws = g.map(torch.cat([(codes[:known] + 0.2 * z[:known]) / 1.04**0.5, z[known:]]))
    row = 1 + int(draws.coin()[1] * (g.config.num_ws - 1))
    ws = torch.cat([ws[:known], torch.cat([ws[known:, :row], g.map(other)[known:, row:]], dim=1)])
    fakes = g.synthesize(ws, noise=lambda batch, r: draws.normal(1, r, r))
    changed = [diffaugment(p, Draws(config.seed, 0, 2, config.batch, World(), CPU)) for p in (fakes, x)]
    features, real = (d.features(p) for p in changed)
    ratios = [
        (f[i] - r[i]).abs().mean() / r[i].abs().mean()
        for f, r in zip(features, real, strict=True)
        for i in range(known)
    ]
    loss = config.anchor_weight * (sum(ratios) / len(ratios) + 12 * (fakes[:known] - x[:known]).abs().mean())
    if contest:
        parameters = list(d.levels.parameters())
        for p in parameters:
            p.requires_grad_(True)
        logits = d.judge([r.detach() for r in real]), d.judge([f.detach() for f in features])
        PlainAdam(config.d_lr, None)(parameters, (1 - logits[0]).relu().mean() + (1 + logits[1]).relu().mean())
        loss = loss - d.judge(features).mean()
    PlainAdam(config.g_lr, None)(list(g.parameters()), loss)


@pytest.mark.parametrize("alone", [8, 0], ids=["only drawn again", "with the discriminator"])
def test_an_anchored_step_written_out(tiny, alone):
    config = tiny(**ANCHORED, anchor_images=alone)
    trainer = trainer_for(config)
    plain, start = copy.deepcopy(trainer.nets), copy.deepcopy(trainer.nets)
    pictures = reals(config)
    codes = torch.randn(config.batch, config.z_dim, generator=torch.Generator().manual_seed(1))
    report = trainer.step(pictures, torch.zeros(config.batch, dtype=torch.long), codes)
    plain_anchored_step(config, plain, pictures, codes, config.batch if alone else config.batch // 2, not alone)
    assert ("loss/d" in report) == (not alone)
    for name in ("g", "d"):
        ours, theirs, before = (dict(getattr(n, name).state_dict()) for n in (trainer.nets, plain, start))
        moved = 0
        for key, value in ours.items():
            off = (value - theirs[key]).abs() > 2e-6 + 1e-4 * theirs[key].abs()
            assert off.float().mean() < 0.03 or key == "mapping.w_mean", key
            moved += not torch.equal(value, before[key])
        assert moved > 0.5 * len(ours) if name == "g" else (moved > 0) == (not alone)


def test_the_discriminator_comes_in_slowly(tiny):
    trainer = trainer_for(tiny(**ANCHORED, anchor_images=16))
    parts = []
    for trainer.steps in range(8):
        parts.append(trainer._adversarial_part)
    assert parts == [0, 0, 0, 0, 0, 0.5, 1, 1]


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
    ):
        with pytest.raises(UserError, match=message):
            tiny(**flags)
