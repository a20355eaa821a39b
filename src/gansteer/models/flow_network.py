"""Optical flow by a network of RAFT's shape (Teed and Deng 2020), small and with features at a quarter of the picture's size.

All pairs of cells are compared once; a recurrent unit then looks the likenesses up around where each cell is thought to have gone,
and corrects that, again and again. A re-implementation from the published description; its weights are of our own training.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansteer.models.correlation import STRIDE, PictureEncoder, look_up, pyramid, volumes


@dataclass(frozen=True)
class FlowNetworkConfig:
    """The shape of a flow network."""

    resolution: int
    """Width of the pictures that it was trained on."""
    features: int = 48
    hidden: int = 48
    """Channels of the recurrent unit, and of the context that it sees."""
    levels: int = 3
    radius: int = 3
    iterations: int = 6


class ConvGRU(nn.Module):
    """`h <- (1 - z) h + z tanh(W [r h, x])`, with gates `z, r = sigmoid(W [h, x])`; all W are 3 x 3 convolutions."""

    def __init__(self, hidden: int, given: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(hidden + given, 2 * hidden, 3, padding=1)
        self.proposal = nn.Conv2d(hidden + given, hidden, 3, padding=1)

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        """`h [B, hidden, h, w]`, `x [B, given, h, w]` to the next h."""
        z, r = torch.sigmoid(self.gates(torch.cat([h, x], dim=1))).chunk(2, dim=1)
        found: Tensor = (1 - z) * h + z * torch.tanh(self.proposal(torch.cat([r * h, x], dim=1)))
        return found


class FlowNetwork(nn.Module):
    """Two pictures to where each pixel of the first is in the second."""

    def __init__(self, config: FlowNetworkConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        looked = config.levels * (2 * config.radius + 1) ** 2
        self.encoder = PictureEncoder(config.features)
        self.context = PictureEncoder(2 * hidden)
        self.motion = nn.Sequential(
            nn.Conv2d(looked + 2, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, hidden - 2, 3, padding=1), nn.ReLU()
        )
        self.unit = ConvGRU(hidden, 2 * hidden)
        self.head = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, 2, 3, padding=1)
        )

    def forward(self, a: Tensor, b: Tensor) -> list[Tensor]:
        """`a`, `b [B, 3, H, W]` in [-1, 1] to the flow `[B, 2, H, W]` (x, y) in pixels after every iteration."""
        config = self.config
        fa, fb = self.encoder(torch.cat([a, b])).chunk(2)
        alike = volumes(fa.flatten(2).transpose(1, 2), pyramid(fb, config.levels))
        hidden, context = self.context(a).split(config.hidden, dim=1)
        hidden, context = torch.tanh(hidden), F.relu(context)
        height, width = fa.shape[2:]
        y, x = torch.meshgrid(torch.arange(height).to(a), torch.arange(width).to(a), indexing="ij")
        start = torch.stack([x, y], dim=-1).view(1, -1, 2)
        flow = a.new_zeros(len(a), 2, height, width)
        found = []
        for _ in range(config.iterations):
            flow = flow.detach()  # as published: a correction answers for itself, not for where it looked
            looked = look_up(alike, start + flow.flatten(2).transpose(1, 2), config.radius)
            looked = looked.transpose(1, 2).reshape(len(a), -1, height, width)
            motion = torch.cat([self.motion(torch.cat([looked, flow], dim=1)), flow], dim=1)
            hidden = self.unit(hidden, torch.cat([motion, context], dim=1))
            flow = flow + self.head(hidden)
            found.append(STRIDE * F.interpolate(flow, scale_factor=float(STRIDE), mode="bilinear", align_corners=False))
        return found
