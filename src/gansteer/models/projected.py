"""The projected discriminator (Sauer et al., NeurIPS 2021): small discriminators on mixed, frozen features.

Fixed random 1x1 convolutions mix the channels of each feature level (CCM) and, top-down, the levels (CSM); one small
trained discriminator per level judges the result. It needs far fewer pictures than a discriminator from scratch.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gansteer.models.efficientnet import TAPS, EfficientNetLite0
from gansteer.models.layers import LRELU_SLOPE, pointwise

WIDTH = 64
"""Channels of the features of strides 2 and 4."""
COLOURS = 8
"""Width and height at which a discriminator with `spread` sees colours."""


class Pointwise(nn.Conv2d):
    """A 1x1 convolution, computed as a product."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(x, self.weight, self.bias)


def random_projection(inputs: int, outputs: int) -> Pointwise:
    """A fixed random 1x1 convolution."""
    conv = Pointwise(inputs, outputs)
    nn.init.kaiming_normal_(conv.weight)
    return conv.requires_grad_(False)


class GroupBatchNorm(nn.Module):
    """Batch normalisation over groups of at most 8 pictures, without running statistics.

    The grouping (picture i belongs to group `i mod B/8`) makes the result independent of how a batch is dealt out to
    processes, which plain batch normalisation is not.
    """

    def __init__(self, channels: int, group: int = 8) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        group = math.gcd(batch, self.group)
        n = batch // group
        y = x.reshape(group, n * channels, height, width)
        y = F.batch_norm(y, None, None, self.weight.repeat(n), self.bias.repeat(n), training=True)
        return y.view(x.shape)


def separable(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """Depthwise then 1x1 convolution, both spectrally normalised, group batch norm, leaky ReLU."""
    return nn.Sequential(
        spectral_norm(nn.Conv2d(inputs, inputs, kernel, stride, 1, groups=inputs, bias=False)),
        spectral_norm(Pointwise(inputs, outputs, bias=False)),
        GroupBatchNorm(outputs),
        nn.LeakyReLU(LRELU_SLOPE),
    )


class LevelDiscriminator(nn.Module):
    """One feature level `[B, C, s, s]` to a map of logits `[B, 1, 5, 5]`: halve down to 8 px, then a 4x4 convolution.

    With `spread` that convolution also sees colours `[B, 3, 8, 8]` and, of these and of its features, how much they differ at
    every place within a group of pictures.
    """

    def __init__(self, channels: int, size: int, spread: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        while size > 8:
            size //= 2
            wide = {32: 64, 16: 128, 8: 256}.get(size, 64)
            layers.append(separable(channels, wide, 4, 2))
            channels = wide
        layers.append(separable(channels, channels, 3, 1))
        self.layers = nn.Sequential(*layers)
        self.logits = spectral_norm(nn.Conv2d(channels + (7 if spread else 0), 1, 4, bias=False))

    def forward(self, x: Tensor, colours: Tensor | None = None) -> Tensor:
        x = self.layers(x)
        if colours is not None:
            colours = F.interpolate(colours, size=x.shape[-2:], mode="area")
            x = torch.cat(
                [x, group_deviation(x).mean(dim=1, keepdim=True), colours, 2 * group_deviation(colours)], dim=1
            )
        logits: Tensor = self.logits(x)
        return logits


def group_deviation(x: Tensor, group: int = 8) -> Tensor:
    """The standard deviation of `x [B, C, h, w]` at every place within groups of pictures, as those of `GroupBatchNorm`.

    Every picture gets that of its group, in the shape of `x`. Where all pictures look alike it is small, which a
    discriminator that sees one picture at a time can't tell.
    """
    group = math.gcd(len(x), group)
    y = x.view(group, len(x) // group, *x.shape[1:])
    return (y.var(dim=0, unbiased=False) + 1e-4).sqrt().repeat(group, 1, 1, 1)


class ProjectedDiscriminator(nn.Module):
    """Pictures `[B, 3, r, r]` in [-1, 1] to logits `[B, L]`, through features of the picture resized to `input_size`.

    `features` is frozen and may be differentiated with respect to the picture; `judge` is what trains.
    """

    def __init__(
        self, backbone: EfficientNetLite0, input_size: int = 128, width: int = WIDTH, spread: bool = False
    ) -> None:
        super().__init__()
        self.spread = spread
        self.input_size = input_size
        self.backbone = backbone
        wide = [width, 2 * width, 4 * width, 8 * width]
        out = [width, width, 2 * width, 4 * width]
        self.mix_channels = nn.ModuleList(random_projection(c, w) for c, w in zip(TAPS.values(), wide, strict=True))
        self.mix_levels = nn.ModuleList(random_projection(w, o) for w, o in zip(wide, out, strict=True))
        self.levels = nn.ModuleList(
            LevelDiscriminator(o, input_size // stride, spread) for o, stride in zip(out, (2, 4, 8, 16), strict=True)
        )

    def features(self, x: Tensor) -> list[Tensor]:
        """Four levels `[B, 64 | 64 | 128 | 256, s, s]` at strides 2, 4, 8 and 16 of the resized picture.

        With `spread` there is a fifth, the picture's colours `[B, 3, 8, 8]`.
        """
        colours = [F.interpolate(x, size=(COLOURS, COLOURS), mode="area")] if self.spread else []
        if x.shape[-1] != self.input_size:
            x = F.interpolate(x, size=(self.input_size,) * 2, mode="bilinear", align_corners=False)
        taps = self.backbone.taps(x)
        found: list[Tensor] = []
        above: Tensor | None = None
        for i in reversed(range(4)):
            mixed = self.mix_channels[i](taps[i])
            if above is not None:
                mixed = mixed + above
            # A 1x1 convolution commutes with bilinear upsampling and is four times cheaper before it.
            above = F.interpolate(self.mix_levels[i](mixed), scale_factor=2, mode="bilinear", align_corners=False)
            found.insert(0, above)
        return [*found, *colours]

    def judge(self, features: list[Tensor], c: Tensor | None = None) -> Tensor:
        """Features to the logits of all levels side by side `[B, L]`. Labels are not used."""
        colours = features[4] if self.spread else None
        return torch.cat(
            [level(f, colours).flatten(1) for level, f in zip(self.levels, features[:4], strict=True)], dim=1
        )

    def attended(self, features: list[Tensor], c: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """As `judge`, with the features of strides 16, 8 and 4, which the logits follow from, coarsest first."""
        return self.judge(features, c), features[3:0:-1]

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.judge(self.features(x), c)
