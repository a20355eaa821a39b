"""What every generator offers, whatever its architecture, and the code that it draws a picture from.

Nothing outside `models/` and `checkpoints/` knows more of a generator than this file says. A new architecture is a folder
beside `stylegan2/` and a line in `registry.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansteer.models.code import Code, Styles
from gansteer.models.layout import Layout

NoiseSource = Callable[[int, int], Tensor]
"""`(batch, resolution)` to standard normal noise `[batch, 1, resolution, resolution]`."""

Noise = Literal["fixed", "random", "none"] | NoiseSource
"""The model's own maps, fresh ones from PyTorch's global generator, none, or those of a source. A generator without noise
maps draws the same picture with any of them."""

FixedStyles = Mapping[str, Tensor]
"""Styles `[1, style_dim]` of some layers, by name, that stay while others move."""

NONE_FIXED: FixedStyles = MappingProxyType({})

StyleMap = Callable[[Tensor], Tensor]
"""`w [B, w_dim]` to the style of one layer `[B, style_dim]`."""


class GeneratorShape(Protocol):
    """What the configurations of all architectures tell; a frozen dataclass, which native checkpoints store as JSON."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def resolution(self) -> int:
        """Width and height of the picture in pixels."""
        ...

    @property
    def img_channels(self) -> int:
        """Channels of the picture: 3 for RGB."""
        ...

    @property
    def z_dim(self) -> int:
        """Size of the latent that pictures are sampled from."""
        ...

    @property
    def w_dim(self) -> int:
        """Size of a row of w+."""
        ...

    @property
    def num_ws(self) -> int:
        """Rows of w+."""
        ...

    @property
    def c_dim(self) -> int:
        """Number of classes; 0 for an unconditional model."""
        ...


@dataclass(frozen=True)
class FeatureFrame:
    """How a square picture lies on a feature map."""

    size: int
    """Cells along each side of the map."""
    margin: int = 0
    """How many of them, on each side, lie beyond the picture's border."""

    @property
    def inner(self) -> int:
        """Cells along each side of the picture."""
        return self.size - 2 * self.margin

    def cell(self, picture: int) -> float:
        """Pixels along each side of a cell, of a picture `picture` pixels wide."""
        return picture / self.inner

    def places(self, pixels: Tensor, picture: int) -> Tensor:
        """Coordinates of the picture in pixels to those on the map in cells, the centre of cell i being i. Any shape.

        With `r` inner cells and a picture of `s` pixels, pixel x lies at `(x + 1/2) r / s - 1/2 + margin`.
        """
        return (pixels + 0.5) * (self.inner / picture) - 0.5 + self.margin

    def crop(self, features: Tensor) -> Tensor:
        """The part of a map `[..., size, size]` that the picture covers: `[..., inner, inner]`."""
        inside = slice(self.margin, self.size - self.margin)
        return features[..., inside, inside]

    def pool(self, picture: Tensor) -> Tensor:
        """`[H, W]` to `[size, size]`: its mean over the pixels of each cell, 0 for cells beyond the border.

        Raises ValueError unless every cell has as many pixels.
        """
        side, rest = divmod(picture.shape[0], self.inner)
        if rest or not side:
            raise ValueError(f"a picture of {picture.shape[0]} px does not divide into {self.inner} cells")
        pooled = picture.view(self.inner, side, self.inner, side).mean(dim=(1, 3))
        return F.pad(pooled, 4 * (self.margin,)) if self.margin else pooled


@dataclass(frozen=True)
class LayerSpec:
    """One layer that has a style."""

    name: str
    kind: Literal["input", "conv", "to_rgb"]
    latent_index: int
    """The row of w+ that drives it."""
    style_dim: int
    out_channels: int
    frame: FeatureFrame
    """Where its result lies under the picture."""


@dataclass(frozen=True)
class Capabilities:
    """What a generator can do beyond drawing."""

    preview_sizes: tuple[int, ...] = ()
    """Resolutions below its own, in rising order, that it draws much sooner than the whole picture."""
    noise_maps: bool = False
    """Whether it has noise maps of its own (`Generator.noise_maps`)."""
    layout: bool = False
    """Whether its codes have a layout."""
    fixed_operations: bool = False
    """Whether every code without a layout takes the same operations, so that they can be recorded once for all."""


class LocalFeatures(Protocol):
    """Features of one layer at chosen positions only, exactly as the whole network computes them."""

    def __call__(self, styles: Styles, need: Tensor, layout: Layout | None = None) -> Tensor:
        """The features at the cells `need [r, r]` (bool, on the CPU), row by row, then a row of zeros: `[M + 1, C]`.

        `styles` gives the style `[1, style_dim]` of every layer up to this; gradients flow to those that ask for one. So they do
        to a `layout`, which stands for that of the code.
        """
        ...


class Generator(nn.Module, ABC):
    """Codes to pictures. Everything is differentiable in the code, also twice, and runs in float32 and float64.

    Where a method takes a code it may be that of one picture or of several (`Code.batch`); results always have a leading
    dimension B. `styles`, if given, stand for those of the code (which then still tells its layout).
    """

    architecture: ClassVar[str]
    """Its name in `registry.py` and in native checkpoints."""
    config: GeneratorShape
    layers: tuple[LayerSpec, ...]
    """All layers that have a style, in the order in which they run."""
    capabilities: Capabilities

    # --- what an architecture has to say ---

    @abstractmethod
    def mean_w(self) -> Tensor:
        """The mean of w over the model's samples `[w_dim]`, in the generator's type and on its device."""

    @abstractmethod
    def map_z(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """`z [B, z_dim]` (and, for a conditional model, `c [B, c_dim]` one-hot) to `w [B, w_dim]`, untruncated."""

    @abstractmethod
    def style_map(self, layer: str) -> StyleMap:
        """How a layer's style follows from its row of w+."""

    @abstractmethod
    def synthesize(
        self, code: Code, *, noise: Noise = "fixed", resolution: int | None = None, styles: Styles | None = None
    ) -> Tensor:
        """The pictures `[B, img_channels, R, R]`, nominally in [-1, 1] (not clamped).

        R is the model's resolution, or `resolution` if that is one of `capabilities.preview_sizes`: about the same
        pictures, much sooner.
        """

    @abstractmethod
    def features(
        self, code: Code, layers: Collection[str], *, noise: Noise = "fixed", styles: Styles | None = None
    ) -> dict[str, Tensor]:
        """The activations `[B, out_channels, size, size]` after each convolution named in `layers`.

        No layer after the last of them is computed, and `styles` need not have its style. Raises ValueError for a name
        that this model lacks.
        """

    # --- what it may have beyond that ---

    def local_features(self, layer: str, code: Code, fixed: FixedStyles = NONE_FIXED) -> LocalFeatures | None:
        """The exact features of `layer` at few positions, for codes of this layout; None where there is no such way.

        The `fixed` styles of some layers, by name, are those of every call. Weights must not change afterwards; no gradient
        reaches them.
        """
        return None

    def noise_maps(self) -> dict[str, Tensor]:
        """The model's own noise maps `[r, r]`, by their names in its state; none for a generator without."""
        return {}

    def style_weight(self, layer: str) -> Tensor | None:
        """The linear part of `style_map(layer)`, `[style_dim, w_dim]`, up to a factor; None if the map is not affine."""
        return None

    def tunable_weights(self) -> tuple[list[str], list[str]]:
        """Names, in its state, of the weights that may move for one photo: large ones, and small ones such as biases.

        Those that w passes through to become a style stay: for a fixed w they could only move the style.
        """
        return [name for name, x in self.named_parameters() if x.dim() == 4], []

    # --- what follows for all of them ---

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.mean_w().device

    @property
    def dtype(self) -> torch.dtype:
        """The type of its weights."""
        return self.mean_w().dtype

    @property
    def convolutions(self) -> tuple[LayerSpec, ...]:
        """The layers with features, in the order in which they run; their styles make up style space."""
        return tuple(layer for layer in self.layers if layer.kind != "to_rgb")

    @property
    def styled(self) -> tuple[LayerSpec, ...]:
        """All layers: those of style space first, then those that make colours."""
        return (*self.convolutions, *(layer for layer in self.layers if layer.kind == "to_rgb"))

    def layer(self, name: str) -> LayerSpec:
        """The layer with features of this name. Raises ValueError naming those that there are."""
        for layer in self.convolutions:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.convolutions)
        raise ValueError(f"this model has no layer {name!r}; it has {names}")

    def last_of_each_size(self) -> list[LayerSpec]:
        """Of the layers with features, the last of every size of map, the first to run first."""
        return list({layer.frame: layer for layer in self.convolutions}.values())

    def sample_z(self, count: int, rng: torch.Generator) -> Tensor:
        """`[count, z_dim]` standard normal numbers; the same on every device, as they are drawn on the CPU in float64."""
        z = torch.randn(count, self.config.z_dim, generator=rng, dtype=torch.float64)
        return z.to(self.device, self.dtype)

    def one_hot(self, labels: Sequence[int] | Tensor) -> Tensor | None:
        """What the mapping takes for pictures of these classes, `[B, c_dim]`; None for a model without classes."""
        if not self.config.c_dim:
            return None
        classes = torch.as_tensor(labels, dtype=torch.long)
        return torch.eye(self.config.c_dim)[classes].to(self.device, self.dtype)

    def map(self, z: Tensor, c: Tensor | None = None, *, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """`z [B, z_dim]` to `w+ [B, num_ws, w_dim]`, its first `cutoff` rows (all by default) truncated towards the mean.

        `w = mean + psi (w - mean)`: psi 1 leaves w as it is, 0 gives the mean picture.
        """
        ws = self.map_z(z, c).unsqueeze(1).repeat(1, self.config.num_ws, 1)
        if psi != 1.0:
            ws[:, :cutoff] = self.mean_w().lerp(ws[:, :cutoff], psi)
        return ws

    def code_of(
        self, z: Tensor, c: Tensor | None = None, *, psi: float = 1.0, rng: torch.Generator | None = None
    ) -> Code:
        """The codes of `z [B, z_dim]`. What z does not determine comes from `rng`, or is the same each time without it."""
        return Code(self.map(z, c, psi=psi))

    def sample_code(self, rng: torch.Generator, psi: float = 1.0, label: int | None = None) -> Code:
        """The code of one picture: z is drawn first, then whatever else the generator takes, from the same numbers."""
        c = None if label is None else self.one_hot([label])
        return self.code_of(self.sample_z(1, rng), c, psi=psi, rng=rng)[0]

    def skip_codes(self, count: int, rng: torch.Generator) -> None:
        """Move `rng` to where drawing `count` codes with `sample_z` and one call of `code_of` leaves it."""
        self.sample_z(count, rng)

    def sample_w(self, count: int) -> Tensor:
        """`[count, w_dim]` from seeded random z; classes of a conditional model in turn."""
        z = self.sample_z(count, torch.Generator().manual_seed(0))
        c = self.one_hot(torch.arange(count) % self.config.c_dim) if self.config.c_dim else None
        with torch.no_grad():
            return self.map_z(z, c)

    def mean_code(self) -> Code:
        """The code of the mean w."""
        return Code(self.mean_w().expand(self.config.num_ws, -1).clone())

    def styles(self, code: Code) -> Styles:
        """The style of every layer, in the order of `layers`, with the code's offsets added: `[B, style_dim]` each.

        Raises ValueError if the code does not fit this generator.
        """
        ws = self._rows(code)
        styles = {layer.name: self.style_map(layer.name)(ws[:, layer.latent_index]) for layer in self.layers}
        return self._offset(styles, code)

    def check(self, code: Code) -> None:
        """Raise ValueError, naming both shapes, unless the code is that of one picture of this generator, and finite."""
        if code.ws.dim() != 2:
            raise ValueError(f"w+ of one picture has two dimensions, not {list(code.ws.shape)}")
        self._rows(code)
        widths = {layer.name: layer.style_dim for layer in self.layers}
        for name, offset in code.style_offsets.items():
            if name not in widths:
                raise ValueError(f"this model has no layer {name!r}; it has {', '.join(widths)}")
            if tuple(offset.shape) != (widths[name],):
                raise ValueError(
                    f"the offset of {name} must be [{widths[name]}] for this model, not {list(offset.shape)}"
                )
        if (code.layout is not None) != self.capabilities.layout:
            raise ValueError("this model takes " + ("a layout too" if self.capabilities.layout else "no layout"))
        for name, x in code.tensors().items():
            if not bool(x.isfinite().all()):
                raise ValueError(f"{name} is not finite")

    def forward(self, code: Code, **how: Any) -> Tensor:
        """`synthesize`, so that `torch.func.functional_call` can draw with other weights."""
        return self.synthesize(code, **how)

    def _rows(self, code: Code) -> Tensor:
        """w+ of every picture, `[B, num_ws, w_dim]`. Raises ValueError."""
        ws = code.ws if code.ws.dim() == 3 else code.ws[None]
        shape = (self.config.num_ws, self.config.w_dim)
        if ws.dim() != 3 or ws.shape[1:] != shape:
            raise ValueError(f"w+ must be [{shape[0]}, {shape[1]}] for this model, not {list(code.ws.shape)}")
        return ws

    @staticmethod
    def _offset(styles: Styles, code: Code) -> Styles:
        """The styles with the code's offsets added. Raises ValueError for an unknown layer."""
        for name, offset in code.style_offsets.items():
            if name not in styles:
                raise ValueError(f"this model has no layer {name!r}; it has {', '.join(styles)}")
            styles[name] = styles[name] + offset
        return styles
