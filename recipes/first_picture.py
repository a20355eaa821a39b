"""Which picture the studio opens with: the seed whose face is friendly, level and whole, by what is measured.

    python recipes/first_picture.py --seeds 400

Prints the best seeds with their measures. A face looks at the viewer (yaw and pitch near 0), smiles, has both eyes open and
alike (one mirrored against the other), and lies where the model is at its best (the direction `quality`).
"""

import argparse

import torch
from torch import Tensor

import gansteer
from gansteer.checkpoints.readers import FACES
from gansteer.edits.attribute.edit import sliders
from gansteer.edits.attribute.portrait_scores import PortraitScorer

RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
"""Of the 68 landmarks."""
RADIUS = 9
"""Pixels around an eye that are compared."""


def eyes_apart(picture: Tensor, landmarks: Tensor) -> float:
    """How much one eye differs from the other, mirrored: the mean absolute difference of `[3, H, W]` in [-1, 1].

    `landmarks` are `[68, 2]`, (x, y) in pixels of the picture.
    """

    def patch(eye: slice) -> Tensor:
        x, y = (int(v) for v in landmarks[eye].mean(0).round())
        return picture[:, y - RADIUS : y + RADIUS + 1, x - RADIUS : x + RADIUS + 1]

    one, two = patch(RIGHT_EYE), patch(LEFT_EYE).flip(2)
    return float((one - two).abs().mean()) if one.shape == two.shape else 2.0


def main() -> None:
    """Measure, and print the best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=400)
    parser.add_argument("--model", default="portraits")
    arguments = parser.parse_args()
    model, reader = gansteer.load(arguments.model), FACES.load()
    scorer, rows = PortraitScorer(reader), []
    for seed in range(arguments.seeds):
        subject = model.sample(seed, 0.7)
        picture = subject.render()
        scores = {name: float(value[0]) for name, value in scorer(picture[None]).items()}
        landmarks = reader.read(picture[None]).landmarks[0]
        quality = next(slider.value for slider in sliders(subject, every=True) if slider.name == "quality")
        rows.append([seed, scores["smile"], scores["yaw"], scores["pitch"], scores["eyes_wide"], eyes_apart(picture, landmarks), quality])  # fmt: skip
    table = torch.tensor(rows, dtype=torch.float64)
    measured = table[:, 1:]
    spread = (measured - measured.mean(0)) / measured.std(0)
    smile, _, _, wide, apart, quality = spread.T
    turned = (
        measured[:, 1].abs() / measured[:, 1].std()
        + measured[:, 2].sub(measured[:, 2].mean()).abs() / measured[:, 2].std()
    )
    total = smile + wide + 2 * quality - 2 * apart - turned
    print("seed  total  smile    yaw  pitch  eyes open  eyes apart  quality")
    for i in total.argsort(descending=True)[:12].tolist():
        seed, *values = rows[i]
        print(f"{seed:4d} {float(total[i]):6.2f} " + " ".join(f"{value:8.3f}" for value in values))


if __name__ == "__main__":
    main()
