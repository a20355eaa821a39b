"""The User-Controllable Latent Transformer (Endo 2022): motions of points and w+ to another w+, in one pass.

A re-implementation from the published description, of a size for small latents. Motion tokens are a displacement and the
generator's feature where it begins, without any position; latent tokens are the rows of w+ that move.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIGMA = 0.1
"""How far w+ goes towards a random code in its training, and in the paired reconstruction that DragGAN takes over."""
MOVING_ROWS = 6
"""Rows of w+ that go there."""


@dataclass(frozen=True)
class LatentTransformerConfig:
    """The shape of a latent transformer."""

    rows: int
    """Rows of w+ that move."""
    w_dim: int
    features: int
    """Channels of the layer whose features describe the points."""
    layer: str
    """That layer, such as b32.conv1."""
    dim: int = 128
    heads: int = 4
    blocks: int = 3


class Attention(nn.Module):
    """`softmax(Q K^T / sqrt(d)) V` of several heads, projected."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """`x [B, N, D]` looks at `context [B, M, D]`: `[B, N, D]`."""
        q, k, v = (
            part(of).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part, of in ((self.query, x), (self.key, context), (self.value, context))
        )  # [B, heads, N or M, D / heads]
        found: Tensor = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return found


class Block(nn.Module):
    """Pre-norm: attention to itself, to a context if there is one, and a perceptron; each added to what came in."""

    def __init__(self, dim: int, heads: int, crossed: bool) -> None:
        super().__init__()
        self.norm1, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.itself = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim) if crossed else None
        self.crossed = Attention(dim, heads) if crossed else None
        self.up, self.down = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """`x [B, N, D]`, `context [B, M, D]` to `[B, N, D]`."""
        normed = self.norm1(x)
        x = x + self.itself(normed, normed)
        if self.crossed is not None and self.norm2 is not None and context is not None:
            x = x + self.crossed(self.norm2(x), context)
        found: Tensor = x + self.down(F.gelu(self.up(self.norm3(x))))
        return found


class LatentTransformer(nn.Module):
    """h of `w_hat = w + alpha h`, in the units of w."""

    centre: Tensor
    spread: Tensor
    flow_scale: Tensor
    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, config: LatentTransformerConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.motion = nn.Linear(2, dim // 2)
        self.feature = nn.Linear(config.features, dim // 2)
        self.token = nn.Linear(dim, dim)
        self.latent = nn.Linear(config.w_dim, dim)
        self.position = nn.Parameter(torch.zeros(config.rows, dim))
        self.encoder = nn.ModuleList(Block(dim, config.heads, crossed=False) for _ in range(config.blocks))
        self.decoder = nn.ModuleList(Block(dim, config.heads, crossed=True) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, config.w_dim)
        nn.init.normal_(self.position, std=0.02)
        # What the network was trained on: w, the length of motions, and features have about unit size inside.
        self.register_buffer("centre", torch.zeros(config.w_dim))
        self.register_buffer("spread", torch.ones(()))
        self.register_buffer("flow_scale", torch.ones(()))
        self.register_buffer("feature_mean", torch.zeros(config.features))
        self.register_buffer("feature_std", torch.ones(config.features))

    def forward(self, w: Tensor, motion: Tensor, features: Tensor) -> Tensor:
        """`w [B, rows, w_dim]`, `motion [B, N, 2]` in units of `flow_scale`, `features [B, N, C]` to h `[B, rows, w_dim]`."""
        features = (features - self.feature_mean) / self.feature_std
        x = torch.cat([F.relu(self.motion(motion)), F.relu(self.feature(features))], dim=2)
        x = F.relu(self.token(x))
        for block in self.encoder:
            x = block(x)
        y = F.relu(self.latent((w - self.centre) / self.spread)) + self.position
        for block in self.decoder:
            y = block(y, x)
        h: Tensor = self.head(self.norm(y)) * self.spread
        return h

    def predict(self, w: Tensor, motion: Tensor, features: Tensor) -> Tensor:
        """w_hat `[rows, w_dim]` for `motion [N, 2]` in pixels of points with `features [N, C]`.

        As in the published inference the longest motion is brought to unit length and alpha takes it up again, since the
        network knows the short motions of its training only.
        """
        longest = motion.norm(dim=1).max().clamp_min(1e-12)
        h = self(w[None], (motion / longest)[None].to(w), features[None])[0]
        found: Tensor = w + (longest / self.flow_scale).to(w) * h
        return found
