"""A latent for every training picture: the whitened principal components of what a frozen network sees in it.

They have mean 0 and covariance 1 over the data, as the latents that are drawn have, and need no encoder that learns.
Generative latent optimisation (Bojanowski et al. 2018) starts from principal components too; here they stay.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.errors import UserError
from gansteer.models.efficientnet import EfficientNetLite0
from gansteer.training.data import Pictures

FITTED = 8192
"""Pictures that the components are fitted to, at most."""
THUMBNAIL = 16
SEEN = 128
"""Size at which the frozen network sees a picture."""
CHUNK = 64


def describe(x: Tensor, backbone: EfficientNetLite0) -> list[Tensor]:
    """Pictures `[B, 3, r, r]` in [-1, 1] to three descriptions `[B, n]`.

    They are a thumbnail of 16 px, which knows the colours, and the frozen features at strides 16 and 32 of the picture
    at 128 px, which know pose, shape and parts.
    """
    thumbnail = F.interpolate(x, size=(THUMBNAIL, THUMBNAIL), mode="area")
    taps = backbone.taps(F.interpolate(x, size=(SEEN, SEEN), mode="bilinear", align_corners=False))
    return [thumbnail.flatten(1), taps[2].flatten(1), taps[3].flatten(1)]


@dataclass(frozen=True)
class Coder:
    """A picture's description to its latent: `(description - mean) @ basis`."""

    mean: Tensor
    """`[n]`."""
    basis: Tensor
    """`[n, z_dim]`: each description scaled to the same total variance, projected, whitened."""

    def __call__(self, x: Tensor, backbone: EfficientNetLite0) -> Tensor:
        """Pictures `[B, 3, r, r]` in [-1, 1] to latents `[B, z_dim]`."""
        return (torch.cat(describe(x, backbone), dim=1) - self.mean) @ self.basis


def principal_components(descriptions: list[Tensor], z_dim: int, seed: int = 0) -> Coder:
    """The coder under which `descriptions`, each `[N, n_i]`, have mean 0 and covariance 1 in `z_dim` components."""
    centred = [d - d.mean(dim=0) for d in descriptions]
    scales = [d.square().sum(dim=1).mean().rsqrt() for d in centred]
    scaled = torch.cat([d * s for d, s in zip(centred, scales, strict=True)], dim=1)
    count, width = scaled.shape
    if count <= z_dim:
        raise UserError(f"--anchor needs more pictures than latent dimensions: {count} are not above {z_dim}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _, sigma, v = torch.svd_lowrank(scaled, q=min(z_dim + 32, count, width), niter=4)  # [q], [n, q]
    if len(sigma) < z_dim or sigma[z_dim - 1] < 1e-4 * sigma[0]:
        raise UserError(f"the pictures do not differ in {z_dim} ways: use a smaller --z-dim with --anchor")
    whitened = v[:, :z_dim] * (count**0.5 / sigma[:z_dim])
    scale = torch.cat([s.expand(d.shape[1]) for d, s in zip(centred, scales, strict=True)])
    return Coder(torch.cat([d.mean(dim=0) for d in descriptions]), whitened * scale[:, None])


@torch.no_grad()
def fit_coder(
    data: Pictures,
    backbone: EfficientNetLite0,
    z_dim: int,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Coder:
    """The coder of a data set, fitted to at most 8,192 of its pictures."""
    chosen = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:FITTED].tolist()
    found = []
    for start in range(0, len(chosen), CHUNK):
        found.append(describe(_pictures(data, chosen[start : start + CHUNK], backbone), backbone))
        progress(min(start + CHUNK, len(chosen)), len(chosen))
    return principal_components([torch.cat(parts) for parts in zip(*found, strict=True)], z_dim, seed)


@torch.no_grad()
def encode(
    data: Pictures,
    backbone: EfficientNetLite0,
    coder: Coder,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """The latents of all items of a data set `[N, z_dim]`."""
    found = []
    for start in range(0, len(data), CHUNK):
        items = list(range(start, min(start + CHUNK, len(data))))
        found.append(coder(_pictures(data, items, backbone), backbone))
        progress(items[-1] + 1, len(data))
    return torch.cat(found)


def _pictures(data: Pictures, items: list[int], backbone: EfficientNetLite0) -> Tensor:
    weight = next(backbone.buffers())
    return torch.stack([data[i][0] for i in items]).to(weight) / 127.5 - 1
