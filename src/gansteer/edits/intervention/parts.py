"""Regions of a picture that need no brush: parts of a face from its landmarks, and clusters of the generator's features."""

import math
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from gansteer.checkpoints.readers import FACES
from gansteer.errors import UserError
from gansteer.models.face_reader import HAIR_STYLES, Faces
from gansteer.subject import Subject

KNOWS_PARTS, KNOWS_HAIR = 32, 64
"""Sizes of the finest feature maps that are asked for parts, and for hair."""
PARTS = ("mouth", "eyes", "brows", "nose", "face", "hair")

JAW, RIGHT_BROW, LEFT_BROW, NOSE = slice(0, 17), slice(17, 22), slice(22, 27), slice(27, 36)
RIGHT_EYE, LEFT_EYE, MOUTH = slice(36, 42), slice(42, 48), slice(48, 60)
"""Of the usual 68 landmarks; MOUTH is the outer line of the lips."""
MARGINS = {"mouth": 0.22, "eyes": 0.16, "brows": 0.13, "nose": 0.1, "face": 0.05}
"""How far a region reaches beyond the landmarks, in distances between the eyes' centres."""
ROUNDS, RIDGE, SURE, LEAST_SEEDS = 3, 0.1, 0.3, 10
"""Of the search for hair: rounds, damping in mean variances, lead of a class that counts as sure, pixels that teach it."""
HANGING = ("bob", "long")
"""Styles of hair that can reach below the chin; of others what looks like hair there is a fold or an edge of the clothes."""
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
    return _region(subject, _face(subject), part)


def parts_of(subject: Subject) -> dict[str, Tensor]:
    """All parts that are found, in the order of `PARTS`, to their regions `[H, W]`."""
    found, face = {}, _face(subject)
    for part in PARTS:
        with suppress(UserError):
            found[part] = _region(subject, face, part)
    return found


def _face(subject: Subject) -> Faces:
    """What the shipped face reader sees."""
    with torch.no_grad():
        return FACES.load(subject.model.device).read(subject.render()[None].float())


def _region(subject: Subject, face: Faces, part: str) -> Tensor:
    if part != "hair":
        return part_mask(face.landmarks[0], part, subject.model.resolution)
    if float(face.hair_style[0, HAIR_STYLES.index("bald")]) > 0.5:
        raise UserError("this head has no hair: paint the region instead")
    hangs = float(sum(face.hair_style[0, HAIR_STYLES.index(style)] for style in HANGING))
    return hair_mask(subject, face.landmarks[0], below_chin=hangs > 0.5)


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
    generator = subject.generator
    coarse = [each for each in generator.last_of_each_size() if each.frame.inner <= KNOWS_PARTS]
    chosen = generator.layer(layer) if layer else coarse[-1] if coarse else generator.convolutions[0]
    with torch.no_grad():
        found = generator.features(subject.code, [chosen.name])[chosen.name][0]
    features = chosen.frame.crop(found).float()  # [C, r, r]
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


def hair_mask(subject: Subject, landmarks: Tensor, *, below_chin: bool = True) -> Tensor:
    """The hair `[H, W]`: what looks to the generator like the place above the forehead does.

    Each pixel goes to the class that ridge regression from the generator's features and the colour says. It learns from
    where hair, skin, background and clothes surely are, then from all that it is sure of. Without `below_chin` nothing
    there is hair. Raises UserError if none is hair.
    """
    size = min(subject.model.resolution, 128)  # finer than the features, and quick for large pictures
    where = _Places.of(landmarks.detach().cpu().double() * (size / subject.model.resolution), size, below_chin)
    x = _looks(subject, size)  # [N, D]
    seeds = where.seeds & (where.seeds.sum(dim=0) == 1)  # [4, size, size]
    known = seeds.flatten(1).t().double()  # [N, 4]
    absent = known.sum(dim=0) < LEAST_SEEDS
    member = known
    for _ in range(ROUNDS):
        balanced = member / member.sum(dim=0).clamp_min(1)
        second = x.t() @ (x * balanced.sum(dim=1, keepdim=True))  # [D, D]
        ridge = RIDGE * torch.eye(len(second), dtype=x.dtype) * second.trace() / len(second)
        score = (x @ torch.linalg.solve(second + ridge, x.t() @ balanced)).t().view(1, -1, size, size)
        score = F.avg_pool2d(F.pad(score, (1, 1, 1, 1), mode="replicate"), 3, 1)
        score[:, absent] = -torch.inf
        best = score.topk(2, dim=1)
        sure = (best.values[:, 0] - best.values[:, 1] > SURE) & where.possible.gather(0, best.indices[:, 0])
        member = (F.one_hot(best.indices[0, 0], len(seeds)) * sure[0, :, :, None]).flatten(0, 1).double().maximum(known)
    margin = score[:, 0] - score[:, 1:].amax(dim=1)
    margin = torch.where(where.possible[0], margin, -1.0)[None]
    whole = (subject.model.resolution, subject.model.resolution)
    hair = F.interpolate(margin, whole, mode="bilinear")[0, 0] > 0
    if bool(absent[0]) or not bool(hair.any()):
        raise UserError("no hair was found in this picture: paint the region instead")
    return hair


@dataclass(frozen=True)
class _Places:
    """Where hair, skin, background and clothes surely are, and where they can be, `[4, H, W]` of truth values each."""

    seeds: Tensor
    possible: Tensor

    @staticmethod
    def of(landmarks: Tensor, size: int, below_chin: bool) -> "_Places":
        """By landmarks `[68, 2]` in pixels of a picture of `size`, and whether hair can be `below_chin`."""
        chin, brows, ends = landmarks[8], landmarks[17:27].mean(dim=0), landmarks[[0, 16]]
        height, width = float((brows - chin).norm()), float((ends[1] - ends[0]).norm())
        up = (brows - chin) / height
        right = torch.stack([-up[1], up[0]])
        y, x = torch.meshgrid(*2 * (torch.arange(size, dtype=torch.float64),), indexing="ij")
        pixel = torch.stack([x, y], dim=-1)
        v = (pixel - chin) @ up / height  # 0 at the chin, 1 at the brows
        u = ((pixel - ends.mean(dim=0)) @ right / width).abs()
        edge = max(1, size // 20)
        face = part_mask(landmarks, "face", size)
        inner = ~grown_mask(~face, 0.12 * width)
        seeds = [
            (v > 1.5) & (v < 1.7) & (u < 0.25),
            (inner & (v < 0.8)) | ((v < -0.05) & (v > -0.2) & (u < 0.12)),
            ((x < edge) | (x >= size - edge)) & (v > 0.2),
            (v < -0.5) & (u < 0.4),
        ]
        possible = [
            grown_mask(face, 0.5 * width) & (~inner | (v > 1.1)) & (below_chin | (v > 0)),
            face | (v < 0.1), ~face, v < 0,
        ]  # fmt: skip
        return _Places(torch.stack(seeds), torch.stack(possible))


def _looks(subject: Subject, size: int) -> Tensor:
    """What the generator made of every pixel: features of two layers and the colour, `[size * size, D]` in float64."""
    layers = [each for each in subject.generator.last_of_each_size() if each.frame.inner <= KNOWS_HAIR][-2:]
    with torch.no_grad():
        maps = subject.generator.features(subject.code, [each.name for each in layers])
    found = [each.frame.crop(maps[each.name]) for each in layers]
    looks = [torch.ones(1, size, size, dtype=torch.float64)]
    for x in (*found, subject.render()[None]):
        resized = F.interpolate(x.float().cpu(), (size, size), mode="bilinear", antialias=True)
        small = resized[0].double()  # [C, size, size]
        small = small - small.mean(dim=(1, 2), keepdim=True)
        looks.append(small / small.std(dim=(1, 2), keepdim=True).clamp_min(1e-6) / len(small) ** 0.5)
    return torch.cat(looks).flatten(1).t()
