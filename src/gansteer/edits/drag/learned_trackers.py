"""Trackers that are networks of the shape of RAFT and PIPs, trained on the model's own pictures (`gansteer train-tracker`).

Like `optical_flow.py`'s they look at the picture and know nothing of the generator. Neither is the published network, nor has its
weights, which no package brings.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.edits.drag.features import View
from gansteer.edits.drag.tracking import Tracked
from gansteer.models.correlation import sample_map
from gansteer.models.flow_network import FlowNetwork
from gansteer.models.point_network import WINDOW, PointNetwork


class _Looking:
    """The pictures as a network looks at them: at the width of those that it was trained on."""

    def __init__(self, width: int, view: View) -> None:
        self.width = width
        self.scale = width / view.features.grid.size

    def picture(self, view: View) -> Tensor:
        """`[1, 3, width, width]` in [-1, 1]."""
        picture = view.picture()[None].float().clamp(-1, 1)
        return picture if picture.shape[-1] == self.width else F.interpolate(picture, (self.width,) * 2, mode="area")

    def seen(self, points: Tensor) -> Tensor:
        """`points [n, 2]` in pixels of the model's picture as the network sees them `[1, n, 2]`."""
        return ((points + 0.5) * self.scale - 0.5)[None].float()

    def unseen(self, points: Tensor, view: View) -> Tensor:
        """The inverse, `[n, 2]`, within the picture."""
        there = (points.double().cpu() + 0.5) / self.scale - 0.5
        return there.clamp(0, view.features.grid.size - 1)


class LearnedFlow:
    """The flow network from each picture to the next, where the points stand."""

    def __init__(self, network: FlowNetwork, view: View) -> None:
        self.network = network
        self._looking = _Looking(network.config.resolution, view)
        self._before = self._looking.picture(view)

    @torch.no_grad()
    def track(self, view: View, points: Tensor) -> Tracked:
        """`points [n, 2]` moved by the flow."""
        now = self._looking.picture(view)
        flow = self.network(self._before, now)[-1]
        self._before = now
        seen = self._looking.seen(points).to(flow)
        there = self._looking.unseen((seen + sample_map(flow, seen))[0], view)
        return Tracked(there, torch.ones(len(points), dtype=torch.bool))


class LearnedPoints:
    """The point network through windows of eight pictures: the last picture of one is the first of the next.

    A window that is not full yet ends in its last picture again and again.
    """

    def __init__(self, network: PointNetwork, view: View, points: Tensor) -> None:
        self.network = network
        self._looking = _Looking(network.config.resolution, view)
        self._begin(self._encoded(view), points)

    def _begin(self, first: Tensor, points: Tensor) -> None:
        self._maps, self._start = [first], points

    def _encoded(self, view: View) -> Tensor:
        with torch.no_grad():
            found: Tensor = self.network.encoder(self._looking.picture(view))
        return found

    @torch.no_grad()
    def track(self, view: View, points: Tensor) -> Tracked:
        """Where the points of the window's first picture are now; `points [n, 2]` begin the next window when one is full."""
        if len(self._maps) == WINDOW:
            self._begin(self._maps[-1], points)
        self._maps.append(self._encoded(view))
        maps = self._maps + [self._maps[-1]] * (WINDOW - len(self._maps))
        found = self.network(maps, self._looking.seen(self._start).to(maps[0]))[-1][0, :, len(self._maps) - 1]  # [n, 2]
        there = self._looking.unseen(found, view)
        return Tracked(there, torch.ones(len(points), dtype=torch.bool))
