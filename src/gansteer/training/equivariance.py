"""Equivariance: a picture moves as its first blob does, taught by the model that a run grows from.

Not in the papers, where alignment alone is to bring it about. A hierarchical layout hangs on one blob. The model without a layout
draws its heads in the middle; moved by whole pixels to where the blob is, so the picture of the same z should look. So a
generator learns first what moving is, keeps its pictures meanwhile, and does not have to find it by what the discriminator
says of heads elsewhere. (The generator's own picture with the blob in the middle is no good teacher: pictures without
contrast move along best of all.)
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.models.layout import Layout
from gansteer.models.spatial.generator import SpatialGenerator
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.subject import Model
from gansteer.training.augment import shifted
from gansteer.training.batch import DrawnBatch, Report, TrainingCode
from gansteer.training.composition import COARSE, COARSE_WEIGHT
from gansteer.training.objectives import DiscriminatorNetwork
from gansteer.training.terms import AuxiliaryTerm


def ways(layout: Layout, size: int) -> Tensor:
    """How far the first blobs are from the middle of `size` pixels, whole pixels `[B, 2]`."""
    return (layout.centres[:, 0] - (size - 1) / 2).round().long()


def moved_difference(moved: Tensor, middle: Tensor, way: Tensor) -> Tensor:
    """How far pictures `[B, 3, H, W]` are from those in the middle moved by `way [B, 2]` pixels, where these are known: a scalar.

    The mean absolute difference, and with `COARSE_WEIGHT` that of pictures `COARSE` times smaller, which has a slope from farther off.
    """
    target, known = shifted(middle, way[:, :1], way[:, 1:])
    away = (moved - target) * known
    fine: Tensor = away.abs().mean()
    return fine + COARSE_WEIGHT * F.avg_pool2d(away, COARSE).abs().mean()


class Equivariance(AuxiliaryTerm):
    """`moved_difference` of a step's pictures from what the teacher draws of the same latents."""

    name = "equivariance"

    def __init__(self, weight: float, teacher: Model) -> None:
        """`teacher` is what the run grows from, of the same or half the resolution. Raises UserError if it has a layout itself."""
        generator = teacher.generator
        if isinstance(generator, SpatialGenerator) or not isinstance(generator, StyleGAN2Generator):
            raise UserError(f"--equivariance learns from a StyleGAN2 without layout, which {teacher.card.name} is not")
        self.weight, self.teacher = weight, generator.eval().requires_grad_(False)

    def loss(self, drawn: DrawnBatch, discriminator: DiscriminatorNetwork, report: Report) -> Tensor:
        code, size = drawn.code, drawn.pictures.shape[-1]
        assert isinstance(code, TrainingCode)
        assert code.layout is not None
        assert code.z is not None
        with torch.no_grad():
            middle = self.teacher.synthesize(Code(self.teacher.map(code.z, drawn.real.labels)))
            if middle.shape[-1] != size:
                middle = F.interpolate(middle, size=(size, size), mode="bilinear", align_corners=False)
        report["equivariance"] = found = moved_difference(drawn.pictures, middle, ways(code.layout, size))
        return self.weight * found
