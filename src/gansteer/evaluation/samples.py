"""Many pictures of a model, in batches and as anybody would see them: rounded to 256 levels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
    return (draw_batch(model, batch, psi) for batch in batches(model, count, seed=seed, labels=labels))


@dataclass(frozen=True, eq=False)
class Batch:
    """Some of the pictures that `draw` draws: what it takes to draw them without those before."""

    size: int
    classes: tuple[int, ...]
    """Of every picture; empty for a model without classes."""
    rng: Tensor
    """State of the random numbers before the first of them, `uint8`."""


def batches(model: Model, count: int, *, seed: int = 0, labels: Sequence[int] | None = None) -> Iterator[Batch]:
    """The batches of `draw` with these arguments; all but the last have `batch_size(model)` pictures. Raises UserError."""
    generator, config = model.generator, model.generator.config
    if not 0 <= seed <= MAX_SEED:
        raise UserError(f"seed must be from 0 to {MAX_SEED}, not {seed}")
    if count < 1:
        raise UserError(f"the number of samples must be at least 1, not {count}")
    rng = torch.Generator().manual_seed(seed)
    classes, most = list(labels or range(config.c_dim)), batch_size(model)

    def from_here(start: int) -> Batch:
        size = min(most, count - start)
        theirs = tuple(classes[i % len(classes)] for i in range(start, start + size)) if classes else ()
        state = rng.get_state()
        generator.skip_codes(size, rng)
        return Batch(size, theirs, state)

    return map(from_here, range(0, count, most))


def batch_size(model: Model) -> int:
    """Pictures that are drawn together."""
    return max(1, min(64, BATCH_PIXELS // model.resolution**2))


def draw_batch(model: Model, batch: Batch, psi: float) -> Tensor:
    """The pictures `[size, 3, H, W]` of a batch of this model, on 256 levels in [-1, 1]."""
    generator, rng = model.generator, torch.Generator()
    rng.set_state(batch.rng)
    z = generator.sample_z(batch.size, rng)
    c = generator.one_hot(batch.classes) if batch.classes else None
    with torch.no_grad():
        pictures = as_channels(generator.synthesize(generator.code_of(z, c, psi=psi, rng=rng)), 3)
    return from_levels(to_levels(pictures))


def to_levels(pictures: Tensor) -> Tensor:
    """Pictures in [-1, 1] to `uint8` of the same shape, rounding to the nearest of 256 levels."""
    return pictures.mul(127.5).add(127.5).round().clamp(0, 255).to(torch.uint8)


def from_levels(pictures: Tensor) -> Tensor:
    """`uint8` to `float32` in [-1, 1]."""
    return pictures.float().div(127.5).sub(1.0)
