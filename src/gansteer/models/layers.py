"""The operations that StyleGAN2's networks are made of, each a plain function or a small module.

Everything here is ordinary differentiable PyTorch, so that second derivatives (R1, path length) and float64 work.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Fill = Callable[[Sequence[int]], Tensor]
"""New weights of a shape: `torch.randn`, or `torch.empty` where those of a file are about to take their place."""

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2.0)
LUMA = (0.299, 0.587, 0.114)
"""How bright red, green and blue look (ITU-R BT.601), as in pictures converted to grey elsewhere."""
BLUR_TAPS = (1.0, 3.0, 3.0, 1.0)
"""The one FIR filter StyleGAN2 resamples with; its outer product sums to 64."""


def as_channels(pictures: Tensor, channels: int) -> Tensor:
    """Pictures `[B, 1 or 3, H, W]` as `[B, channels, H, W]`: grey in all three channels, colours by how bright they look."""
    if pictures.shape[1] == channels:
        return pictures
    if channels == 1:
        return (pictures * pictures.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)
    return pictures.expand(-1, channels, -1, -1)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The 1x1 convolution of `x [B, I, H, W]` with `weight [O, I, 1, 1]`, as a product with the channels of a pixel next to each
    other. On a CPU, PyTorch's own takes a path for few pictures that is a good deal slower."""
    return F.linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0], bias).permute(0, 3, 1, 2)


def leaky_relu(x: Tensor, clamp: float | None = None) -> Tensor:
    """Leaky ReLU with slope 0.2 and gain sqrt(2), clamped to `+-clamp` (after the gain) when `clamp` is given."""
    x = F.leaky_relu(x, LRELU_SLOPE) * LRELU_GAIN
    return x if clamp is None else x.clamp(-clamp, clamp)


def normalize_second_moment(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Divide each row of `x [B, N]` by its root mean square."""
    return x * (x.square().mean(dim=1, keepdim=True) + eps).rsqrt()


class _Blur(torch.autograd.Function):
    """The FIR filter is symmetric, so its gradient is the filter again: nothing is saved, and the fast way runs twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float, padding: int) -> Tensor:
        ctx.gain, ctx.padding = gain, padding
        taps = torch.tensor(BLUR_TAPS, dtype=x.dtype, device=x.device)
        kernel = torch.outer(taps, taps) * (gain / taps.sum().square())
        channels = x.shape[1]
        return F.conv2d(x, kernel.expand(channels, 1, 4, 4), groups=channels, padding=padding)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        return blur(g, ctx.gain, 3 - ctx.padding), None, None


def blur(x: Tensor, gain: float = 1.0, padding: int = 0) -> Tensor:
    """Filter `x [B, C, H, W]` with [1, 3, 3, 1] along both axes: `[B, C, H + 2 padding - 3, W + 2 padding - 3]`.

    `padding` is the number of zeros beyond each border, from 0 to 3.
    """
    y: Tensor = _Blur.apply(x, gain, padding)  # type: ignore[no-untyped-call]
    return y


def upsample(x: Tensor) -> Tensor:
    """Double the size of `x [B, C, H, W]`: zeros between the pixels, then the FIR filter with gain 4.

    For these taps that is bilinear interpolation with zeros beyond the border: even outputs are
    `x[i-1]/4 + 3 x[i]/4`, odd ones `3 x[i]/4 + x[i+1]/4`.
    """
    for axis in (2, 3):
        pad = (1, 1, 0, 0) if axis == 3 else (0, 0, 1, 1)
        padded = F.pad(x, pad)
        n = x.shape[axis]
        before, here, after = (padded.narrow(axis, i, n) for i in range(3))
        pair = torch.stack([0.25 * before + 0.75 * here, 0.75 * here + 0.25 * after], dim=axis + 1)
        x = pair.flatten(axis, axis + 1)  # [..., n, 2, ...] -> [..., 2n, ...]
    return x


def blur_downsample(x: Tensor) -> Tensor:
    """Halve `x [B, C, H, W]` with the FIR filter (padding 1, stride 2)."""
    taps = torch.tensor(BLUR_TAPS, dtype=x.dtype, device=x.device)
    kernel = torch.outer(taps, taps) / taps.sum().square()
    channels = x.shape[1]
    return F.conv2d(x, kernel.expand(channels, 1, 4, 4), groups=channels, stride=2, padding=1)


class Linear(nn.Module):
    """Dense layer with equalised learning rate: `y = act(W x * lr_multiplier / sqrt(in) + b * lr_multiplier)`.

    The stored weight is N(0, 1) / lr_multiplier, so that the effective weight is N(0, 1 / in) whatever the multiplier.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activate: bool = False,
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
        fill: Fill = torch.randn,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(fill((out_features, in_features)) / lr_multiplier)
        self.bias = nn.Parameter(torch.full([out_features], float(bias_init)))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """`x [B, in_features]` to `[B, out_features]`."""
        bias = self.bias if self.bias_gain == 1.0 else self.bias * self.bias_gain
        # The gain scales the small side (x or W) with fewer elements on average: the activations.
        x = F.linear(x * self.weight_gain, self.weight, bias)
        return leaky_relu(x) if self.activate else x


class Conv(nn.Module):
    """Convolution with equalised learning rate, as the discriminator uses it; `down` halves the size.

    Halving filters with [1, 3, 3, 1] before the strided convolution, so that no frequency folds over.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, down: bool = False, bias: bool = True,
        activate: bool = True, clamp: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.weight_gain = 1.0 / math.sqrt(in_channels * kernel**2)
        self.down = down
        self.activate = activate
        self.clamp = clamp

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """`x [B, in, H, W]` to `[B, out, H, W]` or, with `down`, `[B, out, H/2, W/2]`; `gain` scales the result."""
        weight = self.weight * self.weight_gain
        kernel = weight.shape[-1]
        if self.down and kernel == 1:
            x = F.conv2d(blur_downsample(x), weight)
        elif self.down:  # blur with padding 1 + kernel // 2, then a strided convolution without padding
            x = F.conv2d(blur(x, padding=1 + kernel // 2), weight, stride=2)
        else:
            x = F.conv2d(x, weight, padding=kernel // 2)
        if self.bias is not None:
            x = x + self.bias[:, None, None]
        clamp = None if self.clamp is None else self.clamp * gain
        if self.activate:
            x = F.leaky_relu(x, LRELU_SLOPE)
            gain = gain * LRELU_GAIN
        if gain != 1.0:
            x = x * gain
        return x if clamp is None else x.clamp(-clamp, clamp)
