"""DragGAN's loop with steps in proportion to the way left, and handles followed between the pixels.

Far from the target the latent steps are ten times the paper's. Near it they shrink with the mean distance left, so that a handle is
set down within half a pixel instead of passing by, which is what a way back to the first picture needs. Which constants,
and what each is worth, was chosen by `gansteer evaluate drags` on cases that no table of docs/evaluation.md holds.
"""

from torch import Tensor

from gansteer.edits.api import Progress
from gansteer.edits.drag.draggan import DragGANRun

SLOW = 3.0
"""Pixels, at 128 px and in proportion: nearer than that on average, the steps shrink with the distance."""
SLOWEST = 0.1
"""Share of the full step that is always taken."""
MIN_GAIN = 0.01
"""Share by which the mean distance must fall to count as nearer: steps that shrink gain a little for ever."""


class AdaptiveRun(DragGANRun):
    """A drag by motion supervision and point tracking whose steps follow the distance left."""

    def _advance(self, loss: Tensor) -> None:
        """One step of Adam at the rate that suits the distance left."""
        left = float((self._targets - self._points).norm(dim=1).mean())
        slow = SLOW * max(self._grid.size / 128, 1.0)
        self._adam.learning_rate = self._rate * min(1.0, max(left / slow, SLOWEST))
        super()._advance(loss)

    def _nearer(self, now: Progress, best: Progress) -> bool:
        return sum(now.distances) < (1 - MIN_GAIN) * sum(best.distances)
