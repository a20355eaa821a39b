"""What an inversion will cost, told before it begins."""

import time
from dataclasses import dataclass

import torch

from gansteer.edits.inversion.config import PerceptualName
from gansteer.edits.inversion.edit import Inversion
from gansteer.edits.inversion.perceptual import comparison
from gansteer.edits.inversion.pivotal import LIGHT_BYTES, tunable
from gansteer.subject import Model

PROJECTION, TUNING, TUNING_HELD = 2.7, 3.5, 7.3
"""What a step takes, in looks (a picture is drawn and compared, without gradients): measured at 128 px on a CPU."""
LOOKS = 5
ACTIVATIONS, WEIGHTS, FIXED = 8, 4, 100_000_000
"""Memory: copies of every activation, copies of what is tuned (weight, gradient, Adam's moments), the feature network."""


@dataclass(frozen=True)
class Estimate:
    """Roughly; time on this machine as it is at the moment."""

    seconds: float
    memory: int
    """Bytes, beside the model."""
    size: int
    """Bytes that the result adds to a session."""

    def __str__(self) -> str:
        return f"about {self.seconds:.0f} s, {self.memory / 1e6:.0f} MB of memory and {self.size / 1e6:.1f} MB in the session"


def seconds_of_a_look(model: Model, perceptual: PerceptualName = Inversion.perceptual) -> float:
    """How long this machine takes to draw and compare a picture: the quickest of some, for others may be busy too.

    Raises UserError if what compares is missing.
    """
    subject = model.sample(0, label=0 if model.generator.config.c_dim else None)
    distance = comparison(perceptual, model.generator.mean_w())(subject.render()[None])

    def look() -> float:
        begin = time.perf_counter()
        with torch.no_grad():
            distance(subject.render()[None]).cpu()  # a GPU answers before it is done
        return time.perf_counter() - begin

    return min(look() for _ in range(LOOKS))


def estimate(model: Model, edit: Inversion, once: float | None = None) -> Estimate:
    """What `edit` will take. `once` is `seconds_of_a_look`, which is measured if it is not given.

    Raises UserError if what compares is missing.
    """
    once = seconds_of_a_look(model, edit.perceptual) if once is None else once
    subject = model.sample(0, label=0 if model.generator.config.c_dim else None)
    weights = sum(x.numel() for part in tunable(model.generator) for x in part.values())
    tuned = {"none": 0, "light": LIGHT_BYTES // 2, "full": weights}[edit.tuning]
    per_tuning = TUNING_HELD if edit.locality else TUNING
    steps = edit.projection * PROJECTION + (edit.tuning_steps if tuned else 0) * per_tuning
    width = model.generator.dtype.itemsize
    cells = sum(each.frame.size**2 * each.out_channels for each in model.generator.convolutions)
    pictures = 2 if tuned and edit.locality else 1
    memory = FIXED + ACTIVATIONS * pictures * cells * width + WEIGHTS * tuned * width
    size = 2 * tuned + subject.code.ws.numel() * width + edit.picture.numel()
    return Estimate(once * steps, memory, size)
