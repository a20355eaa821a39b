"""What can be said of one edit of a layout from its pictures: where a thing went, whether it is gone, how much else changed.

Everything here is a pure function of pictures `[3, H, W]` in [-1, 1], of maps of kinds `[H, W]` (`RoomReader.segment`,
0 is background) and of places in pixels of those. "Base" is the picture without the blob in question: what a blob
draws is what the base lacks, in the picture's values (by differences) or in the kinds that are read (by the reader).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gansteer.edits.arrangement.differences import Place, regions

LEAST_PIXELS = 24
"""Pixels of 128 x 128 that a thing has at least: what the reader finds below that is taken for noise."""
REMAINS = 0.25
"""A thing is gone when at most this share of its pixels still shows its kind."""
LOOK = 10.0
"""Levels: a thing looks otherwise when its pixels changed by as much on average."""


def least_pixels(kinds: Tensor) -> int:
    """`LEAST_PIXELS` for the size of this map `[H, W]`."""
    return max(1, round(LEAST_PIXELS * kinds.numel() / 128**2))


def kinds_in(kinds: Tensor) -> list[int]:
    """The kinds that occur in a map `[H, W]`, in order."""
    return sorted(set(kinds.flatten().tolist()))


def things(kinds: Tensor) -> list[Tensor]:
    """Every thing of a map of kinds `[H, W]`, each as a bool map: connected regions of one kind, not the background."""
    found: list[Tensor] = []
    for kind in kinds_in(kinds):
        if kind:
            found += regions(kinds == kind, least_pixels(kinds))
    return found


# --- What a blob draws ------------------------------------------------------------------------------------------------


def drawn_by_reader(kinds: Tensor, base: Tensor) -> Tensor | None:
    """Where a blob draws things, bool `[H, W]`: pixels that show a thing and show another kind in the base, `[H, W]` both.

    Of whatever kind: how far a thing goes is one question, whether it stays what it was another (`kind_of`). None where
    they are too few to be a thing.
    """
    found = (kinds != 0) & (kinds != base)
    return found if int(found.sum()) >= least_pixels(kinds) else None


def kind_of(kinds: Tensor, place: Tensor) -> int:
    """The kind that most pixels of a bool map `[H, W]` show, which must not be empty."""
    return int(torch.bincount(kinds[place]).argmax())


def thing_under(kinds: Tensor, heat: Tensor) -> tuple[int, Tensor] | None:
    """The kind and pixels of the thing that a blob covers: the one on which most of the core of `heat [H, W]` lies.

    The core is where the heatmap, which is 1 at its centre, is at least one half. None where more than half of it lies
    on the background or beyond the picture.
    """
    core = torch.where(heat >= 0.5, heat, 0.0)
    best, most = None, 0.0
    for region in things(kinds):
        weight = float(core[region].sum())
        if weight > most:
            best, most = region, weight
    if best is None or float(core[kinds != 0].sum()) < 0.5 * float(core.sum()):
        return None
    return int(kinds[best][0]), best


# --- What became of it ------------------------------------------------------------------------------------------------


def remains(region: Tensor, before: Tensor, after: Tensor) -> float:
    """The share of a thing's pixels (bool `[H, W]`, of one kind in `before`) that show the same kind afterwards."""
    return float((after[region] == before[region]).double().mean())


def replaced(region: Tensor, before: Tensor, after: Tensor) -> float:
    """The share of a vanished thing's pixels that show another thing which was not there before.

    A thing of `after` was there if it also shows outside of `region` and most of what shows there was of its kind
    before: it stood behind and comes to light.
    """
    new = 0
    for thing in things(after):
        covered, beside = thing & region, thing & ~region
        if not covered.any() or int(after[covered][0]) == int(before[region][0]):
            continue
        known = (before[beside] == after[beside]).double().mean() if beside.any() else torch.zeros(())
        if float(known) < 0.5:
            new += int(covered.sum())
    return new / max(int(region.sum()), 1)


def gone(region: Tensor, before: Tensor, after: Tensor) -> bool:
    """Whether a thing has vanished and nothing new stands in its place; maps of kinds `[H, W]` before and after."""
    return remains(region, before, after) <= REMAINS and replaced(region, before, after) <= REMAINS


def appeared(before: Tensor, after: Tensor, at: Place, within: float) -> bool:
    """Whether a thing came in at most `within` pixels from `at`; maps of kinds `[H, W]` before and after."""
    height, width = after.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    near = (x - at[0]) ** 2 + (y - at[1]) ** 2 <= within**2
    fresh = (after != before) & (after != 0)
    return any(bool((region & near).any()) for kind in kinds_in(after) if kind
               for region in regions(fresh & (after == kind), least_pixels(after)))  # fmt: skip


def inside_outside(size: Tensor, place: Tensor) -> tuple[float, float]:
    """Mean of a map of change `[H, W]` inside and outside of a bool map `[H, W]`."""
    rest = ~place
    return (
        float(size[place].mean()) if place.any() else math.nan,
        float(size[rest].mean()) if rest.any() else math.nan,
    )


def disc(size: int, centre: Place, radius: float) -> Tensor:
    """bool `[size, size]`: the pixels at most `radius` from `centre`."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2


def attention_contrast(attention: Tensor, place: Tensor) -> float:
    """How much of a map of attention `[H, W]` lies on a bool map `[H, W]`: the area under the curve (ROC).

    0.5 is chance, 1 means that every pixel inside has more than every one outside. NaN where either is empty.
    """
    if not place.any() or place.all():
        return math.nan
    order = attention.flatten().double()
    ranks = torch.from_numpy(_ranks(order.numpy()))
    inside = place.flatten()
    n, m = int(inside.sum()), int((~inside).sum())
    return float((ranks[inside].sum() - n * (n + 1) / 2) / (n * m))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, those of equal values averaged."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2)[inverse]


# --- Over many --------------------------------------------------------------------------------------------------------


def r2(asked: np.ndarray, obtained: np.ndarray) -> float:
    """Share of the variance of what was obtained that a straight line explains, the square of the correlation."""
    if len(asked) < 2 or obtained.std() == 0 or asked.std() == 0:
        return 0.0
    return float(np.corrcoef(asked, obtained)[0, 1] ** 2)


def disequilibrium(real: Sequence[float] | np.ndarray, drawn: Sequence[float] | np.ndarray) -> float:
    """The discriminator's mean score of real pictures less that of drawn ones, over the scores' own deviation.

    How far it is from being fooled. The published indicator's normalisation is not in the authors' code; this one has the
    pooled standard deviation, so figures compare among our own networks only.
    """
    a, b = np.asarray(real, float), np.asarray(drawn, float)
    return float((a.mean() - b.mean()) / max(math.sqrt((a.var() + b.var()) / 2), 1e-12))
