"""Both discriminators against loops and plain compositions."""

import math

import model_reference as ref
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gansteer.models.discriminator import Discriminator, minibatch_stddev
from gansteer.models.efficientnet import EfficientNetLite0
from gansteer.models.layers import Conv, Linear
from gansteer.models.projected import GroupBatchNorm, ProjectedDiscriminator, group_deviation
from gansteer.models.stylegan2.network import GeneratorConfig
from gansteer.training.losses import r1

CONFIG = GeneratorConfig(8, z_dim=4, w_dim=5, channel_base=32, channel_max=4, mapping_layers=1)
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
PRECISIONS = [
    pytest.param(device, dtype, id=f"{device}-{dtype}".replace("torch.", ""))
    for device in DEVICES
    for dtype in (torch.float32, torch.float64)
    if not (device == "mps" and dtype == torch.float64)
]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def rand(*size, seed=1):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agree(ours, reference, dtype=torch.float64):
    ours = ours.detach().cpu().double().numpy()
    assert ours.shape == reference.shape
    assert np.abs(ours - reference).max() <= TOLERANCE[dtype] * np.abs(reference).max()


def shaken(module, seed=0):
    """In float64, with no parameter left at its neutral start."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


# --- StyleGAN2's -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("device", "dtype"), PRECISIONS)
@pytest.mark.parametrize(("batch", "group"), [(1, 1), (2, 2), (4, 4), (6, 2), (8, 4)])
def test_minibatch_standard_deviation(device, dtype, batch, group):
    x = rand(batch, 3, 4, 5)
    agree(minibatch_stddev(x.to(device, dtype)), ref.minibatch_stddev(x.numpy(), group), dtype)


@pytest.mark.parametrize(("device", "dtype"), PRECISIONS)
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("clamp", [None, 0.6])
def test_convolution(device, dtype, kernel, down, clamp):
    conv = shaken(Conv(3, 4, kernel, down=down, clamp=clamp))
    x = rand(2, 3, 6, 8)
    w = {f"c.{name}": value for name, value in ref.weights(conv).items()}
    expected = np.stack([ref.conv(p, w, "c", down, gain=0.7, clamp=clamp) for p in x.numpy()])
    agree(conv.to(device, dtype)(x.to(device, dtype), gain=0.7), expected, dtype)


@pytest.mark.parametrize(("device", "dtype"), PRECISIONS)
def test_dense_layer(device, dtype):
    dense = shaken(Linear(3, 4, lr_multiplier=0.1))
    x = rand(2, 3)
    w = {f"d.{name}": value for name, value in ref.weights(dense).items()}
    agree(
        dense.to(device, dtype)(x.to(device, dtype)), np.stack([ref.dense(v, w, "d", lr=0.1) for v in x.numpy()]), dtype
    )


@pytest.mark.parametrize(("device", "dtype"), PRECISIONS)
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("clamp", [None, 0.8])
def test_discriminator(device, dtype, classes, clamp):
    config = GeneratorConfig(**{**vars(CONFIG), "c_dim": classes, "conv_clamp": clamp})
    d = shaken(Discriminator(config))
    x, labels = rand(4, 3, 8, 8), np.eye(3)[[0, 2, 2, 1]] if classes else None
    expected = ref.discriminator(ref.weights(d), x.numpy(), 8, labels, clamp)
    c = torch.tensor(labels).to(device, dtype) if classes else None
    agree(d.to(device, dtype)(x.to(device, dtype), c)[:, 0], expected, dtype)


def test_discriminator_gradient_and_r1_by_finite_differences():
    d = shaken(Discriminator(CONFIG))
    x, direction = rand(4, 3, 8, 8), rand(4, 3, 8, 8, seed=2)
    leaf = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(d(leaf).sum(), leaf)
    w, h = ref.weights(d), 1e-6
    above, below = (ref.discriminator(w, (x + s * h * direction).numpy(), 8).sum() for s in (1, -1))
    assert float((grad * direction).sum()) == pytest.approx((above - below) / (2 * h), rel=1e-6)

    def penalty():
        leaf = x.clone().requires_grad_()
        return r1(d(leaf), leaf, gamma=3.0)

    weight = d.blocks[0].conv1.weight
    (second,) = torch.autograd.grad(penalty(), weight)
    turn = rand(*weight.shape, seed=3)
    with torch.no_grad():
        weight.add_(h * turn)
    above = penalty()
    with torch.no_grad():
        weight.sub_(2 * h * turn)
    slope = float((above - penalty()).detach()) / (2 * h)
    assert float((second * turn).sum()) == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("resolution", [4, 8, 16, 32, 64, 128, 256, 512, 1024])
def test_every_resolution_is_judged(resolution):
    d = Discriminator(GeneratorConfig(resolution, w_dim=4, channel_base=1024, channel_max=4))
    assert d(torch.zeros(2, 3, resolution, resolution)).shape == (2, 1)


# --- the projected one -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("device", "dtype"), PRECISIONS)
@pytest.mark.parametrize(("batch", "group"), [(2, 2), (4, 4), (6, 2), (8, 8), (16, 8), (24, 8)])
def test_group_batch_norm(device, dtype, batch, group):
    norm = shaken(GroupBatchNorm(3))
    x = rand(batch, 3, 2, 4).numpy()
    weight, bias = norm.weight.detach().numpy(), norm.bias.detach().numpy()
    expected = np.zeros_like(x)
    apart = batch // group
    for i in range(batch):
        members = [j for j in range(batch) if j % apart == i % apart]
        assert len(members) == group
        for c in range(3):
            values = np.concatenate([x[j, c].reshape(-1) for j in members])
            expected[i, c] = (x[i, c] - values.mean()) / math.sqrt(values.var() + 1e-5) * weight[c] + bias[c]
    agree(norm.to(device, dtype)(torch.tensor(x).to(device, dtype)), expected, dtype)


def test_group_batch_norm_does_not_see_how_a_batch_is_dealt_out():
    norm, x = shaken(GroupBatchNorm(3)), rand(32, 3, 2, 2)
    joint = norm(x)
    for rank in range(2):
        torch.testing.assert_close(norm(x[rank::2]), joint[rank::2], rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def projected():
    torch.manual_seed(0)
    backbone = EfficientNetLite0()
    for name, buffer in backbone.named_buffers():
        fan = buffer[0].numel() if name.endswith("weight") else 100
        buffer.copy_(torch.randn_like(buffer) * math.sqrt(2 / fan))
    return ProjectedDiscriminator(backbone, input_size=64, width=8).double()


@pytest.mark.parametrize("size", [16, 64, 80])
def test_projected_features_are_the_plain_composition(projected, size):
    d, x = projected, rand(2, 3, size, size)
    y = x if size == 64 else F.interpolate(x, size=(64, 64), mode="bilinear", align_corners=False)
    taps = d.backbone.taps(y)

    def project(conv, v):
        return torch.einsum("oi,bihw->bohw", conv.weight[:, :, 0, 0], v) + conv.bias[:, None, None]

    expected, above = [], 0.0
    for level in (3, 2, 1, 0):  # top-down: upsample first, then the fixed 1x1 convolution, as the paper has it
        mixed = project(d.mix_channels[level], taps[level]) + above
        doubled = F.interpolate(mixed, scale_factor=2, mode="bilinear", align_corners=False)
        above = project(d.mix_levels[level], doubled)
        expected.insert(0, above)
    found = d.features(x)
    assert [tuple(f.shape[1:]) for f in found] == [(8, 32, 32), (8, 16, 16), (16, 8, 8), (32, 4, 4)]
    for ours, theirs in zip(found, expected, strict=True):
        agree(ours, theirs.detach().numpy())


def test_projected_sizes_and_what_trains():
    d = ProjectedDiscriminator(EfficientNetLite0())
    features = d.features(torch.zeros(2, 3, 32, 32))
    assert [tuple(f.shape[1:]) for f in features] == [(64, 64, 64), (64, 32, 32), (128, 16, 16), (256, 8, 8)]
    assert d.judge(features).shape == (2, 4 * 25)
    trained = {name.split(".")[0] for name, parameter in d.named_parameters() if parameter.requires_grad}
    assert trained == {"levels"}
    assert not list(d.backbone.parameters())


def test_spectral_norm_bounds_every_trained_convolution(projected):
    """After enough power iterations the largest singular value is 1, by NumPy's decomposition."""
    torch.manual_seed(1)
    d = projected
    convs = [m for m in d.levels.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convs) == sum(2 * len(level.layers) + 1 for level in d.levels)
    with torch.no_grad():
        for conv in convs:
            for _ in range(200):
                weight = conv.weight
            singular = np.linalg.svd(weight.flatten(1).numpy(), compute_uv=False)
            assert singular[0] == pytest.approx(1, abs=0.02)


def test_the_gradient_passes_the_frozen_features(projected):
    x = rand(2, 3, 64, 64).requires_grad_()
    (grad,) = torch.autograd.grad(sum(f.square().mean() for f in projected.features(x)), x)
    direction, h = rand(2, 3, 64, 64, seed=2), 1e-6
    with torch.no_grad():
        above, below = (sum(f.square().mean() for f in projected.features(x + s * h * direction)) for s in (1, -1))
    assert float((grad * direction).sum()) == pytest.approx(float(above - below) / (2 * h), rel=1e-4)


def test_group_deviation():
    x = rand(16, 2, 3, 3).numpy()
    found = group_deviation(torch.tensor(x)).numpy()
    for i in range(16):
        members = np.stack([x[j] for j in range(16) if j % 2 == i % 2])
        variance = ((members - members.mean(axis=0)) ** 2).mean(axis=0)
        np.testing.assert_allclose(found[i], np.sqrt(variance + 1e-4), rtol=1e-12)


def test_with_spread_it_sees_how_much_a_group_differs_at_every_place(projected):
    torch.manual_seed(2)
    d = ProjectedDiscriminator(projected.backbone.float(), input_size=64, width=8, spread=True).double().eval()
    x = rand(4, 3, 64, 64)
    features = d.features(x)
    for ours, plain in zip(features, ProjectedDiscriminator.features(d, x)[:4], strict=False):
        assert torch.equal(ours, plain)
    torch.testing.assert_close(features[4], x.view(4, 3, 8, 8, 8, 8).mean(dim=(3, 5)))
    for level, f in zip(d.levels, features[:4], strict=True):
        y = level.layers(f)
        side = 8 // y.shape[-1]
        colours = features[4].view(4, 3, y.shape[-1], side, y.shape[-1], side).mean(dim=(3, 5))

        def deviation(v):
            return ((v - v.mean(dim=0)).square().mean(dim=0) + 1e-4).sqrt().expand_as(v)

        seen = torch.cat([y, deviation(y).mean(dim=1, keepdim=True), colours, 2 * deviation(colours)], dim=1)
        torch.testing.assert_close(level(f, features[4]), F.conv2d(seen, level.logits.weight))  # type: ignore[arg-type]
    assert d.judge(features).shape == (4, 3 * 25 + 1)
