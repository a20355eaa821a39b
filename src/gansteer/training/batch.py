"""What one training step is about: the real pictures it is shown, and the drawn ones beside them."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from gansteer.models.code import Code
from gansteer.training.augment import Augmented
from gansteer.training.codes import LatentTargets
from gansteer.training.distributed import StepRandom

Report = dict[str, Tensor]
"""Scalars by name, `loss/d` for example, which go to the log; those with a graph are detached at the step's end."""


@dataclass(frozen=True)
class RealBatch:
    """This process's share of a step's pictures, and the step's random numbers."""

    pictures: Tensor
    """`[b, 3, r, r]` in [-1, 1]."""
    labels: Tensor | None
    """One-hot `[b, c_dim]`, of conditional models."""
    targets: LatentTargets | None
    """Latents of these pictures, in runs that know them."""
    images: int
    """Pictures shown before this step, over all processes."""
    random: StepRandom


@dataclass(frozen=True, eq=False)
class TrainingCode(Code):
    """The code of the pictures that a step draws, with the latents that it came from."""

    z: Tensor | None = None
    """`[B, z_dim]`."""


@dataclass(frozen=True)
class DrawnBatch:
    """Drawn pictures beside the real ones, both as the discriminator sees them."""

    real: RealBatch
    code: Code
    """What the pictures were drawn from, besides noise."""
    pictures: Tensor
    """`[b, 3, r, r]`, through which gradients reach the generator."""
    seen: Augmented
    """The drawn pictures augmented, and how they were moved."""
    features: list[Tensor]
    """The discriminator's features of `seen`, with gradients to the generator."""
    real_seen: Augmented
    """The real pictures augmented, without gradients."""
    real_features: list[Tensor]
    """The discriminator's features of `real_seen`, without gradients."""
    targets: LatentTargets | None
    """Latents of the first `k` real pictures, which the first `k` drawn ones draw again."""
    redraw: Callable[[Code], Tensor]
    """Draws pictures of another code with the generator as it is in this step, with gradients to it."""
