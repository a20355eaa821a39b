"""What rendered portraits are like: exposure of faces, catch-lights, eyes free of hair, places, sizes and angles.

    python check.py FOLDER [FOLDER ...] [--sheet OUT.jpg]

FOLDER holds pictures and their labels.jsonl. Prints one line per figure, over all the pictures together; --sheet also writes the
first 64 of them on a page, none picked.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import finish
import numpy as np
from model import Floats
from PIL import Image

BRIGHT, DARK = 0.95, 0.04
"""Luminances (shown, 0 to 1) beyond which a face is burnt out or drowned."""
OPEN = 0.14
"""An eye is open if its lids are further apart than this, as a share of its width: below, there is no iris to be seen."""
GLINT = 0.2
"""How much brighter than the iris around it a catch-light is, at least (shown luminance)."""
FREE = 0.9
"""The share of an eye and its surroundings that no hair covers when it counts as free."""

THUMB = 160
"""Width of a picture on the page."""


@dataclass(frozen=True)
class Measured:
    """One picture."""

    bright: float
    dark: float
    """Shares of the middle of the face."""
    catch_lights: tuple[bool | None, bool | None]
    """Of the right and left eye; None if it is shut or covered."""
    free: float
    """Of the less free eye."""


def opening(eye: Floats) -> float:
    """How far the lids `[6, 2]` are apart, as a share of the eye's width."""
    lids = np.linalg.norm(eye[1] - eye[5]) + np.linalg.norm(eye[2] - eye[4])
    return float(lids / 2 / max(np.linalg.norm(eye[0] - eye[3]), 1e-6))


def catch_light(luminance: Floats, eye: Floats, pupil: Floats) -> bool:
    """Whether a small light stands out in the iris: the brightest pixel within a quarter of the eye's width from the
    pupil against the median there.
    """
    size = len(luminance)
    rows, columns = np.mgrid[:size, :size] + 0.5
    radius = np.linalg.norm(eye[0] - eye[3]) * 0.22
    near = (np.hypot(columns - pupil[0], rows - pupil[1]) < max(radius, 2.0)) & finish.hull(eye, size, 1.1)
    return bool(near.any() and luminance[near].max() - np.median(luminance[near]) > GLINT)


def measured(picture: Floats, label: dict) -> Measured:
    """Of a picture `[H, W, 3]` from 0 to 1 and its label."""
    luminance = picture @ finish.LUMA
    landmarks = np.array(label["lm"])
    face = luminance[finish.hull(landmarks[finish.MIDDLE], len(luminance))]
    found: list[bool | None] = []
    for where, pupil, free in zip(finish.EYES, label["pupils"], label["eyes_free"], strict=True):
        eye = landmarks[where]
        seen = opening(eye) > OPEN and free >= FREE
        found.append(catch_light(luminance, eye, np.array(pupil)) if seen else None)
    right, left = found
    return Measured(
        float((face > BRIGHT).mean()), float((face < DARK).mean()), (right, left), float(min(label["eyes_free"]))
    )


def spread(values: Floats, digits: int) -> str:
    return f"{values.min():.{digits}f} to {values.max():.{digits}f}"


def report(labels: list[dict], measures: list[Measured]) -> list[str]:
    both = [m.catch_lights for m in measures if None not in m.catch_lights]
    places = np.array([label["place"] for label in labels])
    scales, rolls, yaws = (np.array([label[key] for label in labels]) for key in ("scale", "roll", "yaw"))
    bright, dark = (np.array([getattr(m, name) for m in measures]) for name in ("bright", "dark"))
    return [
        f"{len(labels)} pictures",
        f"middle of the face above {BRIGHT}: {100 * bright.mean():.2f} % of its pixels; "
        f"pictures with more than 1 %: {100 * (bright > 0.01).mean():.1f} %",
        f"middle of the face below {DARK}: {100 * dark.mean():.2f} % of its pixels; "
        f"pictures with more than 1 %: {100 * (dark > 0.01).mean():.1f} %",
        f"catch-lights in both eyes: {100 * np.mean([all(b) for b in both]):.1f} % of {len(both)} with both eyes open",
        f"both eyes free of hair: {100 * np.mean([m.free >= FREE for m in measures]):.1f} %",
        f"right {spread(places[:, 0], 3)}, down {spread(places[:, 1], 3)} of the side; "
        f"scale {spread(scales, 2)}; roll {spread(rolls, 1)}, yaw {spread(yaws, 1)} degrees",
    ]  # fmt: skip


def sheet(pictures: list[Path], out: Path) -> None:
    """Write 64 pictures as eight rows of eight."""
    page = Image.new("RGB", (8 * THUMB, 8 * THUMB))
    for i, path in enumerate(pictures[:64]):
        with Image.open(path) as picture:
            page.paste(picture.resize((THUMB, THUMB), Image.Resampling.LANCZOS), (i % 8 * THUMB, i // 8 * THUMB))
    page.save(out, "JPEG", quality=88)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    labels, measures, paths = [], [], []
    for folder in args.folders:
        for text in (folder / "labels.jsonl").read_text().splitlines():
            labels.append(json.loads(text))
            paths.append(folder / labels[-1]["file"])
            with Image.open(paths[-1]) as picture:
                measures.append(measured(np.asarray(picture.convert("RGB"), np.float64) / 255, labels[-1]))
    print("\n".join(report(labels, measures)))
    if args.sheet:
        sheet(paths, args.sheet)


if __name__ == "__main__":
    main()
