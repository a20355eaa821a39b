"""A tiny seeded generator, whose features can be followed."""

import torch

from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.subject import Card, Model


def tiny_model(resolution: int, seed: int = 0, channels: int = 8, dtype: torch.dtype = torch.float64) -> Model:
    """Of random weights whose noise and biases matter."""
    torch.manual_seed(seed)
    config = GeneratorConfig(resolution, z_dim=8, w_dim=8, channel_base=1024, channel_max=channels, mapping_layers=2)
    generator = StyleGAN2Generator(config).to(dtype).eval().requires_grad_(False)
    for layer in generator.synthesis.layers():
        layer.noise_strength.fill_(0.3)
        layer.bias.normal_(0, 0.3)
    return Model(Card("tiny"), generator)
