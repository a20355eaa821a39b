"""EfficientNet-Lite0 (ImageNet classification network), frozen: features for Frechet distances and discriminators.

Batch normalisation is folded into the convolutions, since nothing here trains it: half the memory traffic of the plain
form, forward and backward. The weights come from a package; `checkpoints.efficientnet` loads them.
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansteer.models.layers import as_channels, pointwise

STAGES = (  # kernel, stride, expansion, channels, repeats
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
TAPS = {2: 24, 4: 40, 10: 112, 15: 320}
"""Number of inverted bottlenecks done, and the channels there: strides 4, 8, 16 and 32."""


class FoldedConv(nn.Module):
    """Convolution with TensorFlow's "same" padding, the batch norm that followed it folded in, and optional ReLU6."""

    weight: Tensor
    bias: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, activate: bool) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(outputs, inputs // groups, kernel, kernel))
        self.register_buffer("bias", torch.zeros(outputs))
        self.kernel, self.stride, self.groups, self.activate = kernel, stride, groups, activate

    def forward(self, x: Tensor) -> Tensor:
        x = self._convolved(x)
        return F.relu6(x) if self.activate else x

    def _convolved(self, x: Tensor) -> Tensor:
        if self.kernel == self.stride == self.groups == 1:
            return pointwise(x, self.weight, self.bias)
        top, bottom = self._padding(x.shape[-2])
        left, right = self._padding(x.shape[-1])
        if (top, left) != (bottom, right):
            x = F.pad(x, (left, right, top, bottom))
            top = left = 0
        return F.conv2d(x, self.weight, self.bias, self.stride, (top, left), groups=self.groups)

    def _padding(self, size: int) -> tuple[int, int]:
        """Zeros before and after: enough for ceil(size / stride) results, the far side getting more."""
        total = max((math.ceil(size / self.stride) - 1) * self.stride + self.kernel - size, 0)
        return total // 2, total - total // 2


class InvertedBottleneck(nn.Module):
    """Expand 1x1, depthwise, project 1x1; with a skip where shape allows."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = FoldedConv(inputs, wide, 1, 1, 1, True) if expansion != 1 else None
        self.depthwise = FoldedConv(wide, wide, kernel, stride, wide, True)
        self.project = FoldedConv(wide, outputs, 1, 1, 1, False)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.skip else y


class EfficientNetLite0(nn.Module):
    """Pictures `[B, 3 or 1, H, W]` in [-1, 1] to features; every parameter is a buffer, so nothing trains."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = FoldedConv(3, 32, 3, 2, 1, True)
        self.blocks = nn.ModuleList()
        inputs = 32
        for kernel, stride, expansion, outputs, repeats in STAGES:
            for i in range(repeats):
                self.blocks.append(InvertedBottleneck(inputs, outputs, kernel, stride if i == 0 else 1, expansion))
                inputs = outputs
        self.head = FoldedConv(320, 1280, 1, 1, 1, True)

    def taps(self, x: Tensor) -> list[Tensor]:
        """The activations at strides 4, 8, 16 and 32: 24, 40, 112 and 320 channels."""
        found = []
        x = self.stem(as_channels(x, 3))
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in TAPS:
                found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """The pooled 1280 features `[B, 1280]` in front of the classifier."""
        pooled: Tensor = self.head(self.taps(x)[-1]).mean(dim=(2, 3))
        return pooled


def unit_taps(taps: Sequence[Tensor]) -> list[Tensor]:
    """Each `[B, C, h, w]` divided by its length along the channels."""
    return [y * (y.square().sum(dim=1, keepdim=True) + 1e-8).rsqrt() for y in taps]


def feature_distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """`d = mean_l mean_hw || y_l / |y_l| - y0_l / |y0_l| ||^2` over the taps l, of two results of `unit_taps`: `[B]`.

    The form of LPIPS (Zhang et al. 2018, eq. 1) with all channels alike.
    """
    each = [(y - y0).square().sum(dim=1).mean(dim=(1, 2)) for y, y0 in zip(found, wanted, strict=True)]
    return torch.stack(each).mean(dim=0)


def folded(state: Mapping[str, Tensor], eps: float = 1e-3) -> dict[str, Tensor]:
    """The state of an unfolded EfficientNet-Lite0 (names as in the package `efficientnet-lite-pytorch`) for ours."""

    def fold(conv: str, norm: str) -> tuple[Tensor, Tensor]:
        scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + eps).sqrt()
        bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
        return state[f"{conv}.weight"] * scale[:, None, None, None], bias

    pairs = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for i in range(sum(stage[4] for stage in STAGES)):
        names = {"expand": ("_expand_conv", "_bn0"), "depthwise": ("_depthwise_conv", "_bn1"), "project": ("_project_conv", "_bn2")}  # fmt: skip
        for ours, (conv, norm) in names.items():
            if i > 0 or ours != "expand":
                pairs[f"blocks.{i}.{ours}"] = (f"_blocks.{i}.{conv}", f"_blocks.{i}.{norm}")
    result = {}
    for ours, (conv, norm) in pairs.items():
        result[f"{ours}.weight"], result[f"{ours}.bias"] = fold(conv, norm)
    return result
