"""Training of a User-Controllable Latent Transformer (Endo 2022) on a generator's own pictures.

`w1` is a sample truncated by 0.3, and `w2[r] = w1[r] + sigma (v_r - w1[r])` for the rows r that move, `v_r` from a z of its own
without truncation. The motion from G(w1) to G(w2) is optical flow (dense inverse search here; the original takes optical expansion,
whose third number is left out), taken at a grid of 16 x 16 points. `L = mean ((T(w1, motion, F(p)) + w1 - w2) / spread)^2`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gansteer.edits.drag.features import Grid, default_layer
from gansteer.edits.drag.optical_flow import flow_between
from gansteer.models.latent_transformer import MOVING_ROWS, SIGMA, LatentTransformer, LatentTransformerConfig
from gansteer.subject import Model
from gansteer.training.config import TransformerTraining

GRID = 16
"""Points of a picture along each side."""
TRUNCATION = 0.3


@dataclass(frozen=True, eq=False)
class Pairs:
    """What is learnt from: known moves of w+, and the motions they cause."""

    w: Tensor
    """`[N, rows, w_dim]`."""
    move: Tensor
    """`w2 - w1`, `[N, rows, w_dim]`."""
    motion: Tensor
    """`[N, 256, 2]` in pixels."""
    features: Tensor
    """`[N, 256, C]`."""


@dataclass(frozen=True)
class TransformerProgress:
    """What one step did."""

    step: int
    """Counted from 1."""
    loss: float
    """In squared deviations of the moves, so that 1 is what predicting no move would give."""


def grid_points(size: int) -> Tensor:
    """The 256 points `[256, 2]` (x, y) of a picture, in the middle of equal squares."""
    middle = (torch.arange(GRID, dtype=torch.float64) + 0.5) * (size / GRID) - 0.5
    y, x = torch.meshgrid(middle, middle, indexing="ij")
    return torch.stack([x, y], dim=-1).view(-1, 2)


@torch.no_grad()
def make_pairs(model: Model, count: int, layer: str, seed: int) -> Iterator[Pairs]:
    """`count` pairs, one after another; each depends on (seed, its number) alone. Raises UserError without OpenCV."""
    generator = model.generator
    config = generator.config
    grid = Grid.of(generator, layer)
    points = grid_points(grid.size)
    pixels = points.round().long().clamp(0, grid.size - 1)
    index, weight = grid.cells(points)
    rows = min(MOVING_ROWS, config.num_ws)
    for number in range(count):
        rng = torch.Generator().manual_seed(1_000_003 * seed + number)
        z = generator.sample_z(1 + rows, rng)
        c = generator.one_hot([number % config.c_dim] * (1 + rows)) if config.c_dim else None
        code = generator.code_of(z[:1], None if c is None else c[:1], psi=TRUNCATION, rng=rng)
        start = code.ws  # [1, num_ws, w_dim]
        random = generator.map(z[1:], None if c is None else c[1:])  # [rows, num_ws, w_dim]
        moved = start.clone()
        for row in range(rows):
            moved[0, row] = start[0, row].lerp(random[row, row], SIGMA)
        pictures = [generator.synthesize(each)[0] for each in (code, replace(code, ws=moved))]
        flow = flow_between(*pictures)[pixels[:, 1], pixels[:, 0]]
        whole = generator.features(code, [layer])[layer][0].flatten(1).t()  # [r * r, C]
        features = (whole[index] * weight[..., None].to(whole)).sum(dim=1)
        yield Pairs(start[:, :rows], (moved - start)[:, :rows], flow[None].to(start), features[None])


def motion_error(network: LatentTransformer, pairs: Pairs, scale: Tensor) -> Tensor:
    """`mean ((w1 + T(w1, flow / sigma_f, F) - w2) / scale)^2`, alpha being 1 in training."""
    h: Tensor = network(pairs.w, pairs.motion / network.flow_scale, pairs.features)
    return ((h - pairs.move) / scale).square().mean()


class TransformerTrainer:
    """Iterate to train; `network` is the result at any time."""

    def __init__(self, model: Model, training: TransformerTraining, pairs: Pairs, layer: str) -> None:
        self.training, self.pairs = training, pairs
        torch.manual_seed(training.seed)
        config = LatentTransformerConfig(
            pairs.w.shape[1], pairs.w.shape[2], pairs.features.shape[2], layer, training.dim, training.heads, training.blocks
        )  # fmt: skip
        self.network = LatentTransformer(config).to(pairs.w)
        w = model.generator.sample_w(4096)
        self.network.centre.copy_(w.mean(dim=0))
        self.network.spread.copy_(pairs.move.square().mean().sqrt())  # so that h has unit size
        self.network.flow_scale.copy_(pairs.motion.square().mean().sqrt())
        self.network.feature_mean.copy_(pairs.features.mean(dim=(0, 1)))
        self.network.feature_std.copy_(pairs.features.std(dim=(0, 1)).clamp_min(1e-6))
        self._adam = torch.optim.Adam(self.network.parameters(), lr=training.learning_rate)
        self._rng = torch.Generator().manual_seed(training.seed)

    def __iter__(self) -> Iterator[TransformerProgress]:
        """All steps."""
        for step in range(1, self.training.steps + 1):
            share = (step - 1) / self.training.steps
            for group in self._adam.param_groups:
                rate = self.training.learning_rate * min(1.0, step / 100)
                group["lr"] = rate * (0.5 + 0.5 * math.cos(math.pi * share))
            loss = motion_error(self.network, self._batch(), self.network.spread)
            self._adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._adam.step()
            yield TransformerProgress(step, float(loss.detach()))

    def _batch(self) -> Pairs:
        """Random pairs, each with a random number of its points, so that one point is understood as well as all."""
        pairs, count = self.pairs, self.training.batch
        chosen = torch.randint(len(pairs.w), (count,), generator=self._rng)
        kept = int(2 ** (8 * torch.rand((), generator=self._rng)))  # 1 to 255
        points = torch.rand(count, pairs.motion.shape[1], generator=self._rng).argsort(dim=1)[:, :kept]
        pick = chosen[:, None]
        return Pairs(pairs.w[chosen], pairs.move[chosen], pairs.motion[pick, points], pairs.features[pick, points])


def joined(pairs: list[Pairs]) -> Pairs:
    """Many pairs as one."""
    return Pairs(*(torch.cat([getattr(each, name) for each in pairs]) for name in ("w", "move", "motion", "features")))


def transformer_layer(model: Model) -> str:
    """Whose features describe the points: those that drags follow."""
    return model.card.drag_layer or default_layer(model.generator)
