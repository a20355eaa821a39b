"""A generator as unlike StyleGAN2 as the contract allows: three rows, no noise, maps with a margin, no toRGB, no previews.

Its input is a set of waves that the first row moves about, as StyleGAN3's is; two modulated convolutions follow, unpadded,
so that margins shrink, and a plain sum of channels makes the picture.
"""

from collections.abc import Collection
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansteer.models.code import Code, Styles
from gansteer.models.generator import Capabilities, FeatureFrame, Generator, LayerSpec, Noise, StyleMap
from gansteer.models.layers import Fill
from gansteer.subject import Card, Model

REACH = 0.6
"""How far a deviation of the first row's styles moves the waves, in halves of the picture."""


@dataclass(frozen=True)
class ToyConfig:
    """The shape of a toy generator."""

    resolution: int = 32
    z_dim: int = 5
    w_dim: int = 6
    c_dim: int = 0
    img_channels: int = 3
    width: int = 12
    softness: float = 0.2

    @property
    def num_ws(self) -> int:
        """One row for each layer."""
        return 3


class ToyGenerator(Generator):
    """Waves, two convolutions, colours."""

    architecture = "toy"
    config: ToyConfig

    def __init__(self, config: ToyConfig, fill: Fill = torch.randn) -> None:
        super().__init__()
        self.config = config
        half, width = config.resolution // 2, config.width
        self.layers = (
            LayerSpec("waves", "input", 0, 2, width, FeatureFrame(half + 10, 5)),
            LayerSpec("coarse", "conv", 1, width, width, FeatureFrame(half + 8, 4)),
            LayerSpec("fine", "conv", 2, width, width, FeatureFrame(2 * half + 14, 7)),
        )
        self.capabilities = Capabilities()
        self.frequencies = nn.Parameter(fill((width, 2)) * 2.0)
        self.phases = nn.Parameter(fill((width,)))
        self.coarse = nn.Parameter(fill((width, width, 3, 3)) / (9 * width) ** 0.5)
        self.fine = nn.Parameter(fill((width, width, 3, 3)) / (9 * width) ** 0.5)
        self.colours = nn.Parameter(fill((config.img_channels, width)) / width**0.5)
        self.mapping = nn.Parameter(fill((config.w_dim, config.z_dim + config.c_dim)))
        self.maps = nn.ParameterDict(
            {layer.name: nn.Parameter(fill((layer.style_dim, config.w_dim)) / 3) for layer in self.layers}
        )
        self.register_buffer("middle", torch.zeros(config.w_dim))

    def mean_w(self) -> Tensor:
        middle = self.middle
        assert isinstance(middle, Tensor)
        return middle

    def map_z(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return torch.tanh((z if c is None else torch.cat([z, c], dim=1)) @ self.mapping.t())

    def style_map(self, layer: str) -> StyleMap:
        shift = 0.0 if layer == "waves" else 1.0
        return lambda w: w @ self.maps[layer].t() + shift

    def style_weight(self, layer: str) -> Tensor:
        return self.maps[layer]

    def synthesize(
        self, code: Code, *, noise: Noise = "fixed", resolution: int | None = None, styles: Styles | None = None
    ) -> Tensor:
        fine = self.features(code, ["fine"], styles=styles)["fine"]
        return torch.einsum("oc,bchw->bohw", self.colours, self.layers[2].frame.crop(fine))

    def features(
        self, code: Code, layers: Collection[str], *, noise: Noise = "fixed", styles: Styles | None = None
    ) -> dict[str, Tensor]:
        for name in layers:
            self.layer(name)
        styles = self.styles(code) if styles is None else styles
        found = {"waves": self._waves(styles["waves"])}
        if set(layers) - {"waves"}:
            found["coarse"] = self._layer(found["waves"], styles["coarse"], self.coarse)
        if "fine" in layers:
            wide = F.interpolate(found["coarse"], scale_factor=2, mode="bilinear")
            found["fine"] = self._layer(wide, styles["fine"], self.fine)
        return {name: found[name] for name in layers}

    def _waves(self, shift: Tensor) -> Tensor:
        """`shift [B, 2]` to `[B, width, r, r]`; the picture goes from -1 to 1."""
        frame = self.layers[0].frame
        at = (torch.arange(frame.size).to(shift) - frame.margin + 0.5) * (2 / frame.inner) - 1
        x, y = (at - REACH * shift[:, i, None] for i in (0, 1))  # [B, r]
        f = self.frequencies
        phase = f[:, 0, None, None] * x[:, None, None, :] + f[:, 1, None, None] * y[:, None, :, None]
        return torch.sin(phase + self.phases[:, None, None])

    def _layer(self, x: Tensor, style: Tensor, weight: Tensor) -> Tensor:
        return F.leaky_relu(F.conv2d(x * style[:, :, None, None], weight), self.config.softness)


def toy_model(seed: int = 0, dtype: torch.dtype = torch.float32, **config: int) -> Model:
    """A toy model with seeded weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = ToyGenerator(ToyConfig(**config)).to(dtype).eval().requires_grad_(False)
    return Model(Card("toy"), generator)
