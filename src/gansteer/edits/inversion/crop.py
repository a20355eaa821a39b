"""The square of a photo that a model works on: cut out, and put back."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gansteer.errors import UserError

FEATHER = 0.1
"""How wide the soft edge is with which a picture is put back, as a share of the crop's side."""


@dataclass(frozen=True)
class Crop:
    """A square in a photo. It may hang over the border, where the photo is mirrored."""

    x: float
    """Its centre (x, y), in pixels of the photo; the centre of the top-left pixel is (0, 0)."""
    y: float
    size: float
    """Its side, in pixels of the photo."""
    angle: float = 0.0
    """Degrees by which it is turned clockwise, as one looks at the photo."""

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (self.x, self.y, self.size, self.angle)) or self.size < 1:
            raise UserError("a crop is x,y,size or x,y,size,angle: finite numbers of pixels, size at least 1")

    @classmethod
    def centred(cls, photo: Image.Image) -> "Crop":
        """The largest upright square in the middle."""
        return cls((photo.width - 1) / 2, (photo.height - 1) / 2, min(photo.size))

    def corners(self) -> tuple[tuple[float, float], ...]:
        """Top left, top right, bottom right and bottom left (x, y) in pixels of the photo."""
        c, s = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        half = self.size / 2
        around = ((-half, -half), (half, -half), (half, half), (-half, half))
        return tuple((self.x + c * u - s * v, self.y + s * u + c * v) for u, v in around)

    def check(self, photo: Image.Image) -> None:
        """Raise UserError unless its centre lies in the photo and it is no more than twice as large."""
        if not (-0.5 <= self.x <= photo.width - 0.5 and -0.5 <= self.y <= photo.height - 0.5):
            raise UserError(
                f"the crop's centre {self.x:g},{self.y:g} lies outside the photo of {photo.width}x{photo.height}"
            )
        if self.size > 2 * max(photo.size):
            raise UserError(f"the crop of {self.size:g} px is more than twice as large as the photo: make it smaller")


def _turn(crop: Crop) -> Tensor:
    """`[2, 2]`: (u, v) along the crop's sides to (x, y) along the photo's."""
    c, s = math.cos(math.radians(crop.angle)), math.sin(math.radians(crop.angle))
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


def _sample(picture: Tensor, edges: Tensor, padding: str) -> Tensor:
    """`picture [3, H, W]` at `edges [h, w, 2]` (x, y), counted in pixels from its outer corner, bilinear: `[3, h, w]`."""
    size = torch.tensor([picture.shape[2], picture.shape[1]], dtype=torch.float64)
    grid = (2 * edges / size - 1).to(picture)
    return F.grid_sample(picture[None], grid[None], "bilinear", padding, align_corners=False)[0]


def levels(picture: Image.Image) -> Tensor:
    """An RGB picture as `float32 [3, H, W]` from 0 to 255."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()


def cut(photo: Image.Image, crop: Crop, resolution: int) -> Tensor:
    """The crop as `uint8 [resolution, resolution, 3]` RGB, with antialiasing. Raises UserError if it lies outside."""
    crop.check(photo)
    shrink = max(1, int(crop.size / (4 * resolution)))
    small = levels(photo.reduce(shrink) if shrink > 1 else photo)
    step = crop.size / shrink / resolution
    fine = max(1, math.ceil(step))  # samples along each side of a pixel, about one per pixel of the photo
    along = (torch.arange(resolution * fine, dtype=torch.float64) + 0.5) / (resolution * fine) - 0.5
    v, u = torch.meshgrid(along, along, indexing="ij")
    centre = torch.tensor([crop.x + 0.5, crop.y + 0.5], dtype=torch.float64)
    edges = (centre + crop.size * torch.stack([u, v], dim=-1) @ _turn(crop).t()) / shrink
    found = F.avg_pool2d(_sample(small, edges, "reflection"), fine)
    return found.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)


def paste(photo: Image.Image, crop: Crop, picture: Image.Image, feather: float = FEATHER) -> Image.Image:
    """The whole photo with `picture` (square, RGB) in the place of the crop, its edge fading over `feather` of the side."""
    crop.check(photo)
    if crop.size < picture.width:
        side = max(1, round(crop.size))
        picture = picture.resize((side, side), Image.Resampling.BOX, reducing_gap=None)
    xs, ys = zip(*crop.corners(), strict=True)
    left, top = max(0, math.floor(min(xs))), max(0, math.floor(min(ys)))
    right, bottom = min(photo.width, math.ceil(max(xs)) + 1), min(photo.height, math.ceil(max(ys)) + 1)
    y, x = torch.meshgrid(torch.arange(top, bottom), torch.arange(left, right), indexing="ij")
    away = torch.stack([x, y], dim=-1).double() - torch.tensor([crop.x, crop.y], dtype=torch.float64)
    uv = away @ _turn(crop) / crop.size  # [h, w, 2], from -0.5 to 0.5 inside
    inside = ((0.5 - uv.abs().amax(dim=-1)) / max(feather, 1e-6)).clamp(0, 1)
    alpha = inside * inside * (3 - 2 * inside)  # smooth at both ends
    new = _sample(levels(picture.convert("RGB")), (uv + 0.5) * picture.width, "border")
    old = levels(photo.crop((left, top, right, bottom)))
    mixed = torch.lerp(old, new, alpha.to(old)).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    whole = photo.copy()
    whole.paste(Image.fromarray(mixed), (left, top))
    return whole
