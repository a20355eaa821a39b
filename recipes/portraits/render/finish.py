"""From what Blender renders to a picture: exposure by the skin, a background, a tone curve, 8 bits. NumPy and Pillow."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from model import Floats, Ints
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from sample import Color

Bools = NDArray[np.bool_]

LUMA = np.array([0.2126, 0.7152, 0.0722])
"""How bright red, green and blue light look."""
GREY, CONTRAST = 0.25, 1.2
WHITE = 4.0
"""The grey about which contrast is raised, by which power, and the linear value that becomes white after that."""
HIGHLIGHT = 0.92
"""What no more than half a percent of the face is brighter than."""
MIDDLE = slice(17, 68)
"""The landmarks of brows, nose, eyes and mouth."""
EYES = (slice(36, 42), slice(42, 48))
"""The landmarks of the right and the left eye."""


@dataclass(frozen=True)
class Rendered:
    """What a render says of each pixel."""

    light: Floats
    """`[H, W, 3]`: linear, already multiplied by what the head covers."""
    cover: Floats
    """`[H, W]`: the share of each pixel that isn't background."""
    shows: Ints
    """`[H, W]`: the number of the part that is seen; 0 is the background."""


def read(path: Path) -> Rendered:
    """An EXR with the combined picture and the pass of part numbers."""
    import OpenEXR  # the rest of this file needs no more than NumPy and Pillow

    with OpenEXR.File(str(path)) as file:
        channels = {name: channel.pixels for part in file.parts for name, channel in part.channels.items()}
    picture = np.asarray(channels["ViewLayer.Combined"], np.float64)
    shows = np.rint(channels["ViewLayer.Object Index.X"]).astype(int)
    return Rendered(picture[..., :3], picture[..., 3], shows)


def toned(linear: Floats) -> Floats:
    """Linear light to display values, both from 0: some contrast about `GREY`, Reinhard's curve with a white point, and
    the sRGB curve.
    """
    light = GREY * (linear / GREY) ** CONTRAST
    curve = np.clip(light * (1 + light / WHITE**2) / (1 + light), 0, 1)
    return np.where(curve <= 0.0031308, 12.92 * curve, 1.055 * np.maximum(curve, 0.0031308) ** (1 / 2.4) - 0.055)


def linear_for(shown: float) -> float:
    """The linear light of a grey that `toned` shows as this."""
    curve = shown / 12.92 if shown <= 0.04045 else ((shown + 0.055) / 1.055) ** 2.4
    # x (1 + x / w^2) / (1 + x) = c  <=>  x^2 / w^2 + (1 - c) x - c = 0
    a, b = 1 / WHITE**2, 1 - curve
    light = (-b + math.sqrt(b * b + 4 * a * curve)) / (2 * a)
    return GREY * (light / GREY) ** (1 / CONTRAST)


def hull(points: Floats, size: int, grown: float = 1.0) -> Bools:
    """Which pixels `[size, size]` are within the convex hull of `points [n, 2]`, grown about their middle."""
    middle = points.mean(0)
    mask = Image.new("1", (size, size))
    corners = convex(middle + grown * (points - middle) - 0.5)  # from the picture's corner to pixel centres
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in corners], fill=1)
    return np.asarray(mask)


def convex(points: Floats) -> list[Floats]:
    """The corners of the convex hull, in order (the monotone chain)."""

    def chain(ordered: list[Floats]) -> list[Floats]:
        corners: list[Floats] = []
        for p in ordered:
            while len(corners) > 1 and turn(corners[-2], corners[-1], p) <= 0:
                corners.pop()
            corners.append(p)
        return corners[:-1]

    def turn(a: Floats, b: Floats, c: Floats) -> float:
        return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    ordered = sorted(points, key=tuple)
    return chain(ordered) + chain(ordered[::-1])


def gain(rendered: Rendered, landmarks: Floats, albedo: float, skin: int, stops: float) -> float:
    """What to multiply the light by: the middle of the face's skin gets the brightness that belongs to its reflectance,
    or less if highlights would burn out.
    """
    face = hull(landmarks[MIDDLE], len(rendered.light))
    seen = face & (rendered.shows == skin)
    luminance = rendered.light @ LUMA
    shown = 0.34 + 0.33 * min(1.0, math.sqrt(albedo / 0.4))
    wanted = linear_for(shown) * 2**stops / max(float(np.median(luminance[seen if seen.any() else face])), 1e-6)
    bright = max(float(np.quantile(luminance[face], 0.995)), 1e-6) if face.any() else 1.0
    return min(wanted, linear_for(HIGHLIGHT) / bright)


def glint(size: int, place: Floats, radius: float) -> Floats:
    """`[H, W]`: a soft spot around a `place` in pixels, 1 in its middle."""
    rows, columns = np.mgrid[:size, :size] + 0.5
    return np.exp(-((columns - place[0]) ** 2 + (rows - place[1]) ** 2) / (2 * radius**2))


def finished(light: Floats, cover: Floats, background: tuple[Color, Color]) -> Ints:
    """`[H, W, 3]`, 8 bits: exposed `light [H, W, 3]` before a gradient from the first colour at the bottom to the second
    at the top.
    """
    size = len(light)
    height = (1 - (np.arange(size) + 0.5) / size)[:, None, None]
    bottom, top = (np.array(color) for color in background)
    behind = (bottom + (top - bottom) * height) * (1 - cover)[..., None]
    return np.rint(255 * toned(np.maximum(light, 0) + behind)).astype(np.uint8)


def free_of(rendered: Rendered, eye: Floats, hair: int) -> float:
    """The share of an eye `[6, 2]` and what is next to it that no hair covers."""
    region = hull(eye, len(rendered.shows), 1.3)
    return float((rendered.shows[region] != hair).mean()) if region.any() else 0.0


def save(picture: Ints, path: Path) -> None:
    """A JPEG of quality 95 with whole colour, complete before it has its name."""
    partial = path.with_suffix(".part")
    Image.fromarray(picture).save(partial, "JPEG", quality=95, subsampling=0)
    partial.replace(path)
