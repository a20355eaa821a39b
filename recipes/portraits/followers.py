"""Train what follows and moves points of the shipped model beside DragGAN's way, and put it into the package.

usage: python recipes/portraits/followers.py [flow|points|transformer ...]

All of them unless some are named. Each is a re-implementation, small, trained on the model's own pictures (docs/evaluation.md).
"""

import sys
import tempfile
from pathlib import Path

from gansteer.cli import main

WEIGHTS = Path(__file__).parents[2] / "src" / "gansteer" / "weights"


def flow(out: Path) -> list[list[str]]:
    """First large motions, then all lengths down to those of a step."""
    first = str(Path(tempfile.mkdtemp()) / "first.safetensors")
    words = ["train-tracker", "--model", "portraits", "--kind", "flow"]
    return [
        [*words, "--least", "1", "--steps", "2600", "--out", first],
        [*words, "--begin", first, "--learning-rate", "5e-4", "--steps", "700", "--out", str(out)],
    ]


def points(out: Path) -> list[list[str]]:
    return [["train-tracker", "--model", "portraits", "--kind", "points", "--steps", "700", "--out", str(out)]]


def transformer(out: Path) -> list[list[str]]:
    return [["train-transformer", "--model", "portraits", "--pairs", "4000", "--steps", "1800", "--out", str(out)]]


FOLDERS = {
    "flow": (flow, "trackers/flow"),
    "points": (points, "trackers/points"),
    "transformer": (transformer, "transformers"),
}

if __name__ == "__main__":
    for name in sys.argv[1:] or FOLDERS:
        if name not in FOLDERS:
            sys.exit(__doc__)
        commands, folder = FOLDERS[name]
        (WEIGHTS / folder).mkdir(parents=True, exist_ok=True)
        for words in commands(WEIGHTS / folder / "portraits.safetensors"):
            if code := main(words):
                sys.exit(code)
