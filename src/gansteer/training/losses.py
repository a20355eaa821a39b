"""The losses as pure functions of logits and gradients; all are means over the batch."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_logistic(fake: Tensor) -> Tensor:
    """Non-saturating: `softplus(-D(G(z)))`."""
    return F.softplus(-fake).mean()


def discriminator_logistic(real: Tensor, fake: Tensor) -> Tensor:
    """`softplus(D(G(z))) + softplus(-D(x))`."""
    return F.softplus(fake).mean() + F.softplus(-real).mean()


def generator_hinge(fake: Tensor) -> Tensor:
    """`-D(G(z))`."""
    return -fake.mean()


def discriminator_hinge(real: Tensor, fake: Tensor) -> Tensor:
    """`relu(1 - D(x)) + relu(1 + D(G(z)))`."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def r1(logits: Tensor, x: Tensor, gamma: float) -> Tensor:
    """`gamma / 2 * |grad_x D(x)|^2` for reals `x [B, C, H, W]` with gradients on (Mescheder et al. 2018)."""
    (grad,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return grad.square().sum(dim=(1, 2, 3)).mean() * (gamma / 2)


def path_lengths(pictures: Tensor, ws: Tensor, y: Tensor) -> Tensor:
    """`sqrt(mean over rows of |d<G(w), y> / dw|^2)` `[B]`, for `y ~ N(0, I)`, which is scaled by 1/sqrt(H W) here."""
    scaled = y / math.sqrt(pictures.shape[2] * pictures.shape[3])
    (grad,) = torch.autograd.grad((pictures * scaled).sum(), ws, create_graph=True)  # [B, num_ws, w_dim]
    return grad.square().sum(dim=2).mean(dim=1).sqrt()


def pyramid_distance(pictures: Tensor, x: Tensor) -> Tensor:
    """Mean absolute difference of `[B, 3, H, W]`, added up over the pictures at full, 1/2, 1/4 and 1/8 of their size.

    The small ones say where something has to move that does not overlap yet at full size.
    """
    difference = pictures - x
    sizes = [k for k in (1, 2, 4, 8) if k <= pictures.shape[-1]]
    return torch.stack([F.avg_pool2d(difference, k).abs().mean() for k in sizes]).sum()


def part_distance(pictures: Tensor, x: Tensor, weights: Tensor) -> Tensor:
    """Mean absolute difference of `[B, 3, H, W]` under `weights [B, 1, H, W]`, which add up to 1 in each picture.

    Added up over the pictures at full, half and a quarter of their size, as parts move by a few pixels only.
    """
    difference = pictures - x
    sizes = [(F.avg_pool2d(difference, k).abs().mean(dim=1, keepdim=True), k) for k in (1, 2, 4)]
    sums = [(d * F.avg_pool2d(weights, k)).sum(dim=(1, 2, 3)).mean() * k**2 for d, k in sizes]
    return torch.stack(sums).sum()


def feature_distance(levels: list[Tensor], others: list[Tensor]) -> Tensor:
    """`mean |f - f'| / mean |f'|` of each picture and level `[B, C, s, s]`, averaged over both."""
    ratios = [
        (f - o).abs().mean(dim=(1, 2, 3)) / o.abs().mean(dim=(1, 2, 3)) for f, o in zip(levels, others, strict=True)
    ]
    return torch.stack(ratios).mean()
