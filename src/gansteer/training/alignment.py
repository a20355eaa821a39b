"""The alignment loss of EqGAN-SA and SpatialGAN (Wang et al. 2022, 2024): the discriminator should look at the blobs.

Where it looks is told by GradCAM (Selvaraju et al. 2017) of its features. The heatmaps are what it is compared with, so that a
generator learns to put what matters for realism where they are high.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.models.layout import Layout, heatmaps

THRESHOLD = 0.25
"""Differences up to this are left alone: only what is clearly elsewhere is pushed."""
LEVELS = 3


def attention_weights(features: Sequence[Tensor], loss: Tensor) -> list[Tensor]:
    """GradCAM's channel weights `alpha_c = mean_xy d loss / d A_c(x, y)` of features `[B, C, s, s]`: `[B, C]` each, constants.

    `loss` is a sum over the pictures of a function of each picture's logits.
    """
    gradients = torch.autograd.grad(loss, list(features), retain_graph=True)
    return [g.mean(dim=(2, 3)).detach() for g in gradients]


def attention(features: Tensor, alpha: Tensor) -> Tensor:
    """`sum_c relu(alpha_c A_c)`: features `[B, C, s, s]` and weights `[B, C]` to maps `[B, s, s]`, differentiable in A."""
    return F.relu(features * alpha[:, :, None, None]).sum(dim=1)


def unit_range(maps: Tensor) -> Tensor:
    """Each map `[B, s, s]` shifted and scaled to [0, 1], its extrema as constants; one that is flat becomes 0."""
    low = maps.amin(dim=(1, 2), keepdim=True).detach()
    high = maps.amax(dim=(1, 2), keepdim=True).detach()
    return torch.where(high > low, (maps - low) / (high - low).clamp(min=torch.finfo(maps.dtype).tiny), 0.0)


def target_maps(layout: Layout, size: int, resolution: int) -> list[Tensor]:
    """What the attention of each level should be, `[B, size, size]`, from the coarsest to the finest of three levels.

    The map of a level that holds one centre is its heatmap as it is; several are averaged and taken to [0, 1]. Blobs of level
    0 belong to all three.
    """
    layout = layout.batched
    maps = heatmaps(layout, size, resolution)  # [B, K, size, size]
    found = []
    for level in range(1, LEVELS + 1):
        seen = (layout.levels == 0) | (layout.levels == level)  # [B, K]
        total = (maps * seen[:, :, None, None]).sum(dim=1)
        count = seen.sum(dim=1)[:, None, None]
        found.append(torch.where(count == 1, total, unit_range(total / count.clamp(min=1))))
    return found


def alignment(maps: Tensor, target: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """`mean { |map - target| : |map - target| > threshold }` over `[B, s, s]`; the plain mean if fewer than two are."""
    difference = (maps - target).abs()
    far = difference > threshold
    return difference[far].mean() if int(far.sum()) > 1 else difference.mean()


def alignment_loss(logits: Tensor, maps: Sequence[Tensor], targets: Sequence[Tensor], sign: float = 1.0) -> Tensor:
    """The sum of `alignment` between attention and `targets [B, r, r]`, over as many of their levels as there are maps.

    `logits [B, L]` follow from the discriminator's features `maps`, `[B, C, s, s]` each, which have gradients to the
    generator. Attention is evidence for `softplus(-D)`, that is against realism, as published; with `sign` -1 it is evidence
    for realism. Whatever alphas depend on is held constant.
    """
    loss = sign * F.softplus(-logits).mean(dim=1).sum()
    total = logits.new_zeros([])
    for a, alpha, target in zip(maps, attention_weights(maps, loss), targets, strict=False):
        full = F.interpolate(attention(a, alpha)[:, None], size=target.shape[-2:], mode="bilinear", align_corners=False)
        total = total + alignment(unit_range(full[:, 0]), target)
    return total
