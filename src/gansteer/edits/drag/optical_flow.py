"""Trackers that look at the picture as any video tracker would: the external ones that DragGAN compares its own with.

They go from picture to picture, so errors add up. Small pictures are enlarged first. Both are OpenCV's, which the extra
`trackers` installs; they stand in for RAFT and PIPs, whose weights no package brings, and are called by their own names.
"""

import math
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from gansteer.edits.drag.features import View
from gansteer.edits.drag.tracking import Tracked
from gansteer.errors import UserError

ENLARGED = 512
"""Smaller pictures are enlarged to this many pixels, by a whole factor."""
WINDOW, LEVELS, ITERATIONS = 41, 4, 20
"""Of Lucas and Kanade's method: pixels of the enlarged picture, levels of the pyramid above it, iterations at most."""


def opencv() -> ModuleType:
    """OpenCV. Raises UserError if it is not installed."""
    try:
        import cv2
    except ImportError as error:
        raise UserError("this tracker needs the extra: run pip install 'gansteer[trackers]'") from error
    return cv2


def grey(picture: Tensor) -> tuple[NDArray[np.uint8], int]:
    """`[C, H, W]` in [-1, 1] to 256 levels of grey, enlarged, `[s H, s W]`; and the factor s."""
    scale = max(1, math.ceil(ENLARGED / picture.shape[-1]))
    x = picture.detach().float().cpu().mean(dim=0)[None, None]
    large = F.interpolate(x, scale_factor=float(scale), mode="bilinear", align_corners=False)[0, 0]
    levels: NDArray[np.uint8] = large.add(1).mul(127.5).round().clamp(0, 255).byte().numpy()
    return levels, scale


class LucasKanade:
    """Pyramidal Lucas-Kanade (Bouguet 2000) from each picture to the next."""

    def __init__(self, view: View) -> None:
        """Raises UserError if OpenCV is not installed."""
        self._cv2 = opencv()
        self._before, self._scale = grey(view.picture())

    def track(self, view: View, points: Tensor) -> Tracked:
        """`points [n, 2]` in the present picture; a point that is lost stays, and is not sure."""
        now, s = grey(view.picture())[0], self._scale
        enlarged = ((points + 0.5) * s - 0.5).float().numpy().reshape(-1, 1, 2)
        criteria = (self._cv2.TERM_CRITERIA_EPS | self._cv2.TERM_CRITERIA_COUNT, ITERATIONS, 0.01)
        found, kept, _ = self._cv2.calcOpticalFlowPyrLK(
            self._before, now, enlarged, None, winSize=(WINDOW, WINDOW), maxLevel=LEVELS, criteria=criteria
        )
        self._before = now
        sure = torch.from_numpy(kept.reshape(-1).astype(bool))
        there = (torch.from_numpy(found.reshape(-1, 2)).double() + 0.5) / s - 0.5
        return Tracked(_within(torch.where(sure[:, None], there, points), view), sure)


class DenseFlow:
    """Dense inverse search (Kroeger et al. 2016) from each picture to the next."""

    def __init__(self, view: View) -> None:
        """Raises UserError if OpenCV is not installed."""
        cv2 = opencv()
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._before, self._scale = grey(view.picture())

    def track(self, view: View, points: Tensor) -> Tracked:
        """`points [n, 2]` moved by the flow where they stand, bilinear."""
        now, s = grey(view.picture())[0], self._scale
        flow = torch.from_numpy(self._flow.calc(self._before, now, None)).double()  # [s H, s W, 2]
        self._before = now
        return Tracked(_within(points + at(flow, (points + 0.5) * s - 0.5) / s, view), torch.ones(len(points)) > 0)


def at(field: Tensor, points: Tensor) -> Tensor:
    """`field [H, W, 2]` at `points [n, 2]` (x, y) in its pixels, bilinear, clamped at the border: `[n, 2]`."""
    height, width = field.shape[:2]
    grid = (2 * points + 1) / torch.tensor([width, height], dtype=points.dtype) - 1
    found = F.grid_sample(
        field.permute(2, 0, 1)[None], grid.view(1, 1, -1, 2).to(field), padding_mode="border", align_corners=False
    )
    return found[0, :, 0].t()


def flow_between(a: Tensor, b: Tensor) -> Tensor:
    """Dense inverse search from picture `a` to `b`, `[3, H, W]` in [-1, 1]: `[H, W, 2]` (x, y) in pixels, float64.

    Raises UserError if OpenCV is not installed.
    """
    cv2 = opencv()
    (before, scale), (after, _) = grey(a), grey(b)
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = torch.from_numpy(estimator.calc(before, after, None)).permute(2, 0, 1)[None]  # [1, 2, s H, s W]
    return F.avg_pool2d(found, scale)[0].permute(1, 2, 0).double() / scale


def _within(points: Tensor, view: View) -> Tensor:
    return points.clamp(0, view.features.grid.size - 1)
