"""Render synthetic portraits with exact labels.

    render-env/bin/python render.py OUT --assets ASSETS --count 1000 --first-seed 800000 --threads 1

Writes OUT/img_SEED.jpg and a line per picture to OUT/labels.jsonl. A picture whose line is there already is skipped,
so the same command goes on where it was stopped. README.md beside this file says what is needed and what the labels mean.
"""

import argparse
import json
import tempfile
from pathlib import Path

import finish
import numpy as np
from model import Floats
from progress import rendered_before
from sample import Look, Person, Place, draw
from scene import INDEX, Scene, Shot

GLINT = 0.003
"""The radius of a catch-light, as a share of the picture's side."""
LANDMARKS = Path(__file__).with_name("landmarks68.json")


def changed(person: Person, yaw: float | None, jaw_open: float | None) -> Person:
    """The same person with the head turned to `yaw` degrees (and 0.4 of its own) or the jaw opened, to make pairs."""
    label = dict(person.label)
    if yaw is not None:
        label |= {"yaw": label["yaw"] * 0.4 + yaw, "gaze": [0.0, 0.0]}
    if jaw_open is not None:
        label["facs"] = {**label["facs"], "jawOpen": jaw_open}
    return Person(label, person.targets)


def found(shot: Shot, place: Place, landmarks: Floats, rendered: finish.Rendered) -> dict:
    """What only the render knows of a picture."""
    size = len(rendered.light)
    eyes = shot.camera.project(np.stack([*shot.eyes, shot.mouth]), size)
    free = [round(finish.free_of(rendered, landmarks[eye], INDEX["hair"]), 3) for eye in finish.EYES]
    return {
        "place": [round(place.right, 4), round(place.down, 4)],
        "scale": round(place.scale, 4),
        "eyes_free": free,
        "lm": landmarks.round(2).tolist(),
        "eyes2d": eyes.round(2).tolist(),
        "pupils": shot.camera.project(shot.pupils, size).round(2).tolist(),
    }


def picture(scene: Scene, seed: int, person: Person, look: Look, place: Place, vertices: list[int], path: Path) -> dict:
    """Write the picture; returns its label."""
    shot = scene.arrange(person, look, place)
    with tempfile.TemporaryDirectory() as folder:
        light = Path(folder) / "light.exr"
        scene.render(light, seed)
        rendered = finish.read(light)
    landmarks = shot.camera.project(shot.vertices[vertices], len(rendered.light))
    exposed = rendered.light * finish.gain(rendered, landmarks, shot.albedo, INDEX["body"], look.exposure)
    # So small a lamp in so smooth a cornea is found by one sample in hundreds: it is drawn where it must be.
    size = len(exposed)
    spots = [
        finish.glint(size, spot, GLINT * place.scale * size) for spot in shot.camera.project(shot.reflections, size)
    ]
    exposed += look.catch * np.where(rendered.shows == INDEX["eyes"], np.maximum(*spots), 0.0)[..., None]
    finish.save(finish.finished(exposed, rendered.cover, look.background), path)
    return {**person.label, **found(shot, place, landmarks, rendered), "file": path.name}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--assets", type=Path, required=True, help="folder of the CC0 parts")
    parser.add_argument("--count", type=int, default=1000, help="how many pictures")
    parser.add_argument("--first-seed", type=int, default=800000, help="the others follow it")
    parser.add_argument("--size", type=int, default=256, help="width and height in pixels")
    parser.add_argument("--samples", type=int, default=4, help="light paths per pixel, before denoising")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--yaw", type=float, help="turn every head to this angle, degrees")
    parser.add_argument("--jaw-open", type=float, help="open every mouth by this, 0 to 1")
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    labels = args.out / "labels.jsonl"
    done = rendered_before(labels)
    vertices = json.loads(LANDMARKS.read_text())
    scene = Scene(args.assets, args.size, args.samples, args.threads)
    for seed in range(args.first_seed, args.first_seed + args.count):
        path = args.out / f"img_{seed:05d}.jpg"
        if path.name in done:
            continue
        person, look, place = draw(seed)
        label = picture(scene, seed, changed(person, args.yaw, args.jaw_open), look, place, vertices, path)
        with labels.open("a") as out:  # after the picture: a line means that the picture is complete
            out.write(json.dumps(label) + "\n")


if __name__ == "__main__":
    main()
