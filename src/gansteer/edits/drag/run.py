"""Carrying a drag out: the loop that all point methods share. The methods are in files of their own."""

import math
from abc import abstractmethod
from dataclasses import replace

import torch
from torch import Tensor

from gansteer.edits.api import Progress, SteppedRun
from gansteer.edits.arrangement.differences import gain_of
from gansteer.edits.drag.blobs import BLOB_RATE, MovingLayout, first_move
from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.features import Extractor, Features, View
from gansteer.edits.drag.latent import Adam, Latent, Whitening
from gansteer.edits.drag.mask import MaskTerm
from gansteer.models.layout import Layout
from gansteer.subject import Subject

BLOW_UP = 10.0
"""An offset of this many deviations of the model's own w has left every picture behind."""


class PointRun(SteppedRun[Drag]):
    """A drag being carried out: `step()` until it ends, or iterate; `revise()` in between."""

    taken = 0
    """Latent steps taken since the start, over all revisions."""
    _passes_before = 0

    def __init__(self, subject: Subject, edit: Drag) -> None:
        """Raises UserError if the edit does not fit the subject."""
        fitted = edit.fitted(subject)
        super().__init__(subject, fitted)
        self._whitening = Whitening.of(subject.model)
        self._spread = self._whitening.spread
        self._set_up(fitted, None)

    def revise(self, edit: Drag) -> None:
        """Go on from the present picture with other points or another mask.

        As when a person presses start again: templates, reference features and the optimiser begin anew.
        """
        fitted = (edit if edit.method else replace(edit, method=self.edit.method)).fitted(self.start)
        if self.progress is not None:
            self.taken = self.progress.step  # the step towards a picture that nobody has seen is dropped
            self.progress = replace(self.progress, stop_reason=None)
        before, self.edit = self.edit, fitted
        self._set_up(fitted, before)
        self.history.append((fitted, 0))

    def _set_up(self, edit: Drag, before: Drag | None) -> None:
        present = self.subject
        if before is None or _looks(before) != _looks(edit):
            assert edit.layer is not None
            self._passes_before = 0 if before is None else self.passes
            look = present.generator, present.code, edit.rows
            self._extract = Extractor(*look, edit.layer, edit.engine)
            apart = edit.tracking_layer
            self._extract_tracked = None if apart is None else Extractor(*look, apart, edit.engine)
            """For the features that handles are tracked in, where they are others than those that are pulled."""
        assert edit.r1 is not None
        assert edit.r2 is not None
        assert edit.tolerance is not None
        assert edit.patience is not None
        self._patience = edit.patience
        self._r1, self._r2, self._tolerance = edit.r1, edit.r2, edit.tolerance
        self._grid = self._extract.grid
        self._points = torch.tensor(edit.handles, dtype=torch.float64)  # p_i, [n, 2]
        self._targets = torch.tensor(edit.targets, dtype=torch.float64)  # t_i, [n, 2]
        self._latent = self._make_latent(present.code.ws, edit)
        assert edit.learning_rate is not None
        self._rate = edit.learning_rate
        self._adam = Adam(self._latent.offset, self._rate, together=edit.metric == "model")
        layout = None if edit.layout == "fixed" else present.code.layout
        self._blobs = None if layout is None else MovingLayout(layout, present.model.resolution)
        self._blobs_first = self._blobs is not None and edit.layout == "move+joint"
        """Whether blobs are to be moved before w is."""
        self._blob_adam = None if self._blobs is None else Adam(self._blobs.offset, BLOB_RATE)
        mask = edit.holding()
        self._mask = None if mask is None else MaskTerm(mask, self._grid, edit.exact_mask)
        self._first_step = self.taken
        self._best: Progress | None = None
        self._since_best = 0
        self._begin()

    def _make_latent(self, w: Tensor, edit: Drag) -> Latent:
        """What is optimised, from `w [num_ws, w_dim]` on."""
        return Latent(w, edit.rows, edit.space, self._whitening if edit.metric == "model" else None)

    @property
    def passes(self) -> int:
        """Passes through the network so far, forward and backward, each as one."""
        return (
            self._passes_before
            + self._extract.passes
            + (0 if self._extract_tracked is None else self._extract_tracked.passes)
        )

    @abstractmethod
    def _begin(self) -> None:
        """Take from the first picture what the method needs; call `_remember` with its features."""

    @abstractmethod
    def _look(self) -> Tensor:
        """Look at the present latent: update `_points`, return the loss."""

    def _features(self, need: Tensor) -> Features:
        """F(w) at the cells `need [r, r]` and those of the mask term."""
        return self._extract(
            self._latent.rows(), need if self._mask is None else need | self._mask.need, self._layout()
        )

    def _layout(self) -> Layout | None:
        return None if self._blobs is None else self._blobs.layout()

    def _tracked_in(self, features: Features, window: Tensor) -> View:
        """What the tracker looks at: `features`, or the tracking layer's in the `window [K]` around the points."""
        if self._extract_tracked is None:
            return self._view(features)
        with torch.no_grad():
            need = self._extract_tracked.grid.need_around(self._points, window)
            return self._view(self._extract_tracked(self._latent.rows(), need, self._layout()))

    def _remember(self, features: Features) -> None:
        """Keep F0 for the mask term."""
        if self._mask is not None:
            self._mask.remember(features)

    def _view(self, features: Features) -> View:
        return View(features.detach(), lambda: self._present().render())

    def _present(self) -> Subject:
        code = replace(self.start.code, ws=self._latent.w())
        if self._blobs is not None:
            code = replace(code, layout=self._blobs.present())
        return replace(self.start, code=code)

    def _held(self, features: Features) -> Tensor:
        """The terms that hold the picture: mask and priors, weighted."""
        edit = self.edit
        loss = self._latent.offset.new_zeros(())
        if self._mask is not None:
            loss = loss + self._mask(features, edit.lambda_mask)
        if edit.pull:
            loss = loss + edit.pull * self._latent.moved().square().mean()
        if edit.manifold:
            loss = loss + edit.manifold * self._whitening(self._latent.moved()).square().mean()
        return loss

    def _arrived(self, distances: Tensor) -> bool:
        return bool((distances <= self._tolerance).all())

    def _step(self) -> Progress:
        """Look at the present picture and, unless that ends the run, take one latent step."""
        loss = self._look()
        distances = (self._targets - self._points).norm(dim=1)
        points = tuple((x, y) for x, y in self._points.tolist())
        now = Progress(self.taken, float(loss.detach()), self._present(), points, tuple(distances.tolist()))
        found = self._ending(now, distances) or now
        if not found.stop_reason:
            if not self._move_blobs():
                self._advance(loss)
            if self.edit.reach:
                self._latent.hold(self._whitening, self.edit.reach)
            self.taken += 1
        return found

    def _nearer(self, now: Progress, best: Progress) -> bool:
        """Whether a step came nearer to the targets than the best before it."""
        return sum(now.distances) < sum(best.distances)

    def _move_blobs(self) -> bool:
        """The first step of a picture with a layout, w staying as it is; whether there was any blob to move.

        Handles are then looked for where their blobs should have taken them.
        """
        if self._blobs is None or not self._blobs_first:
            return False
        self._blobs_first = False
        gain = gain_of(self.start.model)
        shift, carried = first_move(self._blobs.present(), self._points, self._targets, gain)
        if not bool(shift.any()):
            return False
        self._blobs.jump(shift)
        self._points = (self._points + gain * carried).clamp(0, self._grid.size - 1)
        return True

    def _advance(self, loss: Tensor) -> None:
        """The latent step: Adam's, unless the method knows a better one."""
        if self._blobs is None or self._blob_adam is None:
            (gradient,) = torch.autograd.grad(loss, self._latent.offset)
            self._adam.step(gradient)
            return
        both = torch.autograd.grad(loss, [self._latent.offset, self._blobs.offset])
        self._adam.step(both[0])
        self._blob_adam.step(both[1])

    def _ending(self, now: Progress, distances: Tensor) -> Progress | None:
        """The last progress if the run ends with this picture."""
        edit, size = self.edit, self._latent.size()
        if not math.isfinite(now.loss) or size > BLOW_UP * self._spread:
            return self._end("the latent blew up: lower the learning rate (the nearest picture is kept)", now)
        if self._best is None or self._nearer(now, self._best) or edit.tracker == "none":
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


def _looks(edit: Drag) -> tuple[object, ...]:
    """What the features of an edit depend on."""
    return edit.rows, edit.layer, edit.tracking_layer, edit.engine
