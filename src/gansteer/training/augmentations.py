"""The augmentations that a run can choose from, with the state that the adaptive one keeps."""

import torch
from torch import Tensor

from gansteer.training.augment import Augmented, ada, diffaugment, unchanged
from gansteer.training.config import TrainConfig
from gansteer.training.distributed import ProcessGroup, StepRandom

ADA_INTERVAL = 4
ADA_IMAGES = 500_000
"""Pictures in which the augmentation strength can go from 0 to 1."""


class Augmentation:
    """What real and drawn pictures pass on their way to the discriminator; here nothing."""

    def __init__(self, config: TrainConfig, device: torch.device, group: ProcessGroup) -> None:
        self.config = config
        self.group = group
        self.p = torch.zeros([], device=device)
        """Probability of each operation, where it adapts."""
        self.signs = torch.zeros(2, device=device)
        """Sum and number of sign(D(real)) since the probability was last changed."""

    def __call__(self, x: Tensor, random: StepRandom) -> Augmented:
        """Change pictures `x [B, 3, H, W]`, nominally in [-1, 1]; the same random numbers change any others alike."""
        return unchanged(x)

    def adapt(self, real_logits: Tensor, step: int) -> None:
        """Learn from the logits `[B, L]` of real pictures in step number `step`, counted from 0."""


class DiffAugment(Augmentation):
    """Differentiable augmentation (Zhao et al. 2020), always at the same strength."""

    def __call__(self, x: Tensor, random: StepRandom) -> Augmented:
        return diffaugment(x, random, self.config.augment_colour)


class AdaptiveAugment(Augmentation):
    """Adaptive discriminator augmentation (Karras et al. 2020b)."""

    def __call__(self, x: Tensor, random: StepRandom) -> Augmented:
        return ada(x, self.p, random)

    def adapt(self, real_logits: Tensor, step: int) -> None:
        """Every 4 steps, more augmentation if the discriminator is too sure of the reals, else less."""
        self.signs[0] += real_logits.sign().sum()
        self.signs[1] += real_logits.numel()
        if step % ADA_INTERVAL == ADA_INTERVAL - 1:
            total = self.group.mean(self.signs)
            direction = (total[0] / total[1] - self.config.ada_target).sign()
            self.p.add_(direction * self.config.batch * ADA_INTERVAL / ADA_IMAGES).clamp_(0, 1)
            self.signs.zero_()


AUGMENTATIONS = {"none": Augmentation, "diffaugment": DiffAugment, "ada": AdaptiveAugment}
"""The augmentations by the name that `--augment` gives them."""
