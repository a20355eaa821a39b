"""The networks of a run, built in one place."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gansteer.models.generator import Generator
from gansteer.training.config import TrainConfig
from gansteer.training.generators import GeneratorTraining
from gansteer.training.objectives import OBJECTIVES, DiscriminatorNetwork


@dataclass
class Networks:
    """The generator that trains, its average, and the discriminator."""

    g: Generator
    ema: Generator
    d: DiscriminatorNetwork


def build_networks(
    config: TrainConfig,
    training: GeneratorTraining[Any],
    c_dim: int,
    device: torch.device,
    start: Generator | None = None,
) -> Networks:
    """Fresh networks from the seed, or with the generator `start` to go on from, of the same or half the resolution and of
    as many channels or fewer.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if start is None:
            g: Generator = training.build(c_dim)
        else:
            wide = training.widen(start)
            g = wide if start.config.resolution == config.resolution else training.grow(wide)
        d = OBJECTIVES[config.loss].build_discriminator(config, training.discriminator_shape(g), device)
    g = g.to(device).train().requires_grad_(True)
    return Networks(g, deepcopy(g).eval().requires_grad_(False), d.to(device).train())


def load_discriminator(d: DiscriminatorNetwork, state: dict[str, Tensor]) -> None:
    """A discriminator's weights, without the frozen backbone, which is not saved. Raises ValueError if they do not fit."""
    missing, unexpected = d.load_state_dict(state, strict=False)
    wrong = [name for name in missing if not name.startswith("backbone.")] + unexpected
    if wrong:
        raise ValueError(f"the discriminator does not fit: {wrong[0]}")
