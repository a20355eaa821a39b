"""Composition: a picture is made of what each of its blobs draws, and of a room that is empty without them.

Not in the papers. The discriminator sees whole pictures and does not mind whether two blobs draw one thing together, or what
stands there without any; whoever removes a blob does. So some blobs of a picture are left out and it is drawn again. Where
those stand that were kept, it should be as before; where the others stood, as in the picture without any blob, in which,
as nothing stands there, there are no edges between left and right.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.models.layout import heatmaps
from gansteer.training.batch import DrawnBatch, Report
from gansteer.training.objectives import DiscriminatorNetwork
from gansteer.training.terms import AuxiliaryTerm

KEPT = 0.5
"""Each blob is kept with this probability."""
FAINT = 0.04
"""A heatmap below this says little of what stands there: there the picture should be as before."""
GONE = 0.1
GONE_WEIGHT = 5.0
"""Where a heatmap of a blob that was left out is above `GONE`, differences weigh so much."""
COARSE, COARSE_WEIGHT = 4, 2.0
"""Differences count again, with this weight, in pictures that are so many times smaller: there colours and things matter."""
EDGES_WEIGHT = 2.0
"""Weight of the edges of the empty picture beside the differences."""
MARGIN = 6
"""Edges count inside of one sixth of the width from the left and the right border, where walls may end."""


def territory(kept: Tensor, gone: Tensor) -> tuple[Tensor, Tensor]:
    """Where the blobs that were kept decide, from the largest heatmap of those and of the others, `[B, 1, H, W]` each.

    `m = (k + e)^2 / ((k + e)^2 + r^2)` is 1 where nothing that is gone stood, and 0 where nothing else did; the second is how
    clear that is, `|2 m - 1|`.
    """
    ours, theirs = (kept + FAINT).square(), gone.square()
    m = ours / (ours + theirs)
    return m, (2 * m - 1).abs()


def difference(some: Tensor, full: Tensor, empty: Tensor, kept: Tensor, gone: Tensor) -> Tensor:
    """How far a picture with some blobs is from being composed of the full one and of the one without any, a scalar.

    Pictures are `[B, 3, H, W]`, largest heatmaps `[B, 1, H, W]` as in `territory`.
    """
    m, clear = territory(kept, gone)
    away = (some - m * full - (1 - m) * empty) * clear
    weight = 1 + (GONE_WEIGHT - 1) * (gone > GONE).to(away)
    coarse, coarse_weight = (F.avg_pool2d(x, COARSE) for x in (away, weight))
    return (away.abs() * weight).mean() + COARSE_WEIGHT * (coarse.abs() * coarse_weight).mean()


def edges(empty: Tensor) -> Tensor:
    """The total variation of the rows of `[B, 3, H, W]` inside of the margins, their mean: a scalar."""
    margin = empty.shape[-1] // MARGIN
    inner = empty[..., margin : empty.shape[-1] - margin]
    return (inner[..., 1:] - inner[..., :-1]).abs().sum(dim=-1).mean()


class Composition(AuxiliaryTerm):
    """`difference` and `edges` of the first half of a step's pictures, for a generator without noise maps."""

    name = "composition"

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def loss(self, drawn: DrawnBatch, discriminator: DiscriminatorNetwork, report: Report) -> Tensor:
        code = drawn.code[: (len(drawn.pictures) + 1) // 2]
        layout = code.layout
        assert layout is not None
        full = drawn.pictures[: len(code.ws)]
        stays = drawn.real.random.uniform(0, 1, layout.present.shape[1])[: len(full)] < KEPT
        kept = layout.present * stays
        some, empty = (
            drawn.redraw(replace(code, layout=replace(layout, present=present)))
            for present in (kept, torch.zeros_like(kept))
        )
        ours, theirs = (
            heatmaps(replace(layout, present=present), full.shape[-1]).amax(dim=1, keepdim=True)
            for present in (kept, layout.present - kept)
        )
        report["composition/difference"] = found = difference(some, full, empty.detach(), ours, theirs)
        report["composition/edges"] = plain = edges(empty)
        total: Tensor = self.weight * (found + EDGES_WEIGHT * plain)
        return total
