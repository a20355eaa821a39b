"""Many pictures of a model, in batches and as anybody would see them: rounded to 256 levels."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gansteer.errors import UserError
from gansteer.models.layers import as_channels
from gansteer.subject import MAX_SEED, Model

BATCH_PIXELS = 16 * 128 * 128
"""Of all the pictures of a batch: enough to keep a CPU busy, little enough for its caches."""


def draw(
    model: Model, count: int, *, psi: float = 1.0, seed: int = 0, labels: Sequence[int] | None = None
) -> Iterator[Tensor]:
    """`count` pictures as batches `float [B, 3, H, W]` on the model's device, in [-1, 1] and on 256 levels.

    Picture i depends on (seed, i) alone. `labels` are classes to go through in turn, for a conditional model; by default
    all of them. Grey pictures come with three equal channels. Raises UserError for a seed that is out of range.
    """
    generator, config = model.generator, model.generator.config
    if not 0 <= seed <= MAX_SEED:
        raise UserError(f"seed must be from 0 to {MAX_SEED}, not {seed}")
    if count < 1:
        raise UserError(f"the number of samples must be at least 1, not {count}")
    rng = torch.Generator().manual_seed(seed)
    classes = list(labels or range(config.c_dim))
    batch = max(1, min(64, BATCH_PIXELS // config.resolution**2))
    for start in range(0, count, batch):
        size = min(batch, count - start)
        z = generator.sample_z(size, rng)
        c = generator.one_hot([classes[i % len(classes)] for i in range(start, start + size)]) if classes else None
        with torch.no_grad():
            pictures = as_channels(generator.synthesize(generator.code_of(z, c, psi=psi, rng=rng)), 3)
        yield from_levels(to_levels(pictures))


def to_levels(pictures: Tensor) -> Tensor:
    """Pictures in [-1, 1] to `uint8` of the same shape, rounding to the nearest of 256 levels."""
    return pictures.mul(127.5).add(127.5).round().clamp(0, 255).to(torch.uint8)


def from_levels(pictures: Tensor) -> Tensor:
    """`uint8` to `float32` in [-1, 1]."""
    return pictures.float().div(127.5).sub(1.0)
