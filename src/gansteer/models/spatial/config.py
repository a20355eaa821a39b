"""The shape of a SpatialGAN generator, and the law of its layouts. Importing it does not import torch."""

from dataclasses import dataclass

from gansteer.models.stylegan2.config import GeneratorConfig

ENCODINGS = ("local", "published", "none")
LAWS = ("objects", "hierarchical")


@dataclass(frozen=True)
class SpatialConfig(GeneratorConfig):
    """Everything that determines the shape of a StyleGAN2 generator that is conditioned on blobs.

    The law of layouts belongs to it, because new pictures take layouts from it as training did.
    """

    encoding: str = "local"
    """How heatmaps enter. local: every pixel is modulated by what stands there; published: SEL, which normalises over the
    picture; none: not at all, for ablations."""
    encoded: int = 32
    """The largest resolution whose layers heatmaps enter."""
    blob_dim: int = 16
    """Numbers of a blob's own style code."""
    style_channels: int = 32
    """Channels of `s_k`, which a small network makes of a style code."""
    hidden_channels: int = 48
    """Channels of the features of heatmaps, per resolution."""
    law: str = "objects"
    """The law of layouts: objects, several independent ones, or hierarchical, the published 1, 2 and 4 centres."""
    blobs: int = 6
    """With objects: how many blobs a layout has."""
    drop: float = 0.2
    """With objects: each blob is absent with this probability."""
    radius_low: float = 0.05
    """With objects: least distance, as a share of the picture's width, at which a heatmap falls to one half."""
    radius_high: float = 0.225
    top: float = 0.25
    """With objects: the highest place of centres, as a share of the picture's height from above."""
    bottom: float = 0.95
    """With objects: the lowest place."""
    margin: float = 0.075
    """With objects: the least distance of centres from the left and the right border, as a share of the picture's width."""
    apart: int = 2
    """With objects: how many random centres each is chosen from: the one farthest from those before it."""
    deviation: float = 0.33
    """With hierarchical: the standard deviation of the first centre from the middle, in units of half the picture's width."""
    noise: bool = True
    """Whether the layers add noise maps; without, the code alone decides what is drawn."""
    mean_rows: int = 0
    """The first rows of w+ that are those of the mean w in new pictures, so that blobs alone decide what stands where."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}, not {self.encoding!r}")
        if self.law not in LAWS:
            raise ValueError(f"the law of layouts must be one of {', '.join(LAWS)}, not {self.law!r}")
        for name in ("blob_dim", "style_channels", "hidden_channels", "apart"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.blobs <= MAX_BLOBS:
            raise ValueError(f"a layout has from 0 to {MAX_BLOBS} blobs, not {self.blobs}")
        if not 0 <= self.drop <= 1:
            raise ValueError(f"drop is a probability, not {self.drop}")
        if not 0 <= self.radius_low <= self.radius_high:
            raise ValueError("radius_low and radius_high must be rising numbers from 0")
        if not (0 <= self.top <= self.bottom <= 1 and 0 <= self.margin <= 0.5):
            raise ValueError("top and bottom must be rising shares of the picture, and margin one up to 0.5")
        if not 0 < self.deviation <= 1:
            raise ValueError(f"deviation must be above 0 and at most 1, not {self.deviation}")
        if self.mean_rows < 0 or self.mean_rows > self.num_ws:
            raise ValueError(f"mean_rows must be from 0 to {self.num_ws}, not {self.mean_rows}")


MAX_BLOBS = 64
