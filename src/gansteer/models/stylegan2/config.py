"""The shape of a StyleGAN2 generator. Importing it does not import torch, so that the command line starts quickly."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that determines the shape of a StyleGAN2 generator."""

    resolution: int
    """Width and height of the picture, a power of two from 4 to 1024."""
    z_dim: int = 512
    w_dim: int = 512
    c_dim: int = 0
    """Number of classes; 0 for an unconditional model."""
    channel_base: int = 32768
    """Channels at resolution r are `min(channel_base / r, channel_max)`."""
    channel_max: int = 512
    mapping_layers: int = 8
    img_channels: int = 3
    conv_clamp: float | None = None
    """Clamp activations to +- this value (256 in networks trained with float16)."""

    def __post_init__(self) -> None:
        if self.resolution not in (4, 8, 16, 32, 64, 128, 256, 512, 1024):
            raise ValueError(f"resolution must be a power of two from 4 to 1024, not {self.resolution}")
        for name in ("z_dim", "w_dim", "channel_base", "channel_max", "mapping_layers", "img_channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.c_dim < 0:
            raise ValueError(f"c_dim must not be negative, not {self.c_dim}")
        if self.channels(self.resolution) < 1:
            raise ValueError(f"channel_base {self.channel_base} leaves no channel at {self.resolution} px")

    def channels(self, resolution: int) -> int:
        return min(self.channel_base // resolution, self.channel_max)

    @property
    def shapes(self) -> tuple[int, ...]:
        """All numbers that the shapes of the tensors depend on."""
        widths = [self.channels(r) for r in self.block_resolutions]
        return (self.resolution, self.z_dim, self.w_dim, self.c_dim, self.mapping_layers, self.img_channels, *widths)

    @property
    def block_resolutions(self) -> list[int]:
        return [2**i for i in range(2, int(math.log2(self.resolution)) + 1)]

    @property
    def num_ws(self) -> int:
        """Rows of w+: two per block, the last of which feeds only the last toRGB (4 px: 2, 128 px: 12, 1024 px: 18)."""
        return 2 * len(self.block_resolutions)
