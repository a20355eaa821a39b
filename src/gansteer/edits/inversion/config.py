"""How a photo is brought in: what the edit `Inversion` and the flags of `gansteer invert` share. Does not import torch."""

import math
from dataclasses import dataclass
from typing import Literal

from gansteer.errors import UserError

PerceptualName = Literal["efficientnet-lite0", "lpips"]


@dataclass(frozen=True, kw_only=True, eq=False)
class InversionSettings:
    """How a photo is brought in."""

    start: Literal["auto", "encoder", "mean", "present"] = "auto"
    """The first guess: by the model's encoder, the mean w, or the subject that the edit begins with.

    auto: the encoder if the model has one, else the mean."""
    space: Literal["w", "w+"] = "w+"
    """w+: every row of w+ is free, nearer to the photo; w: all rows alike, nearer to what the model knows."""
    layout: Literal["free", "fixed"] = "free"
    """For models whose pictures have a layout. free: projection moves, resizes and restyles its blobs beside w; fixed: they
    stay as the first guess has them."""
    projection: int = 150
    """Steps of the projection into the latent space; 0 leaves it out."""
    learning_rate: float = 0.1
    """Of the projection, in deviations of the model's own w."""
    prior: float = 0.1
    """Weight of the pull towards what the model knows: the mean square of w, whitened."""
    noise: float | None = None
    """Optimise the noise maps too, with this weight of their regulariser (1e5); by default they stay as they are."""
    tuning: Literal["none", "light", "full"] = "light"
    """Then tune the weights. light: changes of low rank, at most 2 MB; full: all of them, twice the model's file."""
    tuning_steps: int = 250
    tuning_rate: float = 5e-3
    """Adam's, of the weights."""
    locality: float = 0.5
    """How firmly the model's other pictures are held as they are."""
    perceptual: PerceptualName = "efficientnet-lite0"
    """What the perceptual distance is measured in; lpips needs the extra `metrics`."""
    pixels: float = 10.0
    """Weight of the mean squared difference of the pixels beside the perceptual distance."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "prior", "tuning_rate", "locality", "pixels", "noise"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} must be a number from 0, not {value}")
        for name in ("projection", "tuning_steps", "seed"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} must not be negative, not {getattr(self, name)}")

    @property
    def steps(self) -> int:
        """Of all stages together."""
        return self.projection + (self.tuning_steps if self.tuning != "none" else 0)
