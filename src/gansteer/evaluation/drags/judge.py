"""What looks at the pictures: none of it takes part in a drag."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.checkpoints.mtcnn import load_face_detector
from gansteer.checkpoints.readers import FACES
from gansteer.edits.inversion.perceptual import Comparison, comparison
from gansteer.errors import UserError
from gansteer.evaluation.drags.cases import Landmarks
from gansteer.evaluation.features import Extractor, extractor
from gansteer.models.face_reader import FaceReader
from gansteer.subject import Model

SMALLEST_FACE = 0.3
"""Of the picture's width: faces that are looked for are at least so wide."""

FacePoints = Callable[[Tensor], Tensor | None]
"""A picture `[3, H, W]` in [-1, 1] to the points `[5, 2]` of the likeliest face (eyes, nose, corners of the mouth), if any."""


@dataclass(frozen=True, eq=False)
class Judge:
    """The readers and distances of one model's pictures."""

    landmarks: Landmarks
    face_points: FacePoints | None
    """By a detector that took no part in any training; None where its weights are not installed."""
    perceptual: Comparison
    """Distance in EfficientNet-Lite0 features; not LPIPS."""
    embedding: Extractor
    """What the Frechet distance is measured in."""

    @classmethod
    def of(cls, model: Model) -> "Judge":
        """All that comes with gansteer. Raises UserError if the perceptual distance's package is not installed."""
        network = load_efficientnet(model.device)
        return cls(
            reading(FACES.load(model.device)),
            _face_points(model.resolution),
            comparison("efficientnet-lite0", torch.zeros((), device=model.device), network),
            extractor("efficientnet-lite0", model.device),
        )


def reading(reader: FaceReader) -> Landmarks:
    """The landmarks of one picture by the face reader."""

    def landmarks(picture: Tensor) -> Tensor:
        with torch.no_grad():
            return reader.read(picture[None].float().clamp(-1, 1)).landmarks[0].double().cpu()

    return landmarks


def _face_points(size: int) -> FacePoints | None:
    try:
        detector = load_face_detector()
    except UserError:
        return None

    def find(picture: Tensor) -> Tensor | None:
        found = detector.find(picture.float().cpu().clamp(-1, 1), SMALLEST_FACE * size)
        return found.points[0] if len(found.points) else None

    return find
