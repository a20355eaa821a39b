"""Perceptual diversity: the mean LPIPS distance (Zhang et al. 2018) between pairs of pictures.

A collapsed model draws pictures that differ less than real ones do. The backbone is that of the package `lpips`, which
the extra `metrics` installs; its weights are downloaded at first use.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gansteer.errors import UserError

Distance = Callable[[Tensor, Tensor], Tensor]
"""Two batches `float [B, 3, H, W]` in [-1, 1] to their distances `[B]`."""


@dataclass(frozen=True)
class Diversity:
    """Mean LPIPS between neighbours in a random order."""

    pairs: int
    drawn: float
    real: float


def lpips_distance(device: torch.device) -> Distance:
    """LPIPS with the AlexNet trunk. Raises UserError if the package or its weights can't be had."""
    try:
        import lpips
    except Exception as error:  # torchvision, which it imports, raises RuntimeError beside another PyTorch
        raise UserError(f"--lpips needs the extra: run pip install 'gansteer[metrics]' ({error})") from error
    try:
        network = lpips.LPIPS(net="alex", verbose=False).eval().to(device)
    except (OSError, RuntimeError) as error:
        raise UserError(f"--lpips could not get its weights: {error}") from error

    def distance(a: Tensor, b: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = network(a, b)  # [B, 1, 1, 1]
        return found.flatten()

    return distance


def mean_distance(pictures: list[Tensor], distance: Distance) -> float:
    """Between pictures 2i and 2i + 1 of all batches `[B, 3, H, W]` taken together; an odd one is left out."""
    together = torch.cat(pictures)
    together = together[: len(together) // 2 * 2]
    found = [distance(chunk[0::2], chunk[1::2]) for chunk in torch.split(together, 32)]
    return float(torch.cat(found).double().mean())
