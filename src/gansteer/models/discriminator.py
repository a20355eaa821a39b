"""StyleGAN2's residual discriminator (Karras et al. 2020, section 4.1) with minibatch standard deviation."""

import math

import torch
from torch import Tensor, nn

from gansteer.models.layers import Conv, Linear
from gansteer.models.stylegan2.config import GeneratorConfig


def minibatch_stddev(x: Tensor, group: int = 4) -> Tensor:
    """Append to `x [B, C, H, W]` one channel with the standard deviation within groups of pictures: `[B, C + 1, H, W]`.

    Group g holds the pictures g, g + B/group, g + 2B/group ...
    """
    batch, _, height, width = x.shape
    group = math.gcd(group, batch)
    y = x.reshape(group, batch // group, *x.shape[1:])  # [G, B/G, C, H, W]
    y = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # [B/G]
    y = y.repeat(group).view(batch, 1, 1, 1).expand(-1, -1, height, width)
    return torch.cat([x, y], dim=1)


class DiscriminatorBlock(nn.Module):
    """Two 3x3 convolutions, the second halving the size, beside a 1x1 skip; both paths times sqrt(1/2)."""

    def __init__(self, in_channels: int, out_channels: int, clamp: float | None) -> None:
        super().__init__()
        self.conv0 = Conv(in_channels, in_channels, 3, clamp=clamp)
        self.conv1 = Conv(in_channels, out_channels, 3, down=True, clamp=clamp)
        self.skip = Conv(in_channels, out_channels, 1, down=True, bias=False, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        gain = math.sqrt(0.5)
        y: Tensor = self.skip(x, gain=gain) + self.conv1(self.conv0(x), gain=gain)
        return y


class Discriminator(nn.Module):
    """Pictures `[B, img_channels, r, r]` (and one-hot labels `[B, c_dim]`) to logits `[B, 1]`.

    Widths follow the same rule as the generator's of that configuration.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        clamp = config.conv_clamp
        resolutions = config.block_resolutions[::-1]
        top, last = config.channels(config.resolution), config.channels(4)
        self.from_rgb = Conv(config.img_channels, top, 1, clamp=clamp)
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(config.channels(r), config.channels(r // 2), clamp) for r in resolutions[:-1]
        )
        self.conv = Conv(last + 1, last, 3, clamp=clamp)
        self.dense = Linear(last * 16, last, activate=True)
        self.out = Linear(last, config.w_dim if config.c_dim else 1)
        self.embed = Linear(config.c_dim, config.w_dim) if config.c_dim else None

    def features(self, x: Tensor) -> list[Tensor]:
        """What `judge` looks at: the picture itself."""
        return [x]

    def judge(self, features: list[Tensor], c: Tensor | None = None) -> Tensor:
        """Features `[[B, img_channels, r, r]]` to logits `[B, 1]`; conditional models project on the label's embedding."""
        return self.attended(features, c)[0]

    def attended(self, features: list[Tensor], c: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """As `judge`, with the results of the last three blocks, which the logits follow from: 4, 8 and 16 px, coarsest first."""
        x: Tensor = self.from_rgb(features[0])
        maps: list[Tensor] = []
        for block in self.blocks:
            x = block(x)
            maps.insert(0, x)
        x = self.conv(minibatch_stddev(x))
        x = self.out(self.dense(x.flatten(1)))
        if self.embed is not None:
            assert c is not None
            x = (x * self.embed(c)).sum(dim=1, keepdim=True) / math.sqrt(self.config.w_dim)
        return x, maps[:3]

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.judge(self.features(x), c)
