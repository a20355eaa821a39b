"""StyleGAN2's two networks (Karras et al. 2020), in the form that is fast on a CPU and made for editing.

The modulated convolution is unfused: scale the input channels by the style, convolve with the shared weights, scale
the output channels by the demodulation coefficient. That equals the grouped convolution of the paper (eq. 1 to 3) and
needs no per-sample weights.

The way of a picture: `z -> mapping -> w+ -> styles -> synthesis -> image`, each step callable by itself. Every layer can
also be called on a window of its input (`halo=True`), because nothing in the synthesis looks further than its receptive
field: there is no spatial normalisation.
"""

import math
from collections.abc import Collection, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansteer.models.code import Styles
from gansteer.models.generator import Noise
from gansteer.models.layers import LRELU_GAIN, LRELU_SLOPE, Fill, Linear, blur, normalize_second_moment, upsample
from gansteer.models.stylegan2.config import GeneratorConfig


class Mapping(nn.Module):
    """z (and a class label) to w: normalise, then `mapping_layers` dense leaky-ReLU layers at 1/100 learning rate."""

    w_mean: Tensor

    def __init__(self, config: GeneratorConfig, fill: Fill = torch.randn) -> None:
        super().__init__()
        self.c_dim = config.c_dim
        self.embed = Linear(config.c_dim, config.w_dim, fill=fill) if config.c_dim else None
        width = config.w_dim
        first = config.z_dim + (width if config.c_dim else 0)
        self.layers = nn.ModuleList(
            Linear(first if i == 0 else width, width, activate=True, lr_multiplier=0.01, fill=fill)
            for i in range(config.mapping_layers)
        )
        self.register_buffer("w_mean", torch.zeros(width))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """`z [B, z_dim]`, `c [B, c_dim]` one-hot (only for conditional models), to `w [B, w_dim]`."""
        x = normalize_second_moment(z)
        if self.embed is not None:
            if c is None:
                raise ValueError(f"this model is class-conditional: give a label of {self.c_dim} classes")
            x = torch.cat([x, normalize_second_moment(self.embed(c))], dim=1)
        for layer in self.layers:
            x = layer(x)
        return x


def demodulation(style: Tensor, energy: Tensor, eps: float = 1e-8) -> Tensor:
    """`d_o = 1 / sqrt(sum_i s_i^2 sum_k W_oik^2 + eps)`, eq. 3 of the paper; `style [B, I]`, `energy [O, I]` to `[B, O]`."""
    return (F.linear(style.square(), energy) + eps).rsqrt()


def up_convolution(x: Tensor, weight: Tensor, *, halo: bool = False) -> Tensor:
    """Double the size and convolve 3x3: transposed convolution, then the FIR blur with gain 4.

    `x [B, I, H, W]`, `weight [O, I, 3, 3]` to `[B, O, 2H, 2W]`. With `halo`, the outermost pixel of `x` on every side
    is a neighbour that is already there, and the result covers the rest: `[B, O, 2(H-2), 2(W-2)]`.
    """
    if x.device.type == "cpu" and not weight.requires_grad:
        # Several times as quick there for few channels; where the weights learn, it isn't.
        x = x.contiguous(memory_format=torch.channels_last)
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # [B, O, 2H + 1, 2W + 1]
    return blur(x[:, :, 1:-1, 1:-1], gain=4.0) if halo else blur(x, gain=4.0, padding=1)


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, demodulation, noise, bias, leaky ReLU; `up` doubles the size first."""

    noise_fixed: Tensor

    def __init__(
        self,
        name: str,
        resolution: int,
        in_channels: int,
        out_channels: int,
        latent_index: int,
        up: bool,
        config: GeneratorConfig,
        fill: Fill = torch.randn,
    ) -> None:
        super().__init__()
        self.name = name
        self.resolution = resolution
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.latent_index = latent_index
        """The row of w+ that drives this layer."""
        self.up = up
        self.clamp = config.conv_clamp
        self.affine = Linear(config.w_dim, in_channels, bias_init=1.0, fill=fill)
        self.weight = nn.Parameter(fill((out_channels, in_channels, 3, 3)))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_fixed", fill((resolution, resolution)))

    def energy(self) -> Tensor:
        """`sum_k W_oik^2 [O, I]`, all that demodulation needs of the weights. A long edit computes it once."""
        return self.weight.square().sum(dim=(2, 3))

    def forward(
        self, x: Tensor, style: Tensor, noise: Tensor | None, *, energy: Tensor | None = None, halo: bool = False
    ) -> Tensor:
        """`x [B, I, H, W]` to `[B, O, H, W]`, or `[B, O, 2H, 2W]` if `up`.

        `style [B or 1, I]`; `noise` is broadcast to the result (None for no noise). With `halo`, `x` is a window whose
        outermost pixels are neighbours (zero beyond the picture's border), and the result is one pixel smaller on each
        side before doubling: `[B, O, H-2, W-2]` or `[B, O, 2(H-2), 2(W-2)]`.
        """
        x, scale = self.unscaled(x * style[:, :, None, None], style, noise, energy=energy, halo=halo)
        return x * scale[:, :, None, None]

    def unscaled(
        self, x: Tensor, style: Tensor, noise: Tensor | None, *, energy: Tensor | None = None, halo: bool = False
    ) -> tuple[Tensor, Tensor]:
        """As `forward`, from an `x` that is scaled by the style already, and in two parts whose product is the result.

        The parts are the activations `[B, O, H, W]` and a positive scale `[B, O]`: `lrelu(d a) = d lrelu(a)` for d > 0,
        so demodulation can wait until the next layer scales by its style anyway. That saves a pass over the
        activations forward and two backward, and keeping the convolution's result.
        """
        d = demodulation(style, self.energy() if energy is None else energy)
        if self.up:
            x = up_convolution(x, self.weight, halo=halo)
        else:
            x = F.conv2d(x, self.weight, padding=0 if halo else 1)
        inverse = d.reciprocal()
        if noise is not None:
            x.addcmul_(noise, (inverse * self.noise_strength)[:, :, None, None])
        x = F.leaky_relu_(x.add_((inverse * self.bias)[:, :, None, None]), LRELU_SLOPE)
        scale = d * LRELU_GAIN
        if self.clamp is None:
            return x, scale
        return (x * scale[:, :, None, None]).clamp(-self.clamp, self.clamp), torch.ones_like(scale)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to the picture's channels, without demodulation (so with the fan-in gain)."""

    def __init__(
        self, name: str, resolution: int, in_channels: int, latent_index: int, config: GeneratorConfig,
        fill: Fill = torch.randn,
    ) -> None:  # fmt: skip
        super().__init__()
        self.name = name
        self.resolution = resolution
        self.in_channels = in_channels
        self.latent_index = latent_index
        self.clamp = config.conv_clamp
        self.affine = Linear(config.w_dim, in_channels, bias_init=1.0, fill=fill)
        self.weight = nn.Parameter(fill((config.img_channels, in_channels, 1, 1)))
        self.bias = nn.Parameter(torch.zeros(config.img_channels))
        self.weight_gain = 1.0 / math.sqrt(in_channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """`x [B, I, H, W]`, `style [B or 1, I]` to `[B, img_channels, H, W]`."""
        # Three output channels: weights per sample are cheaper than scaling the input.
        weight = self.weight.flatten(1) * (style * self.weight_gain)[:, None]  # [B or 1, img_channels, I]
        y: Tensor = torch.matmul(weight, x.flatten(2)).view(x.shape[0], -1, *x.shape[2:]) + self.bias[:, None, None]
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class Block(nn.Module):
    """The layers of one resolution: (up-convolution,) convolution, toRGB."""

    def __init__(self, resolution: int, config: GeneratorConfig, fill: Fill = torch.randn) -> None:
        super().__init__()
        k = int(math.log2(resolution))
        out = config.channels(resolution)
        self.resolution = resolution
        self.convs = nn.ModuleDict()
        if resolution > 4:
            self.convs["conv0"] = SynthesisLayer(
                f"b{resolution}.conv0", resolution, config.channels(resolution // 2), out, 2 * k - 5, True, config, fill
            )
        self.convs["conv1"] = SynthesisLayer(
            f"b{resolution}.conv1", resolution, out, out, max(2 * k - 4, 0), False, config, fill
        )
        self.torgb = ToRGB(f"b{resolution}.torgb", resolution, out, 2 * k - 3, config, fill)

    def layers(self) -> Iterator[SynthesisLayer]:
        for layer in self.convs.values():
            assert isinstance(layer, SynthesisLayer)
            yield layer


class Synthesis(nn.Module):
    """Styles to a picture, or to the features after any layer. toRGBs are summed over the resolutions (skip form)."""

    def __init__(self, config: GeneratorConfig, fill: Fill = torch.randn) -> None:
        super().__init__()
        self.config = config
        self.constant = nn.Parameter(fill((config.channels(4), 4, 4)))
        self.blocks = nn.ModuleList(Block(r, config, fill) for r in config.block_resolutions)

    def each_block(self) -> Iterator[Block]:
        for block in self.blocks:
            assert isinstance(block, Block)
            yield block

    def layers(self) -> Iterator[SynthesisLayer]:
        """The convolutions in the order in which they run."""
        for block in self.each_block():
            yield from block.layers()

    def styled(self) -> Iterator[SynthesisLayer | ToRGB]:
        """All layers that have a style, block by block."""
        for block in self.each_block():
            yield from block.layers()
            yield block.torgb

    def styles(self, ws: Tensor) -> Styles:
        """`ws [B, num_ws, w_dim]` to the style of every layer."""
        if ws.dim() != 3 or ws.shape[1:] != (self.config.num_ws, self.config.w_dim):
            raise ValueError(
                f"w+ must be [B, {self.config.num_ws}, {self.config.w_dim}] for this model, not {list(ws.shape)}"
            )
        return {layer.name: layer.affine(ws[:, layer.latent_index]) for layer in self.styled()}

    def _noise(self, layer: SynthesisLayer, batch: int, noise: Noise) -> Tensor | None:
        if noise == "none":
            return None
        if noise == "fixed":
            return layer.noise_fixed
        if noise == "random":
            size = (batch, 1, layer.resolution, layer.resolution)
            return torch.randn(size, dtype=layer.noise_fixed.dtype, device=layer.noise_fixed.device)
        return noise(batch, layer.resolution)

    def features(self, styles: Styles, layers: Collection[str], *, noise: Noise = "fixed") -> dict[str, Tensor]:
        """The activations `[B, C, r, r]` after each layer named in `layers`; stops after the last of them.

        toRGBs are not evaluated. Raises ValueError for a name that this model lacks.
        """
        names = [layer.name for layer in self.layers()]
        missing = [name for name in layers if name not in names]
        if missing:
            raise ValueError(f"this model has no layer {missing[0]!r}; it has {', '.join(names)}")
        found: dict[str, Tensor] = {}
        x = self.constant.expand(next(iter(styles.values())).shape[0], -1, -1, -1)
        for layer in self.layers():
            if len(found) == len(set(layers)):
                break
            x = layer(x, styles[layer.name], self._noise(layer, x.shape[0], noise))
            if layer.name in layers:
                found[layer.name] = x
        return found

    def forward(self, styles: Styles, *, noise: Noise = "fixed", resolution: int | None = None) -> Tensor:
        """Styles to the picture `[B, img_channels, resolution, resolution]`, nominally in [-1, 1] (not clamped).

        At a smaller `resolution` than the model's, a power of two, it is what the layers up to there make of it: about
        the same picture, much sooner.
        """
        x = self.constant.expand(next(iter(styles.values())).shape[0], -1, -1, -1)
        scale: Tensor | None = None
        image: Tensor | None = None
        for block in self.each_block():
            for layer in block.layers():
                style = styles[layer.name]
                x = x * (style if scale is None else style * scale)[:, :, None, None]
                x, scale = layer.unscaled(x, style, self._noise(layer, x.shape[0], noise))
            assert scale is not None
            rgb = block.torgb(x, styles[block.torgb.name] * scale)
            image = rgb if image is None else upsample(image) + rgb
            if block.resolution == resolution:
                break
        assert image is not None
        return image
