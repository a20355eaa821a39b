"""SpatialGAN as a generator: mapping, conditioned synthesis, and the law that new pictures take their layouts from."""

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor, nn

from gansteer.models.code import Styles
from gansteer.models.generator import Noise
from gansteer.models.layout import Layout
from gansteer.models.layout_laws import HierarchicalLaw, LayoutLaw, ObjectsLaw
from gansteer.models.spatial.config import SpatialConfig
from gansteer.models.spatial.network import SpatialSynthesis
from gansteer.models.stylegan2.network import Mapping


def law_of(config: SpatialConfig) -> LayoutLaw:
    """The law of layouts that a configuration names."""
    if config.law == "hierarchical":
        return HierarchicalLaw()
    return ObjectsLaw(
        config.blobs, config.drop, -config.side, config.side, config.top, config.bottom, config.radius_low, config.radius_high,
        config.apart,
    )  # fmt: skip


class SpatialGenerator(nn.Module):
    """StyleGAN2 whose layers up to `config.encoded` px are conditioned on the heatmaps of a layout's blobs."""

    architecture = "spatial"

    def __init__(self, config: SpatialConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        self.synthesis = SpatialSynthesis(config)
        self.law = law_of(config)

    def map(self, z: Tensor, *, psi: float = 1.0) -> Tensor:
        """`z [B, z_dim]` to `w+ [B, num_ws, w_dim]`, truncated by `psi`; its first `mean_rows` rows are the mean w."""
        ws = self.mapping(z).unsqueeze(1).repeat(1, self.config.num_ws, 1)
        ws = self.mapping.w_mean.lerp(ws, psi)
        ws[:, : self.config.mean_rows] = self.mapping.w_mean
        return ws

    def sample_layout(self, count: int, rng: torch.Generator) -> Layout:
        """The layouts of `count` pictures, in the generator's type and on its device."""
        layout = self.law.sample(count, self.config.resolution, self.config.blob_dim, rng)
        return layout.to(self.mapping.w_mean.device, self.mapping.w_mean.dtype)

    def synthesize(
        self, ws: Tensor, layout: Layout, *, noise: Noise = "fixed", resolution: int | None = None, styles: Styles | None = None
    ) -> Tensor:  # fmt: skip
        """`ws [B, num_ws, w_dim]` and the layouts of as many pictures to `[B, img_channels, R, R]`."""
        styles = self.synthesis.styles(ws) if styles is None else styles
        return self.synthesis.draw(styles, layout, noise=noise, resolution=resolution)

    def features(
        self, ws: Tensor, layout: Layout, layers: Collection[str], *, noise: Noise = "fixed"
    ) -> dict[str, Tensor]:
        """The activations after each layer named in `layers`."""
        return self.synthesis.features_at(self.synthesis.styles(ws), layout, layers, noise=noise)


def grown(small: SpatialGenerator) -> SpatialGenerator:
    """A generator of twice the resolution that draws, at first, the small one's pictures upsampled.

    The new toRGB starts at zero. Heatmaps stay as they were but for the finer grid that their cells are means over.
    """
    config = replace(small.config, resolution=small.config.resolution * 2)
    big = SpatialGenerator(config).to(small.synthesis.constant)
    big.load_state_dict(small.state_dict(), strict=False)
    for block in big.synthesis.each_block():
        if block.resolution == config.resolution:
            nn.init.zeros_(block.torgb.weight)
            if block.resolution <= config.encoded:
                encoding = big.synthesis.conditioning.encoding(block.resolution)
                if encoding is not None:
                    encoding.silence()
    return big
