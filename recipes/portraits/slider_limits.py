"""How far the sliders of a model of faces reach before its pictures break, and which of them move anything.

    python recipes/portraits/slider_limits.py --data ../shared/data/portraits/images --write

Every attribute is turned, in w, to 2, 3, 4 and 5 deviations on either side, in the pictures of 50 seeds. A value holds as
long as at least 90 of 100 faces that were whole are whole still, by two readers that agree on their landmarks
(`is_whole`), and the middle picture looks no less real than the worst twentieth of the model's own samples, by a linear
discriminator (`evaluation/realism.py`). The limit is the last value that holds, coming from the middle. What an attribute
moves is the change of its own score from one limit to the other, in deviations of that score over the samples. Prints a
table; `--write` puts both into the directions that come with gansteer, where the studio's sliders read them.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

import gansteer
from gansteer.checkpoints.directions import load_directions, own_directions, save_directions, shipped_directions
from gansteer.checkpoints.mtcnn import load_face_detector
from gansteer.checkpoints.readers import FACES
from gansteer.directions import Directions
from gansteer.edits.attribute.portrait_scores import PortraitScorer
from gansteer.evaluation.realism import realism
from gansteer.models.face_reader import is_whole
from gansteer.subject import Model, Subject

VALUES = (2.0, 3.0, 4.0, 5.0)
"""Deviations; a slider has always gone to 3."""
WHOLE = 0.9
"""Share of whole faces that stay whole."""
WORST = 0.05
"""Share of the model's own samples that look less real than what still holds."""
SMALLEST_FACE = 0.3
"""Of the picture's side."""


class Measures:
    """What is measured of pictures of one model."""

    def __init__(self, model: Model, data: Path) -> None:
        self.reader, self.detector = FACES.load(), load_face_detector()
        self.scorer = PortraitScorer(self.reader)
        self.real = realism(model, data, "quality")

    @torch.no_grad()
    def scores(self, subjects: list[Subject]) -> tuple[Tensor, dict[str, Tensor]]:
        """Which faces are whole `[B]`, and the scores by name, that of realism as `quality`."""
        pictures = torch.stack([subject.render() for subject in subjects]).float().clamp(-1, 1)
        landmarks = self.reader.read(pictures).landmarks
        size = pictures.shape[3]
        whole = []
        for picture, marks in zip(pictures, landmarks, strict=True):
            found = self.detector.find(picture, SMALLEST_FACE * size)
            whole.append(is_whole(marks.double(), found.points[0] if len(found.points) else None, size))
        return torch.tensor(whole), {**self.scorer(pictures), **self.real(pictures)}


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="portraits")
    parser.add_argument("--data", type=Path, required=True, help="real pictures: a folder or zip")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--samples", type=int, default=300, help="of the model's own, for what is usual")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", type=Path, help="what was measured so far; goes on from there")
    arguments = parser.parse_args()
    model = gansteer.load(arguments.model)
    measures = Measures(model, arguments.data)
    _, usual = measures.scores([model.sample(seed) for seed in range(1000, 1000 + arguments.samples)])
    floor = float(usual["quality"].quantile(WORST))
    subjects = [model.sample(seed) for seed in range(arguments.seeds)]
    start, _ = measures.scores(subjects)
    names = [d.name for d in own_directions(model).entries if d.space == "w" and d.about.get("method") == "svm"]
    done = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
    print(
        f"{int(start.sum())} of {len(subjects)} faces are whole; realism of the worst twentieth of samples: {floor:.2f}"
    )
    print("attribute        low  high  moves   whole faces (realism) at each value", flush=True)
    for name in names:
        if name not in done:
            done[name] = limits(name, subjects, start, floor, float(usual[name].std()), measures)
            if arguments.json:
                arguments.json.write_text(json.dumps(done))
        low, high, moves, seen = done[name]
        print(f"{name:14s} {low:5.1f} {high:5.1f} {moves:6.2f}   {seen}", flush=True)
    if arguments.write:
        (path,) = (p for p in shipped_directions() if load_directions(p).digest == model.digest)
        save_directions(told(load_directions(path), done), path)


def limits(
    name: str, subjects: list[Subject], start: Tensor, floor: float, std: float, measures: Measures
) -> tuple[float, float, float, str]:
    """The lowest and the highest value that hold, what the attribute moves between them, and what was seen."""
    ends, last, seen = [], [], []
    for side in (-1, 1):
        end, there = 0.0, None
        for value in VALUES:
            turned = [gansteer.Attribute({name: side * value}, absolute=True) for _ in subjects]
            runs = [gansteer.start(s, edit) for s, edit in zip(subjects, turned, strict=True)]
            whole, scores = measures.scores([list(run)[-1].subject for run in runs])
            share = float(whole[start].double().mean())
            middle = float(scores["quality"].median())
            seen.append(f"{side * value:+.0f}: {share:.2f} ({middle:.1f})")
            if share < WHOLE or middle < floor:
                break
            end, there = side * value, scores[name]
        ends.append(end)
        last.append(there)
    moves = 0.0 if last[0] is None or last[1] is None else float((last[1] - last[0]).mean()) / std
    return ends[0], ends[1], moves, " ".join(seen)


def told(directions: Directions, found: dict[str, tuple[float, float, float, str]]) -> Directions:
    """The directions with what was measured of them."""
    entries = []
    for entry in directions.entries:
        if entry.space == "w" and entry.name in found:
            low, high, moves, _ = found[entry.name]
            entry = replace(entry, about={**entry.about, "low": low, "high": high, "moves": round(moves, 2)})
        entries.append(entry)
    return replace(directions, entries=tuple(entries))


if __name__ == "__main__":
    main()
