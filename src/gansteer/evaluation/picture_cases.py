"""Pictures to look at, real and drawn ones, in cases that can be sent to where they are looked at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from gansteer.evaluation.samples import BATCH_PIXELS, Batch, batch_size, batches, draw_batch, from_levels
from gansteer.subject import Model
from gansteer.training.data import Pictures

PAIRED = 32
"""Drawn pictures of a case of pairs, at least."""


@dataclass(frozen=True, eq=False)
class Case:
    """Some pictures."""

    pictures: Tensor | tuple[Batch, ...]
    """Real ones, `uint8 [B, 3, H, W]`; or which are to be drawn."""
    paired: bool = False
    """They are to be compared, each with its neighbour."""

    def shown(self, model: Model, psi: float) -> Tensor:
        """The pictures `[B, 3, H, W]` in [-1, 1], on the model's device."""
        if isinstance(self.pictures, Tensor):
            return from_levels(self.pictures.to(model.device))
        return torch.cat([draw_batch(model, batch, psi) for batch in self.pictures])


def real_cases(data: Pictures, order: Sequence[int], paired: bool = False) -> tuple[int, Iterator[Case]]:
    """How many cases the real pictures in this order are, and the cases, which are read as they are asked for."""
    size = min(32, max(8, 2 * BATCH_PIXELS // data.resolution**2))  # even, and of few megabytes, as they may be sent
    starts = range(0, len(order), size)
    return len(starts), (Case(levels_of(data, order[i : i + size]), paired) for i in starts)


def drawn_cases(
    model: Model, samples: int, seed: int, labels: Sequence[int] | None = None, paired: bool = False
) -> tuple[int, Iterator[Case]]:
    """The same of the pictures that `samples.draw` draws. Raises UserError for the first case as that does."""
    size, together = batch_size(model), 1
    if paired:  # so many that no pair is divided
        together = max(1, PAIRED // size)
        together += size * together % 2
    drawing = batches(model, samples, seed=seed, labels=labels)
    count = -(-samples // (size * together))
    return count, (Case(some, paired) for some in iter(lambda: tuple(islice(drawing, together)), ()))


def levels_of(data: Pictures, chosen: Sequence[int]) -> Tensor:
    """Real pictures as `uint8 [B, 3, H, W]`."""
    return torch.stack([data[i][0] for i in chosen])


def batches_of(data: Pictures, order: Sequence[int], device: torch.device, size: int = 32) -> Iterator[Tensor]:
    """The real pictures in this order, as `samples.draw` gives drawn ones."""
    for start in range(0, len(order), size):
        yield from_levels(levels_of(data, order[start : start + size]).to(device))
