"""Edits inside a region against edits of the whole picture, at equal change of the attribute.

Every picture with every region is a `Task` of its own, so that several processes can share them and a run can be resumed.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansteer.directions import Directions, Space
from gansteer.edits.attribute.edit import Attribute
from gansteer.edits.attribute.fitting import Scorer
from gansteer.edits.intervention.edit import Intervention, InterventionRun, together
from gansteer.edits.intervention.parts import part_of
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.subject import Model, Subject

REGIONS = (
    ("mouth", "smile"),
    ("mouth", "mouth_open"),
    ("eyes", "eyes_wide"),
    ("eyes", "eyes_closed"),
    ("hair", "hair_color"),
    ("face", "skin_tone"),
)
"""Regions and the attribute that is changed in each."""
METHODS = ("w", "s", "blended", "intervention", "sparse")
"""The edit in w, that in s, that in w pasted into the region, and both forms of the intervention."""
SPARSE, SPARSE_PICTURES = 200, 24
"""Channels of the sparse form, and on how many of the pictures it is compared."""
BATCH = 8
"""Pictures that are changed together, of 128 px; larger ones are fewer."""
LEAST = 0.1
"""An edit that changes the attribute by less, in deviations, leaves nothing to compare at."""
NO_PART, NOTHING_IN_W, NOTHING_INSIDE = (
    "the part is not in the picture", "the edit of the whole picture does not change the attribute",
    "the intervention does not change the attribute",
)  # fmt: skip
"""Why a picture is left out."""
REACH = 4.0
"""No edit is turned up to more than this many times the intervention's own strength to reach its change."""
EQUAL = 0.01
"""Changes of the attribute that differ by no more than this share are equal."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Task:
    """A picture, a region of it, and what is to change there."""

    region: str
    attribute: str
    seed: int


@dataclass(frozen=True)
class Measured:
    """What one method did to one picture."""

    gain: float
    """Change of the attribute's score."""
    outside: float
    """Mean change outside the region, in levels of 256."""
    seam: float
    """Mean jump of the change across the border, in levels of 256."""


@dataclass(frozen=True)
class Comparison:
    """All methods on one picture."""

    task: Task
    found: Mapping[str, Measured] | None
    """By method; None where there is nothing to compare."""
    why: str = ""
    """There is nothing to compare."""


@dataclass(frozen=True)
class Interval:
    """A mean, with the interval that holds it in 95 % of resamplings of the pictures (bootstrap)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class MethodReport:
    """One method in one region, at the change of the attribute that the intervention makes."""

    region: str
    attribute: str
    method: str
    pictures: int
    matched: int
    """Pictures in which the change was reached within a tenth."""
    gain: float
    """Mean change of the attribute's score, in its deviations over samples."""
    outside: Interval
    """Mean change of the picture outside the region, in levels of 256."""
    times: Interval
    """How many times the intervention's that is."""
    seam: Interval
    """Mean jump of the change across the region's border, in levels of 256."""


@dataclass(frozen=True)
class RegionsReport:
    """What was measured, and how."""

    model: str
    pictures: int
    """For each region, at most."""
    strength: float
    """Of the intervention, in deviations."""
    psi: float
    seed: int
    tried: Mapping[str, int]
    """Pictures by `region: attribute`: fewer than `pictures` where the time was up."""
    left_out: Mapping[str, int]
    """Those of them in which there was nothing to compare."""
    reasons: Mapping[str, Mapping[str, int]]
    """How many of those for which reason."""
    methods: tuple[MethodReport, ...]


@dataclass(frozen=True, eq=False)
class Bench:
    """What pictures are compared with."""

    model: Model
    directions: Directions
    scorer: Scorer
    deviations: Mapping[str, float]
    """Of the scores over samples."""
    strength: float = 2.0
    """Of the intervention, in deviations."""
    psi: float = 0.7
    label: int | None = None
    """The class, for a class-conditional model."""
    region_of: Callable[[Subject, str], Tensor] = part_of

    def compared(self, tasks: Sequence[Task], sparse: Callable[[Task], bool] = lambda task: True) -> list[Comparison]:
        """All methods on the tasks' pictures, at the change of the attribute that the intervention makes."""
        scenes = [self._scene(task) for task in tasks]
        able = [scene for scene in scenes if isinstance(scene, Scene)]
        dense = together([InterventionRun(scene.subject, self._inside(scene)) for scene in able])
        for scene, subject in zip(able, dense, strict=True):
            scene.found["intervention"] = scene.measured(subject.render())
        able = [scene for scene in able if scene.found["intervention"].gain >= self._least(scene.task)]
        chosen = [scene for scene in able if sparse(scene.task)]
        few = together(
            [InterventionRun(scene.subject, replace(self._inside(scene), channels=SPARSE)) for scene in chosen]
        )
        for scene, subject in zip(chosen, few, strict=True):
            scene.found["sparse"] = scene.measured(subject.render())
        for scene in able:
            scene.match(self)
        return [
            scene if isinstance(scene, Comparison)
            else Comparison(scene.task, scene.found) if scene in able
            else Comparison(scene.task, None, NOTHING_INSIDE)
            for scene in scenes
        ]  # fmt: skip

    def _scene(self, task: Task) -> "Scene | Comparison":
        """The picture and its region, or why there is none."""
        subject = self.model.sample(task.seed, self.psi, self.label)
        try:
            mask = self.region_of(subject, task.region)
        except UserError:
            return Comparison(task, None, NO_PART)
        scene = Scene(task, subject, mask, self.scorer)
        if scene.measured(self.edited(scene, "w", self.strength)).gain < self._least(task):
            return Comparison(task, None, NOTHING_IN_W)
        return scene

    def _least(self, task: Task) -> float:
        return LEAST * self.deviations[task.attribute]

    def _inside(self, scene: "Scene") -> Intervention:
        return Intervention({scene.task.attribute: self.strength}, scene.mask, directions=self.directions)

    def edited(self, scene: "Scene", space: Space, steps: float) -> Tensor:
        """The picture `[3, H, W]` after an edit of the whole."""
        edit = Attribute({scene.task.attribute: steps}, space=space, directions=self.directions)
        return start(scene.subject, edit).step().subject.render()


class Scene:
    """A task's picture with its region, and what has been measured there."""

    def __init__(self, task: Task, subject: Subject, mask: Tensor, scorer: Scorer) -> None:
        self.task = task
        self.subject = subject
        self.mask = mask
        self.scorer = scorer
        self.before = subject.render()  # [3, H, W]
        self.found: dict[str, Measured] = {}
        self._base = self._score(self.before)

    def _score(self, picture: Tensor) -> float:
        with torch.no_grad():
            return float(self.scorer(picture[None].clamp(-1, 1))[self.task.attribute])

    def measured(self, picture: Tensor) -> Measured:
        """What was done to the picture `[3, H, W]`."""
        change = (picture.clamp(-1, 1) - self.before.clamp(-1, 1)) * 127.5
        return Measured(self._score(picture) - self._base, outside(change, self.mask), seam(change, self.mask))

    def match(self, bench: Bench) -> None:
        """The other methods, at the change that the intervention made."""
        part, wanted = self.mask.to(self.before), self.found["intervention"].gain
        for method in ("w", "s", "blended"):
            seen: dict[float, Measured] = {}

            def gain(steps: float, method: str = method, seen: dict[float, Measured] = seen) -> float:
                picture = bench.edited(self, "s" if method == "s" else "w", steps)
                if method == "blended":
                    picture = self.before + part * (picture - self.before)
                seen[steps] = self.measured(picture)
                return seen[steps].gain

            self.found[method] = seen[reached(gain, wanted, bench.strength)]


def tasks(pictures: int, seed: int = 2000, jobs: Sequence[tuple[str, str]] = REGIONS) -> list[Task]:
    """Every `(region, attribute)` of `jobs` on the pictures of `pictures` seeds, picture after picture.

    Raises UserError if there is nothing to compare.
    """
    if pictures < 2:
        raise UserError("compare on at least 2 pictures")
    return [Task(*job, seed + i) for i in range(pictures) for job in jobs]


def summed_up(bench: Bench, pictures: int, seed: int, comparisons: Sequence[Comparison]) -> RegionsReport:
    """The report. Raises UserError if no two pictures of any region could be compared."""
    found: list[MethodReport] = []
    tried: dict[str, int] = {}
    left_out: dict[str, int] = {}
    reasons: dict[str, dict[str, int]] = {}
    for region, attribute in dict.fromkeys((c.task.region, c.task.attribute) for c in comparisons):
        of_job = [c for c in comparisons if (c.task.region, c.task.attribute) == (region, attribute)]
        mine = [c.found for c in of_job]
        rows = [row for row in mine if row is not None]
        tried[f"{region}: {attribute}"] = len(mine)
        left_out[f"{region}: {attribute}"] = len(mine) - len(rows)
        reasons[f"{region}: {attribute}"] = dict(Counter(c.why for c in of_job if c.found is None))
        for method in METHODS:
            with_it = [row for row in rows if method in row]
            if len(with_it) >= 2:
                found.append(_summary(region, attribute, method, with_it, bench.deviations[attribute]))
    if not found:
        raise UserError("no region was found in any picture: these are no portraits, or the directions do nothing")
    return RegionsReport(
        bench.model.card.name, pictures, bench.strength, bench.psi, seed, tried, left_out, reasons, tuple(found)
    )


# --- Records ----------------------------------------------------------------------------------------------------------


def to_record(comparison: Comparison) -> list[Any]:
    """As JSON can hold it."""
    task, found = comparison.task, comparison.found
    values = None if found is None else {method: [m.gain, m.outside, m.seam] for method, m in found.items()}
    return [task.region, task.attribute, task.seed, values, comparison.why]


def of_record(record: Any) -> Comparison:
    """The comparison of `to_record`. Raises ValueError or TypeError for anything else."""
    region, attribute, seed, values, why = record
    found = None if values is None else {str(method): Measured(*map(float, m)) for method, m in values.items()}
    return Comparison(Task(str(region), str(attribute), int(seed)), found, str(why))


# --- Measures ---------------------------------------------------------------------------------------------------------


def reached(gain: Callable[[float], float], wanted: float, strength: float) -> float:
    """The strength at which `gain` is `wanted`, by false position between 0 and `REACH` times `strength`.

    Where even the greatest does not reach it, the one of a few that comes nearest.
    """
    low, under = 0.0, -wanted
    high, over = strength, gain(strength) - wanted
    while over < 0:
        low, under = high, over
        high *= 2
        if high > REACH * strength:
            return min((strength * REACH * t for t in (0.25, 0.5, 0.75, 1.0)), key=lambda x: abs(gain(x) - wanted))
        over = gain(high) - wanted
    side = 0
    for _ in range(12):
        middle = high - over * (high - low) / (over - under)
        error = gain(middle) - wanted
        if abs(error) <= EQUAL * wanted:
            return middle
        # An end that stays twice counts half (the Illinois rule), or it would stay for long.
        if error < 0:
            low, under, over, side = middle, error, over / 2 if side < 0 else over, -1
        else:
            high, over, under, side = middle, error, under / 2 if side > 0 else under, 1
    return middle


def outside(change: Tensor, mask: Tensor) -> float:
    """Mean `|change| [3, H, W]` over the pixels that are not in `mask [H, W]`."""
    rest = (~mask).to(change)
    return float((change.abs().mean(dim=0) * rest).sum() / rest.sum())


def seam(change: Tensor, mask: Tensor) -> float:
    """Mean jump `|change_p - change_q|` over neighbouring pixels p, q of which just one is in `mask [H, W]`."""
    total, count = 0.0, 0
    for dim in (0, 1):
        jump = change.diff(dim=dim + 1).abs().mean(dim=0)
        border = mask.to(change.device).diff(dim=dim) != 0
        total += float(jump[border].sum())
        count += int(border.sum())
    return total / max(count, 1)


def _summary(
    region: str, attribute: str, method: str, rows: Sequence[Mapping[str, Measured]], deviation: float
) -> MethodReport:
    gains, leaks, seams = np.array([[row[method].gain, row[method].outside, row[method].seam] for row in rows]).T
    wanted, least = np.array([[row["intervention"].gain, row["intervention"].outside] for row in rows]).T
    return MethodReport(
        region, attribute, method, len(rows), int((np.abs(gains - wanted) < 0.1 * np.abs(wanted)).sum()),
        float(gains.mean()) / deviation, interval(leaks), interval(leaks, least), interval(seams),
    )  # fmt: skip


def interval(values: np.ndarray, under: np.ndarray | None = None) -> Interval:
    """Of the mean, or of the quotient of the means of `values` and `under`."""
    index = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    below = np.ones_like(values) if under is None else under
    means = values[index].mean(axis=1) / below[index].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(values.mean() / below.mean()), float(low), float(high))
