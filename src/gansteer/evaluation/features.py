"""Pictures to the features that distances between sets of pictures are measured in."""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.errors import UserError
from gansteer.evaluation.samples import to_levels

FeatureName = Literal["efficientnet-lite0", "inception"]

Extractor = Callable[[Tensor], Tensor]
"""Pictures `float [B, 3, H, W]` in [-1, 1] to features `[B, N]`."""

EFFICIENTNET_SIZE = 224
"""The size that EfficientNet-Lite0 was trained on. Pictures of every size, real and drawn, are resized to it."""


def extractor(name: FeatureName, device: torch.device) -> Extractor:
    """The features of a name. Raises UserError if what they need is not installed."""
    return _efficientnet(device) if name == "efficientnet-lite0" else _inception(device)


def extract(pictures: Iterable[Tensor], features: Extractor, report: Callable[[int], None]) -> Tensor:
    """The features of all batches, on the host in float64 `[N, D]`. `report(done)` is told after every batch."""
    found: list[Tensor] = []
    done = 0
    for batch in pictures:
        with torch.no_grad():
            found.append(features(batch).cpu().double())
        done += len(batch)
        report(done)
    return torch.cat(found)


def _efficientnet(device: torch.device) -> Extractor:
    """The 1280 pooled features in front of EfficientNet-Lite0's classifier, of pictures resized to 224 px."""
    network = load_efficientnet(device)

    def features(pictures: Tensor) -> Tensor:
        size = (EFFICIENTNET_SIZE, EFFICIENTNET_SIZE)
        resized = F.interpolate(pictures, size, mode="bilinear", align_corners=False, antialias=True)
        pooled: Tensor = network(resized)
        return pooled

    return features


def _inception(device: torch.device) -> Extractor:
    """The 2048 features that FID is defined in; torch-fidelity's network resizes by itself."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise UserError("--features inception needs the extra: run pip install 'gansteer[metrics]'") from error
    try:
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).eval().to(device)
    except (OSError, RuntimeError) as error:
        raise UserError(f"--features inception could not get its weights: {error}") from error

    def features(pictures: Tensor) -> Tensor:
        pooled: Tensor = network(to_levels(pictures))[0]
        return pooled

    return features
