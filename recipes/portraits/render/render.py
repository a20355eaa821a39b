"""Render synthetic portraits with exact labels.

    render-env/bin/python render.py OUT --assets ASSETS --count 1000 --first-seed 200000 --threads 1

Writes OUT/img_SEED.png and a line per picture to OUT/labels.jsonl. A picture whose line is there already is skipped,
so the same command goes on where it was stopped. README.md beside this file says what is needed and what the labels mean.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from sample import Person, draw
from scene import Scene, Shot

LANDMARKS = Path(__file__).with_name("landmarks68.json")


def changed(person: Person, yaw: float | None, jaw_open: float | None) -> Person:
    """The same person with the head turned to `yaw` degrees (and 0.4 of its own) or the jaw opened, to make pairs."""
    label = dict(person.label)
    if yaw is not None:
        label |= {"yaw": label["yaw"] * 0.4 + yaw, "gaze": [0.0, 0.0]}
    if jaw_open is not None:
        label["facs"] = {**label["facs"], "jawOpen": jaw_open}
    return Person(label, person.targets)


def line(person: Person, shot: Shot, landmarks: list[int], size: int, file: str) -> str:
    """The label line of a picture."""
    points = shot.camera.project(shot.vertices[landmarks], size)
    eyes = shot.camera.project(np.stack([*shot.eyes, shot.mouth]), size)
    found = {"lm": points.round(2).tolist(), "eyes2d": eyes.round(2).tolist(), "file": file}
    return json.dumps({**person.label, **found}) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--assets", type=Path, required=True, help="folder of the CC0 parts")
    parser.add_argument("--count", type=int, default=1000, help="how many pictures")
    parser.add_argument("--first-seed", type=int, default=200000, help="the others follow it")
    parser.add_argument("--size", type=int, default=256, help="width and height in pixels")
    parser.add_argument("--samples", type=int, default=4, help="light paths per pixel, before denoising")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--yaw", type=float, help="turn every head to this angle, degrees")
    parser.add_argument("--jaw-open", type=float, help="open every mouth by this, 0 to 1")
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    labels = args.out / "labels.jsonl"
    done = {json.loads(text)["file"] for text in labels.read_text().splitlines()} if labels.exists() else set()
    landmarks = json.loads(LANDMARKS.read_text())
    scene = Scene(args.assets, args.size, args.samples, args.threads)
    for seed in range(args.first_seed, args.first_seed + args.count):
        file = f"img_{seed:05d}.png"
        if file in done:
            continue
        person, look = draw(seed)
        person = changed(person, args.yaw, args.jaw_open)
        shot = scene.arrange(person, look)
        scene.render(args.out / file, seed)
        with labels.open("a") as out:  # after the picture: a line means that the picture is complete
            out.write(line(person, shot, landmarks, args.size, file))


if __name__ == "__main__":
    main()
