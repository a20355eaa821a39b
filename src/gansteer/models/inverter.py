"""The encoder of a generator: a picture to w+, at once.

A frozen EfficientNet-Lite0, which has seen photographs, gives features at four scales; a small head, which alone is
trained, turns them into the rows of w+ (the pyramid of pSp, Richardson et al. 2021, with one head for all rows).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gansteer.models.efficientnet import TAPS, EfficientNetLite0
from gansteer.models.face_reader import resize

CELLS = 4
"""Each scale is brought to 4x4 cells."""


@dataclass(frozen=True)
class InverterConfig:
    """The shape of an encoder's head."""

    num_ws: int
    w_dim: int
    size: int = 128
    """Pictures are resized to this."""
    widths: tuple[int, ...] = (32, 40, 64, 96)
    """Channels of the four scales, the finest first."""
    hidden: int = 384


class InverterHead(nn.Module):
    """Four feature maps to w+; what is trained and stored."""

    centre: Tensor
    spread: Tensor

    def __init__(self, config: InverterConfig) -> None:
        super().__init__()
        self.config = config
        self.scales = nn.ModuleList()
        for number, (inputs, width) in enumerate(zip(TAPS.values(), config.widths, strict=True)):
            layers: list[nn.Module] = [nn.Conv2d(inputs, width, 1), nn.LeakyReLU(0.2)]
            for _ in range(len(TAPS) - 1 - number):  # down to the size of the coarsest
                layers += [nn.Conv2d(width, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
            self.scales.append(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(CELLS), nn.Flatten()))
        inputs = sum(config.widths) * CELLS**2
        self.body = nn.Sequential(
            nn.LayerNorm(inputs),
            nn.Linear(inputs, config.hidden), nn.LeakyReLU(0.2),
            nn.Linear(config.hidden, config.hidden), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.rows = nn.Linear(config.hidden, config.num_ws * config.w_dim)
        nn.init.zeros_(self.rows.weight)  # the first guess is the mean
        nn.init.zeros_(self.rows.bias)
        self.register_buffer("centre", torch.zeros(config.w_dim))
        self.register_buffer("spread", torch.ones([]))

    def forward(self, taps: list[Tensor]) -> Tensor:
        """The features of `EfficientNetLite0.taps` to `w+ [B, num_ws, w_dim]`."""
        found = torch.cat([scale(x) for scale, x in zip(self.scales, taps, strict=True)], dim=1)
        rows = self.rows(self.body(found)).unflatten(1, (self.config.num_ws, self.config.w_dim))
        w: Tensor = self.centre + self.spread * rows
        return w


class Inverter(nn.Module):
    """Pictures to w+."""

    def __init__(self, trunk: EfficientNetLite0, head: InverterHead) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head

    def forward(self, pictures: Tensor) -> Tensor:
        """`[B, 3, H, H]` in [-1, 1] to `w+ [B, num_ws, w_dim]`."""
        w: Tensor = self.head(self.trunk.taps(resize(pictures, self.head.config.size)))
        return w
