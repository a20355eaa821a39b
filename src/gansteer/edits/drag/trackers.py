"""The trackers by the name that `Drag.tracker` says."""

from collections.abc import Mapping

from torch import Tensor

from gansteer.checkpoints.trackers import TrackerKind, find_tracker
from gansteer.edits.drag.config import TrackerName
from gansteer.edits.drag.features import View
from gansteer.edits.drag.learned_trackers import LearnedFlow, LearnedPoints
from gansteer.edits.drag.optical_flow import DenseFlow, LucasKanade, opencv
from gansteer.edits.drag.patch_flow import PatchFlow
from gansteer.edits.drag.tracking import BetweenPixels, Confident, Nearest, Still, Tracker
from gansteer.models.flow_network import FlowNetwork
from gansteer.subject import Model

LEARNED: Mapping[str, TrackerKind] = {"learned-flow": "flow", "learned-points": "points"}


def check_tracker(name: str, model: Model) -> None:
    """Raise UserError if a tracker needs a package that is not installed, or a network that was not trained for `model`."""
    if name in ("lucas-kanade", "dense-flow"):
        opencv()
    if name in LEARNED:
        find_tracker(LEARNED[name], model)


def make_tracker(
    name: TrackerName, model: Model, view: View, points: Tensor, radius: float, patch: float = 3.0
) -> Tracker:
    """The tracker `name` with its templates taken from `view` of a picture of `model`, where the handles are at `points [n, 2]`.

    Raises UserError as `check_tracker` does.
    """
    match name:
        case "none":
            return Still()
        case "confident":
            return Confident(view, points, radius)
        case "between-pixels":
            return BetweenPixels(view, points, radius)
        case "patch-flow":
            return PatchFlow(view, points, radius, patch)
        case "lucas-kanade":
            return LucasKanade(view)
        case "dense-flow":
            return DenseFlow(view)
        case "learned-flow" | "learned-points":
            network = find_tracker(LEARNED[name], model)
            if isinstance(network, FlowNetwork):
                return LearnedFlow(network, view)
            return LearnedPoints(network, view, points)
        case _:
            return Nearest(view, points, radius, norm=2 if name == "nearest-l2" else 1)
