"""What a run is made of, by its configuration: how its generator is trained, and what that is taught besides."""

from typing import Any

import torch

from gansteer.training.config import TrainConfig
from gansteer.training.generators import GeneratorTraining, StyleGAN2Training
from gansteer.training.layouts import SpatialTraining, layout_terms
from gansteer.training.terms import Anchor, AuxiliaryTerm


def generator_training(config: TrainConfig) -> GeneratorTraining[Any]:
    """How the generator of a run is trained."""
    return StyleGAN2Training(config) if config.layout == "none" else SpatialTraining(config)


def auxiliary_terms(config: TrainConfig, device: torch.device) -> list[AuxiliaryTerm]:
    """What a run's generator is taught beside the discriminator's lesson."""
    terms: list[AuxiliaryTerm] = [Anchor(config.anchor_weight)] if config.anchor else []
    return terms + layout_terms(config, device) if config.layout != "none" else terms
