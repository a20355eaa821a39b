"""A StyleGAN2 with more channels that draws the pictures of the one it is made from, and can learn with all of them.

The new channels of a layer are drawn from its inputs at random. Nothing that was there looks at them: the weights from new
inputs to old outputs are zero, so neither the convolutions nor their demodulation (eq. 3: `sum_i s_i^2 sum_k W_oik^2`)
change. They have gradients, because the new channels have values.
"""

from dataclasses import replace
from typing import TypeVar

import torch

from gansteer.models.layers import Linear
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.models.stylegan2.network import Synthesis, SynthesisLayer, ToRGB

G = TypeVar("G", bound=StyleGAN2Generator)


@torch.no_grad()
def widened(small: G, channel_base: int, channel_max: int) -> G:
    """A generator of this many channels (see `GeneratorConfig`) that draws exactly the small one's pictures.

    The weights of new channels are from torch's global generator. Raises ValueError if any resolution had fewer than before.
    """
    config = replace(small.config, channel_base=channel_base, channel_max=channel_max)
    for resolution in config.block_resolutions:
        before, now = small.config.channels(resolution), config.channels(resolution)
        if now < before:
            raise ValueError(f"{now} channels at {resolution} px are fewer than the {before} that are there")
    big = type(small)(config).to(small.synthesis.constant)
    big.mapping.load_state_dict(small.mapping.state_dict())
    widen_synthesis(big.synthesis, small.synthesis)
    return big


def widen_synthesis(big: Synthesis, small: Synthesis) -> None:
    """Give the layers of a wider synthesis network the weights of the small one, without gradients."""
    big.constant[: len(small.constant)] = small.constant
    for wide, narrow in zip(big.styled(), small.styled(), strict=True):
        _widen_affine(wide.affine, narrow.affine)
        out, inputs = narrow.weight.shape[:2]
        wide.weight[:out] = 0
        wide.weight[:out, :inputs] = narrow.weight
        wide.bias[:out] = narrow.bias
        if isinstance(wide, ToRGB) and isinstance(narrow, ToRGB):
            wide.weight[:, :inputs] *= narrow.weight_gain / wide.weight_gain  # its gain is that of the fan-in
        if isinstance(wide, SynthesisLayer) and isinstance(narrow, SynthesisLayer):
            wide.noise_strength.copy_(narrow.noise_strength)
            wide.noise_fixed.copy_(narrow.noise_fixed)


def _widen_affine(wide: Linear, narrow: Linear) -> None:
    """A style for each input channel: those of the old ones stay."""
    channels = len(narrow.weight)
    wide.weight[:channels] = narrow.weight
    wide.bias[:channels] = narrow.bias
