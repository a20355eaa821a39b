"""A picture with the blobs of its layout drawn on it."""

import math

from PIL import Image, ImageDraw, ImageFont

from gansteer.models.layout import Layout

LEAST_WIDTH = 256
"""Pixels that a picture with blobs is wide at least, so that their numbers can be read."""
COLOURS = (
    (229, 57, 53), (30, 136, 229), (67, 160, 71), (251, 140, 0), (142, 36, 170), (0, 172, 193), (216, 27, 96), (109, 76, 65),
)  # fmt: skip
EDGE = (255, 255, 255)


def zoom_for(width: int) -> int:
    """How many times a picture of `width` pixels is enlarged to carry blobs."""
    return max(1, math.ceil(LEAST_WIDTH / width))


def with_blobs(picture: Image.Image, layout: Layout) -> Image.Image:
    """The picture, enlarged to 256 px or more, with a circle at the size of every blob that is there and its number.

    The circle is where the blob's heatmap falls to one half.
    """
    zoom = zoom_for(picture.width)
    page = picture.convert("RGB").resize((picture.width * zoom, picture.height * zoom), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(page)
    line = max(1, page.width // 256)
    font = ImageFont.load_default(size=max(11, page.width // 20))
    for number, blob in enumerate(layout.blobs):
        if not blob.present:
            continue
        x, y, radius = (blob.x + 0.5) * zoom - 0.5, (blob.y + 0.5) * zoom - 0.5, blob.size * zoom
        colour = COLOURS[number % len(COLOURS)]
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=EDGE, width=3 * line)
        inner = radius - line
        if inner > 0:
            draw.ellipse((x - inner, y - inner, x + inner, y + inner), outline=colour, width=line)
        draw.text((x, y), str(number), colour, font, anchor="mm", stroke_width=2 * line, stroke_fill=EDGE)
    return page
