"""Wider generators draw the pictures of those that they are made from, and every new channel can learn."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from gansteer.models.code import Code
from gansteer.models.layout import Blob, Layout
from gansteer.models.spatial.config import SpatialConfig
from gansteer.models.spatial.generator import SpatialGenerator, conditioned
from gansteer.models.spatial.generator import grown as grown_spatial
from gansteer.models.spatial.generator import widened as widened_spatial
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator, grown
from gansteer.models.stylegan2.widening import widened

SHAPE: dict[str, Any] = {"z_dim": 5, "w_dim": 6, "channel_base": 64, "channel_max": 7, "mapping_layers": 2}
WIDER: dict[str, Any] = {
    "channel_base": 112,
    "channel_max": 9,
}  # 4 to 16 px: 7, 7 and 4 channels before, 9, 9 and 7 after
LAYOUT = Layout.of([Blob(3, 4, 3, (1.0, -1.0, 0.5)), Blob(11, 9, 4, (0.2, 0.4, -2.0))], 3, torch.float64)


def trained(g):
    """In float64, with values where a fresh generator has zeros."""
    with torch.no_grad():
        for name, tensor in g.double().state_dict().items():
            if name.endswith(("bias", "noise_strength", "w_mean")):
                tensor.add_(0.5 * torch.randn(tensor.shape, dtype=tensor.dtype))
    return g.eval()


def exact(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def codes(g, layout=None):
    return Code(torch.randn(2, g.config.num_ws, g.config.w_dim, dtype=torch.float64), layout=layout)


def check_gradients(g, code, small):
    """Old channels can learn to look at the new ones."""
    g.synthesize(code).square().sum().backward()
    old = dict(small.named_parameters())
    for name, p in g.named_parameters():
        if p.shape == old[name].shape or not name.endswith(".weight") or "affine" in name:
            continue
        out, inputs = old[name].shape[:2]
        if p.shape[1] > inputs:
            assert p.grad[:out, inputs:].abs().amin(dim=(0, 2, 3)).max() > 0, name


@pytest.mark.parametrize(("classes", "clamp"), [(0, None), (3, None), (0, 2.0)])
def test_a_wider_stylegan2_draws_the_same_pictures(classes, clamp):
    torch.manual_seed(0)
    small = trained(StyleGAN2Generator(GeneratorConfig(16, **SHAPE, c_dim=classes, conv_clamp=clamp)))
    big = widened(small, **WIDER)
    assert big.config == replace(small.config, **WIDER)
    code = codes(small)
    for noise in ("fixed", "none"):
        exact(big.synthesize(code, noise=noise), small.synthesize(code, noise=noise))
    exact(big.synthesize(code, resolution=8), small.synthesize(code, resolution=8))
    z, c = torch.randn(2, 5, dtype=torch.float64), torch.eye(3, dtype=torch.float64)[:2] if classes else None
    torch.testing.assert_close(big.code_of(z, c, psi=0.7).ws, small.code_of(z, c, psi=0.7).ws)
    check_gradients(big, code, small)
    with pytest.raises(ValueError, match="8 channels at 8 px are fewer than the 9"):
        widened(big, 64, 9)


@pytest.mark.parametrize("encoding", ["local", "published"])
def test_a_wider_spatial_generator_draws_the_same_pictures(encoding):
    torch.manual_seed(0)
    config = SpatialConfig(
        16, **SHAPE, blob_dim=3, style_channels=4, hidden_channels=5, encoded=8, mean_rows=2, encoding=encoding
    )
    small = trained(SpatialGenerator(config))
    big = widened_spatial(small, **WIDER)
    assert isinstance(big, SpatialGenerator)
    assert big.config == replace(config, **WIDER)
    code = codes(small, LAYOUT)
    exact(big.synthesize(code), small.synthesize(code))
    far = replace(code, layout=Layout.of([Blob(12, 2, 5, (0.0, 1.0, 3.0))], 3, torch.float64))
    assert (big.synthesize(far) - big.synthesize(code)).abs().max() > 1e-3  # blobs still say something
    exact(big.synthesize(far), small.synthesize(far))
    check_gradients(big, code, small)


def test_all_three_ways_of_growing_together():
    """Blobs, more channels and twice the resolution: what the old model drew, doubled in size."""
    torch.manual_seed(0)
    start = trained(StyleGAN2Generator(GeneratorConfig(8, **SHAPE)))
    config = SpatialConfig(8, **SHAPE, blob_dim=3, style_channels=4, hidden_channels=5, encoded=8)
    big = grown_spatial(widened_spatial(conditioned(start, config), **WIDER))
    small_code = codes(start)
    last = small_code.ws[:, -1:].expand(-1, 2, -1)
    code = Code(torch.cat([small_code.ws, last], dim=1), layout=LAYOUT)
    expected = grown(start).synthesize(Code(code.ws))
    exact(big.synthesize(code), expected)
