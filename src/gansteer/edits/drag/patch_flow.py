"""Following handles from picture to picture: Lucas and Kanade's (1981) steps on the patch of features around each."""

import torch
from torch import Tensor

from gansteer.edits.drag.features import Features, View
from gansteer.edits.drag.tracking import Tracked, around, disc

STEPS = 4
LONGEST = 1.0
"""Pixels along each axis that one of the steps goes at most."""
RIDGE = 1e-4
"""Of the trace of `G^T G`: where a patch has no texture along one direction, it doesn't move along it."""
CROSS = torch.tensor([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]], dtype=torch.float64)


def patch_slopes(features: Features, q: Tensor) -> tuple[Tensor, Tensor]:
    """The features `[n, K, C]` at `q [n, K, 2]`, and their central differences G `[n, K, C, 2]` a pixel, over two pixels; float64."""
    places = (q[:, :, None] + CROSS).clamp(0, features.grid.size - 1)
    here, left, right, above, below = features.sample(places).double().unbind(dim=2)
    return here, torch.stack([right - left, below - above], dim=3) / 2


def normal_matrix(slope: Tensor, ridge: float) -> Tensor:
    """`G^T G [n, 2, 2]` of differences `[n, K, C, 2]`; `ridge`, as a share of its trace, is added to the diagonal."""
    normal = torch.einsum("nkca,nkcb->nab", slope, slope)
    added = ridge * normal.diagonal(dim1=1, dim2=2).sum(dim=1).clamp_min(1e-12)
    return normal + added[:, None, None] * torch.eye(2).to(normal)


class PatchFlow:
    """The patch of the picture before is looked for from where the handle is expected.

    `u = (G^T G)^-1 G^T (F_before(q) - F(q))`, a few times, over a patch of radius `patch`. Nothing ties a handle to the first
    picture, so nothing pulls it from where its surroundings went when its own look changes; and the way back is the way there.
    One that would have to go farther than half the window from where it is expected is lost: it is taken to be where it is expected.
    After a blob has been moved that is nearer to the thing's new place than what looks most like the handle's first surroundings.
    """

    def __init__(self, view: View, points: Tensor, radius: float, patch: float) -> None:
        self.radius = radius
        self._offsets = disc(patch)
        self._patch = self._seen(view.features, points)

    def _seen(self, features: Features, points: Tensor) -> Tensor:
        q = around(points, self._offsets).clamp(0, features.grid.size - 1)
        return features.sample(q).double()  # [n, K, C]

    @torch.no_grad()
    def track(self, view: View, points: Tensor) -> Tracked:
        """`points [n, 2]` are where they are expected. Remembers the patches of this picture for the next."""
        features = view.features
        last = features.grid.size - 1
        found = points
        for _ in range(STEPS):
            q = around(found, self._offsets).clamp(0, last)
            here, slope = patch_slopes(features, q)
            wanted = torch.einsum("nkca,nkc->na", slope, self._patch - here)
            step = torch.linalg.solve(normal_matrix(slope, RIDGE), wanted[..., None])[..., 0]
            found = (found + step.clamp(-LONGEST, LONGEST).cpu()).clamp(0, last)
        lost = (found - points).norm(dim=1) > self.radius / 2
        found = torch.where(lost[:, None], points, found)
        self._patch = self._seen(features, found)
        return Tracked(found, ~lost)
