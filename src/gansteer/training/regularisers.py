"""Lazy regularisers: penalties that a network minimises in steps of their own, once in `interval` steps."""

from typing import Any

import torch
from torch import Tensor, nn

from gansteer.models.generator import Generator
from gansteer.training import losses
from gansteer.training.distributed import StepRandom
from gansteer.training.generators import GeneratorTraining

MEAN_RATE = 0.01
"""How much of a step's path lengths their running mean takes."""


class R1:
    """`gamma / 2 |grad_x D(x)|^2` of real pictures, with respect to the augmented ones, which are what D sees."""

    interval = 16
    name = "loss/r1"

    def __init__(self, gamma: float) -> None:
        self.gamma = gamma

    def penalty(self, discriminator: nn.Module, real: Tensor, labels: Tensor | None) -> Tensor:
        """The penalty for augmented real pictures `[B, 3, r, r]` and one-hot labels `[B, c_dim]`; a scalar."""
        x = real.detach().requires_grad_(True)
        return losses.r1(discriminator(x, labels), x, self.gamma)


class PathLength:
    """Path length regularisation of the generator (Karras et al. 2020, eq. 4) on half a batch."""

    interval = 4
    name = "loss/path_length"

    def __init__(self, weight: float, device: torch.device) -> None:
        self.weight = weight
        self.mean_length = torch.zeros([], device=device)
        """`a` of the equation, the running mean of the lengths."""

    def penalty(
        self, training: GeneratorTraining[Any], g: Generator, random: StepRandom, labels: Tensor | None
    ) -> Tensor:
        """The penalty for new pictures, as many as `random` is for; moves the mean length."""
        code = training.sample(g, random, labels)
        pictures = g.synthesize(code, noise=random.noise)
        lengths = losses.path_lengths(pictures, code.ws, random.normal(*pictures.shape[1:]))
        # Shares may differ in size by one, so the mean over processes is that of sums.
        share = random.group.size / random.batch
        self.mean_length.lerp_(random.group.mean(lengths.detach().sum() * share), MEAN_RATE)
        return (lengths - self.mean_length).square().sum() * share * self.weight
