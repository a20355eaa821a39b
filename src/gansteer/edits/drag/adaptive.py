"""DragGAN's loop with steps in proportion to the way left, handles followed between the pixels, and less that drifts.

Far from the target the latent steps are ten times the paper's. Near it they shrink with the mean distance of the handles that have not
arrived, so that a handle is set down within half a pixel instead of passing by.

In the paper's form the patch that is pulled is always the present one, so what a step paints at the target is the next step's pattern, and
the tracker follows the paint: the picture is left behind. Here a part of the pattern is the first picture's patch. And the way from the start
fades a little with every step, so that only what the pull renews remains: what drifts elsewhere does not.

The constants were tried on cases that no table of docs/evaluation.md holds.
"""

import torch
from torch import Tensor

from gansteer.edits.api import Progress
from gansteer.edits.drag.draggan import DragGANRun
from gansteer.edits.drag.features import Features
from gansteer.edits.drag.tracking import Tracked

SLOW = 3.0
"""Pixels, at 128 px and in proportion: nearer than that on average, the steps shrink with the distance."""
SLOWEST = 0.1
"""Share of the full step that is always taken."""
FIRST = 0.25
"""Share of the first picture's patch in what is pulled."""
FADE = 0.02
"""Share by which the way from the start shrinks with a full step: weight decay apart from the gradient."""
MIN_GAIN = 0.01
"""Share by which the mean distance must fall to count as nearer: steps that shrink gain a little for ever."""


class AdaptiveRun(DragGANRun):
    """A drag by motion supervision and point tracking whose steps follow the distance left."""

    def _advance(self, loss: Tensor) -> None:
        """One step of Adam at the rate that suits the distance left to the handles that have not arrived."""
        distances = (self._targets - self._points).norm(dim=1)
        away = distances[distances > self._tolerance]
        left = float(away.mean()) if len(away) else 0.0
        slow = SLOW * max(self._grid.size / 128, 1.0)
        share = min(1.0, max(left / slow, SLOWEST))
        self._adam.learning_rate = self._rate * share
        super()._advance(loss)
        with torch.no_grad():
            self._latent.offset.mul_(1 - FADE * share)

    def _source(self, features: Features, tracked: Tracked) -> Tensor:
        """`(1 - a) sg[F(q)] + a F0(q0)`, a being FIRST, `[n, K, C]`."""
        return torch.lerp(super()._source(features, tracked), self._first_patches, FIRST)

    def _arrived(self, distances: Tensor) -> bool:
        """Whether the handles are within tolerance on average, and each within twice as much."""
        return bool((distances.mean() <= self._tolerance) & (distances <= 2 * self._tolerance).all())

    def _nearer(self, now: Progress, best: Progress) -> bool:
        return sum(now.distances) < (1 - MIN_GAIN) * sum(best.distances)
