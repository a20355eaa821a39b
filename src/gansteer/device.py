"""Where the networks run."""

import torch

from gansteer.errors import UserError


def pick_device(name: str = "auto") -> torch.device:
    """`auto` picks cuda, then mps, then cpu; any other name is PyTorch's own (`cpu`, `cuda:1` ...)."""
    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if has_cuda else "mps" if has_mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"there is no device {name!r}: give auto, cpu, cuda, cuda:N or mps") from error
    if (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()) or (
        device.type == "mps" and not has_mps
    ):
        raise UserError(f"this machine has no device {name!r}: give auto or cpu")
    return device
