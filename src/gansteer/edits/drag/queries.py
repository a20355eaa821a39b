"""What the page may ask about a picture that was dragged."""

from functools import lru_cache
from typing import Any

from gansteer.checkpoints.mtcnn import load_face_detector
from gansteer.checkpoints.readers import FACES
from gansteer.errors import UserError
from gansteer.models.face_reader import FaceReader, is_whole
from gansteer.models.mtcnn import FaceDetector
from gansteer.subject import Subject

SMALLEST_FACE = 0.3
"""Of the picture's side; what is brought in and drawn by a model of faces fills more."""


def whole(subject: Subject, arguments: dict[str, Any]) -> bool | None:
    """Whether the picture shows a face that two readers agree on (`is_whole`), which a broken one does not. No arguments.

    None where the second reader, the detector of faces (extra `photos`), is not installed. A picture that never showed a face has
    none either: who asks compares with the picture before.
    """
    readers = _readers()
    if readers is None:
        return None
    reader, detector = readers
    picture = subject.render().float().cpu().clamp(-1, 1)
    size = picture.shape[2]
    found = detector.find(picture, SMALLEST_FACE * size)
    points = found.points[0] if len(found.points) else None
    return is_whole(reader.read(picture[None]).landmarks[0].double(), points, size)


@lru_cache(maxsize=1)
def _readers() -> tuple[FaceReader, FaceDetector] | None:
    try:
        return FACES.load(), load_face_detector()
    except UserError:
        return None
