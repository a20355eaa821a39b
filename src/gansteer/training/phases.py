"""The phases of a run: what a step trains while it lasts. A run's schedule is a list of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gansteer.models.code import Code
from gansteer.training.augmentations import Augmentation
from gansteer.training.batch import DrawnBatch, RealBatch, Report
from gansteer.training.codes import LatentTargets
from gansteer.training.config import TrainConfig
from gansteer.training.terms import reconstruction_loss

RECONSTRUCTION_MOMENTUM = 0.9
"""Adam's first moment while pictures are only drawn again: a fit, not a contest, so momentum helps."""
RECONSTRUCTION_MAPPING_RATE = 30.0
"""How much faster the mapping network learns meanwhile: at 1/100 of the rate it would stay as it was initialised."""


class Lessons(Protocol):
    """The parts that a step is made of, which the trainer has."""

    augmentation: Augmentation

    def pace_generator(self, lr: float | None = None, beta1: float | None = None, mapping_rate: float = 1.0) -> None:
        """Set the generator's rate and momentum in this step, and how much faster the mapping learns."""

    def draw(self, batch: RealBatch, targets: LatentTargets | None) -> tuple[Code, Tensor]:
        """A code and the pictures `[b, 3, r, r]` drawn from it."""

    def draw_beside(self, batch: RealBatch) -> DrawnBatch:
        """Pictures drawn beside real ones, and the features of both."""

    def teach_discriminator(self, drawn: DrawnBatch) -> tuple[Report, Tensor]:
        """A step of the discriminator: its report, and what it then tells the generator."""

    def auxiliary(self, drawn: DrawnBatch) -> tuple[Report, Tensor]:
        """The report and the sum of the auxiliary terms."""

    def update_generator(self, loss: Tensor) -> None:
        """A step of the generator, and of the terms' own networks."""

    def regularise_generator(self, batch: RealBatch) -> Report:
        """The generator's own regularisers, where it is their turn."""


class Phase(ABC):
    """One step's work, as long as the phase lasts."""

    @abstractmethod
    def step(self, trainer: Lessons, batch: RealBatch) -> Report:
        """Train on a batch and return what is worth logging."""


class ReconstructionPhase(Phase):
    """The generator draws known pictures again and nothing else. It asks neither for features nor for the discriminator."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def step(self, trainer: Lessons, batch: RealBatch) -> Report:
        assert batch.targets is not None
        trainer.pace_generator(self.rate, RECONSTRUCTION_MOMENTUM, RECONSTRUCTION_MAPPING_RATE)
        report: Report = {}
        _, pictures = trainer.draw(batch, batch.targets)
        trainer.update_generator(reconstruction_loss(pictures, batch, batch.targets, report))
        return report


class DiscriminatorPhase(Phase):
    """The discriminator learns beside a generator that stays as it is."""

    def step(self, trainer: Lessons, batch: RealBatch) -> Report:
        trainer.pace_generator()
        with torch.no_grad():
            drawn = trainer.draw_beside(batch)
        report, _ = trainer.teach_discriminator(drawn)
        return {**report, "augment/p": trainer.augmentation.p}


class AdversarialPhase(Phase):
    """Both networks learn, the generator by the discriminator's lesson and by the auxiliary terms."""

    def __init__(self, weight: Callable[[int], float]) -> None:
        """`weight(images)` is that of the discriminator's lesson, from 0 to 1, once `images` pictures are shown."""
        self.weight = weight

    def step(self, trainer: Lessons, batch: RealBatch) -> Report:
        trainer.pace_generator()
        drawn = trainer.draw_beside(batch)
        lesson, adversarial = trainer.teach_discriminator(drawn)
        report, auxiliary = trainer.auxiliary(drawn)
        trainer.update_generator(auxiliary + self.weight(batch.images) * adversarial)
        return {**report, **lesson, **trainer.regularise_generator(batch), "augment/p": trainer.augmentation.p}


@dataclass(frozen=True)
class Schedule:
    """Which phase a run is in."""

    phases: Sequence[tuple[float, Phase]]
    """Each phase with the number of pictures before which it ends; the last one never does."""

    def phase(self, images: int) -> Phase:
        """The phase of the step that begins once `images` pictures are shown."""
        return next(phase for end, phase in self.phases if images < end)


def ramp(start: int, length: float) -> Callable[[int], float]:
    """A weight by the number of pictures: 0 up to `start`, and 1 after `length` more."""
    return lambda images: min(1.0, max(0.0, (images - start) / length))


def schedule_of(config: TrainConfig) -> Schedule:
    """The phases of a run."""
    forever = float("inf")
    if config.anchor and config.anchor_images:
        adversarial = AdversarialPhase(ramp(config.anchor_images, config.anchor_images / 2))
        # One picture more, so that a step that would begin with weight 0 belongs to the first phase.
        return Schedule([(config.anchor_images + 1, ReconstructionPhase(config.anchor_lr)), (forever, adversarial)])
    return Schedule(
        [(config.discriminator_images, DiscriminatorPhase()), (forever, AdversarialPhase(lambda images: 1.0))]
    )
