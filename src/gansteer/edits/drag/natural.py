"""Drag by least change: the step that takes the handles where they should go, and changes the picture least.

The handles' own motion is linear in a small change of the latent. By Lucas and Kanade, the content of a patch whose features change
from F to F' has moved by `v = -(G^T G)^-1 G^T (F' - F)`, G being the differences of F along x and y. With J the derivative of all v by the
latent and M the metric of pictures (`picture_metric.py`), a step is

    delta = argmin | u - J delta |^2 + mu delta^T M delta = M^-1 J^T (J M^-1 J^T + mu)^-1 u,

u being the way that is left, or a part of it that is the same share for all handles. So few steps are needed, each as long as it is
true; what needs not change does not; and as every step depends on the present picture alone, the way back retraces the way
there. Products with J^T are backward passes over the handles' regions, products with J differences of two forward passes.

The constants were tried on cases that no table of docs/evaluation.md holds.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gansteer.edits.api import Progress
from gansteer.edits.drag.draggan import DragGANRun
from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.features import Features
from gansteer.edits.drag.latent import Latent
from gansteer.edits.drag.patch_flow import CROSS, normal_matrix, patch_slopes
from gansteer.edits.drag.picture_metric import MetricLatent, PictureMetric
from gansteer.edits.drag.tracking import around, disc, inside
from gansteer.subject import Subject

CG_STEPS = 4
"""Iterations of conjugate gradients at most; two for every handle are exact."""
ENOUGH = 1e-4
"""Share of the first square of what is left at which the iterations end."""
DAMPING = 0.1
"""mu, as a share of the curvature along the first direction."""
STRIDE = 1 / 96
"""Of the picture's width, is the longest way that a handle is asked to go at a time: farther on, J is another."""
LONGEST = 0.2
"""Change of the picture by a step at most, as a share of its root mean square."""
PROBE = 0.01
"""Length of the difference that gives products with J, in the same unit."""
RIDGE = 1e-2
"""Of the trace of `G^T G`: a patch without texture along one direction has no motion along it."""
BLOB_UNIT = 0.8
"""Half pictures that a blob's centre goes for a change as large as the picture's root mean square: about what it takes in `rooms`."""
MIN_GAIN = 0.5
"""Share of what one step asks of the handles that `patience` steps must bring, for the run to go on."""


def solving(features: Features, p: Tensor, r1: float) -> tuple[Tensor, Tensor]:
    """The patches `q [n, K, 2]` around `p [n, 2]`, and `(G^T G)^-1 G^T` of them, `[n, K, C, 2]`, which gives v from F - F'."""
    q = around(p, disc(r1))
    _, slope = patch_slopes(features, q)
    slope = slope * inside(q, features.grid.size)[:, :, None, None].to(slope)
    solved: Tensor = torch.einsum("nab,nkcb->nkca", torch.linalg.inv(normal_matrix(slope, RIDGE)), slope)
    return q.clamp(0, features.grid.size - 1), solved


def least_change(
    u: Tensor, down: Callable[[Tensor], Tensor], up: Callable[[Tensor], Tensor], steps: int, damping: float
) -> tuple[Tensor, Tensor]:
    """`delta` that minimises `|u - J delta|^2 + mu |delta|^2`, and `J delta`, by conjugate gradients from 0.

    `down(y)` is `J^T y`, `up(x)` is `J x`. mu is `damping` times `|J d|^2 / |d|^2` of the first direction `d = J^T u`.
    """
    left = down(u)
    delta, there, direction = torch.zeros_like(left), torch.zeros_like(u), left
    size = first = left.square().sum()
    mu = None
    for _ in range(steps):
        along = up(direction)
        mu = damping * along.square().sum() / direction.square().sum().clamp_min(1e-30) if mu is None else mu
        product = down(along) + mu * direction
        step = size / (direction * product).sum().clamp_min(1e-30)
        delta, there, left = delta + step * direction, there + step * along, left - step * product
        size, before = left.square().sum(), size
        if size <= ENOUGH * first:
            break
        direction = left + size / before.clamp_min(1e-30) * direction
    return delta, there


class NaturalRun(DragGANRun):
    """A drag by steps of least change; its handles are followed from picture to picture."""

    def __init__(self, subject: Subject, edit: Drag) -> None:
        """Raises UserError if the edit does not fit the subject."""
        self._expected: Tensor | None = None
        super().__init__(subject, edit)

    def _begin(self) -> None:
        self._expected = None
        super()._begin()

    def _make_latent(self, w: Tensor, edit: Drag) -> Latent:
        root = PictureMetric.of(self.start.model).root(edit.rows, edit.space)
        return MetricLatent(w, edit.rows, edit.space, root)

    def _supervised(self, p: Tensor) -> Tensor:
        """The cells of the patches around `p [n, 2]` and of their differences."""
        return self._grid.need((around(p, disc(self._r1))[:, :, None] + CROSS).clamp(0, self._grid.size - 1))

    def _look(self) -> Tensor:
        """Features and tracking. The loss is half the square of the way left, and what holds the picture."""
        if self._expected is not None:
            self._points = self._expected
        features = self._features(self._needed(self._points))
        tracked = self._tracker.track(self._view(features), self._points)
        self._need = self._supervised(tracked.points)
        if not features.covers(self._need):
            features = self._features(self._need)
        self._points, self._seen = tracked.points, features
        left = (self._targets - self._points).square().sum() / 2
        loss: Tensor = left.to(self._latent.offset) + self._held(features)
        return loss

    def _way(self) -> Tensor:
        """u `[n, 2]`: the way left, or the share of it that takes the farthest handle a stride on."""
        way: Tensor = self._targets - self._points
        stride = self.edit.stride or STRIDE * self._grid.size
        share: float = min(1.0, stride / max(float(way.norm(dim=1).max()), 1e-12))
        return share * way

    def _advance(self, loss: Tensor) -> None:
        """One step of least change, at most LONGEST; of w, and of the blobs' centres where they are free."""
        seen = self._seen
        unknowns = [(self._latent.offset, 1.0)] + ([] if self._blobs is None else [(self._blobs.offset, BLOB_UNIT)])
        parameters = [parameter for parameter, _ in unknowns]
        here = [parameter.detach().clone() for parameter in parameters]

        def move(x: Tensor) -> None:
            """Every unknown to where it is now and its part of `x`."""
            parts = x.split([parameter.numel() for parameter in parameters])
            with torch.no_grad():
                for (parameter, unit), before, part in zip(unknowns, here, parts, strict=True):
                    parameter.copy_(before + unit * part.view_as(before))

        with torch.no_grad():
            q, solved = solving(seen.detach(), self._points, self._r1)
            solved = solved.to(seen.table)
            before = seen.sample(q)
            # What a feature's unit is in pixels: a patch's K C features say it together.
            pixel = (solved.square().mean(dim=0).sum() / 2 * before[0].numel()).sqrt()

        def forced(features: Features) -> Tensor:
            """The handles' motion and what is to stay, as one vector in pixels: zero here but for what has changed already."""
            moved = torch.einsum("nkca,nkc->na", solved, before - features.sample(q))
            return torch.cat([moved.flatten(), *self._resisting(features, pixel)])

        value = forced(seen)
        u = torch.cat([self._way().to(value).flatten(), -value.detach()[2 * len(q) :]])

        def down(y: Tensor) -> Tensor:
            slopes = torch.autograd.grad(value, parameters, y, retain_graph=True)
            return torch.cat([unit * slope.flatten() for (_, unit), slope in zip(unknowns, slopes, strict=True)])

        def up(x: Tensor) -> Tensor:
            scale = PROBE / x.norm().clamp_min(1e-20)
            move(scale * x)
            with torch.no_grad():
                probed = forced(self._features(self._need))
            move(torch.zeros_like(x))
            product: Tensor = (probed - value.detach()) / scale
            return product

        delta, there = least_change(u, down, up, min(2 * len(q), CG_STEPS), DAMPING)
        share = float((LONGEST / delta.norm().clamp_min(1e-20)).clamp_max(1.0))
        move(share * delta)
        carried = share * there[: 2 * len(q)].view(-1, 2).double().cpu()
        self._expected = (self._points + carried).clamp(0, self._grid.size - 1)

    def _resisting(self, features: Features, pixel: Tensor) -> list[Tensor]:
        """Mask term and priors as residuals, whose squares they are; that of the mask in pixels a handle."""
        edit, parts = self.edit, []
        if self._mask is not None:
            weight = (edit.lambda_mask * len(self._points)) ** 0.5
            parts.append((weight * pixel * self._mask.residual(features)).flatten())
        moved = self._latent.moved()
        if edit.pull:
            parts.append(((edit.pull / moved.numel()) ** 0.5 * moved).flatten())
        if edit.manifold:
            parts.append(((edit.manifold / moved.numel()) ** 0.5 * self._whitening(moved)).flatten())
        return parts

    def _arrived(self, distances: Tensor) -> bool:
        """Whether the handles are within tolerance on average, and each within twice as much."""
        return bool((distances.mean() <= self._tolerance) & (distances <= 2 * self._tolerance).all())

    def _nearer(self, now: Progress, best: Progress) -> bool:
        """Whether a step brought what is worth its change: many handles that contradict each other creep for ever, and the picture goes along."""
        asked = float(self._way().norm(dim=1).sum())
        return sum(now.distances) < sum(best.distances) - MIN_GAIN * asked
