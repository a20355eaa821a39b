"""A latent for every training picture: the principal components of what can be said of it, made normal.

Over the data each component is normally distributed, with mean 0 and variance 1 and hardly correlated with any other,
as the latents are that new pictures are drawn from; and no encoder has to learn anything. Generative latent
optimisation (Bojanowski et al. 2018) starts from principal components too; here they stay. Their joint distribution is
not the normal one, though: components depend on each other in ways that no correlation tells.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.errors import UserError
from gansteer.models.efficientnet import EfficientNetLite0
from gansteer.models.face_reader import SIZE, FaceReader, resize
from gansteer.models.layout import Layout
from gansteer.training.data import Pictures

Describe = Callable[[Tensor], list[Tensor]]
"""Pictures `[B, 3, r, r]` in [-1, 1] to descriptions `[B, n_i]`, each of which counts as much as the others."""

FITTED = 16384
"""Items that the components are fitted to, at most."""
ROUNDS = 4
"""How often components are made normal and then uncorrelated again, which each undoes a little of the other."""
QUANTILES = 1024
"""Places of each component's distribution that are kept, at most."""
THUMBNAIL = 16
SEEN = 128
"""Size at which the frozen network sees a picture."""
CHUNK = 64
EXPRESSIVE = ((*range(17, 22), *range(36, 42)), (*range(22, 27), *range(42, 48)), tuple(range(48, 68)))
"""Landmarks of each eye with its brow and of the mouth, which are where expressions show."""


def thumbnail(x: Tensor) -> Tensor:
    """`[B, 3 * 16 * 16]`, which knows the colours and where the light comes from."""
    return F.interpolate(x, size=(THUMBNAIL, THUMBNAIL), mode="area").flatten(1)


def describe_features(x: Tensor, backbone: EfficientNetLite0) -> list[Tensor]:
    """Any pictures: a thumbnail and the frozen features at strides 16 and 32, which know pose, shape and parts."""
    taps = backbone.taps(F.interpolate(x, size=(SEEN, SEEN), mode="bilinear", align_corners=False))
    return [thumbnail(x), taps[2].flatten(1), taps[3].flatten(1)]


def describe_faces(x: Tensor, reader: FaceReader) -> list[Tensor]:
    """Portraits: a thumbnail, the landmarks, and the attributes. A generator learns to draw from these sooner.

    Places are what a picture moves with; in features a turned head shows only as other features.
    """
    raw = reader(resize(x))
    chances = [raw.gender.sigmoid()[:, None], raw.hair_color.softmax(dim=1), raw.hair_style.softmax(dim=1)]
    attributes = torch.cat([raw.scalars, *(2 * chance for chance in chances)], dim=1)  # [B, 22], spread about alike
    return [thumbnail(x), raw.points.flatten(1), attributes]


def face_landmarks(descriptions: list[Tensor]) -> Tensor:
    """The landmarks `[N, 68, 2]` among what `describe_faces` said, in shares of the picture's side."""
    return (descriptions[1].view(-1, 68, 2) + 0.5) / SIZE


@dataclass(frozen=True)
class LatentTargets:
    """What is known of every training picture."""

    codes: Tensor
    """`[N, z_dim]`: its latent."""
    landmarks: Tensor | None = None
    """`[N, 68, 2]`: portraits' landmarks, (x, y) in shares of the picture's side."""
    layout: Layout | None = None
    """The layouts of all N pictures, in runs with layouts."""

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, items: list[int] | slice) -> "LatentTargets":
        return self._each(lambda x: x[items])

    def to(self, device: torch.device) -> "LatentTargets":
        """The same on another device."""
        return self._each(lambda x: x.to(device))

    def _each(self, change: Callable[[Any], Any]) -> "LatentTargets":
        """What is known, changed alike."""
        parts: list[Any] = [None if x is None else change(x) for x in (self.codes, self.landmarks, self.layout)]
        return LatentTargets(*parts)

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name, as files keep it."""
        named = {"codes": self.codes, "landmarks": self.landmarks}
        layout = {} if self.layout is None else self.layout.tensors()
        return {**{name: x for name, x in named.items() if x is not None}, **layout}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> "LatentTargets":
        """Those of `tensors()`. Raises KeyError without codes and ValueError for a layout that is none."""
        return LatentTargets(tensors["codes"], tensors.get("landmarks"), Layout.from_tensors(tensors))


def expressive_parts(landmarks: Tensor, size: int) -> Tensor:
    """Weights `[B, 1, size, size]` for portraits with `landmarks [B, 68, 2]`: even over each eye and over the mouth.

    Parts count alike, and a picture's weights add up to 1. Eyes and mouth are a thirtieth of the picture: in its mean
    difference a smile is nothing, and a generator that is taught by that alone never learns to draw it.
    """
    centres = (torch.arange(size, dtype=landmarks.dtype, device=landmarks.device) + 0.5) / size
    total = landmarks.new_zeros(len(landmarks), size, size)
    for part in EXPRESSIVE:
        points = landmarks[:, list(part)]
        low, high = points.amin(dim=1), points.amax(dim=1)  # [B, 2]
        margin = 0.2 * (high - low).amax(dim=1, keepdim=True)
        inside = (centres > (low - margin)[..., None]) & (centres < (high + margin)[..., None])  # [B, 2, size]
        box = (inside[:, 1, :, None] & inside[:, 0, None, :]).to(landmarks.dtype)
        total = total + box / box.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    return (total / total.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6))[:, None]


@dataclass(frozen=True)
class LatentCoder:
    """A picture's description to its latent: `(description - mean) @ basis`, then made normal in a few rounds.

    Each round takes every component to its normal scores after a symmetric whitening, which turns them as little as it
    can (iterative Gaussianisation, Laparra et al. 2011, without its rotations).
    """

    mean: Tensor
    """`[n]`."""
    basis: Tensor
    """`[n, z_dim]`: each description scaled to the same total variance, projected, whitened."""
    turns: Tensor
    """`[rounds, z_dim, z_dim]`: each round's whitening; the first is the identity."""
    quantiles: Tensor
    """`[rounds, z_dim, Q]`: the values that each whitened component has at the probabilities `(i + 1/2) / Q`."""

    def __call__(self, descriptions: list[Tensor]) -> Tensor:
        """Descriptions `[B, n_i]` to latents `[B, z_dim]`."""
        z = (torch.cat(descriptions, dim=1) - self.mean) @ self.basis
        for turn, quantiles in zip(self.turns, self.quantiles, strict=True):
            z = normal_scores(z @ turn, quantiles)
        return z


def normal_scores(y: Tensor, quantiles: Tensor) -> Tensor:
    """Each column of `y [N, k]` to the normal deviate of the same rank; linear between `quantiles [k, Q]`."""
    count = quantiles.shape[1]
    columns = y.t().contiguous()
    above = torch.searchsorted(quantiles, columns).clamp(1, count - 1)  # [k, N]
    low, high = quantiles.gather(1, above - 1), quantiles.gather(1, above)
    share = ((columns - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    scores: Tensor = torch.special.ndtri((above - 1 + share + 0.5) / count)  # [k, N]
    return scores.t().contiguous()


def principal_components(descriptions: list[Tensor], z_dim: int, seed: int = 0) -> LatentCoder:
    """The coder under which `descriptions`, each `[N, n_i]`, have `z_dim` normal, uncorrelated components."""
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
    mean = torch.cat([d.mean(dim=0) for d in descriptions])
    return LatentCoder(mean, whitened * scale[:, None], *gaussianise(scaled @ whitened))


def gaussianise(z: Tensor) -> tuple[Tensor, Tensor]:
    """The `turns` and `quantiles` of a `LatentCoder` for whitened components `z [N, k]`."""
    count = len(z)
    kept = min(count, QUANTILES)
    places = ((torch.arange(kept, device=z.device) + 0.5) * (count / kept)).long()
    turns, quantiles = [], []
    for _ in range(ROUNDS):
        variance, axes = torch.linalg.eigh(z.t() @ z / count)
        turns.append(axes * variance.clamp(min=1e-6).rsqrt() @ axes.t())
        z = z @ turns[-1]
        quantiles.append(z.sort(dim=0).values[places].t().contiguous())
        z = normal_scores(z, quantiles[-1])
    return torch.stack(turns), torch.stack(quantiles)


@torch.no_grad()
def described(
    data: Pictures,
    describe: Describe,
    device: torch.device,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Tensor]:
    """Descriptions `[N, n_i]` of all items of a data set."""
    found = []
    for start in range(0, len(data), CHUNK):
        items = range(start, min(start + CHUNK, len(data)))
        pictures = torch.stack([data[i][0] for i in items]).to(device, torch.float32) / 127.5 - 1
        found.append(describe(pictures))
        progress(items[-1] + 1, len(data))
    return [torch.cat(parts) for parts in zip(*found, strict=True)]


def fit_coder(descriptions: list[Tensor], z_dim: int, seed: int = 0) -> LatentCoder:
    """The coder of a data set, fitted to at most 16,384 of its items."""
    count = len(descriptions[0])
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:FITTED].to(descriptions[0].device)
    return principal_components([d[chosen] for d in descriptions], z_dim, seed)
