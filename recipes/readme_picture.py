"""The README's picture: portraits with the point that is dragged, its target, and the result below.

usage: python readme_picture.py OUT.png
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw

import gansteer
from gansteer.checkpoints.readers import FACES
from gansteer.sheet import sheet

NOSE, CHIN = 30, 8
"""Of the usual 68 landmarks."""
DRAGS = {  # seed to landmark and move; seeds are not picked
    0: (NOSE, (10, 0)),
    1: (NOSE, (-10, 0)),
    2: (NOSE, (0, 5)),
    3: (CHIN, (0, 8)),
}
SCALE = 2
HANDLE, TARGET, EDGE = (229, 57, 53), (30, 136, 229), (255, 255, 255)


def enlarged(picture: Image.Image) -> Image.Image:
    """The picture `SCALE` times as large."""
    return picture.resize((picture.width * SCALE, picture.height * SCALE), Image.Resampling.LANCZOS)


def marked(picture: Image.Image, handle: tuple[int, int], target: tuple[int, int]) -> Image.Image:
    """An enlarged picture with an arrow from handle to target."""
    page = picture.copy()
    draw = ImageDraw.Draw(page)
    (x0, y0), (x1, y1) = (tuple((v + 0.5) * SCALE for v in point) for point in (handle, target))
    draw.line([(x0, y0), (x1, y1)], fill=EDGE, width=3)
    for (x, y), colour in (((x0, y0), HANDLE), ((x1, y1), TARGET)):
        draw.ellipse([x - 6, y - 6, x + 6, y + 6], fill=colour, outline=EDGE, width=2)
    return page


def main(out: Path) -> None:
    """Draw, drag, and lay out."""
    model = gansteer.load("portraits")
    reader = FACES.load(model.device)
    before, after = [], []
    for seed, (landmark, (dx, dy)) in DRAGS.items():
        subject = model.sample(seed, psi=0.7)
        x, y = (round(v) for v in reader.read(subject.render()[None]).landmarks[0, landmark].tolist())
        target = (x + dx, y + dy)
        run = gansteer.start(subject, gansteer.Drag(handles=[(x, y)], targets=[target]))
        *_, last = run
        print(f"seed {seed}: {last.stop_reason} after {last.step} steps, {last.distances[0]:.1f} px away")
        before.append(marked(enlarged(subject.image), (x, y), target))
        after.append(enlarged(run.subject.image))
    sheet(before + after, columns=len(DRAGS)).save(out)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
