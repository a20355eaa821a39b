"""The generator against loops in float64 NumPy, and its gradients against finite differences."""

from dataclasses import replace

import model_reference as ref
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gansteer.models.code import Code
from gansteer.models.layers import blur, blur_downsample, normalize_second_moment, upsample
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator, grown
from gansteer.models.stylegan2.network import demodulation, up_convolution

CONFIG = GeneratorConfig(16, z_dim=5, w_dim=6, channel_base=64, channel_max=7, mapping_layers=3)
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
PRECISIONS = [
    pytest.param(device, dtype, id=f"{device}-{dtype}".replace("torch.", ""))
    for device in DEVICES
    for dtype in (torch.float32, torch.float64)
    if not (device == "mps" and dtype == torch.float64)
]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def build(config=CONFIG, seed=0):
    """A generator in float64 whose every parameter matters (biases, noise strengths and w_mean are zero at first)."""
    torch.manual_seed(seed)
    g = StyleGAN2Generator(config).double()
    with torch.no_grad():
        for name, tensor in g.state_dict().items():
            if name.endswith(("bias", "noise_strength", "w_mean")):
                tensor.add_(0.5 * torch.randn(tensor.shape, dtype=tensor.dtype))
    return g.eval().requires_grad_(False)


def rand(*size, seed=1):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agree(ours, reference, dtype=torch.float64):
    """Equal relative to the largest value."""
    ours = ours.detach().cpu().double().numpy()
    assert ours.shape == reference.shape
    assert np.abs(ours - reference).max() <= TOLERANCE[dtype] * np.abs(reference).max()


# --- the parts, each alone ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("device", "dtype"), PRECISIONS)
def test_filters(device, dtype):
    x = rand(2, 3, 5, 6)
    ours = x.to(device, dtype)
    agree(upsample(ours), np.stack([ref.upsample(p) for p in x.numpy()]), dtype)
    agree(blur(ours, gain=2.0), np.stack([ref.fir(p, gain=2) for p in x.numpy()]), dtype)
    even = rand(2, 3, 6, 8)
    agree(blur_downsample(even.to(device, dtype)), np.stack([ref.downsample(p) for p in even.numpy()]), dtype)
    for padding in range(4):
        padded = np.stack([ref.fir(ref.pad(p, padding, padding)) for p in x.numpy()])
        agree(blur(ours, padding=padding), padded, dtype)


def test_filter_gradients():
    x = rand(1, 2, 4, 5).requires_grad_()
    for padding in range(4):
        assert torch.autograd.gradcheck(lambda x, n=padding: blur(x, 1.5, n), x)
        assert torch.autograd.gradgradcheck(lambda x, n=padding: blur(x, 1.5, n), x)
    assert torch.autograd.gradcheck(upsample, x)


@pytest.mark.parametrize(("device", "dtype"), PRECISIONS)
def test_up_convolution(device, dtype):
    x, w = rand(2, 3, 4, 5), rand(4, 3, 3, 3, seed=2)
    expected = np.stack([ref.up_convolution(p, w.numpy()) for p in x.numpy()])
    agree(up_convolution(x.to(device, dtype), w.to(device, dtype)), expected, dtype)


def test_up_convolution_gradients():
    x, w = rand(1, 2, 3, 4).requires_grad_(), rand(3, 2, 3, 3, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(up_convolution, (x, w))
    assert torch.autograd.gradgradcheck(up_convolution, (x, w))


@pytest.mark.parametrize(("device", "dtype"), PRECISIONS)
def test_demodulation(device, dtype):
    s, w = rand(2, 3), rand(4, 3, 3, 3, seed=2)
    d = demodulation(s.to(device, dtype), w.to(device, dtype).square().sum(dim=(2, 3)))
    expected = np.zeros((2, 4))
    for b in range(2):
        for o in range(4):
            expected[b, o] = 1 / np.sqrt(((w[o] * s[b, :, None, None]).numpy() ** 2).sum() + 1e-8)
    agree(d, expected, dtype)


def test_normalisation_divides_by_the_root_mean_square():
    x = rand(3, 5)
    agree(normalize_second_moment(x), np.stack([ref.normalize(row) for row in x.numpy()]))


# --- mapping -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("device", "dtype"), PRECISIONS)
@pytest.mark.parametrize("classes", [0, 3])
def test_mapping(device, dtype, classes):
    g = build(replace(CONFIG, c_dim=classes))
    w = ref.weights(g.mapping)
    z = rand(2, CONFIG.z_dim)
    labels = np.eye(3)[[2, 0]] if classes else [None, None]
    expected = np.stack([ref.mapping(w, z[i].numpy(), labels[i]) for i in range(2)])
    c = torch.tensor(labels).to(device, dtype) if classes else None
    ours = g.to(device, dtype).map(z.to(device, dtype), c)
    assert ours.shape == (2, CONFIG.num_ws, CONFIG.w_dim)
    for row in range(CONFIG.num_ws):
        agree(ours[:, row], expected, dtype)


def test_a_conditional_mapping_asks_for_its_label():
    with pytest.raises(ValueError, match="3 classes"):
        build(replace(CONFIG, c_dim=3)).map(rand(1, CONFIG.z_dim))


@pytest.mark.parametrize("psi", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("cutoff", [None, 0, 2])
def test_truncation(psi, cutoff):
    g = build()
    z = rand(2, CONFIG.z_dim)
    w = g.mapping(z)
    ws = g.map(z, psi=psi, cutoff=cutoff)
    for row in range(CONFIG.num_ws):
        cut = cutoff is None or row < cutoff
        expected = g.mapping.w_mean + psi * (w - g.mapping.w_mean) if cut else w
        agree(ws[:, row], expected.numpy())


# --- synthesis -----------------------------------------------------------------------------------------------------------


def some_ws(g, batch=2):
    """w+ with other values in every row, so that a row fed to the wrong layer shows."""
    return 0.7 * rand(batch, g.config.num_ws, g.config.w_dim, seed=3)


def some_noise(g, batch):
    return {layer.name: rand(batch, 1, layer.resolution, layer.resolution, seed=i) for i, layer in enumerate(g.synthesis.layers())}  # fmt: skip


@pytest.mark.parametrize(("device", "dtype"), PRECISIONS)
@pytest.mark.parametrize("clamp", [None, 1.3])
def test_pictures(device, dtype, clamp):
    g = build(replace(CONFIG, conv_clamp=clamp))
    ws, w = some_ws(g), ref.weights(g.synthesis)
    expected = np.stack([ref.synthesis(w, p, 16, clamp=clamp) for p in ws.numpy()])
    agree(g.to(device, dtype).synthesize(Code(ws.to(device, dtype))), expected, dtype)


def test_the_clamp_of_that_test_is_felt():
    g = build(replace(CONFIG, conv_clamp=1.3))
    w, ws = ref.weights(g.synthesis), some_ws(g)[0].numpy()
    assert np.abs(ref.synthesis(w, ws, 16, clamp=1.3) - ref.synthesis(w, ws, 16)).max() > 0.1


@pytest.mark.parametrize("stop", ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"])
@pytest.mark.parametrize(("device", "dtype"), PRECISIONS)
def test_features_after_each_layer(device, dtype, stop):
    g = build()
    ws, w = some_ws(g), ref.weights(g.synthesis)
    expected = np.stack([ref.synthesis(w, p, 16, stop=stop) for p in ws.numpy()])
    found = g.to(device, dtype).features(Code(ws.to(device, dtype)), [stop])
    assert list(found) == [stop]
    agree(found[stop], expected, dtype)


def test_features_stop_after_the_last_layer_asked_for():
    g = build()
    for layer in g.synthesis.layers():
        if layer.resolution == 16:
            layer.weight.fill_(float("nan"))  # would spoil whatever touched it
    found = g.features(Code(some_ws(g)), ["b8.conv1", "b4.conv1"])
    assert sorted(found) == ["b4.conv1", "b8.conv1"]
    assert all(value.isfinite().all() for value in found.values())


def test_unknown_layers_are_named():
    g = build()
    with pytest.raises(ValueError, match=r"no layer 'b32.conv0'.*b16.conv1"):
        g.features(Code(some_ws(g)), ["b32.conv0"])
    with pytest.raises(ValueError, match=r"no layer 'b4.conv0'"):
        g.styles(Code(some_ws(g), {"b4.conv0": rand(7)}))
    with pytest.raises(ValueError, match=r"w\+ must be \[6, 6\]"):
        g.synthesize(Code(rand(1, 5, 6)))


def test_offsets_in_style_space():
    g = build()
    ws, w = some_ws(g), ref.weights(g.synthesis)
    offsets = {"b8.conv0": rand(2, 7, seed=4), "b8.torgb": rand(1, 7, seed=5), "b16.conv1": rand(2, 4, seed=6)}
    expected = [
        ref.synthesis(w, ws[i].numpy(), 16, offsets={k: v[i % len(v)].numpy() for k, v in offsets.items()})
        for i in range(2)
    ]
    agree(g.synthesize(Code(ws, offsets)), np.stack(expected))


def test_noise_fixed_none_random_and_given():
    g = build()
    ws, w = some_ws(g), ref.weights(g.synthesis)
    agree(g.synthesize(Code(ws), noise="none"), np.stack([ref.synthesis(w, p, 16, noise=None) for p in ws.numpy()]))

    maps = some_noise(g, 2)
    waiting = iter(maps.values())
    given = g.synthesize(Code(ws), noise=lambda batch, resolution: next(waiting))
    each = [{name: field[i, 0].numpy() for name, field in maps.items()} for i in range(2)]
    agree(given, np.stack([ref.synthesis(w, ws[i].numpy(), 16, noise=each[i]) for i in range(2)]))

    torch.manual_seed(7)
    drawn = g.synthesize(Code(ws), noise="random")
    torch.manual_seed(7)
    fresh = [
        torch.randn(2, 1, layer.resolution, layer.resolution, dtype=torch.float64) for layer in g.synthesis.layers()
    ]
    names = [layer.name for layer in g.synthesis.layers()]
    each = [{name: field[i, 0].numpy() for name, field in zip(names, fresh, strict=True)} for i in range(2)]
    agree(drawn, np.stack([ref.synthesis(w, ws[i].numpy(), 16, noise=each[i]) for i in range(2)]))


def test_calling_a_layer_changes_none_of_its_arguments():
    g = build()
    layer = next(layer for layer in g.synthesis.layers() if layer.up)
    x, style, noise = rand(1, 7, 4, 4), rand(1, 7, seed=2), rand(8, 8, seed=3)
    before = [t.clone() for t in (x, style, noise)]
    layer(x, style, noise)
    assert all(torch.equal(a, b) for a, b in zip(before, (x, style, noise), strict=True))
    constant = g.synthesis.constant.clone()
    g.synthesize(Code(some_ws(g)))
    assert torch.equal(constant, g.synthesis.constant)


@pytest.mark.parametrize("clamp", [None, 1.3])
@pytest.mark.parametrize("window", [(0, 0, 5, 4), (3, 2, 8, 8), (2, 3, 4, 7), (0, 0, 8, 8)])
def test_a_window_equals_the_crop_of_the_whole(window, clamp):
    """Windows with one neighbour on each side, zeros where the picture ends."""
    g = build(replace(CONFIG, conv_clamp=clamp))
    top, left, bottom, right = window
    for layer in g.synthesis.layers():
        if layer.name not in ("b8.conv1", "b16.conv0"):
            continue
        x, style = rand(1, 7, 8, 8), rand(1, 7, seed=2)
        field = F.pad(x, (1, 1, 1, 1))[:, :, top : bottom + 2, left : right + 2]
        k = 2 if layer.up else 1
        noise = layer.noise_fixed[k * top : k * bottom, k * left : k * right]
        whole = layer(x, style, layer.noise_fixed)
        part = layer(field, style, noise, energy=layer.energy(), halo=True)
        agree(part, whole[:, :, k * top : k * bottom, k * left : k * right].numpy())


# --- gradients -----------------------------------------------------------------------------------------------------------


def central_difference(f, x, direction, h=1e-6):
    return float(f(x + h * direction) - f(x - h * direction)) / (2 * h)


@pytest.mark.parametrize("clamp", [None, 1.3])
def test_gradient_to_w_by_finite_differences_of_the_reference(clamp):
    g = build(replace(CONFIG, conv_clamp=clamp))
    w, ws = ref.weights(g.synthesis), some_ws(g, 1)
    cotangent = rand(3, 16, 16, seed=8)
    leaf = ws.clone().requires_grad_()
    (grad,) = torch.autograd.grad((g.synthesize(Code(leaf))[0] * cotangent).sum(), leaf)
    for seed in range(3):
        direction = rand(*ws.shape[1:], seed=20 + seed).numpy()
        expected = central_difference(
            lambda p: (ref.synthesis(w, p, 16, clamp=clamp) * cotangent.numpy()).sum(), ws[0].numpy(), direction
        )
        assert float((grad[0].numpy() * direction).sum()) == pytest.approx(expected, rel=1e-6)


def test_gradients_to_every_parameter_offset_and_noise_by_finite_differences():
    g = build().requires_grad_(True)
    ws, cotangent = some_ws(g), rand(2, 3, 16, 16, seed=8)
    offset = torch.zeros(1, 7, dtype=torch.float64)

    def value():
        return (g.synthesize(Code(ws, {"b8.conv0": offset})) * cotangent).sum()

    fields = {f"noise {layer.name}": layer.noise_fixed.requires_grad_() for layer in g.synthesis.layers()}
    tensors = {**dict(g.synthesis.named_parameters()), **fields, "offset": offset.requires_grad_()}
    grads = torch.autograd.grad(value(), list(tensors.values()))
    for i, ((name, tensor), grad) in enumerate(zip(tensors.items(), grads, strict=True)):
        direction = rand(*tensor.shape, seed=30 + i)
        with torch.no_grad():
            h = 1e-6
            tensor.add_(h * direction)
            above = value()
            tensor.sub_(2 * h * direction)
            slope = (above - value()) / (2 * h)
            tensor.add_(h * direction)
        assert float((grad * direction).sum()) == pytest.approx(float(slope), rel=1e-5, abs=1e-5), name


def test_second_derivatives_of_a_layer():
    """Path length regularisation differentiates the gradient."""
    g = build(replace(CONFIG, channel_max=2))
    for layer in list(g.synthesis.layers())[:2]:
        x = rand(1, 2, 4, 4).requires_grad_()
        style = rand(1, 2, seed=2).requires_grad_()
        assert torch.autograd.gradgradcheck(lambda x, s, layer=layer: layer(x, s, layer.noise_fixed), (x, style))


def test_the_gradient_of_the_mapping_by_finite_differences():
    g = build()
    z = rand(1, CONFIG.z_dim).requires_grad_()
    (grad,) = torch.autograd.grad(g.mapping(z).square().sum(), z)
    direction = rand(1, CONFIG.z_dim, seed=9)
    slope = central_difference(lambda p: g.mapping(p).square().sum(), z.detach(), direction)
    assert float((grad * direction).sum()) == pytest.approx(slope, rel=1e-6)


# --- shapes and growing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resolution", "rows", "channels"),
    [
        (4, 2, [512]), (8, 4, [512, 512]), (16, 6, [512] * 3), (32, 8, [512] * 4), (64, 10, [512] * 5),
        (128, 12, [512] * 5 + [256]), (256, 14, [512] * 5 + [256, 128]), (512, 16, [512] * 5 + [256, 128, 64]),
        (1024, 18, [512] * 5 + [256, 128, 64, 32]),
    ],
)  # fmt: skip
def test_the_papers_widths(resolution, rows, channels):
    config = GeneratorConfig(resolution)
    assert config.num_ws == rows
    with torch.device("meta"):
        g = StyleGAN2Generator(config)
    blocks = list(g.synthesis.each_block())
    assert [block.resolution for block in blocks] == [2**i for i in range(2, 2 + len(channels))]
    assert [block.torgb.in_channels for block in blocks] == channels
    above = [512, *channels]
    for block, before, here in zip(blocks, above, channels, strict=False):
        shapes = [tuple(layer.weight.shape) for layer in block.layers()]
        assert shapes == ([(here, before, 3, 3)] if block.resolution > 4 else []) + [(here, here, 3, 3)]
    used = sorted([layer.latent_index for layer in g.synthesis.layers()] + [blocks[-1].torgb.latent_index])
    assert used == list(range(rows))  # every row drives one convolution, the last one the last toRGB


@pytest.mark.parametrize("resolution", [4, 8, 16, 32, 64, 128, 256, 512, 1024])
def test_every_resolution_draws(resolution):
    torch.manual_seed(0)
    config = GeneratorConfig(resolution, z_dim=4, w_dim=4, channel_base=1024, channel_max=4, mapping_layers=1)
    generator = StyleGAN2Generator(config)
    picture = generator(generator.code_of(torch.randn(1, 4)))
    assert picture.shape == (1, 3, resolution, resolution)
    assert picture.isfinite().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 48}, "power of two"),
        ({"resolution": 2048}, "power of two"),
        ({"w_dim": 0}, "w_dim"),
        ({"c_dim": -1}, "c_dim"),
        ({"channel_base": 8}, "no channel at 16"),
    ],
)
def test_impossible_shapes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **change)


@pytest.mark.parametrize("classes", [0, 3])
def test_a_grown_generator_draws_the_upsampled_picture(classes):
    small = build(replace(CONFIG, channel_base=128, c_dim=classes))
    big = grown(small).double()
    assert big.config == replace(small.config, resolution=32)
    z, c = rand(2, CONFIG.z_dim), torch.eye(3, dtype=torch.float64)[:2] if classes else None
    expected = np.stack([ref.upsample(p.detach().numpy()) for p in small(small.code_of(z, c, psi=0.8))])
    agree(big(big.code_of(z, c, psi=0.8)), expected)
    assert all(p.requires_grad for p in big.parameters())


def test_a_smaller_picture_is_what_the_layers_up_to_there_make():
    """It is what a smaller model with the same weights draws."""
    torch.manual_seed(0)
    whole = StyleGAN2Generator(GeneratorConfig(resolution=32, z_dim=8, w_dim=8, channel_base=128, channel_max=16))
    part = StyleGAN2Generator(GeneratorConfig(resolution=16, z_dim=8, w_dim=8, channel_base=128, channel_max=16))
    part.load_state_dict(whole.state_dict(), strict=False)
    ws = torch.randn(2, whole.config.num_ws, 8)
    assert torch.equal(whole.synthesize(Code(ws), resolution=16), part.synthesize(Code(ws[:, : part.config.num_ws])))
    assert torch.equal(whole.synthesize(Code(ws), resolution=32), whole.synthesize(Code(ws)))
