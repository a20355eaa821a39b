"""How different two pictures look: distances of a network's features, in the form of LPIPS (Zhang et al. 2018, eq. 1).

`efficientnet-lite0` compares the features of an ImageNet classifier at four scales, all channels alike. It is no LPIPS: that
name is kept for the package's own networks, whose channels were weighted by what people said.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.checkpoints.lpips import load_lpips
from gansteer.edits.inversion.config import PerceptualName
from gansteer.models.efficientnet import EfficientNetLite0, feature_distance, unit_taps
from gansteer.models.face_reader import resize

Distance = Callable[[Tensor], Tensor]
"""Pictures `[B, 3, H, W]` in [-1, 1] to their distances `[B]` from a target; differentiable."""

Comparison = Callable[[Tensor], Distance]
"""Targets `[1 or B, 3, H, W]` to the distance from them."""

FULL = 224
"""The size EfficientNet-Lite0 was trained on; larger pictures are shrunk to it."""


def comparison(name: PerceptualName, like: Tensor, network: EfficientNetLite0 | None = None) -> Comparison:
    """The distance of a name, on the device and in the type of `like`. Raises UserError if what it needs is not installed.

    `network` saves reading EfficientNet once more, where somebody has it.
    """
    return _lpips(like) if name == "lpips" else _efficientnet((network or load_efficientnet()).to(like))


def _efficientnet(network: EfficientNetLite0) -> Comparison:
    """`efficientnet.feature_distance`."""

    def features(pictures: Tensor) -> list[Tensor]:
        return unit_taps(network.taps(resize(pictures, FULL) if pictures.shape[-1] > FULL else pictures))

    def compare(target: Tensor) -> Distance:
        with torch.no_grad():
            wanted = features(target)
        return lambda pictures: feature_distance(features(pictures), wanted)

    return compare


def _lpips(like: Tensor) -> Comparison:
    network = load_lpips(like)

    def compare(target: Tensor) -> Distance:
        with torch.no_grad():
            wanted = network.features(target)
        return lambda pictures: network.distance(network.features(pictures), wanted)

    return compare
