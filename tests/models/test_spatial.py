"""The conditioned generator against loops in float64 NumPy; what it keeps of StyleGAN2; the region engine under blobs."""

import math
from dataclasses import replace

import model_reference as ref
import numpy as np
import pytest
import torch

from gansteer.models.code import Code
from gansteer.models.layout import Blob, Layout
from gansteer.models.spatial.config import SpatialConfig
from gansteer.models.spatial.generator import SpatialGenerator, conditioned, grown
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator

CONFIG = SpatialConfig(
    16, z_dim=5, w_dim=6, channel_base=64, channel_max=7, mapping_layers=2, blob_dim=3, style_channels=4, hidden_channels=5,
    encoded=8, mean_rows=2,
)  # fmt: skip


def build(seed=0, **changes):
    """A generator in float64 whose every parameter matters."""
    torch.manual_seed(seed)
    g = SpatialGenerator(replace(CONFIG, **changes)).double()
    with torch.no_grad():
        for name, tensor in g.state_dict().items():
            if name.endswith(("bias", "noise_strength", "w_mean")):
                tensor.add_(0.5 * torch.randn(tensor.shape, dtype=tensor.dtype))
    return g.eval().requires_grad_(False)


def blob(x, y, size, present=1.0, **more):
    return Blob(x, y, size, (0.3 * x, -1.0, 0.2 * y), present, **more)


LAYOUT = [blob(3, 4, 3), blob(4, 5, 2), blob(14.5, 0, 4), blob(18, 9, 3), blob(6, 12, 0.0), blob(9, 9, 5, 0.0)]
"""Overlapping ones, on the border, beyond it, of no size, absent."""
HIERARCHY = [
    blob(8, 8, 6, level=1),
    blob(4, 6, 3, level=2, parent=0),
    blob(11, 7, 2, level=3, parent=0),
    blob(2, 13, 3),
]


def code(g, blobs=LAYOUT, seed=1):
    rng = torch.Generator().manual_seed(seed)
    ws = torch.randn(g.config.num_ws, g.config.w_dim, generator=rng, dtype=torch.float64)
    return Code(ws, layout=Layout.of(blobs, g.config.blob_dim, torch.float64))


def reference_maps(w, blobs, size, resolution):
    """`[sum_k H_k s_k, sum_k H_k]`, `[C + 1, size, size]`, of the blobs given."""
    side = resolution // size
    pixels = (2 * np.arange(resolution) + 1) / resolution - 1
    total = np.zeros((len(w["conditioning.blob_style.1.bias"]) + 1, size, size))
    for b in blobs:
        sigma = max((2 * b.size / resolution) ** 2 / math.log(2), 1e-6)
        cx, cy = ((2 * v + 1) / resolution - 1 for v in (b.x, b.y))
        h = b.present * np.exp(-((pixels[None, :] - cx) ** 2 + (pixels[:, None] - cy) ** 2) / sigma)
        h = h.reshape(size, side, size, side).mean(axis=(1, 3))
        s = ref.lrelu(ref.dense(ref.normalize(np.array(b.style)), w, "conditioning.blob_style.0"))
        s = ref.dense(s, w, "conditioning.blob_style.1")
        total += np.concatenate([s, [1.0]])[:, None, None] * h
    return total


def reference_conv(x, w, name):
    weight = w[f"{name}.weight"]
    half = weight.shape[-1] // 2
    y = ref.correlate(ref.pad(x, half, half), weight / math.sqrt(weight[0].size))
    return y + w[f"{name}.bias"][:, None, None]


def reference_local(x, maps, w, where, layer):
    h = ref.lrelu(reference_conv(maps, w, f"{where}.features"))
    both = reference_conv(h, w, f"{where}.affine.{layer}")
    return x * (1 + both[: len(x)]) + both[len(x) :]


def resized(x, size):
    """Bilinear, corners on corners."""
    if x.shape[-1] == size:
        return x
    at = np.linspace(0, x.shape[-1] - 1, size)
    low = np.minimum(np.floor(at).astype(int), x.shape[-1] - 2)
    t = at - low
    rows = x[:, low] * (1 - t)[None, :, None] + x[:, low + 1] * t[None, :, None]
    return rows[:, :, low] * (1 - t) + rows[:, :, low + 1] * t


def reference_published(x, maps, w, where, layer):
    h = ref.lrelu(reference_conv(ref.lrelu(reference_conv(maps, w, f"{where}.first")), w, f"{where}.second"))
    a = ref.lrelu(reference_conv(resized(h * math.sqrt(0.5), x.shape[-1]), w, f"{where}.shared.{layer}"))
    g, b = reference_conv(a, w, f"{where}.affine.{layer}")
    mean, variance = x.mean(axis=(1, 2), keepdims=True), x.var(axis=(1, 2), keepdims=True)
    y = (x - mean) / np.sqrt(variance + 1e-5) * (1 + g) + b
    return x + 0.1 * reference_conv(np.where(y > 0, y, 0.2 * y), w, f"{where}.branch.{layer}")


def reference(g, of, stop=None):
    config, w = g.config, ref.weights(g.synthesis)
    ws, x, image, row = of.ws.numpy(), w["constant"], None, 0
    for n, r in enumerate(config.block_resolutions):
        where = f"conditioning.encodings.b{r}"
        level = {4: 1, 8: 2, 16: 3}.get(r)
        seen = [b for b in of.layout.blobs if b.level in (0, level) or level is None]
        maps = reference_maps(w, seen, r, config.resolution)
        on = r <= config.encoded and config.encoding != "none"
        for conv in ("conv0", "conv1"):
            place = f"blocks.{n}.convs.{conv}"
            if f"{place}.weight" not in w:
                continue
            if on and config.encoding == "published":
                x = reference_published(x, maps, w, where, f"b{r}_{conv}")
            style = ref.dense(ws[row], w, f"{place}.affine")
            noise = w[f"{place}.noise_fixed"] if config.noise else None
            x = ref.layer(x, w, place, style, noise, conv == "conv0")
            if on and config.encoding == "local":
                x = reference_local(x, maps, w, where, f"b{r}_{conv}")
            row += 1
            if stop == f"b{r}.{conv}":
                return x
        place = f"blocks.{n}.torgb"
        coloured = reference_published(x, maps, w, where, f"b{r}_torgb") if on and config.encoding == "published" else x
        rgb = ref.to_rgb(coloured, w, place, ref.dense(ws[row], w, f"{place}.affine"))
        image = rgb if image is None else ref.upsample(image) + rgb
    return image


@pytest.mark.parametrize("encoding", ["local", "published", "none"])
@pytest.mark.parametrize("blobs", [LAYOUT, LAYOUT[:1], [], HIERARCHY], ids=["six", "one", "none", "hierarchy"])
def test_pictures_are_those_of_the_equations(encoding, blobs):
    g = build(encoding=encoding, noise=encoding != "local")
    of = code(g, blobs)
    expected = reference(g, of)
    assert np.abs(g.synthesize(of)[0].numpy() - expected).max() < 1e-10 * np.abs(expected).max()


@pytest.mark.parametrize("encoding", ["local", "published"])
def test_features_are_those_of_the_equations(encoding):
    g = build(encoding=encoding)
    of = code(g)
    for layer in ("b4.conv1", "b8.conv0", "b16.conv1"):
        expected = reference(g, of, stop=layer)
        found = g.features(of, [layer])[layer][0].numpy()
        assert np.abs(found - expected).max() < 1e-10 * np.abs(expected).max()
    with pytest.raises(ValueError, match=r"no layer 'b99'"):
        g.features(of, ["b99"])


def test_a_batch_is_its_pictures_one_by_one():
    g = build()
    codes = [code(g, LAYOUT, 1), code(g, LAYOUT[:2], 2), code(g, [], 3)]
    together = g.synthesize(Code.batch(codes))
    torch.testing.assert_close(together, torch.cat([g.synthesize(each) for each in codes]))


def test_absent_blobs_and_their_order_do_not_matter():
    g = build()
    picture = g.synthesize(code(g))
    torch.testing.assert_close(g.synthesize(code(g, LAYOUT[:-1])), picture)
    torch.testing.assert_close(g.synthesize(code(g, LAYOUT[::-1])), picture)
    assert (g.synthesize(code(g, LAYOUT[1:])) - picture).abs().max() > 1e-3


@pytest.mark.parametrize("encoding", ["local", "published"])
def test_gradients_of_the_layout_are_finite_differences(encoding):
    g = build(encoding=encoding)
    of = code(g, LAYOUT[:4])
    parts = [
        x.clone().requires_grad_() for x in (of.layout.centres, of.layout.sizes, of.layout.styles, of.layout.present)
    ]

    def energy(*each):
        return g.synthesize(Code(of.ws, layout=Layout(*each, of.layout.levels, of.layout.parents))).square().sum()  # type: ignore[call-arg]

    assert torch.autograd.gradcheck(energy, parts, rtol=1e-4)


@pytest.mark.parametrize("encoding", ["local", "published"])
def test_it_begins_with_the_pictures_of_a_trained_stylegan2(encoding):
    torch.manual_seed(0)
    shape = {"z_dim": 5, "w_dim": 6, "channel_base": 64, "channel_max": 7, "mapping_layers": 2}
    start = StyleGAN2Generator(GeneratorConfig(16, **shape)).double().eval()
    g = conditioned(start, replace(CONFIG, encoding=encoding))
    ws = code(g).ws
    torch.testing.assert_close(g.synthesize(code(g)), start.synthesize(Code(ws)), rtol=1e-12, atol=1e-12)
    g.synthesize(code(g)).square().sum().backward()
    name = "affine.b8_conv1.weight" if encoding == "local" else "branch.b8_conv1.weight"
    assert g.get_parameter(f"synthesis.conditioning.encodings.b8.{name}").grad.abs().max() > 0  # and can learn
    with pytest.raises(ValueError, match="another shape"):
        conditioned(start, replace(CONFIG, channel_max=5))
    with pytest.raises(ValueError, match="noise"):
        conditioned(start, replace(CONFIG, noise=False))


def test_a_grown_generator_draws_the_small_pictures_upsampled():
    small = build(resolution=8, encoded=8)
    big = grown(small)
    blobs = [blob(3, 4, 3), blob(6, 1, 2)]
    doubled = [replace(b, x=2 * b.x + 0.5, y=2 * b.y + 0.5, size=2 * b.size) for b in blobs]
    of = code(small, blobs)
    ws = torch.cat([of.ws, of.ws[-1:].expand(2, -1)])
    image = big.synthesize(Code(ws, layout=Layout.of(doubled, 3, torch.float64)))
    expected = ref.upsample(small.synthesize(of)[0].numpy())
    # The cells of its heatmaps are means over four times as many places.
    assert np.abs(image[0].detach().numpy() - expected).max() < 0.05 * np.abs(expected).max()


def test_new_pictures_take_their_layout_after_z_and_the_mean_in_the_first_rows():
    g = build()
    rng = torch.Generator().manual_seed(3)
    drawn = g.sample_code(torch.Generator().manual_seed(3))
    z = g.sample_z(1, rng)
    assert drawn.layout.blobs == g.sample_layout(1, rng)[0].blobs
    torch.testing.assert_close(drawn.ws[:2], g.mean_w().expand(2, -1))
    torch.testing.assert_close(drawn.ws[2:], g.map(z)[0, 2:])
    g.check(drawn)
    assert len(g.mean_code().layout) == 0
    g.check(g.mean_code())
    g.synthesize(g.mean_code())


def test_a_code_that_does_not_fit_says_why():
    g = build()
    with pytest.raises(ValueError, match="layout"):
        g.check(Code(code(g).ws))
    with pytest.raises(ValueError, match="style has 3 numbers"):
        g.check(Code(code(g).ws, layout=Layout.of([Blob(1, 1, 1, (1.0,))], 1)))


@pytest.mark.parametrize("layer", ["b4.conv1", "b8.conv1", "b16.conv0", "b16.conv1"])
def test_the_region_engine_sees_what_blobs_do(layer):
    g = build()
    of = code(g)
    styles = {name: x.requires_grad_() for name, x in g.styles(of).items()}
    dense = g.features(of, [layer], styles=styles)[layer][0]  # [C, r, r]
    need = torch.rand(dense.shape[1:], generator=torch.Generator().manual_seed(0)) < 0.2
    need[0, 0] = True
    weight = torch.randn(int(need.sum()), len(dense), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = dense[:, need].t()
    own = [name for name in styles if name in {spec.name for spec in g.convolutions}]
    own = own[: own.index(layer) + 1]
    wanted = torch.autograd.grad((expected * weight).sum(), [styles[name] for name in own])
    table = g.local_features(layer, of)(styles, need)
    torch.testing.assert_close(table[:-1], expected)
    assert (table[-1] == 0).all()
    found = torch.autograd.grad((table[:-1] * weight).sum(), [styles[name] for name in own])
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_the_published_encoding_has_no_region_engine():
    g = build(encoding="published")
    assert g.local_features("b8.conv1", code(g)) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoding": "global"}, "encoding must be one of"),
        ({"law": "poisson"}, "law of layouts"),
        ({"blobs": 1000}, "from 0 to 64"),
        ({"blobs": -1}, "from 0 to 64"),
        ({"drop": 1.5}, "probability"),
        ({"radius_low": 0.5, "radius_high": 0.4}, "rising"),
        ({"top": 0.9, "bottom": 0.1}, "rising shares"),
        ({"mean_rows": 99}, "mean_rows"),
        ({"blob_dim": 0}, "blob_dim"),
    ],
)
def test_a_bad_configuration_says_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **changes)
