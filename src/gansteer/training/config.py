"""What a training run is told: a frozen dataclass each, which is also the command line's flags and the run's record."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gansteer.colours import parse_colour
from gansteer.errors import UserError
from gansteer.models.spatial.config import MAX_BLOBS
from gansteer.models.stylegan2.config import GeneratorConfig

FEATURE_SIZES = (64, 128, 256)


def law_fields(layout: str) -> dict[str, Any]:
    """What a --layout such as objects:6 says of the law of layouts, as fields of `SpatialConfig`."""
    law, _, number = layout.partition(":")
    if not number:
        return {"law": law}
    return {"law": law, "blobs": int(number)} if law == "objects" else {"law": law, "deviation": float(number)}


@dataclass(frozen=True)
class TrainConfig:
    """Train a StyleGAN2 on a folder or zip of pictures."""

    data: Path
    """Folder or zip of square pictures, all of one size; larger ones are reduced to the resolution."""
    out: Path
    """Folder of the run. An existing run of the same configuration is continued."""
    resolution: int = 128
    """Width and height of the pictures drawn, a power of two."""
    images: int = 2_000_000
    """How many real pictures to show in all."""
    loss: Literal["projected", "stylegan2"] = "projected"
    """Projected: a discriminator on frozen EfficientNet features, which needs few pictures; stylegan2: from scratch."""
    feature_size: int = 128
    """Width at which the projected discriminator's features look at pictures, real and drawn: 64, 128 or 256; 64 costs a
    quarter of 128. A run that grows from one with another size begins with a new discriminator."""
    augment: Literal["auto", "none", "diffaugment", "ada"] = "auto"
    """Augmentation of what the discriminator sees. Auto: diffaugment with the projected loss, else ada."""
    augment_colour: float = 1.0
    """Strength of diffaugment's colour changes; less where colours matter and pictures are many."""
    batch: int = 32
    """Pictures a step, over all processes."""
    z_dim: int = 64
    w_dim: int = 128
    mapping_layers: int = 2
    channel_base: int = 8192
    """Channels at resolution r are min(channel_base / r, channel_max); with --grow as many as there are, or more."""
    channel_max: int = 128
    g_lr: float = 2e-3
    d_lr: float = 2e-3
    r1_gamma: float | None = None
    """Weight of R1 (stylegan2 loss only); by default 0.0002 * resolution^2 / batch."""
    path_length: float = 0.0
    """Weight of path length regularisation; 2 in StyleGAN2."""
    style_mixing: float = 0.5
    """Share of steps in which two w are mixed."""
    anchor: float = 0.0
    """Share of each batch that draws known pictures again from latents of their own, next to the discriminator's lesson
    (projected loss only). It keeps few pictures and short training from collapsing to one face; 0 is the published way.
    With --layout, codes.safetensors in the run's folder or in that of --grow must tell their layouts too."""
    anchor_images: int = 0
    """With --anchor: pictures that are only drawn again at first; over half as many more the discriminator comes in."""
    anchor_weight: float = 20.0
    """With --anchor: weight of the difference in features; that of the pixels has 12 times as much."""
    anchor_lr: float = 1e-2
    """With --anchor-images: the generator's learning rate while it only draws pictures again."""
    anchor_faces: bool = False
    """With --anchor: the pictures are portraits; their latents come from landmarks and attributes, which the face reader
    finds, and their colours. Without, from a frozen network's features and colours."""
    ada_target: float = 0.6
    ema_images: float | None = None
    """Half-life of the averaged generator in pictures; by default batch * 10,000 / 32."""
    crop: Literal["none", "center", "pad"] = "none"
    """Pictures of other shapes and sizes: take the largest square in their middle, or pad them with the background."""
    background: str = "white"
    """The colour behind transparent pictures and beside padded ones: a name, or #rrggbb."""
    mirror: bool = False
    """Also show mirrored copies."""
    conditional: bool = False
    """Condition on classes: those of a dataset.json, or a folder for each."""
    layout: str = "none"
    """Condition on blobs: objects:N for N independent things a picture, hierarchical for one (1, 2 and 4 centres), or none.
    hierarchical:D has the thing nearer to the middle: D is the deviation of its centre in half widths, published as 0.33."""
    encoding: Literal["local", "published", "none"] = "local"
    """With --layout: how heatmaps enter. local modulates every pixel by itself, which keeps dragging fast; published is SEL,
    which normalises over the picture; none leaves them out, for ablations."""
    layout_noise: bool = True
    """With --layout: whether the layers add noise maps. Without, the code alone decides what is drawn."""
    alignment: float = 1.0
    """With --layout: weight of the alignment of the discriminator's attention with the heatmaps; 0 leaves it out."""
    alignment_ramp: int = 0
    """With --layout: pictures over which the weight of the alignment grows from 0."""
    alignment_sign: Literal["published", "reversed"] = "published"
    """With --layout: attention is what speaks against realism, as published, or for it."""
    layout_reader: float = 0.0
    """With --layout (projected loss only): weight of a reader that learns along to see blobs, their styles and z; not published."""
    composition: float = 0.0
    """With --layout and --no-layout-noise: weight of composition. When some blobs go and the others move to the side, these should
    take their things along, and nothing else stand there; 3 or 4 is a good weight. Not published."""
    equivariance: float = 0.0
    """With --layout hierarchical and --grow from a model without layout: weight of equivariance. What that model draws, moved to where
    the first blob is, should be drawn; 30 is a good weight. Not published."""
    blobs_alone: float = 0.0
    """With --layout: in this share of pictures the layers up to 16 px take the mean w, and what they begin with says nothing
    of left and right: blobs alone decide what stands where. New pictures then always do. Not published."""
    spread: bool = False
    """The projected discriminator also sees, at every place, how much the pictures of a group differ; not published."""
    grow: Path | None = None
    """Start from this run's folder, or from a model (its name or file), of half the resolution or of the same, and of
    as many channels or fewer: it draws the same pictures at first."""
    network: str | None = None
    """With --grow from a file that holds several networks: which, such as G instead of G_ema."""
    discriminator_images: int = 0
    """Pictures that teach the discriminator alone at first, while the generator stays. With --grow from a model whose
    discriminator is lost: one that knows nothing yet spoils a good generator within some thousand pictures."""
    snapshot_images: int = 20_000
    """Pictures between two files of the generator with a sheet of samples."""
    checkpoint_minutes: float = 10.0
    """Minutes between two files with everything needed to continue."""
    seed: int = 0
    workers: int = 0
    """Processes that decode pictures; 0 decodes in the loop (pictures are kept in memory up to 4 GiB)."""
    device: str = "auto"

    def __post_init__(self) -> None:
        parse_colour(self.background, "--background")
        if self.batch < 1 or self.images < 1 or self.snapshot_images < 1:
            raise UserError("--batch, --images and --snapshot-images must be at least 1")
        if self.g_lr <= 0 or self.d_lr <= 0 or self.anchor_lr <= 0:
            raise UserError("--g-lr, --d-lr and --anchor-lr must be above 0")
        if self.ema_images is not None and self.ema_images <= 0:
            raise UserError("--ema-images must be above 0")
        if self.feature_size not in FEATURE_SIZES:
            raise UserError(f"--feature-size is one of {', '.join(map(str, FEATURE_SIZES))}, not {self.feature_size}")
        counts = ("workers", "anchor_images", "discriminator_images")
        for name in ("r1_gamma", "path_length", "augment_colour", "anchor_weight", *counts):
            if (getattr(self, name) or 0) < 0:
                raise UserError(f"--{name.replace('_', '-')} must not be negative")
        if not 0 <= self.style_mixing <= 1:
            raise UserError(f"--style-mixing is a share from 0 to 1, not {self.style_mixing}")
        if not 0 <= self.anchor < 1:
            raise UserError(f"--anchor is a share of the batch from 0 to below 1, not {self.anchor}")
        if self.anchor and self.loss != "projected":
            raise UserError("--anchor compares features: use it with --loss projected")
        if self.anchor_faces and not self.anchor:
            raise UserError("--anchor-faces says what known pictures are drawn from: use it with --anchor, such as 0.5")
        if self.discriminator_images and self.anchor_images:
            raise UserError("at first either --anchor-images or --discriminator-images: choose one of them")
        if self.network is not None and self.grow is None:
            raise UserError("--network says which network of a file to --grow from: give that file, too")
        if self.conditional and self.loss == "projected":
            raise UserError("the projected discriminator ignores labels: use --loss stylegan2 with --conditional")
        self._check_layout()
        self.generator_config()  # says what is wrong with the shape

    def _check_layout(self) -> None:
        if self.spread and self.loss != "projected":
            raise UserError("--spread is of the projected discriminator: use it with --loss projected")
        for name in ("alignment", "alignment_ramp", "layout_reader", "composition", "equivariance"):
            if getattr(self, name) < 0:
                raise UserError(f"--{name.replace('_', '-')} must not be negative")
        if not 0 <= self.blobs_alone <= 1:
            raise UserError(f"--blobs-alone is a share from 0 to 1, not {self.blobs_alone}")
        if self.layout == "none":
            return
        if not re.fullmatch(r"hierarchical(:0?\.[0-9]{1,4})?|objects(:[0-9]{1,4})?", self.layout):
            raise UserError(
                "--layout is none, objects:N such as objects:6, hierarchical, or hierarchical:D such as hierarchical:0.2, "
                f"not {self.layout!r}"
            )
        asked = law_fields(self.layout)
        if self.layout_reader and self.loss != "projected":
            raise UserError("--layout-reader looks at frozen features: use it with --loss projected")
        if self.composition and self.layout_noise:
            raise UserError("--composition compares pictures that are drawn twice: use it with --no-layout-noise")
        if self.equivariance and (asked["law"] != "hierarchical" or self.grow is None):
            raise UserError(
                "--equivariance moves pictures of a model by the first blob: use it with --layout hierarchical and --grow"
            )
        if not 1 <= asked.get("blobs", 1) <= MAX_BLOBS:
            raise UserError(f"--layout objects:N takes from 1 to {MAX_BLOBS} blobs, not {asked['blobs']}")
        if not asked.get("deviation", 1.0):
            raise UserError("--layout hierarchical:D takes a D above 0: with 0 the first blob never moves")

    def generator_config(self, c_dim: int = 0) -> GeneratorConfig:
        try:
            return GeneratorConfig(
                resolution=self.resolution, z_dim=self.z_dim, w_dim=self.w_dim, c_dim=c_dim,
                channel_base=self.channel_base, channel_max=self.channel_max, mapping_layers=self.mapping_layers,
            )  # fmt: skip
        except ValueError as error:
            raise UserError(str(error)) from error

    @property
    def gamma(self) -> float:
        return 0.0002 * self.resolution**2 / self.batch if self.r1_gamma is None else self.r1_gamma

    @property
    def ema_half_life(self) -> float:
        return self.batch * 10_000 / 32 if self.ema_images is None else self.ema_images


@dataclass(frozen=True)
class InverterTraining:
    """How an encoder is trained."""

    steps: int = 4000
    batch: int = 8
    """Pictures of a step."""
    passes: int = 7
    """Corrections of the guess, each after a look at what it draws; 0 for none."""
    looks: int = 2400
    """How often it is looked at beforehand how pictures change with w, which corrections go by."""
    real: float = 0.75
    """Share of real pictures, if there are some; the others are the model's own."""
    learning_rate: float = 1e-3
    pixels: float = 10.0
    """Weight of the pixels' difference beside the perceptual one."""
    latent: float = 0.1
    """Weight of the error in w, for the model's own pictures."""
    flat: float = 0.01
    """Weight of the pull of all rows of w+ towards each other, which keeps the result editable."""
    seed: int = 0

    def __post_init__(self) -> None:
        _check_counts(self, "steps", "batch")
        if self.passes < 0 or self.looks < 1:
            raise UserError("passes must be a number from 0 and looks one from 1")
        if not 0 <= self.real <= 1:
            raise UserError(f"real is a share from 0 to 1, not {self.real}")
        _check_sizes(self, "learning_rate", "pixels", "latent", "flat")


@dataclass(frozen=True, kw_only=True)
class TransformerTraining:
    """How a latent transformer is trained."""

    pairs: int = 3000
    """Pictures and their moves to learn from."""
    steps: int = 4000
    batch: int = 32
    learning_rate: float = 1e-3
    dim: int = 128
    """Width of its tokens; the published one has 512."""
    heads: int = 4
    blocks: int = 3
    """Of the encoder, and of the decoder; the published one has 6 each."""
    seed: int = 0

    def __post_init__(self) -> None:
        _check_counts(self, "pairs", "steps", "batch", "dim", "heads", "blocks")
        if self.dim % (2 * self.heads):
            raise UserError(f"dim must be a multiple of twice the heads, {2 * self.heads}, not {self.dim}")
        _check_sizes(self, "learning_rate")


@dataclass(frozen=True, kw_only=True)
class TrackerTraining:
    """How a network that follows points is trained."""

    kind: Literal["flow", "points"] = "flow"
    """flow: from picture to picture, of RAFT's shape; points: through eight pictures at once, of the shape of PIPs."""
    pictures: int = 300
    """Pictures of the model to learn from, each warped anew every time."""
    steps: int = 1500
    batch: int = 4
    crop: int = 64
    """Width of the part of a picture that a step looks at, in pixels; a multiple of 4."""
    least: float = 1 / 32
    """The smallest warps, as a share of the largest: a step of an edit moves points by a fraction of a pixel, an edit by many."""
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        _check_counts(self, "pictures", "steps", "batch")
        if self.crop < 16 or self.crop % 4:
            raise UserError(f"crop must be a multiple of 4 from 16, not {self.crop}")
        if not 0 < self.least <= 1:
            raise UserError(f"least must be a share above 0 and at most 1, not {self.least}")
        _check_sizes(self, "learning_rate")


def _check_counts(config: object, *names: str) -> None:
    """Raise UserError unless each of these fields is at least 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise UserError(f"{name} must be at least 1, not {getattr(config, name)}")


def _check_sizes(config: object, *names: str) -> None:
    """Raise UserError unless each of these fields is a finite number from 0."""
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and value >= 0):
            raise UserError(f"{name} must be a number from 0, not {value}")
