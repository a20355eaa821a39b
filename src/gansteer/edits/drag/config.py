"""How a drag is carried out: what the edit `Drag` and the flags of `gansteer drag` share. Does not import torch."""

import math
from dataclasses import dataclass
from typing import Literal

from gansteer.errors import UserError

Method = Literal["natural", "adaptive", "draggan", "gauss-newton", "freedrag", "transformer"]
Metric = Literal["model", "plain"]
LayoutMode = Literal["move+joint", "joint", "fixed"]
TrackerName = Literal[
    "nearest", "nearest-l2", "between-pixels", "patch-flow", "confident", "none",
    "lucas-kanade", "dense-flow", "learned-flow", "learned-points",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class DragSettings:
    """How a drag is carried out. Lengths are in pixels of the picture; None means the default of its resolution."""

    method: Method | None = None
    """natural: steps that change the picture least for the way that the handles go; draggan: as published, with a larger rate; adaptive: the
    same with steps that follow the distance left and handles followed between the pixels; freedrag, gauss-newton; transformer: one pass of a
    network that `gansteer train-transformer` trained. docs/evaluation.md compares them. Unless given, natural with up to five handles; draggan
    with more, with a mask, and where a setting is given that natural lacks (learning_rate, metric, a tracker)."""
    tracker: TrackerName | None = None
    """nearest (L1, the paper's, and draggan's unless given), nearest-l2, between-pixels (L2, adaptive's), patch-flow (from picture to picture,
    natural's), confident (StableDrag's
    idea), none; and for comparison, looking at the picture, lucas-kanade and dense-flow (extra `trackers`), and learned-flow and
    learned-points, of the shape of RAFT and PIPs, trained by `gansteer train-tracker`. FreeDrag takes none."""
    layout: LayoutMode = "move+joint"
    """What becomes of the blobs of a picture that has a layout. move+joint: the one that covers a handle is moved first, w
    staying as it is, then w and the blobs' centres move together; joint: together from the start; fixed: they stay."""
    layer: str | None = None
    """Whose features are followed, such as b64.conv1; by default the model's own choice. Several, joined by +, are laid one upon the other
    at the cells of the finest."""
    tracking_layer: str | None = None
    """Of draggan and adaptive: whose features handles are tracked in, where that is not the layer whose features are pulled."""
    space: Literal["w", "w+"] = "w+"
    """w+, the paper's: every row moves by itself; w: all `rows` rows move by the same amount."""
    metric: Metric = "plain"
    """How latent steps are measured. plain, the paper's: coordinate by coordinate; model: along the principal axes of the w
    that the model's mapping gives, in deviations, so that directions in which pictures hardly vary are hardly taken. It needs
    fewer steps (a learning rate of 1e-2 suits it) and changes more of the rest."""
    reach: float = 0.0
    """How far the latent may go from where the edit begins, in deviations along those axes together; 0 for no limit.
    A handle that would have to go farther stops where the model's pictures end, instead of breaking the picture; what
    suits depends on the model, `portraits` keeps its faces with 10."""
    rows: int = 6
    """How many rows of w+ move; the rest, which carry appearance, stay bit for bit."""
    r1: float | None = None
    """Radius of the patch that is pulled, in pixels; 3 at 512 px and below, growing with the picture above.
    gauss-newton takes two cells of the features."""
    r2: float | None = None
    """Half width of the tracking window, in pixels; 12 at 512 px, in proportion, at least 6."""
    stride: float | None = None
    """How far the patch is pulled at a time, in pixels; 1 is the paper's, gauss-newton takes 1.5 cells of the features,
    natural a 96th of the picture for the handle that has farthest to go."""
    lambda_mask: float = 10.0
    """Weight of the mask term, in the mean form. The larger, the stiller the rest; where handles no longer move, take less."""
    exact_mask: bool = False
    """Hold every pixel outside the mask instead of every cell of the feature map."""
    learning_rate: float | None = None
    """Adam's; larger is faster, and changes more of the rest. 5e-3 unless given, where the paper's 2e-3 takes twice the steps;
    adaptive takes 2e-2 far from the target and less near it."""
    tolerance: float | None = None
    """A handle this near its target, in pixels, has arrived; 1 at 512 px and below (2 with more than five handles), of adaptive half, on
    average, and each handle within these; of natural as of adaptive."""
    steps: int = 300
    """Latent steps at most."""
    patience: int | None = None
    """Steps that bring the handles no nearer before it gives up; 60, of adaptive's and gauss-newton's, which are larger, 20, of natural's 2."""
    as_released: bool = False
    """Method draggan, as its authors' released code does it where that differs from the paper: pixels of the patch are counted from
    coordinates stretched by size / (size - 1), handles are tracked by L2 in a window that has its border, r1 and r2 are
    rounded (and have no floor), handles within one pixel of their targets are not pulled, the mask is held pixel by pixel, a run ends
    within 2 px, and never for want of progress. Learning rate and lambda_mask stay as they are given."""
    pull: float = 0.0
    """Prior: stay near the start; weight of `mean (w - w0)^2`."""
    manifold: float = 0.0
    """Prior: stay among the pictures that the model draws; weight of the same in the whitened coordinates of w."""

    def __post_init__(self) -> None:
        for name, low in (("r1", 1.0), ("r2", 1.0), ("stride", 0.1), ("tolerance", 0.0)):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= low):
                raise UserError(f"{name} must be a number of pixels from {low:g}, not {value}")
        for name in ("lambda_mask", "pull", "manifold", "learning_rate", "reach"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} must be a number from 0, not {value}")
        for name in ("rows", "steps", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, not {value}")
        if self.as_released and self.method in ("freedrag", "gauss-newton", "natural"):
            raise UserError(f"--as-released is DragGAN's code: leave out --method {self.method}")
        if self.tracking_layer is not None and self.method not in (None, "draggan", "adaptive"):
            raise UserError(f"{self.method} tracks in the layer that it pulls: leave tracking_layer out")
        if self.method == "gauss-newton" and self.layout == "joint":
            raise UserError(f"{self.method} moves w only: choose the layout move+joint or fixed")
        if self.method in ("gauss-newton", "natural") and self.exact_mask:
            raise UserError(f"{self.method} holds the mask on the feature map's grid: leave exact_mask off")
