"""SpatialGAN's synthesis network (Wang et al., CVPR 2022 and TPAMI 2024): StyleGAN2's, conditioned on heatmaps."""

from collections.abc import Collection, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from gansteer.models.code import Styles
from gansteer.models.generator import Noise
from gansteer.models.layers import Fill, Linear, normalize_second_moment, upsample
from gansteer.models.layout import Layout, splat
from gansteer.models.spatial.config import SpatialConfig
from gansteer.models.spatial.encoding import LocalEncoding, PublishedEncoding
from gansteer.models.stylegan2.network import Block, Synthesis
from gansteer.models.stylegan2.region import Modulation

STYLE_HIDDEN = 64
ALL_LEVELS = 32
"""From this resolution on layers see the blobs of all levels; those of 4, 8 and 16 px see levels 1, 2 and 3."""

Encoding = LocalEncoding | PublishedEncoding


def level_of(resolution: int) -> int | None:
    """Which level of a hierarchy the layers of a resolution see: 4, 8 and 16 px levels 1, 2 and 3, then None for all."""
    return {4: 1, 8: 2, 16: 3}.get(resolution)


def _scaled(x: Tensor, scale: Tensor | None) -> Tensor:
    """`x [B, C, h, w]` times `scale [B, C]`."""
    return x if scale is None else x * scale[:, :, None, None]


class Conditioning(nn.Module):
    """What turns a layout into what layers are encoded with: one encoding for every resolution up to `encoded`."""

    def __init__(self, config: SpatialConfig, blocks: list[Block], fill: Fill = torch.randn) -> None:
        super().__init__()
        self.resolution = config.resolution
        self.blob_style = nn.ModuleList(
            [
                Linear(config.blob_dim, STYLE_HIDDEN, activate=True, fill=fill),
                Linear(STYLE_HIDDEN, config.style_channels, fill=fill),
            ]
        )
        inputs = config.style_channels + 1
        self.encodings = nn.ModuleDict()
        for block in blocks:
            if block.resolution > config.encoded or config.encoding == "none":
                continue
            name = f"b{block.resolution}"
            if config.encoding == "local":
                names = [layer.name for layer in block.layers()]
                channels = config.channels(block.resolution)
                self.encodings[name] = LocalEncoding(inputs, config.hidden_channels, channels, names, fill)
            else:
                widths = {layer.name: layer.in_channels for layer in block.layers()}
                widths[block.torgb.name] = block.torgb.in_channels
                self.encodings[name] = PublishedEncoding(inputs, widths, fill)

    def styles(self, codes: Tensor) -> Tensor:
        """Blobs' style codes `[B, K, blob_dim]` to `s_k`, `[B, K, style_channels]`."""
        x = normalize_second_moment(codes.flatten(0, 1))
        for layer in self.blob_style:
            x = layer(x)
        return x.view(*codes.shape[:2], x.shape[-1])

    def encoding(self, resolution: int) -> Encoding | None:
        """The encoding of a resolution's layers, or None."""
        name = f"b{resolution}"
        if name not in self.encodings:
            return None
        found = self.encodings[name]
        assert isinstance(found, LocalEncoding | PublishedEncoding)
        return found

    def silence(self) -> None:
        """Make all encodings the identity, whatever the layout, until they learn."""
        for encoding in self.encodings.values():
            assert isinstance(encoding, LocalEncoding | PublishedEncoding)
            encoding.silence()

    def widen(self, small: "Conditioning") -> None:
        """Take over what `small`, whose layers have fewer channels, has learnt."""
        self.blob_style.load_state_dict(small.blob_style.state_dict())
        for name, narrow in small.encodings.items():
            wide = self.encodings[name]
            if isinstance(wide, LocalEncoding) and isinstance(narrow, LocalEncoding):
                wide.widen(narrow)
            if isinstance(wide, PublishedEncoding) and isinstance(narrow, PublishedEncoding):
                wide.widen(narrow)

    def hidden(self, layout: Layout, styles: Tensor, resolution: int) -> Tensor | None:
        """The features of the heatmaps that the layers of a resolution see, `[B, hidden, r, r]`; None without encoding."""
        encoding = self.encoding(resolution)
        if encoding is None:
            return None
        level = level_of(resolution)
        if level is not None:
            seen = (layout.levels == 0) | (layout.levels == level)
            layout = replace(layout, present=layout.present * seen)
        maps = splat(layout, styles, resolution, self.resolution)
        return encoding.hidden(maps.contiguous(memory_format=torch.channels_last))


class SpatialSynthesis(Synthesis):
    """Styles and a layout to a picture, or to the features after any layer."""

    config: SpatialConfig

    def __init__(self, config: SpatialConfig, fill: Fill = torch.randn) -> None:
        super().__init__(config, fill)
        self.conditioning = Conditioning(config, list(self.each_block()), fill)

    def draw(self, styles: Styles, layout: Layout, *, noise: Noise = "fixed", resolution: int | None = None) -> Tensor:
        """The pictures `[B, img_channels, R, R]`, nominally in [-1, 1]; R as `Synthesis.forward` says."""
        image: Tensor | None = None
        for block, x, scale, hidden in self._blocks(styles, layout, noise, {}):
            style = styles[block.torgb.name]
            encoding = self.conditioning.encoding(block.resolution)
            if isinstance(encoding, PublishedEncoding) and hidden is not None:
                x, scale = encoding(_scaled(x, scale), hidden, block.torgb.name), None
            rgb = block.torgb(x, style if scale is None else style * scale)
            image = rgb if image is None else upsample(image) + rgb
            if block.resolution == resolution:
                break
        assert image is not None
        return image

    def features_at(
        self, styles: Styles, layout: Layout, layers: Collection[str], *, noise: Noise = "fixed"
    ) -> dict[str, Tensor]:
        """The activations `[B, C, r, r]` after each layer named in `layers`. Raises ValueError for an unknown one."""
        names = [layer.name for layer in self.layers()]
        missing = [name for name in layers if name not in names]
        if missing:
            raise ValueError(f"this model has no layer {missing[0]!r}; it has {', '.join(names)}")
        found: dict[str, Tensor | None] = dict.fromkeys(layers)
        for _ in self._blocks(styles, layout, noise, found):
            pass
        return {name: x for name, x in found.items() if x is not None}

    def _blocks(
        self, styles: Styles, layout: Layout, noise: Noise, found: dict[str, Tensor | None]
    ) -> Iterator[tuple[Block, Tensor, Tensor | None, Tensor | None]]:
        """Each block with its result in two parts (see `SynthesisLayer.unscaled`) and the features of its heatmaps.

        The activations after the layers that `found` names are put into it; nothing is computed beyond the last of them.
        """
        layout = layout.batched.to(self.constant.device, self.constant.dtype)
        s = self.conditioning.styles(layout.styles)
        x = self.constant.expand(s.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        scale: Tensor | None = None
        for block in self.each_block():
            encoding = self.conditioning.encoding(block.resolution)
            hidden = self.conditioning.hidden(layout, s, block.resolution)
            for layer in block.layers():
                style = styles[layer.name]
                if isinstance(encoding, PublishedEncoding) and hidden is not None:
                    x, scale = encoding(_scaled(x, scale), hidden, layer.name), None
                x = _scaled(x, style if scale is None else style * scale)
                x, scale = layer.unscaled(x, style, self._noise(layer, x.shape[0], noise))
                if isinstance(encoding, LocalEncoding) and hidden is not None:
                    x, scale = encoding(_scaled(x, scale), hidden, layer.name), None
                if layer.name in found:
                    found[layer.name] = _scaled(x, scale)
                    if None not in found.values():
                        return
            yield block, x, scale, hidden

    def modulations(self, layout: Layout) -> dict[str, Modulation]:
        """What the local encoding does to the layers' results for the layout of one picture, differentiable in it."""
        layout = layout.batched.to(self.constant.device, self.constant.dtype)
        if len(layout.sizes) != 1:
            raise ValueError(f"modulations are those of one picture, not of {len(layout.sizes)}")
        styles = self.conditioning.styles(layout.styles)
        found: dict[str, Modulation] = {}
        for block in self.each_block():
            encoding = self.conditioning.encoding(block.resolution)
            hidden = self.conditioning.hidden(layout, styles, block.resolution)
            if not isinstance(encoding, LocalEncoding) or hidden is None:
                continue
            for layer in block.layers():
                g, b = (
                    x[0].flatten(1).t().contiguous() for x in encoding.gain_and_bias(hidden, layer.name)
                )  # [r r, C]
                found[layer.name] = Modulation(1 + g, b)
        return found
