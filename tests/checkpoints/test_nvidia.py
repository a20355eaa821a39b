"""NVIDIA's PyTorch pickles: every tensor, and the picture against the release's own convention in float64."""

import re

import checkpoint_reference as reference
import numpy as np
import pytest
import torch
from checkpoint_files import (
    FILTER,
    HARMFUL_SOURCE,
    Persistent,
    dump_nvidia,
    nvidia_discriminator,
    nvidia_generator,
    persistent,
)

from gansteer.checkpoints.files import describe, load_file
from gansteer.errors import UserError

NAMES = [  # theirs, ours
    (r"mapping\.w_avg", r"mapping.w_mean"),
    (r"mapping\.fc(\d+)\.(weight|bias)", r"mapping.layers.\1.\2"),
    (r"mapping\.embed\.(weight|bias)", r"mapping.embed.\1"),
    (r"synthesis\.b4\.const", r"synthesis.constant"),
    (r"synthesis\.b(\d+)\.(conv.)\.noise_const", r"synthesis.blocks.\1.convs.\2.noise_fixed"),
    (r"synthesis\.b(\d+)\.(conv.)\.(.*)", r"synthesis.blocks.\1.convs.\2.\3"),
    (r"synthesis\.b(\d+)\.torgb\.(.*)", r"synthesis.blocks.\1.torgb.\2"),
]


def our_name(theirs):
    ours = next(re.sub(pattern, new, theirs) for pattern, new in NAMES if re.fullmatch(pattern, theirs))
    return re.sub(r"blocks\.(\d+)", lambda m: f"blocks.{int(m[1]).bit_length() - 3}", ours)


def arrays_of(network):
    return {k: v.double().numpy() for k, v in network.state_dict().items() if not k.endswith("resample_filter")}


CONFIGS = [
    {"resolution": 32},
    {"resolution": 8, "c_dim": 3, "depth": 1, "clamp": 0.7},
    {"resolution": 4, "maximum": 3, "z_dim": 9},
    {"resolution": 16, "base": 100, "maximum": 512},
]


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_every_tensor_and_the_picture(tmp_path, config, protocol):
    torch.manual_seed(0)
    network = nvidia_generator(**config)
    path = tmp_path / "anything.bin"
    dump_nvidia(path, protocol, G=nvidia_generator(**config), D=nvidia_discriminator(), G_ema=network)

    model = load_file(path, "cpu", torch.float64)

    arrays, state = arrays_of(network), model.generator.state_dict()
    assert {our_name(k) for k in arrays} == set(state)
    for name, array in arrays.items():
        np.testing.assert_array_equal(state[our_name(name)].numpy(), array, err_msg=name)
    z = np.random.default_rng(1).standard_normal((1, model.generator.config.z_dim))
    c = np.eye(3)[[1]] if config.get("c_dim") else None
    wanted = reference.nvidia(arrays, z, c, config.get("clamp"), psi=0.7)
    label = None if c is None else torch.from_numpy(c)
    got = model.generator(model.generator.code_of(torch.from_numpy(z), label, psi=0.7))[0].numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-10 * np.abs(wanted).max())
    assert not any(p.requires_grad for p in model.generator.parameters())
    assert not model.generator.training


def test_clamping_changes_the_picture(tmp_path):
    """So that the comparison above means something for the clamp."""
    torch.manual_seed(0)
    network = nvidia_generator(resolution=8, c_dim=3, depth=1, clamp=0.7)
    z, c = np.ones((1, 6)), np.eye(3)[[1]]
    a, b = (reference.nvidia(arrays_of(network), z, c, clamp) for clamp in (0.7, None))
    assert np.abs(a - b).max() > 0.1


def test_embedded_source_is_never_run(tmp_path, monkeypatch):
    canary = tmp_path / "canary"
    monkeypatch.setattr(Persistent, "source", HARMFUL_SOURCE.format(canary=canary))
    dump_nvidia(tmp_path / "x.pkl", G_ema=nvidia_generator())
    load_file(tmp_path / "x.pkl", "cpu")
    assert not canary.exists()


def test_memory_formats_and_half_precision(tmp_path):
    torch.manual_seed(0)
    network = nvidia_generator(resolution=8)
    network.synthesis.b8.conv1.weight.data = network.synthesis.b8.conv1.weight.data.to(
        memory_format=torch.channels_last
    )
    network.synthesis.b8.conv0.weight.data = network.synthesis.b8.conv0.weight.data.half()
    dump_nvidia(tmp_path / "x.pkl", G_ema=network)
    state = load_file(tmp_path / "x.pkl", "cpu").generator.state_dict()
    for conv in ("conv0", "conv1"):
        tensor = state[f"synthesis.blocks.1.convs.{conv}.weight"]
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, getattr(network.synthesis.b8, conv).weight.data.float())


def test_a_generator_alone_in_the_file(tmp_path):
    dump_nvidia(tmp_path / "x.pkl", G=nvidia_generator(resolution=8))
    assert load_file(tmp_path / "x.pkl", "cpu").resolution == 8


def test_description(tmp_path):
    path = tmp_path / "net.pkl"
    dump_nvidia(path, G=nvidia_generator(), D=nvidia_discriminator(), G_ema=nvidia_generator(resolution=8))
    about = describe(path)
    assert about.kind == "NVIDIA PyTorch pickle"
    assert about.held == ("G (Generator)", "D (Discriminator)", "G_ema (Generator)")
    assert about.config is not None
    assert (about.config.resolution, about.config.channel_base, about.config.channel_max) == (8, 64, 6)  # type: ignore[attr-defined]
    assert (about.size, about.problem) == (path.stat().st_size, None)


def stylegan3():
    g = persistent("Generator")
    g.synthesis, g.mapping = persistent("SynthesisNetwork"), persistent("MappingNetwork")
    g.synthesis.input = persistent("SynthesisInput")
    g.synthesis.input.register_buffer("freqs", torch.zeros(4, 2))
    return g


def with_odd(change):
    g = nvidia_generator(resolution=8)
    change(g)
    return g


UNSUPPORTED = {
    "discriminator (Discriminator) where a generator": {"G_ema": nvidia_discriminator()},
    "holds no generator, only D (Discriminator)": {"D": nvidia_discriminator()},
    "StyleGAN3": {"G_ema": stylegan3()},
    "architecture": {"G_ema": nvidia_generator(architecture="orig")},
    "resample_filter=[1, 1, 1, 1]": {"G_ema": nvidia_generator(taps=torch.ones(4, 4) / 16)},
    "resample_filter=[1, 2, 1]": {"G_ema": nvidia_generator(taps=torch.tensor([1.0, 2, 1]).outer(torch.tensor([1.0, 2, 1])) / 16)},
    "kernel_size=5": {"G_ema": nvidia_generator(kernel=5)},
    "embed_features=4": {"G_ema": nvidia_generator(c_dim=2, embed=4)},
    "layer_features=7": {"G_ema": nvidia_generator(hidden=7)},
    "img_channels=6": {"G_ema": nvidia_generator(image=6)},
    "draws pictures of 8 x 16 px (width x height)": {"G_ema": nvidia_generator(aspect=(2, 1))},
    "needs torch.nn.modules.activation.Tanh": {"G_ema": with_odd(lambda g: setattr(g.synthesis, "last", torch.nn.Tanh()))},
    "class 'Classifier'": {"G_ema": persistent("Classifier")},
    "unknown tensor": {"G_ema": with_odd(lambda g: g.synthesis.b8.register_buffer("attention", FILTER))},
    "activation=relu": {"G_ema": with_odd(lambda g: setattr(g.synthesis.b8.conv0, "activation", "relu"))},
    "lr_multiplier=1.0": {"G_ema": with_odd(lambda g: setattr(g.mapping.fc0, "bias_gain", 1.0))},
    "clamps its layers differently": {"G_ema": with_odd(lambda g: setattr(g.synthesis.b8.conv0, "conv_clamp", 3))},
    "not finite": {"G_ema": with_odd(lambda g: g.mapping.fc0.weight.data.fill_(float("nan")))},
    "of shape [5, 7]": {"G_ema": with_odd(lambda g: setattr(g.mapping.fc1, "weight", torch.nn.Parameter(torch.ones(5, 7))))},
    "lacks": {"G_ema": with_odd(lambda g: delattr(g.synthesis.b8.conv0, "noise_const"))},
}  # fmt: skip


@pytest.mark.parametrize("problem", UNSUPPORTED)
def test_what_is_unsupported_is_named(tmp_path, problem):
    path = tmp_path / "x.pkl"
    dump_nvidia(path, **UNSUPPORTED[problem])
    with pytest.raises(UserError, match=re.escape(problem)) as caught:
        load_file(path, "cpu")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
