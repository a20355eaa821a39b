"""Auxiliary terms: what a generator is taught beside the discriminator's lesson. A run has a list of them."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gansteer.training import losses
from gansteer.training.batch import DrawnBatch, RealBatch, Report
from gansteer.training.codes import LatentTargets, expressive_parts
from gansteer.training.objectives import DiscriminatorNetwork

ANCHOR_PIXELS = 12.0
"""Weight of the pixels' difference beside that of the features, of which one is worth more."""
ANCHOR_PARTS = 9.0
"""Weight of the difference in eyes and mouth beside that of the features: they keep their expressions, and no more."""
RECONSTRUCTION_PARTS = 3.0
"""The same beside that of the pixels, in the reconstruction phase."""


class AuxiliaryTerm(ABC):
    """One more loss of the generator."""

    name: ClassVar[str]
    """Its key in checkpoints."""
    network: nn.Module | None = None
    """A network that learns along by the same loss, and is kept in checkpoints; on the device where the run computes."""
    optimizer: torch.optim.Optimizer | None = None
    """What steps the parameters of `network`."""

    def state_dict(self) -> dict[str, Any]:
        """What continuing needs of a term with a network."""
        assert self.network is not None
        assert self.optimizer is not None
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        assert self.network is not None
        assert self.optimizer is not None
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])

    @abstractmethod
    def loss(self, drawn: DrawnBatch, discriminator: DiscriminatorNetwork, report: Report) -> Tensor:
        """The weighted loss, a scalar with gradients to the generator; what is worth logging is put into `report`.

        It is asked after the discriminator's step, while the discriminator's parameters require no gradients, and its result
        is differentiated before they change again. The discriminator may be asked for more than `drawn.features`.
        """


def parts_distance(pictures: Tensor, real: Tensor, landmarks: Tensor) -> Tensor:
    """How far eyes and mouth of `pictures [B, 3, r, r]` are from those of `real`, whose `landmarks` are `[B, 68, 2]`."""
    return losses.part_distance(pictures, real, expressive_parts(landmarks.to(real.device), real.shape[-1]))


class Anchor(AuxiliaryTerm):
    """The first pictures of a batch draw the known ones again: in features, in pixels and, of portraits, in eyes and mouth."""

    name = "anchor"

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def loss(self, drawn: DrawnBatch, discriminator: DiscriminatorNetwork, report: Report) -> Tensor:
        assert drawn.targets is not None
        count = len(drawn.targets.codes)
        pictures, real = drawn.pictures[:count], drawn.real.pictures[:count]
        report["anchor/pixels"] = losses.pyramid_distance(pictures, real)
        report["anchor/features"] = losses.feature_distance(
            [f[:count] for f in drawn.features], [f[:count] for f in drawn.real_features]
        )
        distance = report["anchor/features"] + ANCHOR_PIXELS * report["anchor/pixels"]
        if drawn.targets.landmarks is not None:
            report["anchor/parts"] = parts_distance(pictures, real, drawn.targets.landmarks)
            distance = distance + ANCHOR_PARTS * report["anchor/parts"]
        return self.weight * distance


def reconstruction_loss(pictures: Tensor, batch: RealBatch, targets: LatentTargets, report: Report) -> Tensor:
    """How far `pictures [b, 3, r, r]`, drawn from the batch's own latents, are from it, without any network's features."""
    report["anchor/pixels"] = loss = losses.pyramid_distance(pictures, batch.pictures)
    if targets.landmarks is not None:
        report["anchor/parts"] = parts_distance(pictures, batch.pictures, targets.landmarks)
        loss = loss + RECONSTRUCTION_PARTS * report["anchor/parts"]
    return loss
