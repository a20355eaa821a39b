"""DragGAN (Pan et al., SIGGRAPH 2023): move points of the picture to where the person wants them.

One iteration: compute the features F(w), track every handle in them, and take one Adam step on w against the motion
supervision loss of the same features. So an iteration is one forward and one backward pass, and the handles that a
step reports are those of the picture it reports.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.edits.features import Engine, Extractor, Features, View, default_layer
from gansteer.edits.latent import Adam, Latent, Whitening, spread
from gansteer.edits.run import Point, Progress
from gansteer.edits.tracking import Tracked, TrackerName, around, disc, inside, make_tracker, square
from gansteer.errors import UserError
from gansteer.subject import Subject

Method = Literal["draggan", "freedrag"]

BLOW_UP = 10.0
"""An offset from the start of so many deviations of the model's own w has left every picture behind."""


@dataclass(frozen=True, eq=False)
class Drag:
    """Drag handles to targets. Lengths are in pixels of the picture; None means the default of its resolution."""

    handles: Sequence[Point]
    """Points of the picture (x, y) to be moved."""
    targets: Sequence[Point]
    """Where each of them shall go."""
    mask: Tensor | None = None
    """`[H, W]`, 1 (or True) = may move, 0 = shall stay as it is; None = everything may move."""
    method: Method = "draggan"
    tracker: TrackerName = "nearest"
    """nearest (L1, the paper's), nearest-l2, confident (StableDrag's idea), none. FreeDrag needs none."""
    space: Literal["w+", "w"] = "w+"
    """w+: every row moves by itself; w: all `rows` rows move by the same amount."""
    rows: int = 6
    """The first rows of w+ move; the rest, which carry appearance, stay bit for bit."""
    layer: str | None = None
    """Whose features are followed; None: as the model's card says."""
    r1: float | None = None
    """Radius of the patch that is pulled; 3 at 512 px and below, growing with the picture above."""
    r2: float | None = None
    """Half width of the tracking window; 12 at 512 px, in proportion, at least 6."""
    lambda_mask: float = 20.0
    """Weight of the mask term, in the mean form."""
    exact_mask: bool = False
    """Evaluate the mask term at every pixel of the picture instead of on the feature map's own grid."""
    learning_rate: float = 2e-3
    tolerance: float | None = None
    """A handle this near its target has arrived; 1 at 512 px and below (2 with more than five handles)."""
    steps: int = 300
    """Latent steps at most."""
    patience: int = 60
    """End after so many steps that brought the handles no nearer."""
    pull: float = 0.0
    """Prior: weight of `mean (w - w0)^2`."""
    manifold: float = 0.0
    """Prior: weight of the same in the whitened coordinates of w (PCA of what the model's own mapping gives)."""
    engine: Engine = "auto"

    def __post_init__(self) -> None:
        for name in ("handles", "targets"):
            points = tuple((float(x), float(y)) for x, y in getattr(self, name))
            if not all(math.isfinite(v) for point in points for v in point):
                raise UserError(f"{name} must be finite numbers: give every point as x,y in pixels")
            object.__setattr__(self, name, points)
        if len(self.handles) != len(self.targets):
            raise UserError(
                f"{len(self.handles)} handles but {len(self.targets)} targets: give every handle one target"
            )
        if not self.handles:
            raise UserError("give at least one handle and its target")
        pixels = [(round(x), round(y)) for x, y in self.handles]
        for pixel in pixels:
            if pixels.count(pixel) > 1:
                raise UserError(f"two handles stand on pixel {pixel[0]},{pixel[1]}: remove one of them")
        for name, low in (("r1", 1.0), ("r2", 1.0), ("tolerance", 0.0)):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= low):
                raise UserError(f"{name} must be a number of pixels from {low:g}, not {value}")
        for name in ("lambda_mask", "pull", "manifold", "learning_rate"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} must be a number from 0, not {value}")
        for name in ("rows", "steps", "patience"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.mask is not None:
            mask = torch.as_tensor(self.mask)
            if mask.dim() != 2:
                raise UserError(f"the mask must be [height, width], not {list(mask.shape)}")
            object.__setattr__(self, "mask", (mask if mask.dtype == torch.bool else mask > 0.5).cpu())

    def fitted(self, subject: Subject) -> "Drag":
        """This edit with every default filled in for the subject's model; raises UserError where it does not fit."""
        size = subject.model.resolution
        scale = size / 512
        few = len(self.handles) <= 5
        fitted = replace(
            self,
            layer=self.layer or subject.model.card.drag_layer or default_layer(size),
            r1=self.r1 if self.r1 is not None else max(3.0, 3 * scale),
            r2=self.r2 if self.r2 is not None else max(6.0, 12 * scale),
            tolerance=self.tolerance if self.tolerance is not None else max(1.0, scale) * (1 if few else 2),
            rows=min(self.rows, len(subject.w)),
        )
        for name in ("handles", "targets"):
            for x, y in getattr(self, name):
                if not (0 <= x <= size - 1 and 0 <= y <= size - 1):
                    raise UserError(
                        f"{name[:-1]} {x:g},{y:g} lies outside the picture: x and y go from 0 to {size - 1}"
                    )
        if self.mask is not None:
            if tuple(self.mask.shape) != (size, size):
                height, width = self.mask.shape
                raise UserError(f"the mask is {width}x{height} but the picture is {size}x{size}: resize the mask")
            for x, y in self.handles:
                if not self.mask[round(y), round(x)]:
                    raise UserError(f"the mask fixes the handle {x:g},{y:g}: paint it free (white) there")
        return fitted


# --- the method, with the paper's symbols -------------------------------------------------------------------------------


def directions(p: Tensor, t: Tensor) -> Tensor:
    """`d_i = (t_i - p_i) / ||t_i - p_i||_2`, `[n, 2]`; within the last pixel `t_i - p_i` itself, so 0 on arrival."""
    way = t - p
    return way / way.norm(dim=1, keepdim=True).clamp_min(1.0)


def patches(p: Tensor, d: Tensor, r1: float, size: int) -> tuple[Tensor, Tensor]:
    """Omega_1 of every handle: `q [n, K, 2]`, and which of them `[n, K]` lie in the picture before and after the shift."""
    q = around(p, disc(r1))
    return q, inside(q, size) & inside(q + d[:, None], size)


def motion_loss(features: Features, p: Tensor, d: Tensor, r1: float, source: Tensor | None = None) -> Tensor:
    """Motion supervision (section 3.2), `sum_i mean_{q in Omega_1(p_i, r1)} | sg[F(q)] - F(q + d_i) |`.

    The mean form: over the patch's pixels and the channels. `p`, `d [n, 2]` in pixels. sg stops the gradient, so the
    content is pulled forwards and the target not backwards. `source [n, K, C]`, if given, stands for F(q).
    """
    q, valid = patches(p, d, r1, features.grid.size)
    if source is None:
        source = features.detach().sample(q.flatten(0, 1)).unflatten(0, q.shape[:2])
    shifted = features.sample((q + d[:, None]).flatten(0, 1)).unflatten(0, q.shape[:2])
    difference = (source - shifted).abs().mean(dim=2)  # [n, K]
    weight = valid.to(difference) / valid.sum(dim=1, keepdim=True).clamp_min(1).to(difference)
    return (difference * weight).sum()


def mask_loss(features: Features, f0: Tensor, fixed: Tensor) -> Tensor:
    """The mask term on the map's own grid: `mean_{cells, channels} |F - F0| (1 - M)`.

    `fixed [r, r]` is 1 - M averaged over each cell's pixels (on the CPU); `f0 [N, C]` are the first picture's features
    at the cells where it is not zero, in row-major order.
    """
    cells = fixed > 0
    difference = (features.at(cells) - f0).abs().mean(dim=1)  # [N]
    return (difference * fixed[cells].to(difference)).sum() / fixed.numel()


class _ExactMask(torch.autograd.Function):
    """`mean |U (F - F0)| (1 - M)` with U the resize to the picture, a few channels at a time.

    Forward computes the gradient as well, so that nothing of full resolution is kept.
    """

    @staticmethod
    def forward(ctx: object, difference: Tensor, fixed: Tensor, chunk: int) -> Tensor:
        total = difference.new_zeros(())
        gradient = torch.empty_like(difference)
        share = 1.0 / (difference.shape[0] * fixed.numel())
        for start in range(0, len(difference), chunk):
            with torch.enable_grad():
                part = difference[start : start + chunk].detach().requires_grad_()
                resized = F.interpolate(part[None], fixed.shape, mode="bilinear", align_corners=False)[0]
                loss = (resized.abs() * fixed).sum() * share
            (gradient[start : start + chunk],) = torch.autograd.grad(loss, part)
            total += loss.detach()
        ctx.save_for_backward(gradient)  # type: ignore[attr-defined]
        return total

    @staticmethod
    def backward(ctx: object, g: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * g, None, None


def exact_mask_loss(features: Features, f0: Tensor, fixed: Tensor, chunk: int = 16) -> Tensor:
    """The mask term as published: `mean_{pixels, channels} |F - F0| (1 - M)`, F resized to the picture.

    `f0 [C, r, r]`, `fixed [H, W]` is 1 - M. Never more than `chunk` channels are held at full resolution.
    """
    loss: Tensor = _ExactMask.apply(features.map() - f0, fixed.to(f0), chunk)
    return loss


# --- the run ------------------------------------------------------------------------------------------------------------


class DragRun:
    """A drag being carried out: `step()` until it ends, or iterate; `revise()` in between."""

    def __init__(self, subject: Subject, edit: Drag) -> None:
        """Raises UserError if the edit does not fit the subject."""
        self.start = subject
        self.progress: Progress | None = None
        """What the last step found."""
        self.taken = 0
        """Latent steps taken since the start, over all revisions."""
        self._latent: Latent | None = None
        self.revise(edit)

    @property
    def subject(self) -> Subject:
        """The picture of the last step or, once the run has ended, the best one."""
        return self.start if self.progress is None else self.progress.subject

    @property
    def ended(self) -> str | None:
        return None if self.progress is None else self.progress.ended

    def revise(self, edit: Drag) -> None:
        """Go on from the present picture with other points or another mask.

        As when a person presses start again: templates, reference features and the optimiser begin anew.
        """
        fitted = edit.fitted(self.start)
        present = self.subject
        model, before = self.start.model, self.edit if self._latent else None
        if before is None or (before.rows, before.layer, before.engine) != (fitted.rows, fitted.layer, fitted.engine):
            self._extract = Extractor(
                model.generator, present.w, present.offsets, fitted.rows, fitted.layer or "", fitted.engine
            )
        self.edit = fitted
        self._latent = Latent(present.w, fitted.rows, fitted.space)
        self._adam = Adam(self._latent.offset, fitted.learning_rate)
        self._whitening = Whitening.of(model) if fitted.manifold else None
        self._bound = BLOW_UP * spread(model)
        self._handles = torch.tensor(fitted.handles, dtype=torch.float64)  # p_i
        self._targets = torch.tensor(fitted.targets, dtype=torch.float64)  # t_i
        self._first_step = self.taken
        self._best: Progress | None = None
        self._since_best = 0
        self._fixed: Tensor | None = None
        if fitted.mask is not None and not bool(fitted.mask.all()):
            fixed = 1.0 - fitted.mask.double()
            r, size = self._extract.grid.r, self._extract.grid.size
            self._fixed = fixed if fitted.exact_mask else fixed.view(r, size // r, r, size // r).mean(dim=(1, 3))
        self._remember_first_picture()
        self.progress = None if self.progress is None else replace(self.progress, ended=None)

    def _remember_first_picture(self) -> None:
        """F0: the trackers' templates, the patches, and what the mask protects."""
        with torch.no_grad():
            need = self._need(self._handles)
            features = self._extract(self._latent_rows(), need)
            self._tracker = make_tracker(self.edit.tracker, self._view(features), self._handles, self.edit.r2 or 0.0)
            q = around(self._handles, disc(self.edit.r1 or 0.0))
            self._patches = features.sample(q.flatten(0, 1)).unflatten(0, q.shape[:2])
            if self._fixed is not None:
                self._f0 = features.map() if self.edit.exact_mask else features.at(self._fixed > 0)

    def _latent_rows(self) -> Tensor:
        assert self._latent is not None
        return self._latent.rows()

    def _view(self, features: Features) -> View:
        return View(features.detach(), lambda: self._present().render())

    def _present(self) -> Subject:
        assert self._latent is not None
        return replace(self.start, w=self._latent.w())

    def _need(self, p: Tensor) -> Tensor:
        """The cells that tracking around `p [n, 2]`, motion supervision there and the mask term look at."""
        size = self._extract.grid.size
        window = square(self.edit.r2 or 0.0) if self.edit.tracker != "none" else torch.zeros(1, 2, dtype=torch.float64)
        points = [around(p, window).flatten(0, 1).clamp(0, size - 1), self._patch_points(p)]
        need = self._extract.grid.need(torch.cat(points))
        if self._fixed is None:
            return need
        return torch.ones_like(need) if self.edit.exact_mask else need | (self._fixed > 0)

    def _patch_points(self, p: Tensor) -> Tensor:
        """`[N, 2]` where motion supervision from `p` samples."""
        q = around(p, disc(self.edit.r1 or 0.0))
        return torch.cat([q, q + directions(p, self._targets)[:, None]]).flatten(0, 1)

    def step(self) -> Progress:
        """Features, tracking, loss, one Adam step. Once the run has ended, the last progress again."""
        if self.progress is not None and self.progress.ended:
            return self.progress
        rows = self._latent_rows()
        features = self._extract(rows, self._need(self._handles))
        tracked = self._tracker.track(self._view(features), self._handles)
        if not features.covers(self._extract.grid.need(self._patch_points(tracked.points))):
            # The handle has left its region: compute the features again where it is now.
            features = self._extract(rows, self._need(self._handles) | self._need(tracked.points))
        self._handles = tracked.points
        self.progress = self._judge(self._loss(features, tracked))
        return self.progress

    def _loss(self, features: Features, tracked: Tracked) -> Tensor:
        assert self._latent is not None
        p, edit = tracked.points, self.edit
        d = directions(p, self._targets)
        source = None
        if not bool(tracked.sure.all()):
            q = around(p, disc(edit.r1 or 0.0))
            source = features.detach().sample(q.flatten(0, 1)).unflatten(0, q.shape[:2])
            source = torch.where(tracked.sure[:, None, None].to(source.device), source, self._patches)
        loss = motion_loss(features, p, d, edit.r1 or 0.0, source)
        if self._fixed is not None:
            term = exact_mask_loss if edit.exact_mask else mask_loss
            loss = loss + edit.lambda_mask * term(features, self._f0, self._fixed)
        if edit.pull:
            loss = loss + edit.pull * self._latent.offset.square().mean()
        if self._whitening is not None:
            loss = loss + edit.manifold * self._whitening(self._latent.offset).square().mean()
        return loss

    def _judge(self, loss: Tensor) -> Progress:
        """Decide whether to go on, and if so take the Adam step."""
        assert self._latent is not None
        edit, way = self.edit, self._targets - self._handles
        distances = way.norm(dim=1)
        points = tuple((x, y) for x, y in self._handles.tolist())
        now = Progress(self.taken, float(loss.detach()), points, tuple(distances.tolist()), self._present())
        if not math.isfinite(now.loss) or float(self._latent.offset.detach().square().mean().sqrt()) > self._bound:
            return self._end("the latent blew up: lower the learning rate (the best picture so far is kept)", now)
        if self._best is None or sum(now.distances) < sum(self._best.distances) or edit.tracker == "none":
            self._best, self._since_best = now, 0
        else:
            self._since_best += 1
        if bool((distances <= (edit.tolerance or 0.0)).all()):
            return replace(now, ended="all handles have arrived")
        if self.taken - self._first_step >= edit.steps:
            return self._end(f"step limit of {edit.steps} reached (the nearest picture is kept)", now)
        if self._since_best >= edit.patience:
            return self._end(f"no nearer for {edit.patience} steps (the nearest picture is kept)", now)
        (gradient,) = torch.autograd.grad(loss, self._latent.offset)
        self._adam.step(gradient)
        self.taken += 1
        return now

    def _end(self, why: str, now: Progress) -> Progress:
        best = self._best or replace(now, subject=self.start)
        self._handles = torch.tensor(best.points, dtype=torch.float64)
        return replace(best, ended=why)

    def __iter__(self) -> Iterator[Progress]:
        while True:
            progress = self.step()
            yield progress
            if progress.ended:
                return
