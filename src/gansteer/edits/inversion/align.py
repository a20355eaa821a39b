"""A face in a photo is brought to where a model's own faces are.

MTCNN gives five landmarks of a face. Where they stand in the model's pictures is measured on samples of the model, so any
model of faces has its alignment, however its training pictures were cut. The crop is the similarity transform
(least squares, Umeyama 1991) that takes those places to the landmarks in the photo.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from gansteer.checkpoints.mtcnn import load_face_detector
from gansteer.edits.inversion.crop import Crop, levels
from gansteer.errors import UserError
from gansteer.models.mtcnn import FaceDetector
from gansteer.subject import Model

LONGEST = 1024
"""Photos are shrunk to this before faces are sought."""
SMALLEST_FACE = 32
"""Pixels, of the photo so shrunk."""
TURNS = (0, 1, 3, 2)
"""Quarters by which a photo is turned, in the order in which they are tried."""
CLEAR = 0.95
"""The detector's probability from which on a face is one: what it takes for faces in photos on their side is below."""
SAMPLES, PSI = 24, 0.5
"""Pictures of the model on which the places of its landmarks are measured."""


@dataclass(frozen=True)
class Alignment:
    """What was found in a photo."""

    faces: tuple[Crop, ...]
    """The crop of every face, the largest first."""
    chosen: int = 0
    """Which one is taken, counted from 0."""
    turned: int = 0
    """By how many degrees, against the clock, the photo had to be turned before a face was found in it."""

    @property
    def crop(self) -> Crop:
        """The proposed crop."""
        return self.faces[self.chosen]

    @property
    def note(self) -> str:
        """What a person should know of the choice, in one line."""
        turned = f" in the photo turned by {self.turned} degrees" if self.turned else ""
        if len(self.faces) == 1:
            return f"found one face{turned}"
        which = "the largest" if self.chosen == 0 else f"number {self.chosen + 1} by size"
        return f"found {len(self.faces)} faces{turned} and took {which}"


class Aligner:
    """Finds crops in which a face stands where the `template [5, 2]` says, as shares of the side."""

    def __init__(self, template: Tensor, detector: FaceDetector) -> None:
        self.template = template
        self.detector = detector

    @classmethod
    def of(cls, model: Model) -> "Aligner":
        """For a model's own framing. Raises UserError if it draws no faces, or if the detector's weights are missing."""
        detector = load_face_detector()
        return cls(model_template(model, detector), detector)

    def align(self, photo: Image.Image, face: int | None = None) -> Alignment:
        """The faces of an RGB photo; `face` chooses one, counted from 1 by size (None: the largest).

        Where there is no clear one, the photo is turned by 90, 270 and 180 degrees, too: many lie on their side and don't
        say so. Crops are those of the photo as it is. Raises UserError if there is none either way.
        """
        shrink = max(1.0, max(photo.size) / LONGEST)
        small = photo.resize((round(photo.width / shrink), round(photo.height / shrink)), Image.Resampling.BOX)
        quarters, points = self._look(levels(small) / 127.5 - 1)
        found = turned_back(points, quarters, small.width, small.height)
        scale = torch.tensor([photo.width / small.width, photo.height / small.height], dtype=torch.float64)
        found = (found + 0.5) * scale - 0.5
        crops = sorted((similarity_crop(points, self.template) for points in found), key=lambda c: -c.size)
        if not crops:
            raise UserError("no face was found in the photo: give one where it is larger, or --crop x,y,size by hand")
        if face is not None and not 1 <= face <= len(crops):
            raise UserError(f"there is no face {face}: {len(crops)} were found; 1 is the largest")
        return Alignment(tuple(crops), (face or 1) - 1, 90 * quarters)

    def _look(self, picture: Tensor) -> tuple[int, Tensor]:
        """The turn, in quarters, in which `picture [3, H, W]` has the likeliest face, and the landmarks of all there."""
        best, turn, points = -1.0, 0, torch.zeros(0, 5, 2)
        for quarters in TURNS:
            found = self.detector.find(torch.rot90(picture, quarters, (1, 2)), SMALLEST_FACE)
            likeliest = float(found.scores.max()) if len(found.scores) else 0.0
            if likeliest > best:
                best, turn, points = likeliest, quarters, found.points
            if best >= CLEAR:
                break
        return turn, points.double()


def turned_back(points: Tensor, quarters: int, width: int, height: int) -> Tensor:
    """Points `[..., 2]` (x, y) of a picture turned by some quarters against the clock, on it as it was.

    `width` and `height` are those before turning. A quarter takes (x, y) to (y, width - 1 - x).
    """
    sizes = [(width, height) if i % 2 == 0 else (height, width) for i in range(quarters)]
    for before, _ in reversed(sizes):
        x, y = points.unbind(dim=-1)
        points = torch.stack([before - 1 - y, x], dim=-1)
    return points


def faces_drawn(model: Model, detector: FaceDetector, label: int | None = None) -> tuple[int, int]:
    """In how many of a model's own pictures the detector finds a face, and how many were looked at."""
    count = SAMPLES if model.resolution <= 256 else SAMPLES // 4
    if label is None and model.generator.config.c_dim:
        label = 0
    return sum(1 for place in _places(model, detector, count, label) if place is not None), count


def model_template(model: Model, detector: FaceDetector) -> Tensor:
    """Where the five landmarks stand in a model's pictures: `[5, 2]` (x, y) as shares of the side, from 0 to 1.

    The median over samples. Raises UserError if the detector finds a face in fewer than half of them.
    """
    label = 0 if model.generator.config.c_dim else None
    count = SAMPLES if model.resolution <= 256 else SAMPLES // 4
    places = [place for place in _places(model, detector, count, label) if place is not None]
    if len(places) * 2 < count:
        raise UserError(f"{model.card.name} draws no faces that could be aligned to: give --crop x,y,size by hand")
    return torch.stack(places).median(dim=0).values


def _places(model: Model, detector: FaceDetector, count: int, label: int | None) -> Iterator[Tensor | None]:
    """The five landmarks in each of the model's first pictures, `[5, 2]` as shares of the side; None where no face is."""
    for seed in range(count):
        picture = model.sample(seed, PSI, label).image.convert("RGB")
        if picture.width > 256:
            picture = picture.resize((256, 256), Image.Resampling.BOX)
        points = detector.find(levels(picture) / 127.5 - 1).points
        yield (points[0].double() + 0.5) / picture.width if len(points) else None


def similarity_crop(points: Tensor, template: Tensor) -> Crop:
    """The crop in which `points [N, 2]` (pixels of the photo) stand as near as can be to `template [N, 2]` (shares).

    As complex numbers, photo = a template + b with `a = <t, p> / <t, t>` about the means: the least squares solution.
    """
    p, t = (torch.view_as_complex(x.double().contiguous()) for x in (points, template))
    about = t - t.mean()
    a = complex((about.conj() @ (p - p.mean())) / (about.conj() @ about).real)
    centre = complex(p.mean()) + a * (complex(0.5, 0.5) - complex(t.mean()))
    return Crop(centre.real, centre.imag, abs(a), math.degrees(math.atan2(a.imag, a.real)))


def parse_crop(text: str) -> Crop:
    """`x,y,size` or `x,y,size,angle`, as people write it. Raises UserError."""
    try:
        numbers: Sequence[float] = [float(part) for part in text.split(",")]
        if len(numbers) not in (3, 4):
            raise ValueError
    except ValueError as error:
        raise UserError(f"--crop {text!r}: write x,y,size or x,y,size,angle, in pixels of the photo") from error
    return Crop(*numbers)
