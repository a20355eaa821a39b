"""Carry out a table of drags: every row on the same cases, each case a few records that can be kept and added to."""

import base64
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gansteer.checkpoints.latent_transformer import find_transformer
from gansteer.edits.drag.config import DragSettings
from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.methods import begin
from gansteer.edits.drag.trackers import check_tracker
from gansteer.errors import UserError
from gansteer.evaluation.drags.cases import Case, draggable, landmark_case, near_ways, point_set
from gansteer.evaluation.drags.judge import Judge
from gansteer.evaluation.drags.measures import (
    frechet,
    interval,
    mean_change,
    mean_distance,
    mean_square,
    patch_difference,
)
from gansteer.evaluation.drags.rows import Settings
from gansteer.models.face_reader import is_whole
from gansteer.subject import Model, Subject

Protocol = Literal["landmarks", "reconstruction", "there-and-back", "known-motion"]

GAMMAS = (1.0, 5.0, 10.0)
"""Radii of the dragged patch, in pixels of a picture of 512: GoodDrag's, scaled to the picture's size."""


@dataclass(frozen=True)
class Plan:
    """What a table is of: everything but its rows."""

    model: str
    """Name, file or hub id."""
    protocol: Protocol
    points: tuple[int, ...]
    psi: float
    data: str | None = None
    """Folder of the pictures whose motion is known."""
    correspondence: Literal["features", "flow"] = "features"
    projection: int = 100
    """Steps by which those pictures are brought in."""
    network: str | None = None
    """Which of several networks in the model's file."""


@dataclass(frozen=True)
class Task:
    """All rows of one case that are still to be run."""

    points: int
    number: int
    rows: Mapping[str, Settings]


@dataclass(frozen=True)
class Record:
    """What one row gave in one case."""

    points: int
    number: int
    row: str
    settings: Settings
    """As `resolved` says."""
    measures: Mapping[str, float]
    """Measures that do not exist here are NaN, in files null."""
    embedding: str
    """Of the picture, float16, base64."""

    def to_json(self) -> dict[str, Any]:
        """For a line of the file of records."""
        measures = {name: None if math.isnan(x) else x for name, x in self.measures.items()}
        return {**vars(self), "measures": measures}

    @classmethod
    def from_json(cls, line: Any) -> "Record":
        """Raises KeyError or TypeError for anything else. A setting that came after the record was at its default then."""
        settings = line["settings"]
        if settings is not None:
            settings = {**{field.name: field.default for field in fields(DragSettings)}, **settings}
        measures = {name: math.nan if x is None else float(x) for name, x in line["measures"].items()}
        return cls(line["points"], line["number"], line["row"], settings, measures, line["embedding"])


def prepare(plan: Plan) -> Callable[[Task], list[Record]]:
    """What a process needs once: the model, the readers. Returns what does a task."""
    from gansteer.checkpoints.registry import load
    from gansteer.memory import keep_freed_memory

    keep_freed_memory()
    model = load(plan.model, "cpu", network=plan.network)
    judge = Judge.of(model)
    cases = case_maker(plan, model, judge)

    def work(task: Task) -> list[Record]:
        case = cases(task.number, task.points)
        found = []
        for name, settings in task.rows.items():
            values, embedding = measured(case, settings, task.points, plan, judge)
            found.append(Record(task.points, task.number, name, resolved(model, settings), values, embedding))
        return found

    return work


def resolved(model: Model, settings: Settings) -> Settings:
    """All fields of a row's drag, of one handle: what a default means may change, and records must not be taken for others."""
    if settings is None:
        return None
    middle = torch.full((1, 2), (model.resolution - 1) / 2, dtype=torch.float64)
    subject = model.sample(0, label=0 if model.generator.config.c_dim else None)
    fitted = drag_of(subject, middle, middle, settings).fitted(subject)
    free = {"free": settings["free"]} if "free" in settings else {}
    return {**{field.name: getattr(fitted, field.name) for field in fields(DragSettings)}, **free}


def drag_of(subject: Subject, handles: Tensor, targets: Tensor, settings: Mapping[str, object]) -> Drag:
    """The drag of `handles [n, 2]` to `targets [n, 2]` that a row's settings mean."""
    how = dict(settings)
    free = how.pop("free", None)
    if isinstance(free, float):
        how["mask"] = near_ways(handles, targets, subject.model.resolution, free)
    pairs = [[(x, y) for x, y in points.tolist()] for points in (handles, targets)]
    return Drag(handles=pairs[0], targets=pairs[1], **how)  # type: ignore[arg-type]


def case_maker(plan: Plan, model: Model, judge: Judge) -> Callable[[int, int], Case]:
    """The cases of a protocol, by number of the case and of its points."""
    if plan.protocol in ("landmarks", "there-and-back"):
        return lambda number, points: landmark_case(model, number, points, plan.psi, judge.landmarks)
    if plan.protocol == "reconstruction":
        from gansteer.evaluation.drags.correspondence import reconstruction_case

        return lambda number, points: reconstruction_case(model, number, plan.psi, plan.correspondence)
    from gansteer.evaluation.drags.known_motion import KnownMotion

    assert plan.data is not None
    return KnownMotion(Path(plan.data), model, judge.landmarks, plan.projection).case


@dataclass(frozen=True, eq=False)
class Dragged:
    """What came of a drag."""

    subject: Subject
    steps: int
    arrived: bool
    passes: int
    """Forward and backward passes through the network, each as one."""
    seconds: float
    """Of the processor."""
    left: float
    """Mean distance to the targets by the row's own tracker, in pixels."""


def carry_out(subject: Subject, handles: Tensor, targets: Tensor, settings: Settings) -> Dragged:
    """One drag by one row."""
    if settings is None or not len(handles):
        return Dragged(subject, 0, False, 0, 0.0, mean_distance(handles, targets) if len(handles) else math.nan)
    drag = drag_of(subject, handles, targets, settings)
    began = time.process_time()
    run = begin(subject, drag)
    *_, last = run
    seconds = time.process_time() - began
    left = sum(last.distances) / len(last.distances)
    return Dragged(run.subject, run.taken, "arrived" in (run.stop_reason or ""), run.passes, seconds, left)


def measured(case: Case, settings: Settings, count: int, plan: Plan, judge: Judge) -> tuple[dict[str, float], str]:
    """The measures of one row in one case, and the embedding of the picture that it gave."""
    size = case.subject.model.resolution
    dragged = carry_out(case.subject, case.handles, case.targets, settings)
    before, after = case.subject.render(), dragged.subject.render()
    found = {
        "arrived": float(dragged.arrived), "steps": float(dragged.steps), "passes": float(dragged.passes),
        "seconds": dragged.seconds, "left": dragged.left, "change": mean_change(after, before),
    }  # fmt: skip
    for gamma in GAMMAS:
        radius = gamma * size / 512
        found[f"patch {gamma:g}"] = patch_difference(before, after, case.handles, case.targets, radius)
    landmarks = judge.landmarks(after)
    if case.wanted is not None:
        found["distance"] = mean_distance(point_set(landmarks, count), case.wanted)
    if judge.face_points is not None:
        found["face"] = float(is_whole(landmarks, judge.face_points(after), size))
    if case.goal is not None:
        with torch.no_grad():
            found["perceptual"] = float(judge.perceptual(case.goal[None])(after[None]))
        found["mse"] = mean_square(after, case.goal)
    if plan.protocol == "there-and-back":
        kept = draggable(
            case.targets, case.handles, size
        )  # two targets may be on one pixel, from which only one can be dragged
        back = carry_out(dragged.subject, case.targets[kept], case.handles[kept], settings).subject.render()
        found["back"] = mean_change(back, before)
        with torch.no_grad():
            found["back, perceptual"] = float(judge.perceptual(before[None])(back[None]))
    with torch.no_grad():
        embedding = judge.embedding(after[None].float().clamp(-1, 1))[0]
    return found, base64.b64encode(embedding.cpu().numpy().astype("<f2").tobytes()).decode()


def tasks(plan: Plan, rows: Mapping[str, Settings], first: int, pairs: int, done: Sequence[Record]) -> list[Task]:
    """What is left to do, case by case, so that at any time all rows have nearly the same cases."""
    known = {(record.points, record.number, record.row) for record in done}
    found = []
    for number in range(first, first + pairs):
        for points in plan.points:
            missing = {row: settings for row, settings in rows.items() if (points, number, row) not in known}
            if missing:
                found.append(Task(points, number, missing))
    return found


def check_row(model: Model, settings: Settings) -> None:
    """Raise UserError if a row needs what is not installed, or was not trained for this model."""
    if settings is None:
        return
    check_tracker(str(settings.get("tracker")), model)
    if settings.get("method") == "transformer":
        find_transformer(model)


# --- summing up ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RowSummary:
    """One row of a table."""

    row: str
    settings: Settings
    cases: int
    measures: Mapping[str, tuple[float, float, float] | None]
    """Mean and 95 % bootstrap interval over the cases; None where there is no value."""
    relative: float | None
    """Distance as a share of that of no edit."""
    frechet: float | None
    """Of the edited pictures from the initial ones, in EfficientNet-Lite0 features: compare equal numbers only."""


@dataclass(frozen=True)
class Table:
    """All rows on the cases that every one of them has done."""

    points: int
    rows: tuple[RowSummary, ...]


@dataclass(frozen=True)
class DragsReport:
    """What was measured, and how."""

    model: str
    weights: str
    resolution: int
    protocol: Protocol
    psi: float
    data: str | None
    correspondence: str | None
    first: int
    tables: tuple[Table, ...]


def summed_up(
    plan: Plan, model: Model, rows: Mapping[str, Settings], first: int, records: Sequence[Record]
) -> DragsReport:
    """The tables of `records`, of cases that all `rows` have. Raises UserError if there are none."""
    tables = []
    for points in plan.points:
        by_row = {name: {r.number: r for r in records if r.points == points and r.row == name} for name in rows}
        common = sorted(set.intersection(*(set(found) for found in by_row.values())))
        if common:
            tables.append(
                Table(points, _rows(rows, {name: [found[n] for n in common] for name, found in by_row.items()}))
            )
    if not tables:
        raise UserError("no case was done by all rows: give it more time")
    return DragsReport(
        model.card.name, model.digest, model.resolution, plan.protocol, plan.psi, plan.data,
        plan.correspondence if plan.protocol == "reconstruction" else None, first, tuple(tables),
    )  # fmt: skip


def _rows(rows: Mapping[str, Settings], records: Mapping[str, Sequence[Record]]) -> tuple[RowSummary, ...]:
    """`records` of each row, in the same order of cases."""
    still = next((name for name, settings in rows.items() if settings is None), None)
    before = None if still is None else _embeddings(records[still])
    base = math.nan if still is None else interval([r.measures.get("distance", math.nan) for r in records[still]])[0]
    found = []
    for name, settings in rows.items():
        its = records[name]
        values = {m: interval([r.measures.get(m, math.nan) for r in its]) for m in its[0].measures}
        ratio = values["distance"][0] / base if "distance" in values else math.nan
        distance = None if before is None or name == still else frechet(_embeddings(its), before)
        found.append(
            RowSummary(
                name, settings, len(its), {m: None if math.isnan(v[0]) else v for m, v in values.items()},
                None if math.isnan(ratio) else ratio, distance,
            )
        )  # fmt: skip
    return tuple(found)


def _embeddings(records: Sequence[Record]) -> Tensor:
    """`[N, D]`."""
    raw = [np.frombuffer(base64.b64decode(record.embedding), "<f2") for record in records]
    return torch.from_numpy(np.stack(raw).astype(np.float64))
