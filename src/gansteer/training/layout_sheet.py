"""A sheet that shows what a model's blobs are and what changing one of them does."""

from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor

from gansteer.models.code import Code
from gansteer.models.generator import Generator
from gansteer.models.layout import Layout, heatmaps
from gansteer.sheet import sheet
from gansteer.subject import to_image

ROWS = ("as drawn", "heatmaps", "moved", "removed", "restyled", "without blobs")
SHIFT = 0.2
"""How far a blob is moved, as a share of the picture's width, to the side that is farther from it."""


def first_present(layout: Layout) -> int | None:
    """The blob that is changed: the first of the layout of one picture that is there."""
    there = (layout.present > 0).nonzero()[:, 0]
    return int(there[0]) if len(there) else None


def changed(layout: Layout, row: str, width: int, rng: torch.Generator) -> Layout:
    """The layout of one picture for a row of the sheet."""
    blob = first_present(layout)
    if row == "without blobs":
        return replace(layout, present=torch.zeros_like(layout.present))
    if blob is None:
        return layout
    if row == "moved":
        way = SHIFT * width * (1 if float(layout.centres[blob, 0]) < width / 2 else -1)
        return layout.moved(blob, way, 0.0)
    if row == "removed":
        return layout.shown(blob, False)
    if row == "restyled":
        return layout.restyled(blob, torch.randn(layout.styles.shape[-1], generator=rng))
    return layout


@torch.no_grad()
def layout_sheet(generator: Generator, count: int = 8, psi: float = 1.0) -> Image.Image:
    """One column for each of the seeds 0 to `count` - 1, one row for each of `ROWS`.

    Each row but the first two changes the first blob that is there, alone; the second shows the heatmaps over the picture.
    Raises ValueError for a model without layouts.
    """
    if not generator.capabilities.layout:
        raise ValueError("this model has no layouts")
    codes = [generator.sample_code(torch.Generator().manual_seed(seed), psi=psi) for seed in range(count)]
    width = generator.config.resolution
    rng = torch.Generator().manual_seed(0)
    pictures: list[Image.Image] = []
    for row in ROWS:
        layouts = [changed(_layout(code), row, width, rng) for code in codes]
        drawn = generator.synthesize(Code.batch([Code(c.ws, layout=at) for c, at in zip(codes, layouts, strict=True)]))
        if row == "heatmaps":
            drawn = _under(drawn, Layout.batch(layouts))
        pictures += [to_image(picture) for picture in drawn]
    return sheet(pictures, columns=count)


def _layout(code: Code) -> Layout:
    assert code.layout is not None
    return code.layout


def _under(pictures: Tensor, layout: Layout) -> Tensor:
    """Pictures `[B, 3, r, r]` dimmed where no heatmap is high."""
    light = heatmaps(layout, pictures.shape[-1]).sum(dim=1, keepdim=True).clamp(max=1)  # [B, 1, r, r]
    return (pictures + 1) * (0.25 + 0.75 * light) - 1
