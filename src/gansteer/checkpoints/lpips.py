"""Reads LPIPS' weights: the channels' from the package lpips, AlexNet's as torchvision publishes them.

Neither package is imported: torchvision runs beside no PyTorch but the one it was built for.
"""

from importlib.util import find_spec
from pathlib import Path

import torch

from gansteer.errors import UserError
from gansteer.models.lpips import LPIPS

ALEXNET = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
"""The end of the name is the beginning of its SHA-256."""


def load_lpips(like: torch.Tensor) -> LPIPS:
    """LPIPS on AlexNet, version 0.1, on the device and in the type of `like`. AlexNet is downloaded once (244 MB).

    Raises UserError if the package is missing, or AlexNet can't be had.
    """
    package = find_spec("lpips")
    if package is None or package.origin is None:
        raise UserError("LPIPS needs the extra: run pip install 'gansteer[metrics]'")
    path = Path(package.origin).parent / "weights" / "v0.1" / "alex.pth"
    try:
        heads = torch.load(path, map_location="cpu", weights_only=True)
        alexnet = torch.hub.load_state_dict_from_url(
            ALEXNET, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
        return LPIPS(alexnet, heads).to(like)
    except OSError as error:
        raise UserError(f"LPIPS could not get its weights: {error}") from error
    except Exception as error:  # what reads pickles may raise anything for a damaged one
        kept = Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET.rsplit("/", 1)[1]
        raise UserError(f"LPIPS' weights are damaged: remove {kept}, or install lpips again") from error
