"""Portraits whose heads stand at different places and sizes, for layouts of one object: the rendered ones moved and resized.

usage: python crops.py PORTRAITS OUT [COPIES]

PORTRAITS is the folder of the data; OUT gets COPIES (2) squares of 128 px of each picture. Their sides are 80 to 110 % of the
picture's, and their middles are off its middle by normal random numbers as the first blob of a hierarchical layout is
(deviation a sixth of the width, at most three eighths). What lies beyond the picture repeats its border: backgrounds are
plain. The same picture gives the same squares.
"""

import random
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = (0.8, 1.1)
DEVIATION, FARTHEST = 0.165, 0.375
RESOLUTION = 128


def crop(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A random square of a square picture whose border goes on, reduced to `RESOLUTION`."""
    width = picture.width
    side = width * rng.uniform(*SIDE)
    x, y = (width / 2 - side * max(-FARTHEST, min(FARTHEST, rng.gauss(0, DEVIATION))) for _ in range(2))
    wide = Image.fromarray(np.pad(np.asarray(picture), ((width, width), (width, width), (0, 0)), mode="edge"))
    left, top = width + x - side / 2, width + y - side / 2
    return wide.resize((RESOLUTION, RESOLUTION), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))


def main(portraits: Path, out: Path, copies: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted((portraits / "images").glob("*.jpg")):
        picture = Image.open(path).convert("RGB")
        rng = random.Random(path.stem)
        for i in range(copies):
            crop(picture, rng).save(out / f"{path.stem}-{i}.png")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 2)
