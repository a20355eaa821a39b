"""The edit `Inversion`: find the subject whose picture is a given photo."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from gansteer.errors import UserError
from gansteer.inversion.crop import Crop
from gansteer.inversion.perceptual import PerceptualName
from gansteer.subject import Subject

if TYPE_CHECKING:
    from gansteer.inversion.run import InversionRun


@dataclass(frozen=True, eq=False)
class Inversion:
    """Reconstruct a photo: a first guess, projection into the latent space, then tuning of the weights around it."""

    picture: Tensor
    """`uint8 [R, R, 3]` RGB, R being the model's resolution: what `crop.cut` gives."""
    crop: Crop | None = None
    """Where in the photo it was, for putting it back."""
    start: Literal["auto", "encoder", "mean", "present"] = "auto"
    """The first guess: by the model's encoder, the mean w, or the subject that the edit begins with.

    auto: the encoder if the model has one, else the mean."""
    space: Literal["w", "w+"] = "w+"
    """w+: every row of w+ is free, nearer to the photo; w: all rows alike, nearer to what the model knows."""
    projection: int = 150
    """Steps of the projection; 0 leaves it out."""
    learning_rate: float = 0.1
    """Of the projection, in deviations of the model's own w."""
    prior: float = 0.1
    """Weight of the pull towards the model's own w: the mean square of w, whitened."""
    noise: float | None = None
    """None leaves the noise maps as they are; a number optimises them too, with this weight of their regulariser (1e5)."""
    tuning: Literal["none", "light", "full"] = "light"
    """light: changes of low rank, at most 2 MB; full: all weights of the synthesis, twice the size of the model's file."""
    tuning_steps: int = 250
    tuning_rate: float = 5e-3
    """Adam's, of the weights."""
    locality: float = 0.5
    """Weight of the term that holds the model's other pictures as they are."""
    perceptual: PerceptualName = "efficientnet-lite0"
    """What the perceptual distance is measured in; lpips needs the extra `metrics`."""
    pixels: float = 10.0
    """Weight of the mean squared difference beside the perceptual distance."""
    seed: int = 0

    def __post_init__(self) -> None:
        picture = torch.as_tensor(self.picture)
        if picture.dim() != 3 or picture.shape[2] != 3 or picture.shape[0] != picture.shape[1]:
            raise UserError(f"the picture must be square, [R, R, 3], not {list(picture.shape)}")
        if picture.dtype != torch.uint8:
            raise UserError(f"the picture must be of 8 bits (uint8), not {picture.dtype}")
        object.__setattr__(self, "picture", picture.cpu().contiguous())
        for name in ("learning_rate", "prior", "tuning_rate", "locality", "pixels", "noise"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} must be a number from 0, not {value}")
        for name in ("projection", "tuning_steps", "seed"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} must not be negative, not {getattr(self, name)}")

    @property
    def title(self) -> str:
        """For a history."""
        return "Photo"

    @property
    def steps(self) -> int:
        """Of all stages together."""
        return self.projection + (self.tuning_steps if self.tuning != "none" else 0)

    def begin(self, subject: Subject) -> "InversionRun":
        """The run for the subject's model. Raises UserError if the picture does not fit it."""
        from gansteer.inversion.run import InversionRun

        return InversionRun(subject, self)
