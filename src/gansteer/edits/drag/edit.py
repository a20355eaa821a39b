"""Dragging points: the edit `Drag`, and what every way of carrying it out shares.

The methods are in files of their own: `draggan.py`, `gauss_newton.py` and `freedrag.py`.
"""

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gansteer.edits.api import Point, Progress, SteppedRun
from gansteer.edits.drag.config import DragSettings, Method
from gansteer.edits.drag.features import Engine, Extractor, Features, Grid, View, default_layer
from gansteer.edits.drag.latent import Adam, Latent, Whitening
from gansteer.edits.drag.mask import MaskTerm
from gansteer.errors import UserError
from gansteer.subject import Subject

MOST_HANDLES = 1000
MOST_PATCH, MOST_WINDOW = 50_000, 250_000
"""Pixels that all handles together pull, and look through: every one of the first costs some KB, of the second 250 bytes."""
MOST_CONFIDENT = 32.0
"""r2 of the confident tracker, which solves as many equations as its window has pixels."""
WIDE_PATCH = 2.0
"""r1 of Gauss-Newton, in cells of the features. Its steps are longer than the paper's patch is wide, so that such a small
patch finds itself again anywhere: then handles arrive by their tracker while the picture stays where it was."""
BLOW_UP = 10.0
"""An offset from the start of so many deviations of the model's own w has left every picture behind."""


@dataclass(frozen=True, eq=False)
class Drag(DragSettings):
    """Drag handles to targets. Lengths are in pixels of the picture; None means the default of its resolution."""

    handles: Sequence[Point]
    """Points of the picture (x, y) to be moved."""
    targets: Sequence[Point]
    """Where each of them shall go."""
    mask: Tensor | None = None
    """`[H, W]`, 1 (or True) = may move, 0 = shall stay as it is; None = everything may move."""
    engine: Engine = field(default="auto", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("handles", "targets"):
            points = tuple((float(x), float(y)) for x, y in getattr(self, name))
            if not all(math.isfinite(v) for point in points for v in point):
                raise UserError(f"{name} must be finite numbers: give every point as x,y in pixels")
            object.__setattr__(self, name, points)
        if not self.handles:
            raise UserError("give at least one handle and its target")
        if len(self.handles) != len(self.targets):
            raise UserError(
                f"{len(self.handles)} handles but {len(self.targets)} targets: give every handle one target"
            )
        if len(self.handles) > MOST_HANDLES:
            raise UserError(f"{len(self.handles)} handles are too many: give at most {MOST_HANDLES}")
        (pixel, count), *_ = Counter((round(x), round(y)) for x, y in self.handles).most_common(1)
        if count > 1:
            raise UserError(f"two handles stand on pixel {pixel[0]},{pixel[1]}: remove one of them")
        if self.mask is not None:
            mask = torch.as_tensor(self.mask)
            if mask.dim() != 2:
                raise UserError(f"the mask must be [height, width], not {list(mask.shape)}")
            object.__setattr__(self, "mask", (mask if mask.dtype == torch.bool else mask > 0.5).cpu())

    @property
    def title(self) -> str:
        """For a history."""
        return "Drag a point" if len(self.handles) == 1 else f"Drag {len(self.handles)} points"

    def begin(self, subject: Subject) -> "PointRun":
        """The run of this edit's method on `subject`."""
        from gansteer.edits.drag import draggan, freedrag, gauss_newton  # which import this file

        runs: dict[Method, type[PointRun]] = {
            "draggan": draggan.DragGANRun,
            "gauss-newton": gauss_newton.GaussNewtonRun,
            "freedrag": freedrag.FreeDragRun,
        }
        return runs[self.method](subject, self)

    def fitted(self, subject: Subject) -> "Drag":
        """This edit with every default filled in for the subject's model; raises UserError where it does not fit."""
        size = subject.model.resolution
        scale = size / 512
        few = len(self.handles) <= 5
        layer = self.layer or subject.model.card.drag_layer or default_layer(subject.model.generator)
        r1 = max(3.0, 3 * scale)
        if self.method == "gauss-newton":
            r1 = min(max(r1, WIDE_PATCH * Grid.of(subject.model.generator, layer).cell), self._largest("r1"))
        fitted = replace(
            self,
            layer=layer,
            r1=self.r1 if self.r1 is not None else r1,
            r2=self.r2 if self.r2 is not None else max(6.0, 12 * scale),
            tolerance=self.tolerance if self.tolerance is not None else max(1.0, scale) * (1 if few else 2),
            rows=min(self.rows, len(subject.code.ws)),
            patience=self.patience or (20 if self.method == "gauss-newton" else 60),
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
        fitted._check_cost()
        return fitted

    def _check_cost(self) -> None:
        """Raise UserError if a step would take gigabytes."""
        for name in ("r1", "r2"):
            most = self._largest(name)
            if (getattr(self, name) or 0) > most:
                fewer = "" if len(self.handles) == 1 else ", or fewer handles"
                raise UserError(
                    f"{name} of {getattr(self, name):g} px takes too much memory: take at most {math.floor(most)}{fewer}"
                )

    def _largest(self, name: str) -> float:
        """Pixels of r1 or r2 at most."""
        count = len(self.handles)
        if name == "r1":
            return math.sqrt(MOST_PATCH / count / math.pi)
        most = math.sqrt(MOST_WINDOW / count) / 2
        return min(most, MOST_CONFIDENT) if self.tracker == "confident" else most


class PointRun(SteppedRun[Progress]):
    """A drag being carried out: `step()` until it ends, or iterate; `revise()` in between."""

    taken = 0
    """Latent steps taken since the start, over all revisions."""

    def __init__(self, subject: Subject, edit: Drag) -> None:
        """Raises UserError if the edit does not fit the subject."""
        self.start = subject
        self.history: list[tuple[Drag, int]] = []
        """Every edit of this run and how many pictures were looked at under it: enough to run it again."""
        self._whitening = Whitening.of(subject.model)
        self._spread = self._whitening.spread
        self._set_up(edit.fitted(subject), None)

    def revise(self, edit: Drag) -> None:
        """Go on from the present picture with other points or another mask.

        As when a person presses start again: templates, reference features and the optimiser begin anew.
        """
        fitted = edit.fitted(self.start)
        if self.progress is not None:
            self.taken = self.progress.step  # the step towards a picture that nobody has seen is dropped
            self.progress = replace(self.progress, stop_reason=None)
        self._set_up(fitted, self.edit)

    def _set_up(self, edit: Drag, before: Drag | None) -> None:
        present = self.subject
        if before is None or (before.rows, before.layer, before.engine) != (edit.rows, edit.layer, edit.engine):
            assert edit.layer is not None
            self._extract = Extractor(present.generator, present.code, edit.rows, edit.layer, edit.engine)
        assert edit.r1 is not None
        assert edit.r2 is not None
        assert edit.tolerance is not None
        assert edit.patience is not None
        self.edit = edit
        self._patience = edit.patience
        self._r1, self._r2, self._tolerance = edit.r1, edit.r2, edit.tolerance
        self._grid = self._extract.grid
        self._points = torch.tensor(edit.handles, dtype=torch.float64)  # p_i, [n, 2]
        self._targets = torch.tensor(edit.targets, dtype=torch.float64)  # t_i, [n, 2]
        by_model = edit.metric == "model"
        self._latent = Latent(present.code.ws, edit.rows, edit.space, self._whitening if by_model else None)
        self._adam = Adam(self._latent.offset, edit.learning_rate, together=by_model)
        masked = edit.mask is not None and not bool(edit.mask.all())
        self._mask = MaskTerm(edit.mask, self._grid, edit.exact_mask) if masked and edit.mask is not None else None
        self._first_step = self.taken
        self._best: Progress | None = None
        self._since_best = 0
        self._begin()
        self.history.append((edit, 0))

    @abstractmethod
    def _begin(self) -> None:
        """Take from the first picture what the method needs; call `_remember` with its features."""

    @abstractmethod
    def _look(self) -> Tensor:
        """Look at the present latent: update `_points`, return the loss."""

    def _features(self, need: Tensor) -> Features:
        """F(w) at the cells `need [r, r]` and those of the mask term."""
        return self._extract(self._latent.rows(), need if self._mask is None else need | self._mask.need)

    def _remember(self, features: Features) -> None:
        """Keep F0 for the mask term."""
        if self._mask is not None:
            self._mask.remember(features)

    def _view(self, features: Features) -> View:
        return View(features.detach(), lambda: self._present().render())

    def _present(self) -> Subject:
        return replace(self.start, code=replace(self.start.code, ws=self._latent.w()))

    def _held(self, features: Features) -> Tensor:
        """The terms that hold the picture: mask and priors, weighted."""
        edit = self.edit
        loss = self._latent.offset.new_zeros(())
        if self._mask is not None:
            loss = loss + edit.lambda_mask * self._mask(features)
        if edit.pull:
            loss = loss + edit.pull * self._latent.moved().square().mean()
        if edit.manifold:
            loss = loss + edit.manifold * self._whitening(self._latent.moved()).square().mean()
        return loss

    def _arrived(self, distances: Tensor) -> bool:
        return bool((distances <= self._tolerance).all())

    def step(self) -> Progress:
        """Look at the present picture and, unless that ends the run, take one latent step.

        Once the run has ended, the last progress again.
        """
        if self.progress is not None and self.progress.stop_reason:
            return self.progress
        loss = self._look()
        distances = (self._targets - self._points).norm(dim=1)
        points = tuple((x, y) for x, y in self._points.tolist())
        now = Progress(self.taken, float(loss.detach()), points, tuple(distances.tolist()), self._present())
        self.progress = self._ending(now, distances) or now
        if not self.progress.stop_reason:
            self._advance(loss)
            if self.edit.reach:
                self._latent.hold(self._whitening, self.edit.reach)
            self.taken += 1
        self.history[-1] = (self.edit, self.history[-1][1] + 1)
        return self.progress

    def _advance(self, loss: Tensor) -> None:
        """The latent step: Adam's, unless the method knows a better one."""
        (gradient,) = torch.autograd.grad(loss, self._latent.offset)
        self._adam.step(gradient)

    def _ending(self, now: Progress, distances: Tensor) -> Progress | None:
        """The last progress if the run ends with this picture."""
        edit, size = self.edit, float(self._latent.offset.detach().square().mean().sqrt())
        if not math.isfinite(now.loss) or size > BLOW_UP * self._spread:
            return self._end("the latent blew up: lower the learning rate (the nearest picture is kept)", now)
        if self._best is None or sum(now.distances) < sum(self._best.distances) or edit.tracker == "none":
            self._best, self._since_best = now, 0
        else:
            self._since_best += 1
        if self._arrived(distances):
            return replace(now, stop_reason="all handles have arrived")
        if self.taken - self._first_step >= edit.steps:
            return self._end(f"step limit of {edit.steps} reached (the nearest picture is kept)", now)
        if self._since_best >= self._patience:
            far = edit.reach and float(self._latent.length(self._whitening)) > 0.99 * edit.reach
            where = ", at the end of its reach" if far else ""
            return self._end(f"no nearer for {self._patience} steps{where} (the nearest picture is kept)", now)
        return None

    def _end(self, why: str, now: Progress) -> Progress:
        best = self._best or replace(now, subject=self.start)
        return replace(best, stop_reason=why)
