"""Reads a rendered room: which kind of thing every pixel shows.

A small encoder and decoder of convolutions at 128 px (U-Net, Ronneberger et al. 2015). It was taught on pixels alone and
shares nothing with the networks that generators are trained against, so that it may judge what they draw.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansteer.models.face_reader import ConvNorm, Residual, resize

SIZE = 128
"""Width and height that the network works at; other sizes are resized to it."""
KINDS = (
    "background", "sofa", "bed", "armchair", "chair", "table", "cupboard", "plant", "piano", "nightstand", "lamp", "rug",
    "window", "picture",
)  # fmt: skip
"""What a pixel can be. Background is wall, floor and ceiling."""
BACKGROUND = 0


@dataclass(frozen=True, eq=False)
class Thing:
    """A connected region of one kind in one picture."""

    kind: str
    x: float
    """Mean column of its pixels, in pixels of the map it was found in."""
    y: float
    """Mean row of its pixels."""
    mask: Tensor
    """bool `[H, W]`: its pixels."""

    @property
    def pixels(self) -> int:
        """How many pixels it covers."""
        return int(self.mask.sum())


class RoomReader(nn.Module):
    """Pictures to a kind for each pixel. `forward` gives the logits that training needs."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d, e = 24, 40, 80, 128, 160
        self.at64 = ConvNorm(3, a, stride=2)
        self.at32 = nn.Sequential(ConvNorm(a, b, stride=2), Residual(b))
        self.at16 = nn.Sequential(ConvNorm(b, c, stride=2), Residual(c))
        self.at8 = nn.Sequential(ConvNorm(c, d, stride=2), Residual(d))
        self.at4 = nn.Sequential(ConvNorm(d, e, stride=2), Residual(e))
        self.up8, self.join8 = ConvNorm(e, d, kernel=1, active=False), ConvNorm(d, d)
        self.up16, self.join16 = ConvNorm(d, c, kernel=1, active=False), ConvNorm(c, c)
        self.up32, self.join32 = ConvNorm(c, b, kernel=1, active=False), ConvNorm(b, b)
        self.up64, self.join64 = ConvNorm(b, a, kernel=1, active=False), ConvNorm(a, 32)
        self.kinds = nn.Conv2d(32, len(KINDS), 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """`[B, 3, 128, 128]` in [-1, 1] to logits `[B, 14, 128, 128]` in the order of `KINDS`."""
        x64 = self.at64(pictures)
        x32 = self.at32(x64)
        x16 = self.at16(x32)
        x8 = self.at8(x16)
        y = self.at4(x8)
        for skip, up, join in (
            (x8, self.up8, self.join8), (x16, self.up16, self.join16), (x32, self.up32, self.join32),
            (x64, self.up64, self.join64),
        ):  # fmt: skip
            y = join(F.relu(skip + F.interpolate(up(y), scale_factor=2.0)))
        logits: Tensor = self.kinds(y)  # [B, 14, 64, 64]
        return F.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)

    def read(self, pictures: Tensor) -> Tensor:
        """Square pictures `[B, 3, H, H]` in [-1, 1], of any size, to probabilities `[B, 14, 128, 128]`; differentiable.

        Raises ValueError for pictures of another shape.
        """
        if pictures.dim() != 4 or pictures.shape[1] != 3 or pictures.shape[2] != pictures.shape[3]:
            raise ValueError(f"pictures must be square, [B, 3, H, H], not {list(pictures.shape)}")
        logits: Tensor = self(resize(pictures, SIZE))
        return logits.softmax(dim=1)

    def segment(self, pictures: Tensor) -> Tensor:
        """Square pictures `[B, 3, H, H]` to the most probable kind of each pixel, int64 `[B, 128, 128]`."""
        with torch.no_grad():
            return self.read(pictures).argmax(dim=1)
