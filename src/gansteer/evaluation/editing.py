"""Edits carried out to their end, as protocols need them that look at results and not at the way there."""

from torch import Tensor

from gansteer.edits.api import Edit
from gansteer.edits.inversion.edit import Inversion
from gansteer.edits.registry import start
from gansteer.subject import Model, Subject


def result_of(subject: Subject, edit: Edit) -> Subject:
    """What an edit makes of a subject. Raises UserError if it does not fit."""
    run = start(subject, edit)
    for _ in run:
        pass
    result: Subject = run.subject
    return result


def brought_in(model: Model, pixels: Tensor, projection: int) -> Subject:
    """A picture, uint8 `[H, W, 3]`, as a subject of the model: projected in so many steps, no weights tuned."""
    label = 0 if model.generator.config.c_dim else None
    return result_of(model.sample(0, label=label), Inversion(pixels, projection=projection, tuning="none"))
