"""What is measured of an edited picture: pure functions, each with the formula that it is."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

BOOTSTRAPS = 2000


def mean_distance(points: Tensor, targets: Tensor) -> float:
    """Mean Euclidean distance between `points` and `targets [n, 2]`, in their unit."""
    return float((points - targets).norm(dim=1).mean())


def mean_square(a: Tensor, b: Tensor) -> float:
    """Mean squared difference of pictures `[3, H, W]`, of pixels from 0 to 1: the MSE of the papers' tables."""
    return float(((a.clamp(-1, 1) - b.clamp(-1, 1)) / 2).square().mean())


def mean_change(a: Tensor, b: Tensor) -> float:
    """Mean absolute difference of pictures `[3, H, W]` in [-1, 1], in levels of 255."""
    return float((a.clamp(-1, 1) - b.clamp(-1, 1)).abs().mean() * 127.5)


def patch_difference(before: Tensor, after: Tensor, handles: Tensor, targets: Tensor, gamma: float) -> float:
    """Dragging accuracy index (GoodDrag, Zhang et al. 2024): is what stood at the handles now at the targets?

    `mean_i sum_{q in Omega(gamma)} || before(p_i + q) - after(t_i + q) ||^2 / (1 + 2 gamma)^2`, pixels from 0 to 1 summed
    over the channels, pictures `[3, H, W]`, points `[n, 2]` in pixels; between pixels bilinear, beyond the border as
    at the border. The released code divides by the number of points twice; this is the formula.
    """
    steps = torch.arange(-math.floor(gamma), math.floor(gamma) + 1, dtype=torch.float64)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    q = torch.stack([x, y], dim=-1).view(-1, 2)  # [K, 2]
    here, there = (
        sample(picture, points[:, None] + q) for picture, points in ((before, handles), (after, targets))
    )  # [n, K, 3]
    return float(((here - there) / 2).square().sum(dim=2).mean())


def sample(picture: Tensor, points: Tensor) -> Tensor:
    """`picture [C, H, W]` at `points [..., 2]` (x, y) in pixels, bilinear, clamped at the border: `[..., C]`."""
    size = torch.tensor([picture.shape[2], picture.shape[1]], dtype=torch.float64)
    grid = (2 * points.double() + 1) / size - 1  # align_corners=False: pixel centres at (2 j + 1) / size - 1
    found = F.grid_sample(
        picture[None].double().cpu(), grid.view(1, 1, -1, 2), padding_mode="border", align_corners=False
    )
    return found[0, :, 0].t().view(*points.shape[:-1], -1)


def frechet(a: Tensor, b: Tensor) -> float:
    """Frechet distance of normal distributions fitted to features `a [N, D]` and `b [M, D]`, in float64.

    `|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))`. The trace of the root is the sum of the singular values of
    `A B^T / sqrt((N - 1) (M - 1))`, A and B being the centred features, so it is exact where there are fewer samples
    than features. It falls with the number of samples: compare sets of one size only.
    """
    a, b = a.double(), b.double()
    x, y = a - a.mean(dim=0), b - b.mean(dim=0)
    n, m = max(len(a) - 1, 1), max(len(b) - 1, 1)
    root = torch.linalg.svdvals(x @ y.t()).sum() / math.sqrt(n * m)
    spread = x.square().sum() / n + y.square().sum() / m
    return float((a.mean(dim=0) - b.mean(dim=0)).square().sum() + spread - 2 * root)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean, and its 95 % bootstrap interval over the cases; values that are not numbers are left out.

    Seeded: the same values give the same interval.
    """
    x = torch.tensor([value for value in values if not math.isnan(value)], dtype=torch.float64)
    if not len(x):
        return math.nan, math.nan, math.nan
    draws = torch.randint(0, len(x), (BOOTSTRAPS, len(x)), generator=torch.Generator().manual_seed(0))
    means = x[draws].mean(dim=1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return float(x.mean()), low, high
