"""A stress test of drags on a model of faces: large random pushes, most of which ask for what no model can draw.

How well methods do what can be done is measured by `gansteer evaluate drags`. Here handles are face points, dragged
by 10 to 25 % of the picture's width. Several handles of one drag go about the same way (each turned by up to 20 degrees
and longer or shorter by up to 20 %), since a face cannot follow contradictions.

Per method: the share of drags that arrive (by their own tracker), steps, the distance left by the tracker and by the
detector, which no method sees, in per cent of the width; the share of results that are still a face: MTCNN, which took no
part in any training here, finds one, and puts eyes, nose and mouth where the detector does, which they do not agree upon
in a broken one; how much the picture changed (mean absolute difference, of 255) farther than a quarter of the width from
every handle and target; and there-and-back, the same difference over the whole picture after the result
was dragged back from the targets to the handles. Intervals are 95 %, bootstrapped over drags. Rows that are there to be
compared with, and dear, are run on a quarter of the drags.

    python benchmarks/drag_quality.py --model portraits --processes 2 --json quality.json --document docs/drag.md

Every drag that is done is a record of quality.jsonl, so a run that was stopped (Ctrl-C, or --minutes) goes on where it was
when it is started again. Drags come in an order of which every beginning has its share of one, three and five handles, and
the table is made of those that all their rows have done.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gansteer.checkpoints.registry import load
from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.features import default_layer
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.evaluation.document import fill, table
from gansteer.evaluation.drags.cases import Landmarks
from gansteer.evaluation.drags.judge import Judge
from gansteer.evaluation.drags.measures import interval, mean_distance
from gansteer.evaluation.records import append, check_records, resume
from gansteer.executors.choose import chosen
from gansteer.memory import keep_freed_memory
from gansteer.models.face_reader import is_whole
from gansteer.subject import Model, Subject

Changes = dict[str, object] | None
"""What a row changes in `Drag`; None is no edit."""

Line = dict[str, Any]
"""One row's measures of one drag, and which drag: a record of the JSONL file."""

FACE_POINTS = (8, 30, 33, 36, 39, 42, 45, 48, 51, 54, 57)
"""Chin, nose, corners of the eyes and the mouth, lips, in the 68-point order: points that a person would take."""

MEASURES = ("arrived", "steps", "tracker", "detector", "face", "outside", "back", "seconds")
SHARES = ("arrived", "face")


@dataclass(frozen=True)
class Row:
    """A method, and how many drags it is run on."""

    changes: Changes
    every: int = 1
    """One drag in so many."""


@dataclass(frozen=True)
class Case:
    """One drag: a picture, which landmarks, where from and where to."""

    seed: int
    landmarks: tuple[int, ...]
    handles: tuple[tuple[float, float], ...]
    targets: tuple[tuple[float, float], ...]


DRAGGAN: dict[str, object] = {"method": "draggan", "learning_rate": 5e-3}
"""DragGAN at the rate of the tables in docs/drag.md, which is higher than the paper's."""


def methods(model: Model) -> dict[str, Row]:
    """The rows of the table."""
    layers = [spec.name for spec in model.generator.last_of_each_size() if 16 <= spec.frame.inner <= 256]
    followed = model.card.drag_layer or default_layer(model.generator)
    rows = {
        "no edit": Row(None),
        "no tracking": Row({**DRAGGAN, "tracker": "none"}, 4),
        "natural, the default": Row({}),
    }
    rows[f"DragGAN, {followed}"] = Row(DRAGGAN)
    rows.update({f"DragGAN, {layer}": Row({**DRAGGAN, "layer": layer}, 4) for layer in layers if layer != followed})
    rows["DragGAN, reach 10"] = Row({**DRAGGAN, "reach": 10.0}, 4)
    by_model: Changes = {"method": "draggan", "metric": "model", "learning_rate": 1e-2}
    rows["DragGAN, model's metric"] = Row(by_model, 4)
    rows["DragGAN, w, model's metric, reach 4"] = Row({**by_model, "space": "w", "reach": 4.0}, 4)
    rows["DragGAN, confident tracker"] = Row({**DRAGGAN, "tracker": "confident"})
    rows["DragGAN, pull 0.3"] = Row({**DRAGGAN, "pull": 0.3}, 4)
    rows["DragGAN, manifold 0.01"] = Row({**DRAGGAN, "manifold": 0.01}, 4)
    rows["FreeDrag"] = Row({"method": "freedrag"})
    rows["Gauss-Newton"] = Row({"method": "gauss-newton"})
    return rows


def variations() -> dict[str, Row]:
    """Rows that are run when `--methods` names them."""
    changes: dict[str, Changes] = {
        "DragGAN, L2 tracking": {**DRAGGAN, "tracker": "nearest-l2"},
        "DragGAN, w": {**DRAGGAN, "space": "w"},
        "DragGAN, rows 3": {**DRAGGAN, "rows": 3},
        "DragGAN, rows 10": {**DRAGGAN, "rows": 10},
        "DragGAN, rate 2e-3": {**DRAGGAN, "learning_rate": 2e-3},
        "DragGAN, rate 1e-2": {**DRAGGAN, "learning_rate": 1e-2},
        "DragGAN, rate 2e-2": {**DRAGGAN, "learning_rate": 2e-2},
        "DragGAN, stride 2": {**DRAGGAN, "stride": 2.0},
        "DragGAN, stride 3, rate 1e-2": {**DRAGGAN, "stride": 3.0, "learning_rate": 1e-2},
        "FreeDrag, rate 1e-2": {"method": "freedrag", "learning_rate": 1e-2},
        "Gauss-Newton, r1 3": {"method": "gauss-newton", "r1": 3.0},
        "Gauss-Newton, r1 8": {"method": "gauss-newton", "r1": 8.0},
        "Gauss-Newton, b16.conv1, r1 8": {"method": "gauss-newton", "layer": "b16.conv1", "r1": 8.0},
    }
    return {name: Row(each) for name, each in changes.items()}


def chosen_rows(model: Model, words: Sequence[str], common: Mapping[str, object]) -> dict[str, Row]:
    """The rows whose name contains one of `words`, on every drag; without words those of `methods`.

    `common` changes all of them.
    """
    rows, every = methods(model), methods(model) | variations()
    if words:
        rows = {name: Row(row.changes) for name, row in every.items() if any(word in name for word in words)}
    if not rows:
        raise UserError(f"no row contains {' or '.join(words)}; there are {', '.join(every)}")
    return {
        name: Row(None if row.changes is None else {**common, **row.changes}, row.every) for name, row in rows.items()
    }


def order(counts: Mapping[int, int]) -> list[tuple[int, int]]:
    """Number of handles and of the drag, `counts[handles]` of them, in which every beginning has its share of each."""
    every = [(handles, number) for handles, count in counts.items() for number in range(count)]
    return sorted(every, key=lambda drag: ((drag[1] + 0.5) / counts[drag[0]], drag[0]))


def draw(model: Model, handles: int, number: int, psi: float, detect: Landmarks) -> Case:
    """Drag `number` of `handles` handles: the first of its random numbers that stays in the picture."""
    size = model.resolution
    seed = (1000 * handles + number) * 1000
    rng = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=rng))

    while True:
        seed += 1
        marks = detect(model.sample(seed, psi).render())
        names = [FACE_POINTS[int(i)] for i in torch.randperm(len(FACE_POINTS), generator=rng)[:handles]]
        length, angle = uniform(0.10, 0.25) * size, uniform(0, 2 * math.pi)
        starts, ends = [], []
        for landmark in names:
            x, y = (round(v) for v in marks[landmark].tolist())
            turn = angle + (uniform(-math.pi / 9, math.pi / 9) if handles > 1 else 0)
            far = length * (uniform(0.8, 1.2) if handles > 1 else 1)
            starts.append((float(x), float(y)))
            ends.append((x + far * math.cos(turn), y + far * math.sin(turn)))
        if all(4 <= v <= size - 5 for point in starts + ends for v in point) and len(set(starts)) == handles:
            return Case(seed, tuple(names), tuple(starts), tuple(ends))


def outside_of(case: Case, size: int) -> Tensor:
    """`[H, W]` bool: farther than a quarter of the width from every handle and target."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    far = torch.ones(size, size, dtype=torch.bool)
    for px, py in (*case.handles, *case.targets):
        far &= (x - px).square() + (y - py).square() > (size / 4) ** 2
    return far


def difference(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference over the channels of pictures in [-1, 1], in levels of 255: `[H, W]`."""
    return (a.clamp(-1, 1) - b.clamp(-1, 1)).abs().mean(dim=0) * 127.5


def carry_out(model: Model, case: Case, changes: Changes, psi: float, judge: Judge, back: bool) -> dict[str, float]:
    """One row's measures of one drag; those of a way back if asked for."""
    size = model.resolution
    subject = model.sample(case.seed, psi)
    before = subject.render()
    targets = torch.tensor(case.targets)
    points, steps, arrived = torch.tensor(case.handles), 0, 0.0
    began = time.process_time()
    result: Subject = subject
    if changes is not None:
        run = start(subject, Drag(handles=case.handles, targets=case.targets, **changes))  # type: ignore[arg-type]
        *_, last = run
        result, steps, points = run.subject, run.taken, torch.tensor(last.points)
        arrived = float("arrived" in (last.stop_reason or ""))
    seconds = time.process_time() - began
    after = result.render()
    marks = judge.landmarks(after)
    returned = before
    if changes is not None and back:
        again = Drag(handles=case.targets, targets=case.handles, **changes)  # type: ignore[arg-type]
        run = start(result, again)
        for _ in run:
            pass
        returned = run.subject.render()
    far = outside_of(case, size)
    return {
        "arrived": arrived,
        "steps": float(steps),
        "tracker": 100 * mean_distance(points, targets) / size,
        "detector": 100 * mean_distance(marks[list(case.landmarks)], targets) / size,
        "face": float(is_whole(marks, judge.face_points(after), size)) if judge.face_points else math.nan,
        "outside": float(difference(after, before).cpu()[far].mean()) if far.any() else math.nan,
        "back": float(difference(returned, before).mean()) if back else math.nan,
        "seconds": seconds,
    }  # fmt: skip


def cell(measure: str, values: list[float]) -> str:
    mean, low, high = interval(values)
    if math.isnan(mean):
        return "-"
    if measure in SHARES:
        return f"{100 * mean:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
    digits = 0 if measure == "steps" else 2 if measure == "seconds" else 1
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


# --- many of them, in processes that may be stopped ---------------------------------------------------------------------


Task = tuple[int, int, str]
"""Handles, number of the drag, name of the row."""


def prepare(name: str, psi: float, rows: dict[str, Row], back_every: int) -> Callable[[Task], Line]:
    """What a process needs once; returns what does a task."""
    keep_freed_memory()
    model = load(name, "cpu")
    judge = Judge.of(model)

    @lru_cache(maxsize=1)
    def case(handles: int, number: int) -> Case:
        return draw(model, handles, number, psi, judge.landmarks)

    def work(task: Task) -> Line:
        handles, number, row = task
        changes = rows[row].changes
        measured = carry_out(model, case(handles, number), changes, psi, judge, number % back_every == 0)
        return {"handles": handles, "drag": number, "method": row, "changes": changes, **measured}

    return work


def as_line(record: Any) -> Line:
    """A record of the file; anything else raises KeyError or TypeError."""
    for name in ("handles", "drag", "method", "changes", *MEASURES):
        record[name]
    return dict(record)


def complete(lines: list[Line], rows: Mapping[str, Row]) -> dict[int, dict[str, dict[str, list[float]]]]:
    """Handles to row to measure to its values, of the drags that all `rows` which shall run them have done."""
    done = {(line["handles"], line["drag"], line["method"]): line for line in lines}
    drags = sorted({key[:2] for key in done})
    drags = [
        drag for drag in drags if all((*drag, name) in done for name, row in rows.items() if drag[1] % row.every == 0)
    ]
    found: dict[int, dict[str, dict[str, list[float]]]] = {}
    for handles in sorted({drag[0] for drag in drags}):
        found[handles] = {}
        for name, row in rows.items():
            its = [done[*drag, name] for drag in drags if drag[0] == handles and drag[1] % row.every == 0]
            found[handles][name] = {measure: [line[measure] for line in its] for measure in MEASURES}
    return found


def in_words(head: Line, finished: dict[int, dict[str, dict[str, list[float]]]]) -> str:
    """The tables, each below what it is of."""
    parts = []
    for handles, rows in finished.items():
        parts.append(
            f"Drags of {handles} handle{'s' if handles > 1 else ''} on `{head['model']}` "
            f"({head['resolution']} px, weights {head['weights'][:8]}, psi {head['psi']:g}), "
            f"every {head['back_every']}th of them there and back:"
        )
        cells = [
            [row, len(columns["steps"]), *(cell(m, columns[m]) for m in MEASURES)] for row, columns in rows.items()
        ]
        parts.append(table(["method", "drags", *MEASURES], cells))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="portraits")
    parser.add_argument("--count", type=int, default=60, help="drags of one handle")
    parser.add_argument("--several", type=int, default=20, help="drags of three, and of five handles")
    parser.add_argument("--psi", type=float, default=0.7)
    parser.add_argument("--methods", nargs="*", default=[], help="rows whose name contains one of these")
    parser.add_argument("--set", nargs="*", default=[], help="changes for all rows, such as learning_rate=0.01")
    parser.add_argument("--back-every", type=int, default=5, help="one drag in so many is dragged back, too")
    parser.add_argument("--processes", type=int, default=1, help="of one thread each")
    parser.add_argument("--minutes", type=float, help="stop after so long; started again it goes on")
    parser.add_argument(
        "--json", type=Path, default=Path("quality.json"), help="the measures; .jsonl beside it, as they come"
    )
    parser.add_argument("--document", type=Path, help="put the tables into this Markdown file")
    parser.add_argument("--mark", default="quality", help="between <!-- MARK --> and <!-- end of MARK -->")
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = args.json.with_suffix(".jsonl")
    check_records(path, args.minutes)
    model = load(args.model, "cpu")
    common = {name: json.loads(value) for name, value in (item.split("=") for item in args.set)}
    rows = chosen_rows(model, args.methods, common)
    head = {
        "model": model.card.name, "resolution": model.resolution, "weights": model.digest, "psi": args.psi,
        "back_every": args.back_every,
    }  # fmt: skip
    lines = [
        line
        for line in resume(path, head, as_line)
        if line["method"] in rows and line["changes"] == rows[line["method"]].changes
    ]
    done = {(line["handles"], line["drag"], line["method"]) for line in lines}
    drags = order(
        {handles: count for handles, count in ((1, args.count), (3, args.several), (5, args.several)) if count}
    )
    tasks = [
        (*drag, name)
        for drag in drags
        for name, row in rows.items()
        if drag[1] % row.every == 0 and (*drag, name) not in done
    ]
    print(f"{len(done)} of {len(tasks) + len(done)} drags are done", flush=True)
    end = math.inf if args.minutes is None else time.monotonic() + 60 * args.minutes
    begun = (task for task in tasks if time.monotonic() < end)
    try:
        for outcome in chosen(args.processes).outcomes(begun, prepare, args.model, args.psi, rows, args.back_every):
            lines.append(outcome.found)
            append(path, outcome.found)
    except KeyboardInterrupt:
        print("stopped; start it again to go on")
    finished = complete(lines, rows)
    if not finished:
        raise UserError("no drag was done by all its rows: give it more time")
    text = in_words(head, finished)
    print(text)
    shown = {name: row.changes for name, row in rows.items()}
    args.json.write_text(json.dumps({**head, "rows": shown, "measures": finished}, indent=1), encoding="utf-8")
    if args.document:
        fill(args.document, args.mark, text)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from error
