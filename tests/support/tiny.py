"""Seeded random models: the smallest there is, and one whose features can be followed."""

import torch

from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.subject import Card, Model


def smallest_model(card: Card = Card("tiny"), dtype: torch.dtype = torch.float32, **config: object) -> Model:  # noqa: B008
    """8 px and four channels, unless `config` says otherwise; the mean of w is not 0."""
    torch.manual_seed(0)
    fields = {"resolution": 8, "z_dim": 4, "w_dim": 5, "channel_base": 32, "channel_max": 4, "mapping_layers": 2}
    generator = StyleGAN2Generator(GeneratorConfig(**(fields | config)))  # type: ignore[arg-type]
    generator.mapping.w_mean.normal_()
    return Model(card, generator.to(dtype).eval().requires_grad_(False))


def tiny_model(
    resolution: int = 64,
    seed: int = 0,
    channels: int = 8,
    dtype: torch.dtype = torch.float64,
    classes: int = 0,
    card: Card = Card("tiny"),  # noqa: B008
) -> Model:
    """One whose noise and biases matter, so that no two places of its features are alike; quick to step."""
    torch.manual_seed(seed)
    config = GeneratorConfig(
        resolution, z_dim=8, w_dim=8, c_dim=classes, channel_base=max(1024, 64 * channels), channel_max=channels,
        mapping_layers=2,
    )  # fmt: skip
    generator = StyleGAN2Generator(config).to(dtype).eval().requires_grad_(False)
    for layer in generator.synthesis.layers():
        layer.noise_strength.fill_(0.3)
        layer.bias.normal_(0, 0.3)
    return Model(card, generator)
