"""Reads a portrait: 68 landmarks and a few attributes, from the picture alone.

A residual convolutional network at 128 px. Landmarks come from heat maps by soft-argmax (the mean position under the
map, Nibali et al. 2018, eq. 1 and 2). Attributes come from the deepest features, pooled; from the landmarks' shape, in
which a turned head or an open mouth shows; and from finer features gathered where the landmarks of each part of the
face are, in which a closed eye shows. Everything is differentiable in the picture and runs in float64.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansteer.models.layers import as_channels

LANDMARKS = 68
SIZE = 128
"""Width and height that the network works at; other sizes are resized to it."""
GRID = 32
"""Width and height of the heat maps."""
PARTS = (17, 10, 9, 6, 6, 12, 8)
"""How many of the landmarks, in order, belong to jaw, brows, nose, right eye, left eye, outer and inner lips."""
RIGHT_EYE, LEFT_EYE = 36, 42
"""The first landmark of each eye's six."""
SCALARS = ("age", "smile", "mouth_open", "eyes_closed", "yaw", "pitch", "roll", "skin_tone")
HAIR_COLORS = ("black", "darkbrown", "brown", "blond", "red", "grey", "white")
HAIR_STYLES = ("bald", "short", "tied", "curly", "bob", "long")
HAIR_LENGTHS = (0.0, 0.3, 0.3, 0.4, 0.7, 1.0)
"""What each style counts for in `Faces.hair_length`."""


AGREED = 0.03
"""Of the picture's width: two readers' five points of a whole face are on average at most so far apart. They are within
0.015 in the model's own pictures, and farther apart in broken ones."""


@dataclass(frozen=True, eq=False)
class Faces:
    """What was read from `B` pictures. Numbers are regressed and may lie a little outside the stated range."""

    landmarks: Tensor
    """`[B, 68, 2]`: (x, y) in pixels of the picture that was given, the usual 68-point order."""
    age: Tensor
    """`[B]`: 0 (about 18 years) to 1 (about 80)."""
    gender: Tensor
    """`[B]`: 0 (female) to 1 (male)."""
    smile: Tensor
    """`[B]`: 0 to about 0.8, mean of the face units mouthSmileLeft and mouthSmileRight."""
    mouth_open: Tensor
    """`[B]`: 0 to about 0.6, the face unit jawOpen."""
    eyes_closed: Tensor
    """`[B]`: 0 to about 0.9, mean of the face units eyeBlinkLeft and eyeBlinkRight."""
    yaw: Tensor
    """`[B]`: degrees, -45 to 45, positive when the face looks to the picture's right."""
    pitch: Tensor
    """`[B]`: degrees, -18 to 20, positive when the face looks down."""
    roll: Tensor
    """`[B]`: degrees, -10 to 10, positive when the head is turned anticlockwise in the picture."""
    skin_tone: Tensor
    """`[B]`: 0 (white) to 1 (black), 1 - L*/100 of the skin's colour (not of its shade in this light)."""
    hair_color: Tensor
    """`[B, 7]`: probabilities of `HAIR_COLORS`."""
    hair_style: Tensor
    """`[B, 6]`: probabilities of `HAIR_STYLES`."""

    @property
    def hair_length(self) -> Tensor:
        """`[B]`: 0 (bald) to 1 (long), the expectation of `HAIR_LENGTHS` over the styles."""
        return self.hair_style @ self.hair_style.new_tensor(HAIR_LENGTHS)

    @property
    def eyes_wide(self) -> Tensor:
        """`[B]`: 0 (shut) to about 0.4, how wide the eyes are open by the landmarks; see `eye_opening`."""
        return eye_opening(self.landmarks, self.yaw)


def eye_openings(landmarks: Tensor) -> Tensor:
    """The distance between the lids over the width of the right and the left eye: `[..., 68, 2]` to `[..., 2]`."""

    def between(i: int, j: int) -> Tensor:
        distance: Tensor = torch.linalg.vector_norm(landmarks[..., i, :] - landmarks[..., j, :], dim=-1)
        return distance

    # Six points an eye: outer or inner corner, two on the upper lid, the other corner, two on the lower lid.
    return torch.stack(
        [
            (between(i + 1, i + 5) + between(i + 2, i + 4)) / (2 * between(i, i + 3)).clamp_min(1e-6)
            for i in (RIGHT_EYE, LEFT_EYE)
        ],
        dim=-1,
    )


def eye_opening(landmarks: Tensor, yaw: Tensor) -> Tensor:
    """How wide both eyes are open, their mean: `[..., 68, 2]` and degrees to `[...]`; see `eye_openings`.

    A turned head's eyes are as open and look narrower, so their width counts as what it would be from the front. Without
    that, the widest eyes of all are those of the heads that are turned farthest.
    """
    return eye_openings(landmarks).mean(dim=-1) * yaw.deg2rad().cos()


@dataclass(frozen=True, eq=False)
class Readings:
    """The network's raw outputs for `B` pictures, as the training script needs them."""

    heat: Tensor
    """`[B, 68, 32, 32]`: logarithm of each landmark's heat map, up to a constant."""
    points: Tensor
    """`[B, 68, 2]`: (x, y) in pixels of the 128 px picture."""
    scalars: Tensor
    """`[B, 8]`: `SCALARS` in standard deviations from their mean over the training pictures."""
    gender: Tensor
    """`[B]`: log-odds of male."""
    hair_color: Tensor
    """`[B, 7]`: logits."""
    hair_style: Tensor
    """`[B, 6]`: logits."""


def resize_matrix(size: int, new: int, like: Tensor) -> Tensor:
    """`[new, size]`: bilinear interpolation of a row of `size` pixels, widened to `size / new` pixels when it shrinks."""
    scale = size / new
    width = max(scale, 1.0)
    centre = (torch.arange(new, dtype=like.dtype, device=like.device) + 0.5) * scale - 0.5
    pixel = torch.arange(size, dtype=like.dtype, device=like.device)
    weight = (1 - (pixel[None, :] - centre[:, None]).abs() / width).clamp(min=0)
    return weight / weight.sum(dim=1, keepdim=True)


def resize(pictures: Tensor, new: int = SIZE) -> Tensor:
    """`[B, C, H, W]` to `[B, C, new, new]` with antialiasing: plain products, so that every device and dtype has it."""
    height, width = pictures.shape[-2:]
    if (height, width) == (new, new):
        return pictures
    rows, columns = resize_matrix(height, new, pictures), resize_matrix(width, new, pictures)
    return rows @ pictures @ columns.t()


def mean_position(share: Tensor) -> Tensor:
    """Maps `[B, N, G, G]`, each summing to 1, to their mean positions `[B, N, 2]`: (x, y) in cells, top-left centre 0."""
    cells = torch.arange(share.shape[-1], dtype=share.dtype, device=share.device)
    return torch.stack([(share.sum(dim=2) * cells).sum(dim=2), (share.sum(dim=3) * cells).sum(dim=2)], dim=2)


def shape_of(points: Tensor) -> Tensor:
    """`[B, N, 2]` to the same without place and size: centred, mean distance from the centre 1."""
    points = points - points.mean(dim=1, keepdim=True)
    size: Tensor = points.norm(dim=2).mean(dim=1)  # [B]
    return points / size[:, None, None]


class ConvNorm(nn.Sequential):
    """3x3 (or 1x1) convolution, batch norm and, unless told otherwise, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, active: bool = True) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU() if active else nn.Identity(),
        )


class Residual(nn.Module):
    """`relu(x + f(x))` with two 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvNorm(channels, channels), ConvNorm(channels, channels, active=False))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` to the same."""
        return F.relu(x + self.body(x))


class FaceReader(nn.Module):
    """Pictures to `Faces`. `forward` gives the raw outputs that training needs."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = 24, 48, 96, 160
        self.at32 = nn.Sequential(ConvNorm(3, a, stride=2), ConvNorm(a, b, stride=2), Residual(b))
        self.at16 = nn.Sequential(ConvNorm(b, c, stride=2), Residual(c))
        self.at8 = nn.Sequential(ConvNorm(c, d, stride=2), Residual(d))
        self.up16 = ConvNorm(d, c, kernel=1, active=False)
        self.join16 = ConvNorm(c, c)
        self.up32 = ConvNorm(c, b, kernel=1, active=False)
        self.join32 = ConvNorm(b, b)
        self.heat = nn.Conv2d(b, LANDMARKS, 1)
        gathered = d + 2 * LANDMARKS + b * len(PARTS)
        self.gathered = nn.Sequential(nn.BatchNorm1d(gathered), nn.Linear(gathered, d), nn.ReLU())
        outputs = len(SCALARS) + 1 + len(HAIR_COLORS) + len(HAIR_STYLES)
        self.attributes = nn.Linear(d, outputs)
        self.register_buffer("mean", torch.zeros(len(SCALARS)))
        self.register_buffer("std", torch.ones(len(SCALARS)))

    def forward(self, pictures: Tensor) -> Readings:
        """`[B, 3, 128, 128]` in [-1, 1] to raw outputs."""
        x32 = self.at32(pictures)
        x16 = self.at16(x32)
        x8 = self.at8(x16)
        y = self.join16(F.relu(x16 + F.interpolate(self.up16(x8), scale_factor=2.0)))
        y = self.join32(F.relu(x32 + F.interpolate(self.up32(y), scale_factor=2.0)))
        heat = self.heat(y)  # [B, 68, 32, 32]
        heat = (
            heat if heat.dtype == torch.float64 else heat.float()
        )  # under autocast, bfloat16 is too coarse for places
        share = heat.flatten(2).softmax(dim=2)  # [B, 68, 32 * 32]
        cells = mean_position(share.view_as(heat))
        where = torch.stack([part.mean(dim=1) for part in share.split(PARTS, dim=1)], dim=1)  # [B, 7, 32 * 32]
        local = where @ x32.flatten(2).mT.to(where.dtype)  # [B, 7, C]
        features = [x8.mean(dim=(2, 3)).to(where.dtype), shape_of(cells).flatten(1), local.flatten(1)]
        out = self.attributes(self.gathered(torch.cat(features, dim=1))).to(where.dtype)
        scalars, gender, color, style = out.split([len(SCALARS), 1, len(HAIR_COLORS), len(HAIR_STYLES)], dim=1)
        points = (cells + 0.5) * (SIZE / GRID) - 0.5
        return Readings(heat, points, scalars, gender[:, 0], color, style)

    def read(self, pictures: Tensor) -> Faces:
        """Square pictures `[B, 3 or 1, H, H]` in [-1, 1], of any size, to what they show; differentiable.

        The face should fill the picture as in the portraits data: centred between the eyes and the mouth, the eyes a
        fifth of the width apart. Raises ValueError for pictures of another shape.
        """
        if pictures.dim() != 4 or pictures.shape[1] not in (1, 3) or pictures.shape[2] != pictures.shape[3]:
            raise ValueError(f"pictures must be square, [B, 3, H, H], not {list(pictures.shape)}")
        raw = self(resize(as_channels(pictures, 3)))
        scale = pictures.shape[-1] / SIZE
        scalars = dict(zip(SCALARS, (raw.scalars * self.std + self.mean).unbind(dim=1), strict=True))
        return Faces(
            landmarks=(raw.points + 0.5) * scale - 0.5,
            gender=raw.gender.sigmoid(),
            hair_color=raw.hair_color.softmax(dim=1),
            hair_style=raw.hair_style.softmax(dim=1),
            **scalars,
        )


def is_whole(landmarks: Tensor, points: Tensor | None, size: int) -> bool:
    """Whether `landmarks [68, 2]` of one reader and the five `points [5, 2]` of another are of one face.

    In a broken face they disagree, or the second finds none.
    """
    if points is None:
        return False
    eyes = [landmarks[36:42].mean(dim=0), landmarks[42:48].mean(dim=0)]
    same = torch.stack([*eyes, landmarks[30], landmarks[48], landmarks[54]])
    return float((same - points.to(same)).norm(dim=1).mean()) < AGREED * size
