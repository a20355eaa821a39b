"""Portraits whose heads stand at different places and sizes: random crops of the rendered ones, for layouts of one object.

usage: python crops.py PORTRAITS OUT [COPIES]

PORTRAITS is the folder of the data; OUT gets COPIES (2) crops of 128 px of each picture, whose sides are 70 to 90 % of the
picture's, at any place in it. The same picture gives the same crops.
"""

import random
import sys
from pathlib import Path

from PIL import Image

SIDE = (0.7, 0.9)
RESOLUTION = 128


def crop(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A random square of a square picture, reduced to `RESOLUTION`."""
    side = picture.width * rng.uniform(*SIDE)
    left, top = (rng.uniform(0, picture.width - side) for _ in range(2))
    return picture.resize((RESOLUTION, RESOLUTION), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))


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
