"""A model's pictures as scenes of the layout protocol: blobs are changed by the edit that a person uses."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gansteer.edits.arrangement.edit import Arrangement, NewBlob, arranged, layout_of
from gansteer.evaluation.layout import SceneBlob, Variant
from gansteer.evaluation.samples import BATCH_PIXELS, from_levels, to_levels
from gansteer.models.code import Code
from gansteer.models.layout import heatmaps
from gansteer.subject import Subject

TWO_DEVIATIONS = math.sqrt(2 / math.log(2))
"""The radius, in sizes of a blob, at which a heatmap that is one half at its size has fallen to `exp(-2)`."""


class SubjectScene:
    """The scene of one subject. Raises UserError if its model has no layout."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.layout = layout_of(subject)

    @property
    def size(self) -> int:
        """Width and height of the picture."""
        return self.subject.model.resolution

    @property
    def blobs(self) -> Sequence[SceneBlob]:
        """The blobs that are there and whose centre is in the picture."""
        return [
            SceneBlob(number, blob.x, blob.y, TWO_DEVIATIONS * blob.size)
            for number, blob in enumerate(self.layout.blobs)
            if blob.present and 0 <= blob.x <= self.size - 1 and 0 <= blob.y <= self.size - 1
        ]

    def draw(self, variants: Sequence[Variant]) -> Tensor:
        """The pictures of these changes `[V, 3, H, H]` on the CPU, on 256 levels, each of them on its own."""
        codes = [self._changed(variant).code for variant in variants]
        batch = max(1, BATCH_PIXELS // self.size**2)
        found = []
        with torch.no_grad():
            for i in range(0, len(codes), batch):
                pictures = self.subject.generator.synthesize(Code.batch(codes[i : i + batch]))
                found.append(from_levels(to_levels(pictures)).cpu())
        return torch.cat(found)

    def heat(self, number: int) -> Tensor:
        """The heatmap `[H, H]` of a blob."""
        return heatmaps(self.layout, self.size)[0, number].float().cpu()

    def _changed(self, variant: Variant) -> Subject:
        return arranged(self.layout, edit_of(variant), self.subject)


def edit_of(variant: Variant) -> Arrangement:
    """The edit that makes this change."""
    if variant.without is not None:
        return Arrangement(removes=(variant.without,))
    if variant.move is not None:
        blob, dx, dy = variant.move
        return Arrangement(moves={blob: (dx, dy)})
    if variant.restyle is not None:
        return Arrangement(restyles={variant.restyle[0]: variant.restyle[1]})
    if variant.add is not None:
        x, y, seed = variant.add
        return Arrangement(adds=(NewBlob(x, y, style=seed),))
    return Arrangement()
