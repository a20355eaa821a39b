"""rosinality's `.pt` files, old and new layout: every tensor, and the picture against its convention in float64."""

import argparse

import checkpoint_reference as reference
import numpy as np
import pytest
import torch
from checkpoint_files import rosinality_tensors, torch_bytes

from gansteer.checkpoints.files import describe, load_file
from gansteer.errors import UserError

LAYOUTS = {"zip": {}, "legacy": {"_use_new_zipfile_serialization": False}}


def expected(t):
    """Our tensors by hand: leading axes of 1 dropped."""
    ours = {"synthesis.constant": t["input.input"][0]}
    for name, tensor in t.items():
        if name.startswith("style."):
            _, i, part = name.split(".")
            ours[f"mapping.layers.{int(i) - 1}.{part}"] = tensor
    layers = [("conv1", "0.convs.conv1"), ("to_rgb1", "0.torgb")]
    k = 0
    while f"to_rgbs.{k}.bias" in t:
        layers += [(f"convs.{2 * k}", f"{k + 1}.convs.conv0"), (f"convs.{2 * k + 1}", f"{k + 1}.convs.conv1")]
        layers += [(f"to_rgbs.{k}", f"{k + 1}.torgb")]
        k += 1
    noise = 0
    for theirs, name in layers:
        here = f"synthesis.blocks.{name}"
        ours[f"{here}.weight"] = t[f"{theirs}.conv.weight"][0]
        ours[f"{here}.affine.weight"] = t[f"{theirs}.conv.modulation.weight"]
        ours[f"{here}.affine.bias"] = t[f"{theirs}.conv.modulation.bias"]
        if "rgb" in theirs:
            ours[f"{here}.bias"] = t[f"{theirs}.bias"][0, :, 0, 0]
        else:
            ours[f"{here}.bias"] = t[f"{theirs}.activate.bias"]
            ours[f"{here}.noise_strength"] = t[f"{theirs}.noise.weight"][0]
            ours[f"{here}.noise_fixed"] = t[f"noises.noise_{noise}"][0, 0]
            noise += 1
    return ours


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("resolution", [4, 8, 32])
def test_every_tensor_and_the_picture(tmp_path, layout, resolution):
    torch.manual_seed(resolution)
    t, mean = rosinality_tensors(resolution), torch.randn(5)
    file = {
        "g": rosinality_tensors(resolution),
        "d": {"convs.0.0.weight": torch.randn(3)},
        "g_ema": t,
        "g_optim": {"state": {0: {"step": 3, "exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 1e-3}]},
        "args": argparse.Namespace(size=resolution),
        "ada_aug_p": 0.2,
        "latent_avg": mean,
    }
    path = tmp_path / "550000.pt"
    path.write_bytes(torch_bytes(file, **LAYOUTS[layout]))

    model = load_file(path, "cpu", torch.float64)

    state, wanted = model.generator.state_dict(), expected(t) | {"mapping.w_mean": mean}
    assert set(state) == set(wanted)
    for name, tensor in wanted.items():
        assert torch.equal(state[name], tensor.double()), name
    z = np.random.default_rng(0).standard_normal((1, 5))
    picture = reference.rosinality({k: v.double().numpy() for k, v in t.items()}, z)
    got = model.generator(model.generator.code_of(torch.from_numpy(z)))[0].numpy()
    # Demodulating after the fan-in gain gives the release's epsilon of 1e-8 more weight.
    np.testing.assert_allclose(got, picture, rtol=0, atol=2e-6 * np.abs(picture).max())


def test_the_mean_of_w_is_measured_when_it_is_not_stored(tmp_path):
    torch.manual_seed(0)
    t = rosinality_tensors(8)
    path = tmp_path / "x.pt"
    path.write_bytes(torch_bytes({"g_ema": t}))
    first, second = (load_file(path, "cpu", torch.float64).generator.mapping for _ in range(2))
    assert torch.equal(first.w_mean, second.w_mean)  # type: ignore[arg-type]
    with torch.no_grad():
        w = first(torch.randn(200_000, 5, dtype=torch.float64))
    error = (w.mean(dim=0) - first.w_mean).abs() / w.std(dim=0)
    assert error.max() < 5 / 100  # five standard errors of 10,000 samples


def test_description(tmp_path):
    (tmp_path / "x.pt").write_bytes(torch_bytes({"g_ema": rosinality_tensors(8), "d": {}}))
    about = describe(tmp_path / "x.pt")
    assert (about.kind, about.held, about.problem) == ("rosinality PyTorch file", ("g_ema", "d"), None)
    assert about.config is not None
    assert about.config.resolution == 8


def six_channels():
    return {
        k: v.repeat_interleave(2, dim=1)
        if "rgb" in k and k.endswith((".bias", "conv.weight")) and "mod" not in k
        else v
        for k, v in rosinality_tensors(8).items()
    }


def with_kernel():
    return rosinality_tensors(8) | {"convs.0.conv.blur.kernel": torch.ones(4, 4) / 4}


UNSUPPORTED = {
    "no StyleGAN2 generator, only d, args": lambda: {"d": {"x": torch.ones(1)}, "args": argparse.Namespace(size=8)},
    "no StyleGAN2 generator, only model": lambda: {"model": {}},
    "holds a torch.nn.modules.linear.Linear": lambda: torch.nn.Linear(2, 2),
    "a latent_avg of shape": lambda: {"g_ema": rosinality_tensors(8), "latent_avg": torch.ones(7)},
    "a latent_avg that is neither": lambda: {"g_ema": rosinality_tensors(8), "latent_avg": "zero"},
    "to_rgb channels=6": lambda: {"g_ema": six_channels()},
    "no StyleGAN2 generator": lambda: {"g_ema": {"weight": torch.ones(1)}},
    r"blur_kernel=\[1, 1, 1, 1\]": lambda: {"g_ema": with_kernel()},
    "unknown tensor": lambda: {"g_ema": rosinality_tensors(8) | {"convs.0.extra": torch.ones(2)}},
    "no checkpoint of a known release": lambda: [1, 2],
}


@pytest.mark.parametrize("problem", UNSUPPORTED)
def test_what_is_unsupported_is_named(tmp_path, problem):
    (tmp_path / "x.pt").write_bytes(torch_bytes(UNSUPPORTED[problem]()))
    with pytest.raises(UserError, match=problem):
        load_file(tmp_path / "x.pt", "cpu")
