"""Whether a picture can be edited as the model's own can: the same drags and attributes on any of them.

An attribute is turned up and down, since a face that smiles as much as it can does not smile more. What to expect of a
picture is what the model's own pictures do that begin at about the same level. They are not truncated (psi 1), as the pictures
brought in vary as the training data did; nearer to the mean the same turn does more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gansteer.directions import Directions
from gansteer.edits.attribute.edit import Attribute, moved
from gansteer.edits.attribute.portrait_scores import scores_of
from gansteer.edits.drag.edit import Drag
from gansteer.edits.registry import start
from gansteer.models.code import Code
from gansteer.models.face_reader import FaceReader
from gansteer.subject import Model, Subject

DRAGS = ((30, 0.25, 0.0), (8, 0.0, 0.25), (54, 0.2, -0.1), (19, 0.0, -0.2), (57, 0.0, 0.2))
"""A landmark (nose, chin, corner of the mouth, brow, lower lip) and its way, in distances between the eyes."""
PLACES = ((0.5, 0.5), (0.3, 0.4), (0.7, 0.4), (0.4, 0.7), (0.6, 0.7))
"""Where handles stand in pictures that are no faces, as shares of the side; each goes 5 % of it to the right."""
DRAG_STEPS = 40
TURNED = 1.5
"""Deviations by which each attribute is turned, up and down."""
ATTRIBUTES = ("smile", "age", "gender", "yaw", "mouth_open")
OWN_PICTURES, NEAREST = 64, 8
"""How many of the model's own pictures are turned, and how many of them a picture is compared with."""
TOGETHER = 8
"""Pictures that are drawn at a time."""

Scores = Mapping[str, Tensor]
"""A number for each of `ATTRIBUTES` and each of some pictures, `[B]`."""


def eye_distance(landmarks: Tensor) -> Tensor:
    """`[B, 68, 2]` to the distance between the eyes' centres `[B]`."""
    right, left = landmarks[:, 36:42].mean(dim=1), landmarks[:, 42:48].mean(dim=1)
    distance: Tensor = (right - left).norm(dim=1)
    return distance


def drags_on(subject: Subject, reader: FaceReader | None) -> list[Drag]:
    """The drags that a picture is tried with: at its landmarks, or at fixed places if it is no face."""
    last = subject.model.resolution - 1
    if reader is None:
        pairs = [((x * last, y * last), ((x + 0.05) * last, y * last)) for x, y in PLACES]
    else:
        with torch.no_grad():
            seen = reader.read(subject.render()[None].clamp(-1, 1)).landmarks
        unit = float(eye_distance(seen)[0])
        at = [(seen[0, i].tolist(), (dx * unit, dy * unit)) for i, dx, dy in DRAGS]
        pairs = [((x, y), (x + dx, y + dy)) for (x, y), (dx, dy) in at]

    def inside(point: tuple[float, float]) -> tuple[float, float]:
        return min(max(point[0], 0.0), last), min(max(point[1], 0.0), last)

    return [
        Drag([inside(handle)], [inside(target)], method="gauss-newton", steps=DRAG_STEPS) for handle, target in pairs
    ]


def arrivals(subject: Subject, reader: FaceReader | None) -> tuple[bool, ...]:
    """Of each of its drags, whether the handle came to its target."""
    found = []
    for drag in drags_on(subject, reader):
        *_, last = start(subject, drag)
        found.append(last.stop_reason == "all handles have arrived")
    return tuple(found)


def drawn(subjects: Sequence[Subject]) -> Tensor:
    """The pictures `[B, 3, R, R]` within [-1, 1] of subjects of one generator, without style offsets."""
    generator = subjects[0].generator
    with torch.no_grad():
        codes = [subject.code for subject in subjects]
        chunks = [Code.batch(codes[i : i + TOGETHER]) for i in range(0, len(codes), TOGETHER)]
        return torch.cat([generator.synthesize(chunk) for chunk in chunks]).clamp(-1, 1)


def levels(pictures: Tensor, reader: FaceReader) -> Scores:
    """What the reader sees in pictures `[B, 3, R, R]`; gender in log-odds, as its probability saturates on clear cases."""
    with torch.no_grad():
        chunks = [scores_of(reader.read(some)) for some in torch.split(pictures, TOGETHER)]
    found = {name: torch.cat([chunk[name] for chunk in chunks]) for name in ATTRIBUTES}
    return {**found, "gender": found["gender"].logit(1e-6)}


def changes(subjects: Sequence[Subject], reader: FaceReader, directions: Directions) -> Scores:
    """By how much the reader sees each attribute change when it is turned by `TURNED` deviations: half of what lies between
    up and down. The subjects have one generator."""

    def turned(name: str, steps: float) -> Tensor:
        edit = Attribute({name: steps}, directions=directions)
        return levels(drawn([moved(subject, edit) for subject in subjects]), reader)[name]

    return {name: (turned(name, TURNED) - turned(name, -TURNED)) / 2 for name in ATTRIBUTES}


@dataclass(frozen=True, eq=False)
class Reference:
    """How attributes of the model's own pictures change."""

    levels: Scores
    """Before the turn."""
    changes: Scores

    @classmethod
    def of(cls, model: Model, reader: FaceReader, directions: Directions, psi: float = 1.0) -> "Reference":
        """Of `OWN_PICTURES` seeds."""
        label = 0 if model.generator.config.c_dim else None
        subjects = [model.sample(seed, psi, label) for seed in range(OWN_PICTURES)]
        return cls(levels(drawn(subjects), reader), changes(subjects, reader, directions))

    def at(self, found: Scores) -> dict[str, float]:
        """The mean change of the `NEAREST` pictures whose level of the attribute is nearest to that `found` in a picture."""
        nearest = {name: (at - found[name]).abs().argsort()[:NEAREST] for name, at in self.levels.items()}
        return {name: float(self.changes[name][which].mean()) for name, which in nearest.items()}

    def mean(self) -> dict[str, float]:
        """Over all of them."""
        return {name: float(change.mean()) for name, change in self.changes.items()}


def gain(found: dict[str, float], own: dict[str, float]) -> float | None:
    """Mean of the ratios of mean changes to those of the model's own pictures; None if nothing was turned."""
    ratios = [found[name] / own[name] for name in found if own.get(name)]
    return sum(ratios) / len(ratios) if ratios else None


def mean_changes(all_of: Sequence[dict[str, float]]) -> dict[str, float]:
    """Attribute to its mean over pictures."""
    return {name: sum(each[name] for each in all_of) / len(all_of) for name in (all_of[0] if all_of else ())}
