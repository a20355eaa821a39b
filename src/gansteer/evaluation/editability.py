"""Whether a picture can be edited as the model's own can: the same drags and attributes on any of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gansteer.edits.attribute import Attribute
from gansteer.edits.directions import Directions
from gansteer.edits.drag import Drag
from gansteer.edits.portrait_scores import scores_of
from gansteer.models.face_reader import FaceReader
from gansteer.subject import Subject

DRAGS = ((30, 0.25, 0.0), (8, 0.0, 0.25), (54, 0.2, -0.1), (19, 0.0, -0.2), (57, 0.0, 0.2))
"""A landmark (nose, chin, corner of the mouth, brow, lower lip) and its way, in distances between the eyes."""
PLACES = ((0.5, 0.5), (0.3, 0.4), (0.7, 0.4), (0.4, 0.7), (0.6, 0.7))
"""Where handles stand in pictures that are no faces, as shares of the side; each goes 5 % of it to the right."""
DRAG_STEPS = 40
TURNED = 1.5
"""Deviations by which each attribute is turned."""
ATTRIBUTES = ("smile", "age", "gender", "yaw", "mouth_open")


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
        *_, last = drag.begin(subject)
        found.append(last.ended == "all handles have arrived")
    return tuple(found)


def changes(subject: Subject, reader: FaceReader, directions: Directions) -> dict[str, float]:
    """Attribute to how much more of it the face reader sees once it is turned by `TURNED` deviations."""
    edits = {name: Attribute({name: TURNED}, directions=directions) for name in ATTRIBUTES}
    return {
        name: _score(edit.begin(subject).step().subject, reader, name) - _score(subject, reader, name)
        for name, edit in edits.items()
    }


def gain(found: dict[str, float], own: dict[str, float]) -> float | None:
    """Mean of the ratios of mean changes to those on the model's own pictures; None if nothing was turned."""
    ratios = [found[name] / own[name] for name in found if own.get(name)]
    return sum(ratios) / len(ratios) if ratios else None


def mean_changes(all_of: Sequence[dict[str, float]]) -> dict[str, float]:
    """Attribute to its mean over pictures."""
    return {name: sum(each[name] for each in all_of) / len(all_of) for name in (all_of[0] if all_of else ())}


def _score(subject: Subject, reader: FaceReader, attribute: str) -> float:
    """What the reader reads; gender in log-odds, as its probability saturates on clear cases."""
    with torch.no_grad():
        score = scores_of(reader.read(subject.render()[None].clamp(-1, 1)))[attribute][0]
    return float(score.logit(1e-6) if attribute == "gender" else score)
