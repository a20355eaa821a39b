"""The pictures of docs/models.md: 64 samples, interpolations in w, and the curve of the quality metric.

usage: python sheets.py MODEL OUT [CURVE.jsonl]

CURVE.jsonl is what curve.py writes.
"""

import json
import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw

import gansteer
from gansteer.models.code import Code
from gansteer.sheet import sheet
from gansteer.subject import Model, Subject


def samples(model: Model) -> Image.Image:
    """psi 0.7, seeds 0 to 63, none picked."""
    return sheet([model.sample(seed, psi=0.7).image for seed in range(64)], columns=8)


def interpolations(model: Model, rows: int = 6, columns: int = 9) -> Image.Image:
    """Straight lines in w from seed 2i to seed 2i + 1, psi 0.7."""
    pictures = []
    for i in range(rows):
        a, b = (model.sample(2 * i + j, psi=0.7).code.ws for j in range(2))
        pictures += [Subject(model, Code(torch.lerp(a, b, k / (columns - 1)))).image for k in range(columns)]
    return sheet(pictures, columns=columns)


def curve(points: list[dict[str, float]], width: int = 720, height: int = 360) -> Image.Image:
    """Frechet distance against images seen, with the real half-against-half floor."""
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    left, right, top, bottom = 60, width - 20, 20, height - 40
    last = max(p["images"] for p in points)
    highest = max(p["frechet"] for p in points) * 1.05

    def place(images: float, value: float) -> tuple[float, float]:
        return left + (right - left) * images / last, bottom - (bottom - top) * value / highest

    for i in range(6):
        value, images = highest * i / 5, last * i / 5
        y, x = place(0, value)[1], place(images, 0)[0]
        draw.line([(left, y), (right, y)], fill="#e4e4e4")
        draw.text((8, y - 6), f"{value:.2f}", fill="#444444")
        draw.text((x - 14, bottom + 8), f"{images / 1000:.0f}k", fill="#444444")
    floor = place(0, points[-1]["floor"])[1]
    draw.line([(left, floor), (right, floor)], fill="#999999")
    draw.text((left + 6, floor - 14), "real half against half", fill="#777777")
    draw.line(
        [place(p["images"], p["frechet"]) for p in sorted(points, key=lambda p: p["images"])], fill="#2a5bd7", width=3
    )
    draw.text((left, height - 16), "Frechet distance (EfficientNet-Lite0) against images seen", fill="#222222")
    return page


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    model, out = gansteer.load(sys.argv[1]), Path(sys.argv[2])
    samples(model).save(out / "portraits-samples.jpg", quality=92)
    interpolations(model).save(out / "portraits-interpolations.jpg", quality=92)
    if len(sys.argv) == 4:
        points = [json.loads(line) for line in Path(sys.argv[3]).read_text().splitlines()]
        curve(points).save(out / "portraits-curve.png")
