"""FreeDrag (Ling et al., CVPR 2024): drag without tracking.

Every handle has a template feature T and a carrier h on the segment from the handle to its target. The picture is
pulled until the features at h match T; how well they do decides how far h goes on, and how fast T adapts. The paper's
discrepancy `l` is an absolute feature distance of its models; here it is measured on the first picture, as the mean
distance between the patch at a handle and those 2.5 cells away.
"""

import math

import torch
from torch import Tensor

from gansteer.edits.drag.features import Features
from gansteer.edits.drag.run import PointRun
from gansteer.edits.drag.tracking import around

PULLS = 5
"""Latent steps between two decisions."""
STRIDE = 3.0
"""`d`, the farthest that a carrier goes on at once, in cells of the feature map."""
CALIBRATION = 2.5
"""Cells at which the discrepancy `l` is measured."""


def adaptation(l_end: Tensor, scale: Tensor) -> Tensor:
    """`a = 1 / (1 + exp(alpha (L_en - beta)))`: a half at L_en = 0.2 l, a tenth at 0.8 l, which is `scale`. Any shape."""
    alpha, beta = math.log(9) / (0.6 * scale), 0.2 * scale
    return torch.sigmoid(-alpha * (l_end - beta))


class FreeDragRun(PointRun):
    """A drag by adaptive templates, line search and back-tracking. `points` of its progress are the carriers."""

    def _begin(self) -> None:
        """T and `l` from the first picture."""
        reach = torch.tensor([-self._r1, 0.0, self._r1], dtype=torch.float64)
        self._patch = torch.cartesian_prod(reach, reach)  # [9, 2]
        cell = self._grid.cell
        self._stride = STRIDE * cell
        turn = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
        ring = CALIBRATION * cell * torch.stack([turn.cos(), turn.sin()], dim=1)
        ringed = around(self._points, ring)  # [n, 8, 2]
        with torch.no_grad():
            need = self._grid.need(self._around(ringed.flatten(0, 1))) | self._segment_need()
            features = self._features(need)
            self._templates = features.sample(self._around(self._points))  # T, [n, 9, C]
            near = features.sample(self._around(ringed.flatten(0, 1))).view(len(ringed), 8, *self._templates.shape[1:])
            self._l = (near - self._templates[:, None]).abs().mean()
            self._remember(features)
        self._pulls = 0
        self._match = torch.zeros(len(self._points))

    def _around(self, points: Tensor) -> Tensor:
        """`points [n, 2]` to the patches `[n, 9, 2]`, clamped to the picture."""
        return around(points, self._patch).clamp(0, self._grid.size - 1)

    def _segment(self, start: float, stop: float) -> Tensor:
        """Candidates `[n, 10, 2]` from `start` (exclusive) to `stop` along the way, not beyond the targets."""
        way = self._targets - self._points
        length: Tensor = way.norm(dim=1, keepdim=True)
        along = start + (stop - start) * torch.arange(1, 11, dtype=torch.float64) / 10
        reach = torch.minimum(along[None], length)  # [n, 10]
        return self._points[:, None] + reach[..., None] * (way / length.clamp_min(1e-9))[:, None]

    def _segment_need(self) -> Tensor:
        both = torch.cat([self._points[:, None], self._segment(-self._stride, self._stride)], dim=1)
        both = torch.cat([both, self._segment(0, self._stride)], dim=1)
        return self._grid.need(self._around(both.flatten(0, 1)))

    def _discrepancy(self, features: Features) -> Tensor:
        """`|| F_r(h_i) - T_i ||`, the mean over patch and channels, `[n]`."""
        return (features.sample(self._around(self._points)) - self._templates).abs().mean(dim=(1, 2))

    def _look(self) -> Tensor:
        """`L_drag = sum_i || F_r(h_i) - T_i ||_1`, and after every `PULLS` pulls the next carriers and templates."""
        features = self._features(self._segment_need())
        discrepancy = self._discrepancy(features)
        self._match = discrepancy.detach()
        if self._pulls == 0:
            self._l_in = self._match
        elif self._pulls >= PULLS or bool((self._match < 0.25 * self._l).all()):
            self._relocate(features.detach())
            discrepancy = self._discrepancy(features)
            self._match = self._l_in = discrepancy.detach()
            self._pulls = 0
        self._pulls += 1
        return discrepancy.sum() + self._held(features)

    def _relocate(self, features: Features) -> None:
        """Adapt the templates and choose where the carriers go: on, nowhere, or back (equations 5 to 9)."""
        l_end, size = self._match, self._l
        here = features.sample(self._around(self._points))
        length = (self._targets - self._points).norm(dim=1).to(l_end)
        there = (length <= self._tolerance) & (l_end <= 0.25 * size)
        a = torch.where(there, torch.ones_like(l_end), adaptation(l_end, size))[:, None, None]
        self._templates = a * here + (1 - a) * self._templates
        forward = self._search(features, 0.0, self._stride, size)
        back = self._search(features, -self._stride, self._stride, torch.zeros_like(size))
        advance = (l_end <= 0.5 * size).cpu()
        stay = (l_end <= self._l_in).cpu()
        moved = torch.where(stay[:, None], self._points, back)
        self._points = torch.where(advance[:, None], forward, moved)

    def _search(self, features: Features, start: float, stop: float, wanted: Tensor) -> Tensor:
        """`S`: the candidate whose distance from its template is nearest to `wanted`, `[n, 2]`."""
        candidates = self._segment(start, stop)  # [n, 10, 2]
        patches = features.sample(self._around(candidates.flatten(0, 1)))
        patches = patches.view(*candidates.shape[:2], *self._templates.shape[1:])  # [n, 10, 9, C]
        miss = ((patches - self._templates[:, None]).abs().mean(dim=(2, 3)) - wanted).abs()
        best = miss.argmin(dim=1).cpu()
        return candidates[torch.arange(len(best)), best]

    def _arrived(self, distances: Tensor) -> bool:
        near: bool = super()._arrived(distances)
        return near and bool((self._match <= 0.25 * self._l).all())
