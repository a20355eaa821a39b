"""Many pictures on one sheet."""

import math
from collections.abc import Sequence

from PIL import Image


def columns_for(count: int) -> int:
    """How many columns make a sheet of `count` pictures about as wide as high, never higher than wide."""
    return math.ceil(math.sqrt(count))


def sheet(pictures: Sequence[Image.Image], columns: int | None = None) -> Image.Image:
    """The pictures, all of the first one's size, row by row; by default about as wide as high."""
    columns = columns or columns_for(len(pictures))
    rows = math.ceil(len(pictures) / columns)
    width, height = pictures[0].size
    page = Image.new("RGB", (columns * width, rows * height))
    for i, picture in enumerate(pictures):
        page.paste(picture, (i % columns * width, i // columns * height))
    return page
