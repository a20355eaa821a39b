"""Labelled portraits for the face reader: from label lines to arrays, and the augmentation of a batch."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gansteer.models.face_reader import HAIR_COLORS, HAIR_STYLES, SIZE, resize

LABEL_SIZE = 256
"""Width and height of the pictures in whose pixels the labels are."""

MIRROR = [
    *range(16, -1, -1),  # jaw
    *range(26, 16, -1),  # brows
    27, 28, 29, 30, 35, 34, 33, 32, 31,  # nose
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,  # eyes
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55,  # outer lips
    64, 63, 62, 61, 60, 67, 66, 65,  # inner lips
]  # fmt: skip
"""Landmark i of a mirrored picture is landmark MIRROR[i] of the picture. The mesh is symmetric, so this is exact."""

STYLES = {
    "bald": "bald", "short01": "short", "short02": "short", "short03": "short", "short04": "short",
    "ponytail01": "tied", "afro01": "curly", "bob01": "bob", "bob02": "bob", "braid01": "bob", "long01": "long",
}  # fmt: skip
"""How each hair of the renderer looks from the front (braid01 is a bob with a fringe, ponytail01 is combed back)."""

SKIN_LUMINANCE = {
    "young_darkskinned_female_diffuse": 0.063,
    "young_darkskinned_male_diffuse": 0.049,
    "young_lightskinned_female_diffuse": 0.502,
    "young_lightskinned_female_diffuse2": 0.485,
    "young_lightskinned_female_diffuse3": 0.502,
    "young_lightskinned_male_diffuse": 0.502,
    "young_lightskinned_male_diffuse2": 0.458,
    "young_lightskinned_male_diffuse3": 0.458,
    "middleage_darkskinned_female_diffuse": 0.062,
    "middleage_darkskinned_male_diffuse": 0.063,
    "middleage_lightskinned_female_diffuse": 0.460,
    "middleage_lightskinned_female_diffuse2": 0.546,
    "middleage_lightskinned_male_diffuse": 0.476,
    "middleage_lightskinned_male_diffuse2": 0.484,
    "old_darkskinned_female_diffuse": 0.044,
    "old_darkskinned_male_diffuse": 0.065,
    "old_lightskinned_female_diffuse": 0.464,
    "old_lightskinned_female_diffuse2": 0.391,
    "old_lightskinned_male_diffuse": 0.492,
    "old_lightskinned_male_diffuse2": 0.275,
}
"""Mean linear luminance of the face in each skin texture (of 512 px: columns 440 to 499, rows 205 to 329)."""


@dataclass(frozen=True)
class Labelled:
    """`N` pictures with what is to be read from them."""

    pictures: Tensor
    """uint8 `[N, 3, 128, 128]`."""
    points: Tensor
    """`[N, 68, 2]` in pixels of the 128 px picture, the centre of the top-left pixel at 0."""
    scalars: Tensor
    """`[N, 8]`, in the order of `SCALARS`."""
    gender: Tensor
    """`[N]`: 0 female to 1 male, with the mixtures in between."""
    hair_color: Tensor
    """`[N]`: index into `HAIR_COLORS`, -1 for bald."""
    hair_style: Tensor
    """`[N]`: index into `HAIR_STYLES`."""
    between_eyes: Tensor
    """`[N]`: distance of the eyes' centres in pixels of the 128 px picture."""

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: Tensor) -> "Labelled":
        return Labelled(**{name: value[index] for name, value in vars(self).items()})


def skin_tone(skin: str, tint: list[float]) -> float:
    """`1 - L*/100` (CIE 1976) of the skin texture's mean luminance times the tint."""
    y = SKIN_LUMINANCE[skin] * (0.2126 * tint[0] + 0.7152 * tint[1] + 0.0722 * tint[2])
    return 1 - (1.16 * y ** (1 / 3) - 0.16)


def scalars(label: dict) -> list[float]:
    """The values of `SCALARS`. A face unit that isn't in the label is 0."""

    def unit(name: str) -> float:
        return sum(label["facs"].get(name + side, 0.0) for side in ("Left", "Right")) / 2

    return [
        label["age"], unit("mouthSmile"), label["facs"].get("jawOpen", 0.0), unit("eyeBlink"),
        label["yaw"], label["pitch"], label["roll"], skin_tone(label["skin"], label["skin_tint"]),
    ]  # fmt: skip


def folder_of(labels: Path) -> Path:
    """Where the pictures of `heldout.jsonl` are: `heldout/`, else `images/`, else beside it."""
    return next(f for f in (labels.with_suffix(""), labels.parent / "images", labels.parent) if f.is_dir())


def read_picture(path: Path) -> Tensor:
    """uint8 `[3, 128, 128]`, filtered like the face reader's own resizing."""
    picture = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None]  # [1, 3, H, W]
    return resize(picture.float())[0].round().to(torch.uint8)


def load(files: list[Path]) -> Labelled:
    """All pictures of these label files. Labels' pixels have their edge at 0, ours their centre: hence the half."""
    pictures, labels = [], []
    for file in files:
        for line in file.read_text().splitlines():
            label = json.loads(line)
            labels.append(label)
            pictures.append(read_picture(folder_of(file) / label["file"]))
    scale = SIZE / LABEL_SIZE
    eyes = torch.tensor([label["eyes2d"] for label in labels])  # [N, 3, 2]
    styles = [STYLES[label["hair"]] for label in labels]
    colors = [-1 if s == "bald" else HAIR_COLORS.index(x["hair_color"]) for s, x in zip(styles, labels, strict=True)]
    return Labelled(
        pictures=torch.stack(pictures),
        points=torch.tensor([label["lm"] for label in labels]) * scale - 0.5,
        scalars=torch.tensor([scalars(label) for label in labels]),
        gender=torch.tensor([label["gender"] for label in labels]),
        hair_color=torch.tensor(colors),
        hair_style=torch.tensor([HAIR_STYLES.index(style) for style in styles]),
        between_eyes=(eyes[:, 0] - eyes[:, 1]).norm(dim=1) * scale,
    )


def to_float(pictures: Tensor) -> Tensor:
    """uint8 0..255 to float in [-1, 1]."""
    return pictures.float() / 127.5 - 1


def mirrored(points: Tensor) -> Tensor:
    """Landmarks `[B, 68, 2]` of the mirrored pictures."""
    points = points[:, MIRROR]
    return torch.stack([SIZE - 1 - points[..., 0], points[..., 1]], dim=2)


def augment(batch: Labelled, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures `[B, 3, 128, 128]` in [-1, 1], points and scalars of a batch, each picture moved and degraded at random.

    Half are mirrored (landmarks change sides, yaw and roll their sign); all are turned by up to 12 degrees, scaled by
    0.86 to 1.16 and shifted by up to 6 px; light and colour change a little; half are softened as by a small
    generator; noise is added.
    """
    count = len(batch)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=rng) * (high - low) + low

    pictures, points, scalars = to_float(batch.pictures), batch.points, batch.scalars
    mirror = uniform(0, 1) < 0.5
    pictures = torch.where(mirror[:, None, None, None], pictures.flip(3), pictures)
    points = torch.where(mirror[:, None, None], mirrored(points), points)
    signs = torch.tensor([1, 1, 1, 1, -1, 1, -1, 1.0])  # of SCALARS
    scalars = torch.where(mirror[:, None], scalars * signs, scalars)

    angle, zoom, shift = uniform(-12, 12), uniform(-0.15, 0.15).exp(), uniform(-6, 6, 2)
    cos, sin = (angle * math.pi / 180).cos(), (angle * math.pi / 180).sin()
    turn = torch.stack([cos, sin, -sin, cos], dim=1).view(-1, 2, 2)  # anticlockwise in the picture, y down
    centre = (SIZE - 1) / 2
    points = (points - centre) @ turn.mT * zoom[:, None, None] + shift[:, None] + centre
    back = turn.mT / zoom[:, None, None]  # where in the source a pixel of the result comes from
    theta = torch.cat([back, -(back @ shift[:, :, None]) * 2 / SIZE], dim=2)  # [B, 2, 3]
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    pictures = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    scalars = scalars.clone()
    scalars[:, 6] += angle

    size = int(torch.randint(40, 112, (), generator=rng))
    soft = resize(resize(pictures, size), SIZE)
    pictures = torch.where(uniform(0, 1, 1, 1, 1) < 0.5, soft, pictures)
    gain = uniform(0.88, 1.12, 1, 1, 1) * uniform(0.96, 1.04, 3, 1, 1)
    pictures = (pictures + 1) * gain - 1 + uniform(-0.08, 0.08, 1, 1, 1)
    noise = torch.randn(pictures.shape, generator=rng) * uniform(0, 0.06, 1, 1, 1)
    return (pictures + noise).clamp(-1, 1), points, scalars
