"""StyleGAN2 as a generator (Karras et al. 2020): mapping and synthesis, and what its architecture makes possible."""

from collections.abc import Collection
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from gansteer.models.code import Code, Styles
from gansteer.models.generator import (
    NONE_FIXED,
    Capabilities,
    FeatureFrame,
    FixedStyles,
    Generator,
    LayerSpec,
    LocalFeatures,
    Noise,
    StyleMap,
)
from gansteer.models.layers import Fill
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.network import Mapping, Synthesis, SynthesisLayer, ToRGB
from gansteer.models.stylegan2.region import RegionSynthesis


class StyleGAN2Generator(Generator):
    """StyleGAN2: `mapping` and `synthesis`."""

    architecture = "stylegan2"
    config: GeneratorConfig
    synthesis_class: ClassVar[type[Synthesis]] = Synthesis

    def __init__(self, config: GeneratorConfig, fill: Fill = torch.randn) -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config, fill)
        self.synthesis = self.synthesis_class(config, fill)
        self.layers = tuple(_spec(layer) for layer in self.synthesis.styled())
        self.capabilities = Capabilities(
            preview_sizes=tuple(config.block_resolutions[:-1]), noise_maps=True, fixed_operations=True
        )

    def mean_w(self) -> Tensor:
        """The running mean that training kept, `[w_dim]`."""
        return self.mapping.w_mean

    def map_z(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """`z [B, z_dim]`, `c [B, c_dim]` one-hot (only for conditional models), to `w [B, w_dim]`."""
        w: Tensor = self.mapping(z, c)
        return w

    def style_map(self, layer: str) -> StyleMap:
        """A dense layer."""
        return self._layer(layer).affine

    def style_weight(self, layer: str) -> Tensor:
        """Its weights `[C_in, w_dim]`, without the gain of the equalised learning rate."""
        return self._layer(layer).affine.weight

    def _layer(self, name: str) -> SynthesisLayer | ToRGB:
        return next(layer for layer in self.synthesis.styled() if layer.name == name)

    def styles(self, code: Code) -> Styles:
        """The style of every layer, in the order of `layers`, with the code's offsets added: `[B, C_in]` each."""
        return self._offset(self.synthesis.styles(self._rows(code)), code)

    def synthesize(
        self, code: Code, *, noise: Noise = "fixed", resolution: int | None = None, styles: Styles | None = None
    ) -> Tensor:
        """The pictures `[B, img_channels, R, R]`; `resolution` as in `Synthesis.forward`."""
        styles = self.styles(code) if styles is None else styles
        image: Tensor = self.synthesis(styles, noise=noise, resolution=resolution)
        return image

    def features(
        self, code: Code, layers: Collection[str], *, noise: Noise = "fixed", styles: Styles | None = None
    ) -> dict[str, Tensor]:
        """The activations after each layer named in `layers`, as `Synthesis.features`."""
        return self.synthesis.features(self.styles(code) if styles is None else styles, layers, noise=noise)

    def local_features(self, layer: str, code: Code, fixed: FixedStyles = NONE_FIXED) -> LocalFeatures | None:
        """The region engine, as nothing in this synthesis looks farther than its receptive field."""
        return RegionSynthesis(self.synthesis, layer, fixed=fixed)

    def noise_maps(self) -> dict[str, Tensor]:
        """One for each convolution."""
        return {name: x for name, x in self.state_dict().items() if name.endswith(".noise_fixed")}

    def tunable_weights(self) -> tuple[list[str], list[str]]:
        """Convolutions; toRGBs, biases and noise strengths. The affine layers stay."""
        names = [name for name in self.state_dict() if name.startswith("synthesis.") and "affine" not in name]
        large = [name for name in names if name.endswith(".weight") and "torgb" not in name]
        small = [name for name in names if name.endswith(("torgb.weight", "bias", "noise_strength"))]
        return large, small

    def noise_strengths(self) -> list[nn.Parameter]:
        """How much noise each convolution adds; in training they have a rate of their own."""
        return [layer.noise_strength for layer in self.synthesis.layers()]

    def colour_weights(self) -> list[nn.Parameter]:
        """The weights of the toRGBs."""
        return [block.torgb.weight for block in self.synthesis.each_block()]


def _spec(layer: SynthesisLayer | ToRGB) -> LayerSpec:
    return LayerSpec(
        layer.name, "to_rgb" if isinstance(layer, ToRGB) else "conv", layer.latent_index, layer.in_channels,
        layer.weight.shape[0], FeatureFrame(layer.resolution),
    )  # fmt: skip


def grown(small: StyleGAN2Generator) -> StyleGAN2Generator:
    """A generator of twice the resolution that draws, at first, exactly the small one's pictures upsampled.

    All layers are copied (so `channel_base` and `channel_max` stay); the new toRGB starts at zero, and the last row of
    w+ of the small model drives the new block as well.
    """
    big = StyleGAN2Generator(replace(small.config, resolution=small.config.resolution * 2)).to(small.synthesis.constant)
    big.load_state_dict(small.state_dict(), strict=False)
    for block in big.synthesis.each_block():
        if block.resolution == big.config.resolution:
            nn.init.zeros_(block.torgb.weight)
    return big
