"""The layout of a photo: a first guess by a reader of the picture, and blobs that projection moves beside w."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from gansteer.edits.arrangement.differences import centroid, regions
from gansteer.edits.arrangement.naming import LEAST, is_readable
from gansteer.models.layout import Blob, Layout
from gansteer.models.room_reader import BACKGROUND, SIZE
from gansteer.subject import Model

PLACE_RATE, SIZE_RATE, STYLE_RATE = 0.1, 0.2, 0.5
"""Learning rates of centres (in half pictures), of sizes (their logarithm) and of styles (in deviations), each times that
of the projection."""
MOST_THINGS = 8
SMALLEST, LARGEST = 0.1, 0.45
"""Sizes of blobs of a first guess, in half pictures: those that layouts are drawn with in training."""


def first_layout(model: Model, picture: Tensor, like: Layout, seed: int) -> Layout:
    """A blob on each of the largest things that the reader sees in `picture [1, 3, R, R]`, as large as the thing.

    Styles are random, and as long as those of `like`. Without a reader for this model `like` itself or, if it has no blobs, the
    layout of a sample.
    """
    if not is_readable(model):
        sampled = model.generator.sample_code(torch.Generator().manual_seed(seed), 0.0).layout
        return like if sampled is None or len(like) else sampled
    from gansteer.checkpoints.readers import ROOMS

    kinds = ROOMS.load(picture.device).segment(picture)[0].cpu()  # [S, S]
    scale = model.resolution / SIZE
    seen = [region for kind in set(kinds.flatten().tolist()) - {BACKGROUND} for region in regions(kinds == kind, LEAST)]
    seen.sort(key=lambda region: -int(region.sum()))
    rng = torch.Generator().manual_seed(seed)
    blobs = []
    for region in seen[:MOST_THINGS]:
        place = centroid(region)
        assert place is not None
        radius = math.sqrt(float(region.sum()) / math.pi) * scale
        size = min(max(radius, SMALLEST * model.resolution / 2), LARGEST * model.resolution / 2)
        style = torch.randn(like.styles.shape[-1], generator=rng)
        x, y = ((v + 0.5) * scale - 0.5 for v in place)
        blobs.append(Blob(x, y, size, tuple(style.tolist())))
    return Layout.of(blobs, like.styles.shape[-1]).to(like.sizes.device, like.sizes.dtype)


class FreeLayout:
    """A layout whose centres, sizes and styles are optimised. Which blobs are there stays."""

    def __init__(self, layout: Layout, resolution: int) -> None:
        self._start, self._half = layout, resolution / 2
        self._places = torch.zeros_like(layout.centres).requires_grad_()
        self._growth = torch.zeros_like(layout.sizes).requires_grad_()
        self._styles = layout.styles.detach().clone().requires_grad_()

    def groups(self, rate: float) -> list[dict[str, object]]:
        """What Adam moves, and how fast, for a learning rate of the projection."""
        each = ((self._places, PLACE_RATE), (self._growth, SIZE_RATE), (self._styles, STYLE_RATE))
        return [{"params": [x], "lr": rate * share} for x, share in each]

    def layout(self) -> Layout:
        """The present one, differentiable."""
        return replace(
            self._start,
            centres=self._start.centres + self._places * self._half,
            sizes=self._start.sizes * self._growth.exp(),
            styles=self._styles,
        )

    def unlikely(self) -> Tensor:
        """How far the styles are from what the model knows, `[]`: their mean square, which is 1 for samples."""
        return self._styles.square().mean() if self._styles.numel() else self._styles.sum()

    def reached(self) -> Layout:
        """The present one without gradient."""
        with torch.no_grad():
            found = self.layout()
        return replace(found, styles=found.styles.detach().clone())
