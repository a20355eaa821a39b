"""How well drags work on a model of faces, method by method, each on the same random drags.

Handles are face points given by the landmark detector (or, without one, random points of the middle of the picture), dragged
by 10 to 25 % of the picture's width. Several handles of one drag go about the same way (each turned by up to 20 degrees
and longer or shorter by up to 20 %), since a face cannot follow contradictions.

Per method: the share of drags that arrive (by their own tracker), steps, the distance left by the tracker and by the
detector, which no method sees, in per cent of the width; how much the picture changed (mean absolute difference, of 255)
farther than a quarter of the width from every handle and target; and there-and-back, the same difference over the whole
picture after the result was dragged back from the targets to the handles. Intervals are 95 %, bootstrapped over drags.

    python benchmarks/drag_quality.py --model portraits --count 200 --several 100 --json quality.json
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gansteer.checkpoints.registry import load
from gansteer.edits import Drag, start
from gansteer.edits.features import default_layer
from gansteer.errors import UserError
from gansteer.memory import keep_freed_memory
from gansteer.subject import Model, Subject

Detector = Callable[[Tensor], Tensor]
"""`[3, H, H]` in [-1, 1] to landmarks `[N, 2]` (x, y) in pixels."""

FACE_POINTS = (8, 30, 33, 36, 39, 42, 45, 48, 51, 54, 57)
"""Chin, nose, corners of the eyes and the mouth, lips, in the 68-point order: points that a person would take."""

MEASURES = ("arrived", "steps", "tracker", "detector", "outside", "back", "seconds")


@dataclass(frozen=True)
class Case:
    """One drag: a picture, which landmarks, where from and where to."""

    seed: int
    landmarks: tuple[int, ...]
    handles: tuple[tuple[float, float], ...]
    targets: tuple[tuple[float, float], ...]


def methods(model: Model) -> dict[str, dict[str, object] | None]:
    """Name of the row to what it changes in `Drag`; None is no edit."""
    top = int(math.log2(model.resolution))
    blocks = [f"b{2**i}.conv1" for i in range(4, min(top, 8) + 1)]
    default = model.card.drag_layer or default_layer(model.resolution)
    rows: dict[str, dict[str, object] | None] = {"no edit": None, "no tracking": {"tracker": "none"}}
    rows[f"DragGAN, {default} (default)"] = {}
    rows.update({f"DragGAN, {block}": {"layer": block} for block in blocks if block != default})
    rows["DragGAN, L2 tracking"] = {"tracker": "nearest-l2"}
    rows["DragGAN, confident tracker"] = {"tracker": "confident"}
    rows["FreeDrag"] = {"method": "freedrag"}
    rows["Gauss-Newton"] = {"method": "gauss-newton"}
    rows["DragGAN, W"] = {"space": "w"}
    rows["DragGAN, pull 0.3"] = {"pull": 0.3}
    rows["DragGAN, manifold 0.01"] = {"manifold": 0.01}
    rows["DragGAN, rate 5e-3"] = {"learning_rate": 5e-3}
    rows["DragGAN, rate 1e-2"] = {"learning_rate": 1e-2}
    rows["DragGAN, rate 2e-2"] = {"learning_rate": 2e-2}
    rows["DragGAN, stride 2"] = {"stride": 2.0}
    rows["DragGAN, stride 3, rate 1e-2"] = {"stride": 3.0, "learning_rate": 1e-2}
    rows["FreeDrag, rate 1e-2"] = {"method": "freedrag", "learning_rate": 1e-2}
    rows["DragGAN, r1 2"] = {"r1": 2.0}
    rows["DragGAN, r1 5"] = {"r1": 5.0}
    rows["DragGAN, r2 4"] = {"r2": 4.0}
    rows["DragGAN, r2 10"] = {"r2": 10.0}
    return rows


def cases(model: Model, count: int, handles: int, psi: float, detect: Detector | None) -> Iterator[Case]:
    """The first `count` drags of `handles` handles that stay in the picture."""
    size = model.resolution
    rng = torch.Generator().manual_seed(handles)
    seed, found = 10_000 * handles, 0

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=rng))

    while found < count:
        seed += 1
        picture = model.sample(seed, psi).render()
        if detect is None:
            marks = (torch.rand(68, 2, generator=rng) * 0.4 + 0.3) * (size - 1)
        else:
            marks = detect(picture)
        chosen = [FACE_POINTS[int(i)] for i in torch.randperm(len(FACE_POINTS), generator=rng)[:handles]]
        length, angle = uniform(0.10, 0.25) * size, uniform(0, 2 * math.pi)
        starts, ends = [], []
        for landmark in chosen:
            x, y = (round(v) for v in marks[landmark].tolist())
            turn = angle + (uniform(-math.pi / 9, math.pi / 9) if handles > 1 else 0)
            far = length * (uniform(0.8, 1.2) if handles > 1 else 1)
            starts.append((float(x), float(y)))
            ends.append((x + far * math.cos(turn), y + far * math.sin(turn)))
        if all(4 <= v <= size - 5 for point in starts + ends for v in point) and len(set(starts)) == handles:
            found += 1
            yield Case(seed, tuple(chosen), tuple(starts), tuple(ends))


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


def mean_distance(points: Tensor, targets: Tensor) -> float:
    return float((points - targets).norm(dim=1).mean())


def carry_out(
    model: Model, case: Case, changes: dict[str, object] | None, psi: float, detect: Detector | None
) -> dict[str, float]:
    """One row's measures of one drag."""
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
        arrived = float("arrived" in (last.ended or ""))
    seconds = time.process_time() - began
    after = result.render()
    back = before
    if changes is not None:
        again = Drag(handles=case.targets, targets=case.handles, **changes)  # type: ignore[arg-type]
        run = start(result, again)
        for _ in run:
            pass
        back = run.subject.render()
    far = outside_of(case, size)
    return {
        "arrived": arrived,
        "steps": float(steps),
        "tracker": 100 * mean_distance(points, targets) / size,
        "detector": math.nan if detect is None
        else 100 * mean_distance(detect(after)[list(case.landmarks)].cpu(), targets) / size,
        "outside": float(difference(after, before).cpu()[far].mean()) if far.any() else math.nan,
        "back": float(difference(back, before).mean()),
        "seconds": seconds,
    }  # fmt: skip


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and the 95 % bootstrap interval of it."""
    x = torch.tensor([value for value in values if not math.isnan(value)], dtype=torch.float64)
    if not len(x):
        return math.nan, math.nan, math.nan
    draws = torch.randint(0, len(x), (2000, len(x)), generator=torch.Generator().manual_seed(0))
    means = x[draws].mean(dim=1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return float(x.mean()), low, high


def cell(measure: str, values: list[float]) -> str:
    mean, low, high = interval(values)
    if math.isnan(mean):
        return "-"
    if measure == "arrived":
        return f"{100 * mean:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
    digits = 0 if measure == "steps" else 2 if measure == "seconds" else 1
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def find_detector(device: torch.device) -> Detector | None:
    """The face reader that comes with gansteer, if it does."""
    try:
        from gansteer.checkpoints.face_reader import load_face_reader
    except ImportError:
        return None
    try:
        reader = load_face_reader().to(device)
    except UserError:
        return None

    def detect(picture: Tensor) -> Tensor:
        with torch.no_grad():
            return reader.read(picture[None].clamp(-1, 1)).landmarks[0].cpu()

    return detect


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="portraits")
    parser.add_argument("--count", type=int, default=200, help="drags of one handle")
    parser.add_argument("--several", type=int, default=100, help="drags of three, and of five handles")
    parser.add_argument("--psi", type=float, default=0.7)
    parser.add_argument("--only", nargs="*", help="rows whose name contains one of these")
    parser.add_argument("--set", nargs="*", default=[], help="changes for all rows, such as learning_rate=0.01")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    model = load(args.model, "cpu")
    detect = find_detector(model.device)
    print(f"{model.card.name}, {model.resolution} px, psi {args.psi}, detector: {'yes' if detect else 'none'}")
    common = {name: float(value) for name, value in (item.split("=") for item in args.set)}
    rows = {
        name: changes if changes is None else {**common, **changes}
        for name, changes in methods(model).items()
        if not args.only or any(word in name for word in args.only)
    }
    report = []
    for handles, count in ((1, args.count), (3, args.several), (5, args.several)):
        if not count:
            continue
        drags = list(cases(model, count, handles, args.psi, detect))
        print(f"\n{handles} handle{'s' if handles > 1 else ''}, {count} drags\n")
        print("| method | " + " | ".join(MEASURES) + " |\n|" + "---|" * (len(MEASURES) + 1))
        for name, changes in rows.items():
            measured = [carry_out(model, case, changes, args.psi, detect) for case in drags]
            columns = {measure: [one[measure] for one in measured] for measure in MEASURES}
            print(f"| {name} | " + " | ".join(cell(m, columns[m]) for m in MEASURES) + " |", flush=True)
            report.append({"handles": handles, "method": name, "changes": changes, **columns})
            if args.json:
                args.json.write_text(json.dumps({"model": model.card.name, "psi": args.psi, "rows": report}, indent=1))


if __name__ == "__main__":
    main()
