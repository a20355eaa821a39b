"""Equivariance: a picture moves as its first blob does.

Not in the papers, where alignment alone is to bring it about. A hierarchical layout hangs on one blob; with that in the middle and
the others as they stand around it the picture is drawn once more, and moved by whole pixels to where the blob is: so the
picture of the layout itself should look. A generator that grows from one whose heads always stand in the middle learns first
what moving is, and does not have to find it by what the discriminator says of heads elsewhere.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.models.layout import Layout
from gansteer.training.augment import shifted
from gansteer.training.batch import DrawnBatch, Report
from gansteer.training.composition import COARSE, COARSE_WEIGHT
from gansteer.training.objectives import DiscriminatorNetwork
from gansteer.training.terms import AuxiliaryTerm


def centred(layout: Layout, size: int) -> tuple[Layout, Tensor]:
    """Layouts with their first blobs in the middle of `size` pixels, to the pixel, the others moved along; and the ways back.

    The ways `[B, 2]` are whole pixels: `layout.centres = centred.centres + ways`.
    """
    way = (layout.centres[:, 0] - (size - 1) / 2).round()
    return replace(layout, centres=layout.centres - way[:, None]), way.long()


def moved_difference(moved: Tensor, middle: Tensor, way: Tensor) -> Tensor:
    """How far pictures `[B, 3, H, W]` are from those in the middle moved by `way [B, 2]` pixels, where these are known: a scalar.

    The mean absolute difference, and with `COARSE_WEIGHT` that of pictures `COARSE` times smaller, which has a slope from farther off.
    """
    target, known = shifted(middle, way[:, :1], way[:, 1:])
    away = (moved - target) * known
    fine: Tensor = away.abs().mean()
    return fine + COARSE_WEIGHT * F.avg_pool2d(away, COARSE).abs().mean()


class Equivariance(AuxiliaryTerm):
    """`moved_difference` of a step's pictures from what the generator itself draws in the middle, of the same noise."""

    name = "equivariance"

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def loss(self, drawn: DrawnBatch, discriminator: DiscriminatorNetwork, report: Report) -> Tensor:
        code = drawn.code
        assert code.layout is not None
        layout, way = centred(code.layout, drawn.pictures.shape[-1])
        with torch.no_grad():
            middle = drawn.redraw(replace(code, layout=layout))
        report["equivariance"] = found = moved_difference(drawn.pictures, middle, way)
        return self.weight * found
