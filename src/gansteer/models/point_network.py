"""Points followed through a few pictures at once, by a network of the shape of PIPs (Harley et al. 2022), small.

Every point begins with the feature that it has in the first picture and standing still. A mixer over time then sees, for each
picture, that feature, how alike the surroundings of the guess are to it, and the way so far; and corrects way and feature, again and
again. A re-implementation from the published description, without its head for visibility; its weights are of our own training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansteer.models.correlation import PictureEncoder, look_up, pyramid, sample_map, to_cells, to_pixels, volumes

WINDOW = 8
"""Pictures that are seen at once."""


@dataclass(frozen=True)
class PointNetworkConfig:
    """The shape of a point network."""

    resolution: int
    """Width of the pictures that it was trained on."""
    features: int = 48
    hidden: int = 96
    """Channels of the mixer."""
    blocks: int = 3
    levels: int = 3
    radius: int = 3
    iterations: int = 4


class Mixer(nn.Module):
    """Pre-norm: a perceptron over the pictures for every channel, then one over the channels for every picture."""

    def __init__(self, times: int, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.over_time = nn.Sequential(nn.Linear(times, 4 * times), nn.GELU(), nn.Linear(4 * times, times))
        self.over_channels = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, times, channels]` to the same."""
        x = x + self.over_time(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        found: Tensor = x + self.over_channels(self.norm2(x))
        return found


class PointNetwork(nn.Module):
    """The features of `WINDOW` pictures and points of the first to where they are in all of them."""

    def __init__(self, config: PointNetworkConfig) -> None:
        super().__init__()
        self.config = config
        looked = config.levels * (2 * config.radius + 1) ** 2
        self.encoder = PictureEncoder(config.features)
        self.enter = nn.Linear(config.features + looked + 3, config.hidden)
        self.mixers = nn.Sequential(*(Mixer(WINDOW, config.hidden) for _ in range(config.blocks)))
        self.leave = nn.Sequential(nn.LayerNorm(config.hidden), nn.Linear(config.hidden, 2 + config.features))

    def forward(self, maps: Sequence[Tensor], points: Tensor) -> list[Tensor]:
        """`maps`, WINDOW times `[B, C, h, w]` of the encoder, `points [B, N, 2]` (x, y) in pixels of the first picture.

        Returns where they are in all pictures `[B, N, WINDOW, 2]`, in pixels, after every iteration. In the first picture
        they are where they were put.
        """
        config = self.config
        pyramids = [pyramid(each, config.levels) for each in maps]
        start = to_cells(points)[:, :, None]  # [B, N, 1, 2]
        at = start.expand(-1, -1, WINDOW, -1)
        feature = sample_map(maps[0], start[:, :, 0])[:, :, None].expand(-1, -1, WINDOW, -1)  # [B, N, WINDOW, C]
        time = torch.linspace(0, 1, WINDOW).to(at).view(1, 1, WINDOW, 1).expand(*at.shape[:3], 1)
        moving = (torch.arange(WINDOW) > 0).to(at).view(1, 1, WINDOW, 1)
        found = []
        for _ in range(config.iterations):
            at = at.detach()
            looked = torch.stack(
                [
                    look_up(volumes(feature[:, :, t], each), at[:, :, t], config.radius)
                    for t, each in enumerate(pyramids)
                ],
                dim=2,
            )
            x = self.enter(torch.cat([feature, looked, at - start, time], dim=3))
            change = self.leave(self.mixers(x.flatten(0, 1))).view(*at.shape[:3], -1)
            at = at + moving * change[..., :2]
            feature = feature + F.gelu(change[..., 2:])
            found.append(to_pixels(at))
        return found
