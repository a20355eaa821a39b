"""A tiny model whose pictures vary, and photos that are its own."""

import torch

from gansteer.edits.inversion.edit import Inversion
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.subject import Card, Model, Subject, to_image


def tiny_model(resolution=32, dtype=torch.float32, seed=0, **config):
    torch.manual_seed(seed)
    fields = {
        "resolution": resolution,
        "z_dim": 8,
        "w_dim": 8,
        "channel_base": 512,
        "channel_max": 16,
        "mapping_layers": 2,
    }
    generator = StyleGAN2Generator(GeneratorConfig(**(fields | config))).to(dtype).eval().requires_grad_(False)
    for layer in generator.synthesis.layers():
        layer.noise_strength.fill_(0.1)
        layer.bias.normal_(0, 0.3)
    for block in generator.synthesis.each_block():
        block.torgb.weight.mul_(0.3)
    classes = generator.config.c_dim
    c = torch.eye(classes, dtype=dtype)[torch.arange(1000) % classes] if classes else None
    w = generator.mapping(torch.randn(1000, 8, dtype=dtype), c)
    generator.mapping.w_mean.copy_(w.mean(dim=0))
    return Model(Card("tiny"), generator)


def picture_of(subject: Subject) -> torch.Tensor:
    """`uint8 [R, R, 3]`."""
    import numpy as np

    return torch.from_numpy(np.array(to_image(subject.render()).convert("RGB")))


def short(model, seed=5, **fields):
    """An inversion of the model's own picture of a seed, with few steps."""
    fields = {"projection": 12, "tuning_steps": 8, "start": "mean", "prior": 0.0} | fields
    return Inversion(picture_of(model.sample(seed, 1.0)), **fields)  # type: ignore[arg-type]
