"""Drags whose result is known: rendered heads brought in, and dragged to where the same head's landmarks are when it turns.

A folder holds each person three times under the same light, `NNNN_base`, `NNNN_turned` and `NNNN_jaw`, and `pairs.jsonl`
beside it says where the landmarks are. The base is brought in by projection into w+, so that "no edit" is the picture as the
model draws it.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from gansteer.edits.inversion.crop import Crop, cut
from gansteer.errors import UserError
from gansteer.evaluation.drags.cases import Case, Landmarks, between
from gansteer.evaluation.editing import brought_in
from gansteer.evaluation.samples import from_levels
from gansteer.pictures import read_photo
from gansteer.subject import Model, Subject

MOTIONS = ("turned", "jaw")


class KnownMotion:
    """The cases of a folder: case `2 i` is person i turned, `2 i + 1` the same with the mouth opened."""

    def __init__(self, folder: Path, model: Model, landmarks: Landmarks, projection: int) -> None:
        """Raises UserError if the folder or its labels cannot be read."""
        self.folder, self.model, self.landmarks, self.projection = folder, model, landmarks, projection
        self.labels = _labels(folder)
        self._brought = lru_cache(maxsize=2)(self._bring_in)

    def case(self, number: int, points: int) -> Case:
        """The drag of `points` landmarks from where they are in the picture brought in. Raises UserError.

        Targets are the true ones; handles are the landmarks that are read from the picture brought in, moved by what the
        reader is off on the true base, whose landmarks are known.
        """
        person, motion = divmod(number, len(MOTIONS))
        people = sorted(name[: -len("_base")] for name in self.labels if name.endswith("_base"))
        if person >= len(people):
            raise UserError(
                f"{self.folder} has {len(people)} people: give --pairs {len(MOTIONS) * len(people)} at most"
            )
        name = people[person]
        base, true = self._brought(name)
        after = f"{name}_{MOTIONS[motion]}"
        goal, wanted = self._picture(after), self._true_landmarks(after)
        bias = self._true_landmarks(f"{name}_base") - self.landmarks(true)
        return between(base, self.landmarks(base.render()) + bias, wanted, points, goal)

    def _bring_in(self, name: str) -> tuple[Subject, Tensor]:
        """The subject nearest to the base of a person, and that picture."""
        return brought_in(self.model, self._pixels(f"{name}_base"), self.projection), self._picture(f"{name}_base")

    def _picture(self, name: str) -> Tensor:
        return from_levels(self._pixels(name)).permute(2, 0, 1).to(self.model.device)

    def _true_landmarks(self, name: str) -> Tensor:
        """`[68, 2]` in pixels of the model's pictures."""
        if name not in self.labels:
            raise UserError(f"{self.folder.with_suffix('.jsonl')} has no landmarks of {name}")
        share = self.model.resolution / read_photo(self._file(name)).width
        return (self.labels[name] + 0.5) * share - 0.5

    def _file(self, name: str) -> Path:
        found = [path for path in self.folder.glob(f"{name}.*") if path.suffix.lower() in (".jpg", ".png")]
        if not found:
            raise UserError(f"{self.folder} has no picture {name}.jpg or {name}.png")
        return found[0]

    def _pixels(self, name: str) -> Tensor:
        """`uint8 [R, R, 3]` at the model's resolution."""
        photo = read_photo(self._file(name))
        return cut(photo, Crop.centred(photo), self.model.resolution)


def _labels(folder: Path) -> Mapping[str, Tensor]:
    """Name of a picture to its landmarks `[68, 2]` in pixels of the file. Raises UserError."""
    path = folder.with_suffix(".jsonl")
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return {Path(line["file"]).stem: torch.tensor(line["lm"], dtype=torch.float64) for line in lines}
    except OSError as error:
        raise UserError(f"{path} cannot be read: it holds the landmarks of the pictures in {folder}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no file of landmarks: every line is a JSON object with file and lm") from error
