"""What each blob of a picture draws, where there is a reader that knows the kinds of things of the model's domain."""

import torch

from gansteer.edits.arrangement.edit import layout_of
from gansteer.models.code import Code
from gansteer.models.room_reader import KINDS, SIZE
from gansteer.subject import Model, Subject

ROOMS = "rooms"
"""A word in the domain of models whose pictures the room reader reads."""
LEAST = 24
"""Pixels of the reader's 128 x 128 that a thing has at least."""


def is_readable(model: Model) -> bool:
    """Whether the room reader knows the things of this model's pictures."""
    return ROOMS in model.card.domain.lower()


def names_of(subject: Subject) -> list[str | None]:
    """The kind of thing that each blob draws, such as `sofa`; None for hidden blobs, and where none is made out.

    What a blob draws is what the picture has and the picture without the blob lacks. Raises UserError if the subject has no
    layout.
    """
    from gansteer.checkpoints.readers import ROOMS

    layout = layout_of(subject)
    there = [blob for blob in range(len(layout)) if float(layout.present[blob]) > 0]
    names: list[str | None] = [None] * len(layout)
    if not there or not is_readable(subject.model):
        return names
    from dataclasses import replace

    codes = [subject.code, *(replace(subject.code, layout=layout.shown(blob, False)) for blob in there)]
    reader = ROOMS.load(subject.model.device)
    with torch.no_grad():
        pictures = torch.cat([subject.generator.synthesize(Code.batch([code])) for code in codes])
    kinds = reader.segment(pictures)  # [1 + K, S, S]
    for blob, base in zip(there, kinds[1:], strict=True):
        new = torch.bincount(kinds[0][(kinds[0] != base) & (kinds[0] != 0)], minlength=len(KINDS))
        if int(new.max()) >= LEAST * kinds[0].numel() / SIZE**2:
            names[blob] = KINDS[int(new.argmax())]
    return names
