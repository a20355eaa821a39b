"""Read the checkpoint of a rooms run as a generator."""

from pathlib import Path

import torch
from torch import Tensor

from gansteer.models.spatial.config import SpatialConfig
from gansteer.models.spatial.generator import SpatialGenerator


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of the first trainer's tensors to those of the package."""
    prefixes = {"blob_style.": "synthesis.conditioning.blob_style.", "encodings.": "synthesis.conditioning.encodings."}
    return {
        next((new + name.removeprefix(old) for old, new in prefixes.items() if name.startswith(old)), name): x
        for name, x in state.items()
    }


def load_run(*checkpoints: str | Path, which: str = "ema") -> SpatialGenerator:
    """The averaged generator of `checkpoint.pt` of a run of `first.py`; of several of one run, the mean of their weights."""
    found = [torch.load(path, map_location="cpu", weights_only=True) for path in checkpoints]
    told = found[-1]["args"]
    law = {"apart": told["apart"], "radius_high": told["radius_high"] / 2} if "apart" in told else {}
    config = SpatialConfig(**{**found[-1]["config"], "noise": False, "mean_rows": 5, **law})
    generator = SpatialGenerator(config)
    mean = {name: torch.stack([one[which][name] for one in found]).mean(dim=0) for name in found[-1][which]}
    generator.load_state_dict(renamed(mean))
    return generator.eval().requires_grad_(False)
