"""The edit `Drag`: points of the picture, and where they are to go. `run.py` carries it out, by one of `methods.py`."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from gansteer.edits.api import Edit, Point, StepRecord
from gansteer.edits.drag.config import DragSettings, Method, TrackerName
from gansteer.edits.drag.features import Engine, Grid, default_layer
from gansteer.errors import UserError
from gansteer.subject import Subject

MOST_HANDLES = 1000
FEW = 5
"""Handles up to which tolerances are narrow, and least change has been measured to be better than the published form."""
MOST_PATCH, MOST_WINDOW = 50_000, 250_000
"""Pixels that all handles together pull, and look through: every one of the first costs some KB, of the second 250 bytes."""
MOST_CONFIDENT = 32.0
"""r2 of the confident tracker, which solves as many equations as its window has pixels."""
WIDE_PATCH = 2.0
"""r1 of Gauss-Newton, in cells of the features. Its steps are longer than the paper's patch is wide, so that such a small
patch finds itself again anywhere: then handles arrive by their tracker while the picture stays where it was."""

RATES: Mapping[Method, float] = {
    "adaptive": 2e-2,
    "draggan": 5e-3,
    "freedrag": 5e-3,
    "gauss-newton": 5e-3,
    "natural": 0.0,
    "transformer": 0.0,
}
"""Adam's learning rate of each method unless one is given; Gauss-Newton, natural and the transformer need none."""

PATIENCE: Mapping[Method, int] = {"adaptive": 20, "gauss-newton": 20, "natural": 2}
"""Steps without gain of those methods for which it is not 60, unless given: the larger the steps, the fewer."""

TRACKERS: Mapping[Method, TrackerName | None] = {
    "adaptive": "between-pixels", "natural": "patch-flow", "freedrag": None,
}  # fmt: skip
"""The tracker of those methods for which it is not the nearest feature, unless one is given."""


@dataclass(frozen=True, eq=False, repr=False)
class Drag(DragSettings, Edit):
    """Drag handles to targets. Lengths are in pixels of the picture; None means the default of its resolution."""

    handles: Sequence[Point]
    """Points of the picture (x, y) to be moved."""
    targets: Sequence[Point]
    """Where each of them is to go."""
    mask: Tensor | None = None
    """`[H, W]`, 1 (or True) = may move, 0 = must stay as it is; None = everything may move."""
    engine: Engine = field(default="auto", kw_only=True)

    __repr__ = Edit.__repr__

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("handles", "targets"):
            try:
                points = tuple((float(x), float(y)) for x, y in getattr(self, name))
            except (TypeError, ValueError) as error:
                raise UserError(f"{name} is a list of points (x, y), such as [(64, 76)]") from error
            if not all(math.isfinite(v) for point in points for v in point):
                raise UserError(f"{name} must be finite numbers: give every point as x,y in pixels")
            object.__setattr__(self, name, points)
        if not self.handles:
            raise UserError("give at least one handle and its target")
        if len(self.handles) != len(self.targets):
            raise UserError(
                f"{len(self.handles)} handles but {len(self.targets)} targets: give every handle one target"
            )
        if len(self.handles) > MOST_HANDLES:
            raise UserError(f"{len(self.handles)} handles are too many: give at most {MOST_HANDLES}")
        if self.method == "freedrag" and self.tracker is not None:
            raise UserError("FreeDrag follows its handles by itself: leave the tracker out, or take another method")
        (pixel, count), *_ = Counter((round(x), round(y)) for x, y in self.handles).most_common(1)
        if count > 1:
            raise UserError(f"two handles stand on pixel {pixel[0]},{pixel[1]}: remove one of them")
        if self.mask is not None:
            mask = torch.as_tensor(self.mask)
            if mask.dim() != 2:
                raise UserError(f"the mask must be [height, width], not {list(mask.shape)}")
            object.__setattr__(self, "mask", (mask if mask.dtype == torch.bool else mask > 0.5).cpu())

    @classmethod
    def from_earlier(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """0.1.0 left out the method and the rate at their defaults of then, and let FreeDrag have a tracker."""
        found = {"method": "draggan", "learning_rate": 5e-3, **stored}
        return {**found, "tracker": None} if found["method"] == "freedrag" else found

    @property
    def title(self) -> str:
        """For a history."""
        return "Drag a point" if len(self.handles) == 1 else f"Drag {len(self.handles)} points"

    @property
    def step_limit(self) -> int:
        """Latent steps at most."""
        return self.steps

    def check(self, subject: Subject) -> None:
        """Raise UserError if the edit does not fit the subject."""
        self.fitted(subject)

    def resumed(self, last: StepRecord) -> Self:
        """The same drag from where the handles were."""
        return replace(self, handles=last.points)

    def area(self) -> Tensor | None:
        """The mask."""
        return self.mask

    def points(self) -> tuple[Sequence[Point], Sequence[Point]]:
        """Handles and targets."""
        return self.handles, self.targets

    def command_line(self, area: str) -> list[str]:
        """`drag --point=10,20:30,20 ...`, with the flags that differ from their defaults."""
        words = [f"--point={a:g},{b:g}:{c:g},{d:g}" for (a, b), (c, d) in zip(self.handles, self.targets, strict=True)]
        for each in fields(DragSettings):
            value = getattr(self, each.name)
            flag = f"--{each.name.replace('_', '-')}"
            if value != each.default:
                words.append(flag if value is True else f"{flag} {value}")
        return ["drag", *words] if self.mask is None else ["drag", *words, f"--mask {area}"]

    def fitted(self, subject: Subject) -> "Drag":
        """This edit with every default filled in for the subject's model; raises UserError where it does not fit."""
        size = subject.model.resolution
        given = self._released(size) if self.as_released else self
        scale = size / 512
        few = len(self.handles) <= FEW
        method = given.suited()
        layer = self.layer or self._layer(subject, method)
        r1 = max(3.0, 3 * scale)
        if method == "gauss-newton":
            r1 = min(max(r1, WIDE_PATCH * Grid.of(subject.model.generator, layer).cell), self._largest("r1"))
        closeness = 0.5 if method in ("adaptive", "natural") else 1.0
        fitted = replace(
            given,
            method=method,
            layer=layer,
            tracking_layer=None if given.tracking_layer == layer else given.tracking_layer,
            r1=given.r1 if given.r1 is not None else r1,
            r2=given.r2 if given.r2 is not None else max(6.0, 12 * scale) * (3 if method == "transformer" else 1),
            tolerance=given.tolerance
            if given.tolerance is not None
            else max(1.0, scale) * (1 if few else 2) * closeness,
            rows=min(self.rows, len(subject.code.ws)),
            patience=given.patience or PATIENCE.get(method, 60),
            tracker=given.tracker or TRACKERS.get(method, "nearest"),
            layout="fixed" if method == "transformer" else given.layout,
            learning_rate=RATES[method] if self.learning_rate is None else self.learning_rate,
        )
        for name in ("handles", "targets"):
            for x, y in getattr(self, name):
                if not (0 <= x <= size - 1 and 0 <= y <= size - 1):
                    raise UserError(
                        f"{name[:-1]} {x:g},{y:g} lies outside the picture: x and y go from 0 to {size - 1}"
                    )
        if self.mask is not None:
            if tuple(self.mask.shape) != (size, size):
                height, width = self.mask.shape
                raise UserError(f"the mask is {width}x{height} but the picture is {size}x{size}: resize the mask")
            for x, y in self.handles:
                if not self.mask[round(y), round(x)]:
                    raise UserError(f"the mask fixes the handle {x:g},{y:g}: paint it free (white) there")
        fitted._check_cost()
        return fitted

    def suited(self) -> Method:
        """The method: the one that is given, or what suits the number of handles and the other settings."""
        if self.as_released:
            return "draggan"
        if self.method is not None:
            return self.method
        lacking = self.learning_rate is not None or self.exact_mask or self.metric != "plain" or self.tracking_layer
        other = self.tracker not in (None, TRACKERS["natural"])
        masked = self.holding() is not None
        return "draggan" if lacking or other or masked or len(self.handles) > FEW else "natural"

    def holding(self) -> Tensor | None:
        """The mask, bool `[H, W]`, if it holds anything: None without one, or where everything may move."""
        return None if self.mask is None or bool(self.mask.all()) else self.mask

    def _layer(self, subject: Subject, method: Method) -> str:
        """The layer to follow: the model's own choice; of `natural` the usual one, where the card may name a coarser.

        A coarse layer tells parts from each other, a fine one follows motion without lagging behind it; and natural holds patches together.
        """
        fine = default_layer(subject.model.generator)
        return fine if method == "natural" else subject.model.card.drag_layer or fine

    def _released(self, size: int) -> "Drag":
        """What the released code does on a picture of `size` pixels."""
        r1, r2 = (
            round(scaled * size / 512) if given is None else given for scaled, given in ((3, self.r1), (12, self.r2))
        )
        return replace(
            self, method="draggan", tracker="nearest-l2", exact_mask=True, r1=max(float(r1), 1.0),
            r2=r2 + 1.0,  # its window has its border
            tolerance=max(2.0, 2 * size / 512) if self.tolerance is None else self.tolerance,
            patience=self.patience or self.steps + 1,
        )  # fmt: skip

    def _check_cost(self) -> None:
        """Raise UserError if a step would take gigabytes."""
        for name in ("r1", "r2"):
            most = self._largest(name)
            if (getattr(self, name) or 0) > most:
                fewer = "" if len(self.handles) == 1 else ", or fewer handles"
                raise UserError(
                    f"{name} of {getattr(self, name):g} px takes too much memory: take at most {math.floor(most)}{fewer}"
                )

    def _largest(self, name: str) -> float:
        """Pixels of r1 or r2 at most."""
        count = len(self.handles)
        if name == "r1":
            return math.sqrt(MOST_PATCH / count / math.pi)
        most = math.sqrt(MOST_WINDOW / count) / 2
        return min(most, MOST_CONFIDENT) if self.tracker == "confident" else most
