"""Regions of a picture that need no brush: parts of a face from its landmarks, and clusters of the generator's features."""

import math
from contextlib import suppress
from difflib import get_close_matches

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from gansteer.checkpoints.face_reader import load_face_reader
from gansteer.errors import UserError
from gansteer.subject import Subject

PARTS = ("mouth", "eyes", "brows", "nose", "face", "hair")

JAW, RIGHT_BROW, LEFT_BROW, NOSE = slice(0, 17), slice(17, 22), slice(22, 27), slice(27, 36)
RIGHT_EYE, LEFT_EYE, MOUTH = slice(36, 42), slice(42, 48), slice(48, 60)
"""Of the usual 68 landmarks; MOUTH is the outer line of the lips."""
MARGINS = {"mouth": 0.22, "eyes": 0.16, "brows": 0.13, "nose": 0.1, "face": 0.05}
"""How far a region reaches beyond the landmarks, in distances between the eyes' centres."""
FOREHEAD = 0.55
"""How far the face reaches above the brows, in distances between the brows and the chin."""


def part_of(subject: Subject, part: str) -> Tensor:
    """The region `[H, W]` of a part of the face that the subject's picture shows, by the shipped face reader.

    The reader knows portraits; of other pictures it makes something up. Raises UserError for an unknown part, and where
    the part cannot be found.
    """
    if part not in PARTS:
        near = get_close_matches(part, PARTS, n=1, cutoff=0.5)
        raise UserError(
            f"there is no part {part!r}: " + (f"did you mean {near[0]!r}?" if near else f"take {', '.join(PARTS)}")
        )
    if subject.model.generator.config.img_channels != 3:
        raise UserError(f"{subject.model.card.name} draws no portraits: paint the region instead")
    return _region(subject, _landmarks(subject), part)


def parts_of(subject: Subject) -> dict[str, Tensor]:
    """All parts that are found, in the order of `PARTS`, to their regions `[H, W]`; none if it is no colour picture."""
    if subject.model.generator.config.img_channels != 3:
        return {}
    found, landmarks = {}, _landmarks(subject)
    for part in PARTS:
        with suppress(UserError):
            found[part] = _region(subject, landmarks, part)
    return found


def _landmarks(subject: Subject) -> Tensor:
    """`[68, 2]`: (x, y) in pixels, as the shipped face reader sees them."""
    with torch.no_grad():
        return load_face_reader(subject.model.device).read(subject.render()[None].float()).landmarks[0]


def _region(subject: Subject, landmarks: Tensor, part: str) -> Tensor:
    return hair_mask(subject, landmarks) if part == "hair" else part_mask(landmarks, part, subject.model.resolution)


def part_mask(landmarks: Tensor, part: str, size: int) -> Tensor:
    """`landmarks [68, 2]` (x, y) in pixels of a picture of `size` to the region `[size, size]` of truth values.

    For hair see `hair_mask`. Raises UserError if the part lies outside the picture.
    """
    points = landmarks.detach().cpu().double().numpy()
    eyes = float(np.linalg.norm(points[RIGHT_EYE].mean(axis=0) - points[LEFT_EYE].mean(axis=0)))
    lines = {
        "mouth": [points[MOUTH]],
        "eyes": [points[RIGHT_EYE], points[LEFT_EYE]],
        "brows": [points[RIGHT_BROW], points[LEFT_BROW]],
        "nose": [np.concatenate([points[27:28], points[31:36]])],
        "face": [_outline(points)],
    }
    mask = Image.new("1", (size, size))
    for line in lines[part]:
        ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in line], fill=1, outline=1)
    found = grown_mask(torch.from_numpy(np.array(mask)), MARGINS[part] * eyes)
    if not bool(found.any()):
        raise UserError(f"the {part} lies outside the picture: paint the region instead")
    return found


def _outline(points: np.ndarray) -> np.ndarray:
    """The face's outline `[n, 2]`: the jaw, and an arch over the brows."""
    chin, brows = points[8], points[17:27].mean(axis=0)
    up = (brows - chin) * FOREHEAD
    ends = points[[16, 0]]
    along = np.linspace(0, 1, 9)[1:-1, None]
    arch = (1 - along) * ends[0] + along * ends[1] + np.sin(np.pi * along) ** 0.5 * up
    return np.concatenate([points[JAW], arch])


def grown_mask(mask: Tensor, pixels: float) -> Tensor:
    """A mask `[H, W]` and everything nearer than `pixels` to it."""
    reach = math.floor(pixels)
    if reach < 1:
        return mask
    offset = torch.arange(-reach, reach + 1)
    disc = (offset[:, None] ** 2 + offset[None] ** 2 <= pixels**2).float()
    near = F.conv2d(mask[None, None].float(), disc[None, None], padding=reach)
    return near[0, 0] > 0.5


def feature_clusters(subject: Subject, layer: str | None = None, count: int = 8, *, rounds: int = 20) -> Tensor:
    """Spherical k-means of the features of one layer: `[H, W]`, the cluster of every pixel (Collins et al. 2020).

    By default the last layer of at most 32 px, whose features know parts. Begins at cells far from each other, so that
    the same picture always gives the same clusters.
    """
    layers = [x.name for x in subject.generator.synthesis.layers() if x.resolution <= 32]
    with torch.no_grad():
        offsets = {name: offset[None] for name, offset in subject.offsets.items()}
        found = subject.generator.features(subject.w[None], [layer or layers[-1]], offsets=offsets)
    features = next(iter(found.values()))[0].float()  # [C, r, r]
    cells = F.normalize(features - features.mean(dim=(1, 2), keepdim=True), dim=0).flatten(1).t()  # [r * r, C]
    nearest = cells @ cells[0]
    centres = [cells[0]]
    for _ in range(count - 1):
        centres.append(cells[nearest.argmin()])
        nearest = nearest.maximum(cells @ centres[-1])
    middle = torch.stack(centres)
    for _ in range(rounds):
        member = F.one_hot((cells @ middle.t()).argmax(dim=1), count).to(cells)  # [r * r, k]
        middle = F.normalize(member.t() @ cells, dim=1)
    likeness = (cells @ middle.t()).t().view(1, count, *features.shape[1:])
    size = subject.model.resolution
    return F.interpolate(likeness, (size, size), mode="bilinear")[0].argmax(dim=0).cpu()


def cluster_mask(subject: Subject, point: tuple[float, float], count: int = 8) -> Tensor:
    """The cluster of features `[H, W]` that a point (x, y) belongs to. Raises UserError for a point outside the picture."""
    x, y = (round(v) for v in point)
    size = subject.model.resolution
    if not (0 <= x < size and 0 <= y < size):
        raise UserError(f"the point {x},{y} lies outside the picture: x and y go from 0 to {size - 1}")
    clusters = feature_clusters(subject, count=count)
    return clusters == clusters[y, x]


def hair_mask(subject: Subject, landmarks: Tensor) -> Tensor:
    """The hair `[H, W]`: the clusters of features that lie around the face's upper half more than anywhere else."""
    size = subject.model.resolution
    points = landmarks.detach().cpu().double().numpy()
    face = part_mask(landmarks, "face", size)
    chin, brows, width = points[8], points[17:27].mean(axis=0), float(np.linalg.norm(points[16] - points[0]))
    y = torch.arange(size)[:, None]
    around = grown_mask(face, 0.28 * width) & ~face & (y < float(brows[1] + 0.35 * (chin[1] - brows[1])))
    away = ~grown_mask(face, 0.45 * width)
    clusters = feature_clusters(subject, count=10)
    hair = torch.zeros(size, size, dtype=torch.bool)
    for k in range(int(clusters.max()) + 1):
        mine = clusters == k
        near, far, inside = (float((mine & part).sum()) / max(1, int(part.sum())) for part in (around, away, face))
        if near > 0.04 and near > 1.5 * far and near > 1.5 * inside:
            hair |= mine
    hair &= grown_mask(face, 0.5 * width) & (~face | (y < float(brows[1])))
    if not bool(hair.any()):
        raise UserError("no hair was found in this picture: paint the region instead")
    return hair
