"""What a blob draws, by the difference between the picture and the picture without it; and how far that goes when it moves."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from gansteer.models.code import Code
from gansteer.subject import Model

LEVELS = 127.5
"""Levels of 256 in a unit of a picture's value."""
VISIBLE = 6.0
"""Levels: a blob whose strongest change of the picture is less draws nothing."""
FAINT = 0.25
"""A change of less than this share of the strongest one is not what the blob draws, but what comes of it elsewhere."""
GAIN_SCENES = 12
"""Pictures that the gain of movement is measured on."""
GAIN = "layout_gain"
GAIN_SEED = 4000
GAIN_MOVE = 0.12
"""How far blobs are moved to measure it, in widths of the picture."""
LEAST_GAIN, MOST_GAIN = 0.5, 1.5
"""The gain is taken to lie between these: what is measured beyond them is taken for noise."""

Place = tuple[float, float]


def change(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference over channels of two pictures `[3, H, W]`, in levels of 256: `[H, W]`."""
    return (a.clamp(-1, 1) - b.clamp(-1, 1)).abs().mean(dim=0) * LEVELS


def centroid(weight: Tensor) -> Place | None:
    """(x, y) of the mean position under a map `[H, W]` of weights or truths; None where all of it is 0."""
    weight = weight.double()
    total = float(weight.sum())
    if total <= 0:
        return None
    height, width = weight.shape
    x = float((weight.sum(dim=0) * torch.arange(width, dtype=torch.float64)).sum()) / total
    y = float((weight.sum(dim=1) * torch.arange(height, dtype=torch.float64)).sum()) / total
    return x, y


def regions(mask: Tensor, least: int = 1) -> list[Tensor]:
    """The connected regions (8 neighbours) of a bool map `[H, W]` that have at least `least` pixels."""
    from scipy import ndimage  # a second and 17 MB, which drags without blobs do without

    numbers, count = ndimage.label(mask.numpy(), structure=np.ones((3, 3)))
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    return [torch.from_numpy(numbers == n) for n in range(1, count + 1) if sizes[n] >= least]


def largest(mask: Tensor) -> Tensor:
    """The largest connected region (8 neighbours) of a bool map `[H, W]`; all False if there is none."""
    found = regions(mask)
    return max(found, key=lambda region: int(region.sum())) if found else torch.zeros_like(mask)


def drawn_by_difference(picture: Tensor, base: Tensor) -> Tensor | None:
    """What a blob draws, `[H, W]`: the change that it makes, in levels, where that is at least a quarter of the strongest.

    `picture` and `base`, which is the picture without the blob, are `[3, H, W]` on the CPU. The strongest change is the
    99.5th percentile, so that single pixels do not decide. None where nothing visible changes.
    """
    size = change(picture, base)
    strongest = float(size.flatten().quantile(0.995))
    if strongest < VISIBLE:
        return None
    return torch.where(size >= FAINT * strongest, size, 0.0)


def slope(asked: np.ndarray, obtained: np.ndarray) -> float:
    """`a` of the line `obtained = a asked` through 0 that fits best; `asked` and `obtained` are `[N]`."""
    return float((asked * obtained).sum() / (asked**2).sum())


@lru_cache(maxsize=4)
def gain_of(model: Model) -> float:
    """How far a thing goes when its blob goes by 1, so that `d / gain` is to be asked where d is wanted.

    From the line through 0 that foretells the asked displacement from the obtained one, `sum b^2 / sum a b`: where things go
    by different shares, dividing by the mean share would overshoot.

    That of the model's card (`layout_gain` among its metrics), or measured on 12 pictures of the model, by differences, once for every model. Between 0.5 and 1.5; 1 where no blob draws
    anything.
    """
    known = model.card.metrics.get(GAIN)
    if isinstance(known, int | float):
        return min(max(float(known), LEAST_GAIN), MOST_GAIN)
    asked, obtained = [], []
    label = 0 if model.generator.config.c_dim else None
    for i in range(GAIN_SCENES):
        subject = model.sample(GAIN_SEED + i, 1.0, label)
        layout = subject.code.layout
        assert layout is not None
        there = [blob for blob in range(len(layout)) if float(layout.present[blob]) > 0]
        if not there:
            continue
        blob = there[i % len(there)]
        towards = (model.resolution - 1) / 2 - layout.centres[
            blob
        ].double().cpu()  # inwards, so that it stays in the picture
        step = towards / towards.norm().clamp_min(1e-6) * GAIN_MOVE * model.resolution
        dx, dy = step.tolist()
        layouts = [layout, layout.moved(blob, dx, dy), layout.shown(blob, False)]
        codes = [Code(subject.code.ws, subject.code.style_offsets, one) for one in layouts]
        with torch.no_grad():
            before, after, base = model.generator.synthesize(Code.batch(codes)).float().cpu()
        places = [drawn_by_difference(picture, base) for picture in (before, after)]
        if places[0] is None or places[1] is None:
            continue
        first, last = centroid(places[0]), centroid(places[1])
        assert first is not None
        assert last is not None
        asked.append([dx, dy])
        obtained.append([last[0] - first[0], last[1] - first[1]])
    if not asked:
        return 1.0
    foretold = slope(np.array(obtained).ravel(), np.array(asked).ravel())
    return min(max(1 / foretold, LEAST_GAIN), MOST_GAIN) if foretold > 0 else 1.0
