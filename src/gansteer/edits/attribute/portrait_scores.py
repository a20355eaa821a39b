"""Scores of portraits by the shipped face reader, under the names that directions carry."""

from collections.abc import Mapping

from torch import Tensor

from gansteer.models.face_reader import HAIR_COLORS, FaceReader, Faces

LIGHTNESS = (0.0, 0.2, 0.45, 0.9, 0.6, 0.8, 1.0)
"""What each of `HAIR_COLORS` counts for in `hair_color`: from black to white."""

PORTRAIT_SCORES = (
    "age", "gender", "smile", "mouth_open", "eyes_closed", "eyes_wide", "yaw", "pitch", "hair_color", "hair_length",
    "skin_tone",
)  # fmt: skip
"""Age towards old; gender from female to male; eyes_wide from narrow to wide open by their landmarks, which nearly every
model varies, while hardly any has closed eyes; yaw to the picture's right, pitch down; hair_color from dark to light;
skin_tone from light to dark."""


def scores_of(faces: Faces) -> dict[str, Tensor]:
    """What the reader read, by the names of `PORTRAIT_SCORES`, `[B]` each; differentiable."""
    color = faces.hair_color @ faces.hair_color.new_tensor(LIGHTNESS)
    assert len(LIGHTNESS) == len(HAIR_COLORS)
    return {name: color if name == "hair_color" else getattr(faces, name) for name in PORTRAIT_SCORES}


class PortraitScorer:
    """A scorer of pictures by a face reader."""

    def __init__(self, reader: FaceReader) -> None:
        self.reader = reader

    def __call__(self, pictures: Tensor) -> Mapping[str, Tensor]:
        """Pictures `[B, 3, H, H]` in [-1, 1] to scores `[B]` by name."""
        return scores_of(self.reader.read(pictures.float()))
