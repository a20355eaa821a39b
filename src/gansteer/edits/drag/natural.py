"""Drag by least change: the step that takes the handles where they should go, and changes the picture least.

The handles' own motion is linear in a small change of the latent. By Lucas and Kanade, the content of a patch whose features change
from F to F' has moved by `v = -(G^T G)^-1 G^T (F' - F)`, G being the differences of F along x and y. What of the change is no motion is
the rest `e = F' - F + G v`. With J the derivative of all v by the latent, E that of all e, and M the metric of pictures
(`picture_metric.py`), a step is

    delta = argmin | u - J delta |^2 + nu | e* - E delta |^2 + mu delta^T M delta,

u being the way that is left, or a part of it that is the same share for all handles, and e* a share of what has already changed in the
patches since the first picture. Without the second term the cheapest change that looks like motion is often not motion: a nose is painted
over on one side until its patch seems to have moved. So few steps are needed, each as long as it is
true; what needs not change does not; and as every step depends on little but the present picture, the way back retraces the way
there. Products with J^T are backward passes over the handles' regions, products with J differences of two forward passes.

The constants were tried on cases that no table of docs/evaluation.md holds.
"""

from collections.abc import Callable
from dataclasses import dataclass

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

CG_STEPS = 6
"""Iterations of conjugate gradients at most."""
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
FURTHER = 4.0
"""Times that a step is taken at most, to bring the handles nearest to where they were asked to go, as the terms of patches and picture
hold them back; once where a mask or a prior is to do so."""
STIFFNESS = 0.3
"""nu, where a patch's features are measured in pixels of its motion."""
FIRST = 0.25
"""Share of what has changed in a patch since the first picture, and is no motion, that a step takes back."""
MIN_GAIN = 0.5
"""Share of what one step asks of the handles that `patience` steps must bring, for the run to go on."""


@dataclass(frozen=True, eq=False)
class Patches:
    """The patches around the handles in one picture: how a change of their features is told into motion and the rest."""

    q: Tensor
    """`[n, K, 2]`, within the picture."""
    inside: Tensor
    """`[n, K, 1]`: 0 where the patch goes beyond the picture's border, else 1."""
    before: Tensor
    """F, `[n, K, C]`."""
    slope: Tensor
    """G, `[n, K, C, 2]`."""
    solved: Tensor
    """`(G^T G)^-1 G^T`, `[n, K, C, 2]`."""

    @classmethod
    @torch.no_grad()
    def of(cls, features: Features, p: Tensor, r1: float) -> "Patches":
        """Of radius `r1` around `p [n, 2]`."""
        q = around(p, disc(r1))
        here, slope = patch_slopes(features, q)
        within = inside(q, features.grid.size)[:, :, None].to(slope)
        slope = slope * within[..., None]
        solved = torch.einsum("nab,nkcb->nkca", torch.linalg.inv(normal_matrix(slope, RIDGE)), slope)
        kind = features.table
        return cls(q.clamp(0, features.grid.size - 1), within.to(kind), here.to(kind), slope.to(kind), solved.to(kind))

    def told(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Of the patches' `features [n, K, C]` in another picture: v `[n, 2]` in pixels, and e `[n, K, C]`."""
        change = (features - self.before) * self.inside
        v = -torch.einsum("nkca,nkc->na", self.solved, change)
        return v, change + torch.einsum("nkca,na->nkc", self.slope, v)

    def pixel(self) -> Tensor:
        """What a feature's unit is in pixels of each handle's motion `[n]`: a patch's K C features say it together."""
        return (self.solved.square().sum(dim=(1, 2, 3)) / 2).sqrt()


@dataclass(frozen=True, eq=False)
class Unknowns:
    """What a step changes, as one vector: parameters, and how far each goes for a change as large as the picture's root mean square."""

    parts: list[tuple[Tensor, float]]

    def values(self) -> list[Tensor]:
        """The parameters as they are now."""
        return [parameter.detach().clone() for parameter, _ in self.parts]

    @torch.no_grad()
    def set(self, here: list[Tensor], change: Tensor | None = None) -> None:
        """The parameters to the values `here`, changed by the vector."""
        changes = [None] * len(here) if change is None else torch.split(change, [value.numel() for value in here])
        for (parameter, unit), value, part in zip(self.parts, here, changes, strict=True):
            parameter.copy_(value if part is None else value + unit * part.view_as(value))

    def slope(self, value: Tensor, y: Tensor) -> Tensor:
        """`J^T y`, J being the derivative of `value` by the vector."""
        slopes = torch.autograd.grad(value, [parameter for parameter, _ in self.parts], y, retain_graph=True)
        return torch.cat([unit * slope.flatten() for (_, unit), slope in zip(self.parts, slopes, strict=True)])


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
        blobs = [] if self._blobs is None else [(self._blobs.offset, BLOB_UNIT)]
        unknowns = Unknowns([(self._latent.offset, 1.0), *blobs])
        patches = Patches.of(seen.detach(), self._points, self._r1)
        pixel, n = patches.pixel(), len(self._points)
        stiff = STIFFNESS**0.5 * pixel[:, None, None]
        size = (pixel.square().mean() * patches.before[0].numel()).sqrt()

        def forced(features: Features) -> Tensor:
            """Motion, rest and what else is to stay, as one vector in pixels: zero here but for what has changed already."""
            v, rest = patches.told(features.sample(patches.q))
            return torch.cat([v.flatten(), (stiff * rest).flatten(), *self._resisting(features, size)])

        value = forced(seen)
        back = FIRST * stiff * patches.told(self._first_patches)[1]
        held = -value.detach()[2 * n + back.numel() :]
        u = torch.cat([self._way().to(value).flatten(), back.flatten(), held])
        here = unknowns.values()

        def up(x: Tensor) -> Tensor:
            scale = PROBE / x.norm().clamp_min(1e-20)
            unknowns.set(here, scale * x)
            with torch.no_grad():
                probed = forced(self._features(self._need))
            unknowns.set(here)
            product: Tensor = (probed - value.detach()) / scale
            return product

        delta, there = least_change(u, lambda y: unknowns.slope(value, y), up, CG_STEPS, DAMPING)
        nearest = u[: 2 * n] @ there[: 2 * n] / there[: 2 * n].square().sum().clamp_min(1e-20)
        most = FURTHER if u.numel() == 2 * n + back.numel() else 1.0
        share = float(torch.minimum(nearest.clamp_max(most), LONGEST / delta.norm().clamp_min(1e-20)))
        unknowns.set(here, share * delta)
        moved = share * there[: 2 * n].view(-1, 2).double().cpu()
        self._expected = (self._points + moved).clamp(0, self._grid.size - 1)

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
