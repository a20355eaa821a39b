"""Which picture of a model the studio opens with, by what is measured.

    python recipes/first_picture.py --seeds 400
    python recipes/first_picture.py --seeds 400 --model rooms

Prints the best seeds with their measures. A face looks at the viewer (yaw and pitch near 0), smiles, has both eyes open and
alike (one mirrored against the other), and lies where the model is at its best (the direction `quality`). A room has many
kinds of things, all of which the reader of rooms is sure of, the blobs' own among them. The seeds stand in
`studio/catalogue.py`; whoever ships other weights asks again.
"""

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor

import gansteer
from gansteer.checkpoints.readers import FACES, ROOMS
from gansteer.edits.attribute.edit import sliders
from gansteer.edits.attribute.portrait_scores import PortraitScorer
from gansteer.models.room_reader import BACKGROUND, KINDS

RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
"""Of the 68 landmarks."""
RADIUS = 9
"""Pixels around an eye that are compared."""
SEEN = 200
"""Pixels of 128 x 128 that a kind of thing covers where it counts as being there."""


def eyes_apart(picture: Tensor, landmarks: Tensor) -> float:
    """How much one eye differs from the other, mirrored: the mean absolute difference of `[3, H, W]` in [-1, 1].

    `landmarks` are `[68, 2]`, (x, y) in pixels of the picture.
    """

    def patch(eye: slice) -> Tensor:
        x, y = (int(v) for v in landmarks[eye].mean(0).round())
        return picture[:, y - RADIUS : y + RADIUS + 1, x - RADIUS : x + RADIUS + 1]

    one, two = patch(RIGHT_EYE), patch(LEFT_EYE).flip(2)
    return float((one - two).abs().mean()) if one.shape == two.shape else 2.0


def portraits(model: gansteer.Model, seeds: Sequence[int]) -> tuple[list[str], list[list[float]], Tensor]:
    """What is measured of faces: the names, the values by seed, and the sum by which they are ranked."""
    reader = FACES.load()
    scorer, rows = PortraitScorer(reader), []
    for seed in seeds:
        subject = model.sample(seed, 0.7)
        picture = subject.render()
        scores = {name: float(value[0]) for name, value in scorer(picture[None]).items()}
        landmarks = reader.read(picture[None]).landmarks[0]
        quality = next(slider.value for slider in sliders(subject, every=True) if slider.name == "quality")
        rows.append([scores["smile"], scores["yaw"], scores["pitch"], scores["eyes_wide"], eyes_apart(picture, landmarks), quality])  # fmt: skip
    measured = torch.tensor(rows, dtype=torch.float64)
    spread = (measured - measured.mean(0)) / measured.std(0)
    smile, _, _, wide, apart, quality = spread.T
    turned = (
        measured[:, 1].abs() / measured[:, 1].std()
        + measured[:, 2].sub(measured[:, 2].mean()).abs() / measured[:, 2].std()
    )
    total = smile + wide + 2 * quality - 2 * apart - turned
    return ["smile", "yaw", "pitch", "eyes open", "eyes apart", "quality"], rows, total


def rooms(model: gansteer.Model, seeds: Sequence[int]) -> tuple[list[str], list[list[float]], Tensor]:
    """The same of rooms."""
    reader, rows = ROOMS.load(), []
    for seed in seeds:
        with torch.no_grad():
            kinds = reader.read(model.sample(seed, 0.7).render()[None])[0]  # [14, 128, 128]
        sure, kind = kinds.max(0)
        pixels = torch.bincount(kind.flatten(), minlength=len(KINDS))
        things = kind != BACKGROUND
        rows.append([float((pixels >= SEEN).sum()) - 1, float(things.float().mean()), float(sure[things].mean()) if things.any() else 0.0])  # fmt: skip
    measured = torch.tensor(rows, dtype=torch.float64)
    spread = (measured - measured.mean(0)) / measured.std(0)
    return ["kinds", "covered", "sure"], rows, spread[:, 0] + 2 * spread[:, 2]


def main() -> None:
    """Measure, and print the best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=400)
    parser.add_argument("--model", default="portraits")
    arguments = parser.parse_args()
    model, seeds = gansteer.load(arguments.model), range(arguments.seeds)
    names, rows, total = (rooms if model.generator.capabilities.layout else portraits)(model, seeds)
    print("  ".join(["seed", " total", *(f"{name:>10}" for name in names)]))
    for i in total.argsort(descending=True)[:12].tolist():
        print("  ".join([f"{seeds[i]:4d}", f"{float(total[i]):6.2f}", *(f"{value:10.3f}" for value in rows[i])]))


if __name__ == "__main__":
    main()
