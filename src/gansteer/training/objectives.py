"""Training objectives: which discriminator judges, by which losses both networks learn, and what regularises them.

An objective is one line in `OBJECTIVES`; the training loop never asks which one it carries out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.models.discriminator import Discriminator
from gansteer.models.projected import ProjectedDiscriminator
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.training import losses
from gansteer.training.config import TrainConfig
from gansteer.training.regularisers import R1

DiscriminatorNetwork = Discriminator | ProjectedDiscriminator
"""A network with `features`, which may be differentiated with respect to the picture, and `judge`, which learns."""

Judge = Callable[[list[Tensor]], Tensor]
"""Features of a batch, as the discriminator's `features` gives them, to logits `[B, L]`."""


class DiscriminatorRegulariser(Protocol):
    """A penalty that the discriminator minimises in a step of its own, once in `interval` steps."""

    interval: int
    name: str

    def penalty(self, discriminator: DiscriminatorNetwork, real: Tensor, labels: Tensor | None) -> Tensor:
        """The penalty for real pictures `[B, 3, r, r]` as the discriminator sees them, augmented; a scalar."""


@dataclass(frozen=True)
class Objective:
    """What a generator and its discriminator play for."""

    build_discriminator: Callable[[TrainConfig, GeneratorConfig, torch.device], DiscriminatorNetwork]
    """Fresh weights from torch's global generator; only parameters that train require gradients."""
    discriminator_loss: Callable[[Tensor, Tensor], Tensor]
    """Logits of real and of drawn pictures `[B, L]` to the discriminator's loss."""
    generator_loss: Callable[[Judge, list[Tensor], list[Tensor]], Tensor]
    """The discriminator's judgement, features of drawn and of real pictures to the generator's loss.

    It gets the features and not the logits, so that a loss may compare drawn pictures with real ones, or may not look at the
    real ones at all, which costs a pass.
    """
    regularisers: tuple[Callable[[TrainConfig], DiscriminatorRegulariser], ...]
    """What else the discriminator minimises."""
    default_augmentation: str
    """The key in `AUGMENTATIONS` that `--augment auto` stands for."""
    grows: bool
    """Whether its discriminator fits every resolution, so that a run that is grown from another keeps it."""


def build_stylegan2(config: TrainConfig, shape: GeneratorConfig, device: torch.device) -> Discriminator:
    """StyleGAN2's discriminator, as wide as the generator."""
    return Discriminator(shape)


def build_projected(config: TrainConfig, shape: GeneratorConfig, device: torch.device) -> ProjectedDiscriminator:
    """The projected discriminator on EfficientNet-Lite0."""
    with torch.random.fork_rng(devices=[]):  # the backbone's weights are read: they take nothing from the seed
        backbone = load_efficientnet(device)
    return ProjectedDiscriminator(backbone, config.feature_size, spread=config.spread)


def generator_logistic(judge: Judge, fake: list[Tensor], real: list[Tensor]) -> Tensor:
    """`softplus(-D(G(z)))`, which looks at drawn pictures alone."""
    return losses.generator_logistic(judge(fake))


def generator_hinge(judge: Judge, fake: list[Tensor], real: list[Tensor]) -> Tensor:
    """`-D(G(z))`, which looks at drawn pictures alone."""
    return losses.generator_hinge(judge(fake))


def r1(config: TrainConfig) -> R1:
    """R1 with the run's weight."""
    return R1(config.gamma)


OBJECTIVES = {
    "stylegan2": Objective(
        build_stylegan2, losses.discriminator_logistic, generator_logistic, (r1,), "ada", grows=False
    ),
    "projected": Objective(
        build_projected, losses.discriminator_hinge, generator_hinge, (), "diffaugment", grows=True
    ),
}  # fmt: skip
"""The objectives by the name that `--loss` gives them: Karras et al. 2020b, and Sauer et al. 2021."""


def augmentation_of(config: TrainConfig) -> str:
    """The key in `AUGMENTATIONS` of what the run's discriminator sees."""
    return OBJECTIVES[config.loss].default_augmentation if config.augment == "auto" else config.augment
