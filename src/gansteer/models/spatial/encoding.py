"""How heatmaps enter the layers of a generator: the published spatial encoding layer, and one that stays local."""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansteer.models.layers import LRELU_GAIN, LRELU_SLOPE, Fill, leaky_relu, pointwise

SEL_SHARE = 0.1
"""What SEL's residual branch is multiplied by, "for stability"."""
SEL_CHANNELS = 64


class PlainConv(nn.Module):
    """Convolution with equalised learning rate and bias, without activation: `[B, in, H, W]` to `[B, out, H, W]`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, fill: Fill = torch.randn) -> None:
        super().__init__()
        self.weight = nn.Parameter(fill((outputs, inputs, kernel, kernel)))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.gain = 1 / math.sqrt(inputs * kernel**2)

    def forward(self, x: Tensor) -> Tensor:
        weight, kernel = self.weight * self.gain, self.weight.shape[-1]
        if kernel == 1:
            return pointwise(x, weight, self.bias)
        return F.conv2d(x, weight, self.bias, padding=kernel // 2)


class LocalEncoding(nn.Module):
    """Modulation of the results of one resolution's convolutions by what stands at each pixel, and nothing farther.

    `x <- x (1 + g(h)) + b(h)` with `h = lrelu(conv3x3([sum_k H_k s_k, sum_k H_k]))` and g, b of one 1x1 convolution a layer.
    No statistic of the picture enters, so that a window of the layer is the layer of a window.
    """

    def __init__(self, inputs: int, hidden: int, channels: int, layers: list[str], fill: Fill = torch.randn) -> None:
        super().__init__()
        self.features = PlainConv(inputs, hidden, 3, fill)
        self.affine = nn.ModuleDict({_key(name): PlainConv(hidden, 2 * channels, 1, fill) for name in layers})

    def hidden(self, splatted: Tensor) -> Tensor:
        """The features h `[B, hidden, r, r]` of `[sum_k H_k s_k, sum_k H_k]`, `[B, inputs, r, r]`."""
        h: Tensor = self.features(splatted)
        return F.leaky_relu(h, LRELU_SLOPE) * LRELU_GAIN

    def gain_and_bias(self, hidden: Tensor, layer: str) -> tuple[Tensor, Tensor]:
        """g and b `[B, C, r, r]` for the layer of this name."""
        g, b = self.affine[_key(layer)](hidden).chunk(2, dim=1)
        return g, b

    def forward(self, x: Tensor, hidden: Tensor, layer: str) -> Tensor:
        """`x [B, C, r, r]`, the result of `layer`, modulated."""
        g, b = self.gain_and_bias(hidden, layer)
        return torch.addcmul(x + b, x, g)

    def silence(self) -> None:
        """Make it the identity, whatever the heatmaps, until it learns."""
        for affine in self.affine.values():
            nn.init.zeros_(cast(PlainConv, affine).weight)

    @torch.no_grad()
    def widen(self, small: "LocalEncoding") -> None:
        """Modulate the first channels as `small`, of fewer channels, does, and leave the others as they are at first."""
        self.features.load_state_dict(small.features.state_dict())
        self.silence()
        for name, affine in small.affine.items():
            wide, narrow = cast(PlainConv, self.affine[name]), cast(PlainConv, affine)
            for new, old in zip(wide.weight.chunk(2), narrow.weight.chunk(2), strict=True):  # of g, and of b
                new[: len(old)] = old
            for new, old in zip(wide.bias.chunk(2), narrow.bias.chunk(2), strict=True):
                new[: len(old)] = old


class PublishedEncoding(nn.Module):
    """SEL (Wang et al. 2022) in front of the layers of one resolution.

    `a = lrelu(conv3x3(h))`, `y = IN(x) (1 + g(a)) + b(a)` with single-channel g and b, `x <- x + 0.1 conv3x3(lrelu(y))`. IN is
    instance normalisation: every pixel depends on the whole picture. The heatmaps' features h are two convolutions of
    `[sum_k H_k s_k, sum_k H_k]` where the paper, whose blobs have no styles, takes one channel a centre.
    """

    def __init__(self, inputs: int, channels: dict[str, int], fill: Fill = torch.randn) -> None:
        super().__init__()
        self.first, self.second = PlainConv(inputs, 16, 3, fill), PlainConv(16, 32, 3, fill)
        self.shared, self.affine, self.branch = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for name, width in channels.items():
            self.shared[_key(name)] = PlainConv(32, SEL_CHANNELS, 3, fill)
            self.affine[_key(name)] = PlainConv(SEL_CHANNELS, 2, 3, fill)
            self.branch[_key(name)] = PlainConv(width, width, 3, fill)

    def hidden(self, splatted: Tensor) -> Tensor:
        """The features h `[B, 32, r, r]` of `[sum_k H_k s_k, sum_k H_k]`, `[B, inputs, r, r]`."""
        return leaky_relu(self.second(leaky_relu(self.first(splatted)))) * math.sqrt(0.5)

    def forward(self, x: Tensor, hidden: Tensor, layer: str) -> Tensor:
        """`x [B, C, h, w]`, the input of `layer`, encoded; `hidden` is resized to it, corners on corners."""
        if hidden.shape[-2:] != x.shape[-2:]:
            hidden = F.interpolate(hidden, size=x.shape[-2:], mode="bilinear", align_corners=True)
        g, b = self.affine[_key(layer)](leaky_relu(self.shared[_key(layer)](hidden))).chunk(2, dim=1)
        y = F.instance_norm(x) * (1 + g) + b
        branch: Tensor = self.branch[_key(layer)](F.leaky_relu(y, LRELU_SLOPE))
        return x + SEL_SHARE * branch

    def silence(self) -> None:
        """Make it the identity, whatever the heatmaps, until it learns."""
        for branch in self.branch.values():
            nn.init.zeros_(cast(PlainConv, branch).weight)

    @torch.no_grad()
    def widen(self, small: "PublishedEncoding") -> None:
        """Encode the first channels as `small`, of fewer channels, does, and leave the others as they are at first."""
        for name in ("first", "second", "shared", "affine"):
            getattr(self, name).load_state_dict(getattr(small, name).state_dict())
        self.silence()
        for name, branch in small.branch.items():
            wide, narrow = cast(PlainConv, self.branch[name]), cast(PlainConv, branch)
            out, inputs = narrow.weight.shape[:2]
            wide.weight[:out, :inputs] = narrow.weight * (narrow.gain / wide.gain)
            wide.bias[:out] = narrow.bias


def _key(layer: str) -> str:
    return layer.replace(".", "_")  # names of modules have no dots
