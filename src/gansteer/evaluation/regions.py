"""Edits inside a region against edits of the whole picture, at equal change of the attribute."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gansteer.edits import start
from gansteer.edits.attribute import Attribute
from gansteer.edits.directions import Directions, Space
from gansteer.edits.fitting import Scorer
from gansteer.edits.intervention import Intervention
from gansteer.edits.parts import part_of
from gansteer.errors import UserError
from gansteer.subject import Model, Subject

REGIONS = (
    ("mouth", "smile"),
    ("mouth", "mouth_open"),
    ("eyes", "eyes_closed"),
    ("hair", "hair_color"),
    ("face", "skin_tone"),
)
"""Regions and the attribute that is changed in each."""
METHODS = ("w", "s", "blended", "intervention", "sparse")
"""The edit in w, that in s, that in w pasted into the region, and both forms of the intervention."""
SPARSE = 200
"""Channels of the sparse form."""
REACH = 4.0
"""No edit is turned up to more than so many times the intervention's own strength to reach its change."""
RESAMPLES = 2000


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
    """For each region."""
    strength: float
    """Of the intervention, in deviations."""
    psi: float
    seed: int
    left_out: Mapping[str, int]
    """Pictures in which the part was not found, or the intervention did not change the attribute, by region."""
    methods: tuple[MethodReport, ...]


def regions(
    model: Model,
    directions: Directions,
    scorer: Scorer,
    deviations: Mapping[str, float],
    pictures: int = 50,
    *,
    jobs: Sequence[tuple[str, str]] = REGIONS,
    strength: float = 2.0,
    psi: float = 0.7,
    seed: int = 2000,
    region_of: Callable[[Subject, str], Tensor] = part_of,
    report: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> RegionsReport:
    """Compare on `pictures` samples for each job `(region, attribute)`; `deviations` are those of the scores.

    Raises UserError if there is nothing to compare.
    """
    if pictures < 2:
        raise UserError("compare on at least 2 pictures")
    found: list[MethodReport] = []
    left_out: dict[str, int] = {}
    for region, attribute in jobs:
        rows: list[dict[str, tuple[float, float, float]]] = []
        tried = 0
        while len(rows) < pictures and tried < 3 * pictures:
            subject = model.sample(seed + tried, psi)
            tried += 1
            row = _compared(subject, directions, scorer, region, attribute, strength, deviations[attribute], region_of)
            if row is not None:
                rows.append(row)
            report(f"{attribute} in {region}", len(rows), pictures)
        left_out[f"{region}: {attribute}"] = tried - len(rows)
        if len(rows) >= 2:
            found += [_summary(region, attribute, method, rows, deviations[attribute]) for method in METHODS]
    if not found:
        raise UserError("no region was found in any picture: these are no portraits, or the directions do nothing")
    return RegionsReport(model.card.name, pictures, strength, psi, seed, left_out, tuple(found))


def _compared(
    subject: Subject, directions: Directions, scorer: Scorer, region: str, attribute: str, strength: float,
    deviation: float, region_of: Callable[[Subject, str], Tensor],
) -> dict[str, tuple[float, float, float]] | None:  # fmt: skip
    """By method: change of the attribute, change outside, seam. None where there is nothing to compare at."""
    try:
        mask = region_of(subject, region)
    except UserError:
        return None
    before = subject.render()

    def score(picture: Tensor) -> float:
        with torch.no_grad():
            return float(scorer(picture[None].clamp(-1, 1))[attribute])

    base = score(before)

    def measured(picture: Tensor) -> tuple[float, float, float]:
        change = (picture.clamp(-1, 1) - before.clamp(-1, 1)) * 127.5
        return score(picture) - base, outside(change, mask), seam(change, mask)

    def edited(space: Space) -> Callable[[float], Tensor]:
        return lambda steps: start(
            subject, Attribute({attribute: steps}, space=space, directions=directions)
        ).step().subject.render()  # fmt: skip

    inside = Intervention({attribute: strength}, mask, directions=directions)
    results = {}
    for method, edit in (("intervention", inside), ("sparse", replace(inside, channels=SPARSE))):
        *_, last = start(subject, edit)
        results[method] = measured(last.subject.render())
    wanted = results["intervention"][0]
    if wanted < 0.1 * deviation:
        return None
    in_w = edited("w")
    part = mask.to(before)
    for method, draw in (
        ("w", in_w), ("s", edited("s")), ("blended", lambda steps: before + part * (in_w(steps) - before))
    ):  # fmt: skip
        steps = reached(lambda x, draw=draw: score(draw(x)) - base, wanted, strength)  # type: ignore[misc]
        results[method] = measured(draw(steps))
    return results


def reached(gain: Callable[[float], float], wanted: float, strength: float) -> float:
    """The strength at which `gain` is `wanted`, by bisection between 0 and `REACH` times `strength`.

    Where even the greatest does not reach it, the one of a few that comes nearest.
    """
    low, high = 0.0, strength
    while gain(high) < wanted:
        low, high = high, 2 * high
        if high > REACH * strength:
            return min((strength * REACH * t for t in (0.25, 0.5, 0.75, 1.0)), key=lambda x: abs(gain(x) - wanted))
    for _ in range(7):
        middle = (low + high) / 2
        low, high = (middle, high) if gain(middle) < wanted else (low, middle)
    return (low + high) / 2


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
    region: str, attribute: str, method: str, rows: Sequence[Mapping[str, tuple[float, float, float]]], deviation: float
) -> MethodReport:
    gains, leaks, seams = np.array([row[method] for row in rows]).T
    wanted, least, _ = np.array([row["intervention"] for row in rows]).T
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
