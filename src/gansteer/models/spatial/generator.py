"""SpatialGAN as a generator: mapping, conditioned synthesis, and the law that new pictures take their layouts from."""

from collections.abc import Collection
from dataclasses import fields, replace

import torch
from torch import Tensor, nn

from gansteer.models.code import Code, Styles
from gansteer.models.generator import NONE_FIXED, Capabilities, FixedStyles, LocalFeatures, Noise
from gansteer.models.layers import Fill
from gansteer.models.layout import Layout
from gansteer.models.layout_laws import HierarchicalLaw, LayoutLaw, ObjectsLaw
from gansteer.models.spatial.config import SpatialConfig
from gansteer.models.spatial.network import SpatialSynthesis
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.models.stylegan2.region import RegionSynthesis
from gansteer.models.stylegan2.widening import widened as widened_stylegan2


def law_of(config: SpatialConfig) -> LayoutLaw:
    """The law of layouts that a configuration names."""
    if config.law == "hierarchical":
        return HierarchicalLaw(config.deviation)
    side = 1 - 2 * config.margin
    return ObjectsLaw(
        config.blobs, config.drop, -side, side, 2 * config.top - 1, 2 * config.bottom - 1, 2 * config.radius_low,
        2 * config.radius_high, config.apart,
    )  # fmt: skip


class SpatialGenerator(StyleGAN2Generator):
    """StyleGAN2 whose layers up to `config.encoded` px are conditioned on the heatmaps of a layout's blobs."""

    architecture = "spatial"
    config: SpatialConfig
    synthesis: SpatialSynthesis
    synthesis_class = SpatialSynthesis

    def __init__(self, config: SpatialConfig, fill: Fill = torch.randn) -> None:
        super().__init__(config, fill)
        self.follow_law(config)
        self.capabilities = Capabilities(
            preview_sizes=tuple(config.block_resolutions[:-1]), noise_maps=config.noise, layout=True
        )

    def follow_law(self, config: SpatialConfig) -> None:
        """Take the layouts of new pictures from the law that `config` names, which must have this generator's shape."""
        self.config = config
        self.law = law_of(config)

    @torch.no_grad()
    def level_rows(self) -> None:
        """Make the columns of the constant input alike, so that what stands where along a row is told by the blobs alone."""
        constant = self.synthesis.constant
        constant.copy_(constant.mean(dim=2, keepdim=True).expand(-1, -1, constant.shape[2]))

    def sample_layout(self, count: int, rng: torch.Generator) -> Layout:
        """The layouts of `count` new pictures from the model's law, in the generator's type and on its device."""
        layout = self.law.sample(count, self.config.resolution, self.config.blob_dim, rng)
        return layout.to(self.device, self.dtype)

    def code_of(
        self, z: Tensor, c: Tensor | None = None, *, psi: float = 1.0, rng: torch.Generator | None = None
    ) -> Code:
        """The codes of `z [B, z_dim]`, with layouts from `rng`; without it, the same ones each time.

        `psi` truncates w and not the layouts. The first `config.mean_rows` rows are those of the mean w.
        """
        ws, still = self.map(z, c, psi=psi), self.config.mean_rows
        ws = torch.cat([self.mean_w().expand(len(ws), still, -1), ws[:, still:]], dim=1)
        return Code(ws, layout=self.sample_layout(len(ws), torch.Generator().manual_seed(0) if rng is None else rng))

    def skip_codes(self, count: int, rng: torch.Generator) -> None:
        super().skip_codes(count, rng)
        self.sample_layout(count, rng)

    def mean_code(self) -> Code:
        """The code of the mean w, in the mean layout of the model's law."""
        layout = self.law.mean(self.config.resolution, self.config.blob_dim)
        return Code(super().mean_code().ws, layout=layout.to(self.device, self.dtype))

    def check(self, code: Code) -> None:
        """Raise ValueError unless the code fits this generator, the styles of its blobs included."""
        super().check(code)
        _layout(code).check(self.config.blob_dim)

    def synthesize(
        self, code: Code, *, noise: Noise = "fixed", resolution: int | None = None, styles: Styles | None = None
    ) -> Tensor:
        """The pictures `[B, img_channels, R, R]`; `resolution` as in `Synthesis.forward`."""
        styles = self.styles(code) if styles is None else styles
        return self.synthesis.draw(styles, _layout(code), noise=self._noise(noise), resolution=resolution)

    def features(
        self, code: Code, layers: Collection[str], *, noise: Noise = "fixed", styles: Styles | None = None
    ) -> dict[str, Tensor]:
        """The activations after each layer named in `layers`, its local encoding included."""
        styles = self.styles(code) if styles is None else styles
        return self.synthesis.features_at(styles, _layout(code), layers, noise=self._noise(noise))

    def _noise(self, noise: Noise) -> Noise:
        return noise if self.config.noise else "none"

    def local_features(self, layer: str, code: Code, fixed: FixedStyles = NONE_FIXED) -> LocalFeatures | None:
        """The region engine, for the local encoding; the published one looks at the whole picture."""
        if self.config.encoding == "published":
            return None
        with torch.no_grad():
            still = self.synthesis.modulations(_layout(code))
        # Modulations are those of whole maps, which are small.
        return RegionSynthesis(
            self.synthesis, layer, lambda moved: still if moved is None else self.synthesis.modulations(moved), fixed
        )

    def noise_maps(self) -> dict[str, Tensor]:
        """One for each convolution, if the model has noise."""
        return super().noise_maps() if self.config.noise else {}

    def tunable_weights(self) -> tuple[list[str], list[str]]:
        """Those of StyleGAN2: what turns a layout into modulations stays, so that blobs keep their meaning."""
        large, small = super().tunable_weights()
        return [name for name in large if OWN not in name], [name for name in small if OWN not in name]


OWN = ".conditioning."
"""Part of the names of all tensors that a StyleGAN2 lacks."""


def _layout(code: Code) -> Layout:
    if code.layout is None:
        raise ValueError("this model takes a layout too")
    return code.layout


def conditioned(start: StyleGAN2Generator, config: SpatialConfig) -> SpatialGenerator:
    """A generator of this configuration that draws, whatever the layout, exactly the pictures of a trained StyleGAN2.

    Its shape must be the configuration's. All encodings begin as the identity. Raises ValueError if the shapes differ.
    """
    if not config.noise:
        raise ValueError("a StyleGAN2 has noise maps: the configuration must have noise")
    if any(getattr(config, field.name) != getattr(start.config, field.name) for field in fields(GeneratorConfig)):
        raise ValueError("the configuration has another shape than the StyleGAN2 to begin with")
    made = SpatialGenerator(replace(config, mean_rows=0)).to(start.synthesis.constant)
    made.load_state_dict(start.state_dict(), strict=False)
    made.synthesis.conditioning.silence()
    return made


def widened(small: SpatialGenerator, channel_base: int, channel_max: int) -> SpatialGenerator:
    """A generator of this many channels that draws exactly the small one's pictures, whatever the layout.

    As `stylegan2.widening.widened`, which says when ValueError is raised; the encodings leave new channels as they are.
    """
    big = widened_stylegan2(small, channel_base, channel_max)
    big.synthesis.conditioning.widen(small.synthesis.conditioning)
    return big


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
    return big
