"""A tiny seeded model whose pictures have layouts."""

import torch

from gansteer.models.spatial.config import SpatialConfig
from gansteer.models.spatial.generator import SpatialGenerator
from gansteer.subject import Card, Model


def tiny_model(seed: int = 0, **fields: object) -> Model:
    """32 px, four blobs, random weights; `fields` are those of the configuration."""
    usual: dict[str, object] = {
        "resolution": 32, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 256, "channel_max": 16, "blobs": 4,
        "drop": 0.0, "blob_dim": 4, "style_channels": 8, "hidden_channels": 8,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = SpatialGenerator(SpatialConfig(**{**usual, **fields}))  # type: ignore[arg-type]
    return Model(Card("tiny"), generator.eval().requires_grad_(False))
