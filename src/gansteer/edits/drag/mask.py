"""What the mask protects: `lambda || (F - F0) (1 - M) ||_1`, in the mean form (over all cells or pixels, and channels)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.edits.drag.features import Features, Grid


def mask_loss(features: Features, f0: Tensor, fixed: Tensor) -> Tensor:
    """The mask term on the map's own grid: `mean_{cells, channels} |F - F0| (1 - M)`.

    `fixed [r, r]` is 1 - M averaged over each cell's pixels (on the CPU); `f0 [N, C]` are the first picture's features
    at the cells where it is not zero, in row-major order.
    """
    cells = fixed > 0
    difference = (features.at(cells) - f0).abs().mean(dim=1)  # [N]
    return (difference * fixed[cells].to(difference)).sum() / fixed.numel()


class _ExactMask(torch.autograd.Function):
    """`mean |U (F - F0)| (1 - M)` with U the resize to the picture, a few channels at a time.

    Forward computes the gradient as well, so that nothing of full resolution is kept.
    """

    @staticmethod
    def forward(ctx: Any, difference: Tensor, fixed: Tensor, chunk: int) -> Tensor:
        total = difference.new_zeros(())
        gradient = torch.empty_like(difference)
        share = 1.0 / (difference.shape[0] * fixed.numel())
        for start in range(0, len(difference), chunk):
            with torch.enable_grad():
                part = difference[start : start + chunk].detach().requires_grad_()
                resized = F.interpolate(part[None], fixed.shape, mode="bilinear", align_corners=False)[0]
                loss = (resized.abs() * fixed).sum() * share
            (gradient[start : start + chunk],) = torch.autograd.grad(loss, part)
            total += loss.detach()
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * g, None, None


def exact_mask_loss(features: Features, f0: Tensor, fixed: Tensor, chunk: int = 16) -> Tensor:
    """The mask term as published: `mean_{pixels, channels} |F - F0| (1 - M)`, F resized to the picture.

    `f0 [C, r, r]` covers the picture, `fixed [H, W]` is 1 - M. Never more than `chunk` channels are held at full resolution.
    """
    loss: Tensor = _ExactMask.apply(features.picture_map() - f0, fixed.to(f0), chunk)  # type: ignore[no-untyped-call]
    return loss


class MaskTerm:
    """The mask of one edit, and the features that it holds in place."""

    def __init__(self, mask: Tensor, grid: Grid, exact: bool) -> None:
        """`mask [H, W]` bool, True = may move. `exact` evaluates every pixel instead of the map's own cells."""
        self.exact = exact
        fixed = 1.0 - mask.double()
        self._fixed = fixed if exact else grid.frame.pool(fixed)
        self.need = torch.ones(grid.r, grid.r, dtype=torch.bool) if exact else self._fixed > 0
        """The cells `[r, r]` that it looks at."""

    def remember(self, features: Features) -> None:
        """Take F0 from the first picture."""
        self._f0 = features.picture_map() if self.exact else features.at(self.need)

    def __call__(self, features: Features) -> Tensor:
        """The term, without lambda."""
        return (exact_mask_loss if self.exact else mask_loss)(features, self._f0, self._fixed)

    def residual(self, features: Features) -> Tensor:
        """`(F - F0) sqrt((1 - M) / N)` `[cells, C]`, whose square is the term with squares. On the grid only."""
        difference = features.at(self.need) - self._f0
        weight = self._fixed[self.need] / (self._fixed.numel() * difference.shape[1])
        return difference * weight.sqrt()[:, None].to(difference)
