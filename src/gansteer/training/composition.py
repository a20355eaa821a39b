"""Composition: a picture is made of what each of its blobs draws, and of a room that is empty without them.

Not in the papers. The discriminator sees whole pictures and does not mind whether two blobs draw one thing together, what
stands there without any, or whether a thing goes as far as its blob; whoever edits blobs does. So some blobs of a picture are
left out, the others moved to the side together, and it is drawn again. Where the others stand now, it should be as it was
where they stood; elsewhere as in the picture without any blob, in which, as nothing stands there, there are no edges
between left and right.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.models.layout import heatmaps
from gansteer.training.augment import shifted
from gansteer.training.batch import DrawnBatch, Report
from gansteer.training.objectives import DiscriminatorNetwork
from gansteer.training.terms import AuxiliaryTerm

KEPT = 0.5
"""Each blob is kept with this probability."""
MOVED, FARTHEST = 0.7, 0.25
"""Blobs are moved in this share of pictures, by whole pixels, by this share of the width at most."""
FAINT = 0.04
"""Where no heatmap is above this, nothing stands: there the picture should be the empty one."""
STRONG = 0.1
GONE_WEIGHT, KEPT_WEIGHT = 4.0, 2.0
"""Differences weigh so much more where a heatmap of a blob that was left out, or of one that was kept, is above `STRONG`."""
COARSE, COARSE_WEIGHT = 4, 2.0
"""Differences count again, with this weight, in pictures that are so many times smaller: there colours and things matter."""
EDGES_WEIGHT = 2.0
"""Weight of the edges of the empty picture beside the differences."""
MARGIN = 6
"""Edges count inside of one sixth of the width from the left and the right border, where walls may end."""


def territory(kept: Tensor, gone: Tensor) -> tuple[Tensor, Tensor]:
    """Where the blobs that were kept decide, from the largest heatmap of those and of the others, `[B, 1, H, W]` each.

    `m = k^2 / (k^2 + r^2 + e^2)` is near 1 where only blobs that were kept stand, and 0 elsewhere; the second is how clear
    that is, `|2 m - 1|`.
    """
    ours = kept.square()
    m = ours / (ours + gone.square() + FAINT**2)
    return m, (2 * m - 1).abs()


def difference(some: Tensor, full: Tensor, empty: Tensor, kept: Tensor, gone: Tensor, known: Tensor) -> Tensor:
    """How far a picture with some blobs is from being composed of the full one and of the one without any, a scalar.

    Pictures are `[B, 3, H, W]`, largest heatmaps `[B, 1, H, W]` as in `territory`; `known [B, 1, H, W]` is 0 where
    the full one, which was moved along, says nothing.
    """
    m, clear = territory(kept, gone)
    away = (some - m * full - (1 - m) * empty) * clear * known
    weight = 1 + GONE_WEIGHT * (gone > STRONG).to(away) + KEPT_WEIGHT * (kept > STRONG).to(away)
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
        assert code.layout is not None
        size, count = drawn.pictures.shape[-1], len(code.ws)
        random = drawn.real.random.uniform(0, 1, code.layout.present.shape[1] + 2)[:count]
        reach = int(FARTHEST * size)
        shift = ((2 * reach + 1) * random[:, 0]).long() - reach
        shift = torch.where(random[:, 1] < MOVED, shift, 0)
        way = torch.stack([shift, torch.zeros_like(shift)], dim=1)  # [B, 2]
        full, known = shifted(drawn.pictures[:count], way[:, :1], way[:, 1:])
        layout = replace(code.layout, centres=code.layout.centres + way[:, None])
        kept = layout.present * (random[:, 2:] < KEPT)
        some, empty = (
            drawn.redraw(replace(code, layout=replace(layout, present=present)))
            for present in (kept, torch.zeros_like(kept))
        )
        ours, theirs = (
            heatmaps(replace(layout, present=present), size).amax(dim=1, keepdim=True).to(full)
            for present in (kept, layout.present - kept)
        )
        report["composition/difference"] = found = difference(some, full, empty.detach(), ours, theirs, known)
        report["composition/edges"] = plain = edges(empty)
        total: Tensor = self.weight * (found + EDGES_WEIGHT * plain)
        return total
