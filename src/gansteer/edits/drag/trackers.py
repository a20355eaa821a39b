"""The trackers by the name that `Drag.tracker` says."""

from torch import Tensor

from gansteer.edits.drag.config import TrackerName
from gansteer.edits.drag.features import View
from gansteer.edits.drag.optical_flow import DenseFlow, LucasKanade
from gansteer.edits.drag.tracking import BetweenPixels, Confident, Nearest, Still, Tracker


def make_tracker(name: TrackerName, view: View, points: Tensor, radius: float) -> Tracker:
    """The tracker `name` with its templates taken from `view`, where the handles are at `points [n, 2]`.

    Raises UserError if it needs a package that is not installed.
    """
    match name:
        case "none":
            return Still()
        case "confident":
            return Confident(view, points, radius)
        case "between-pixels":
            return BetweenPixels(view, points, radius)
        case "lucas-kanade":
            return LucasKanade(view)
        case "dense-flow":
            return DenseFlow(view)
        case _:
            return Nearest(view, points, radius, norm=2 if name == "nearest-l2" else 1)
