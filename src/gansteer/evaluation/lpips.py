"""Perceptual diversity: the mean LPIPS distance (Zhang et al. 2018) between pairs of pictures.

A collapsed model draws pictures that differ less than real ones do. The channels' weights are those of the package
`lpips`, which the extra `metrics` installs; AlexNet's are downloaded at first use.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gansteer.checkpoints.lpips import load_lpips

Distance = Callable[[Tensor, Tensor], Tensor]
"""Two batches `float [B, 3, H, W]` in [-1, 1] to their distances `[B]`."""


@dataclass(frozen=True)
class Diversity:
    """Mean LPIPS between neighbours in a random order."""

    pairs: int
    drawn: float
    real: float


def lpips_distance(device: torch.device) -> Distance:
    """LPIPS on AlexNet, in float32. Raises UserError if its weights can't be had."""
    network = load_lpips(torch.zeros((), device=device))

    def distance(a: Tensor, b: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = network(a, b)
        return found

    return distance


def distances(pictures: Tensor, distance: Distance) -> Tensor:
    """Between pictures 2i and 2i + 1 of `[B, 3, H, W]`: `[B / 2]`; an odd one is left out."""
    even = pictures[: len(pictures) // 2 * 2]
    return torch.cat([distance(chunk[0::2], chunk[1::2]) for chunk in torch.split(even, 32)])
