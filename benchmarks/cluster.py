"""Jobs a second of 1 and 2 workers under Ray, against as many plain processes, interleaved in one run.

Both executors are begun once and stay; they are asked for a few jobs by turns, and what a side had on its way from its last
turn is not counted. `drag` jobs are drags of a seed as `gansteer drag --jobs` sends them, of a fixed number of steps;
`wait` jobs only wait for a second, so that what they take beyond it is the executor's whole part, however busy the machine
is. CPU seconds are those of the driver and of everything that a side has begun: workers, and Ray's own processes.

    OMP_NUM_THREADS=1 python benchmarks/cluster.py --json out.json --document docs/cluster.md
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from processes import family

from gansteer.commands.drag import Drag
from gansteer.commands.drag_jobs import Line, Task, prepare
from gansteer.edits.drag.config import DragSettings
from gansteer.evaluation.document import fill, table
from gansteer.executors.choose import chosen

SIDES = ("processes", "Ray")
TICKS = os.sysconf("SC_CLK_TCK")


def drags(steps: int) -> Iterator[Task]:
    """One after another; none arrives, so that each takes all its steps."""
    how = DragSettings(method="draggan", steps=steps, tolerance=0.0, patience=10**6)
    command = Drag(model="portraits", device="cpu", out=Path("unused"), point=("60,70:78,68",), how=how)
    for number in range(10**6):
        yield Task(Line(number + 1, ""), replace(command, seed=number, out=Path(f"line-{number + 1:05d}.png")), None)


def waits() -> Iterator[float]:
    while True:
        yield 1.0


def prepare_waits() -> Callable[[float], None]:
    return time.sleep


# --- measuring ----------------------------------------------------------------------------------------------------------


def cpu_seconds(processes: set[int]) -> float:
    """What they have used so far."""
    total = 0
    for pid in processes:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


@dataclass
class Side:
    """One executor at work."""

    outcomes: Any
    executor: Any
    processes: set[int]
    started: float
    """Seconds until all workers had done a job."""

    @classmethod
    def begun(cls, executor: Any, workers: int, tasks: Any, *prepared: Any) -> "Side":
        before, begin = set(family(os.getpid())), time.monotonic()
        outcomes = executor.outcomes(tasks, *prepared)
        while executor.workers < workers:
            _ = next(outcomes).found
        _ = [next(outcomes).found for _ in range(workers)]
        started = time.monotonic() - begin
        return cls(outcomes, executor, (set(family(os.getpid())) - before) | {os.getpid()}, started)

    def turn(self, workers: int, jobs: int) -> tuple[float, float]:
        """Jobs a second, and CPU seconds of a job."""
        for _ in range(3 * workers):  # what was on its way, and until all are at work again
            _ = next(self.outcomes).found
        begin, before = time.monotonic(), cpu_seconds(self.processes)
        for _ in range(jobs):
            _ = next(self.outcomes).found
        return jobs / (time.monotonic() - begin), (cpu_seconds(self.processes) - before) / jobs


def measure(kind: str, workers: int, rounds: int, jobs: int, steps: int) -> dict[str, Any]:
    """Both sides by turns."""

    def begun(where: str | None) -> Side:
        work = (drags(steps), prepare, next(drags(steps)).command, None) if kind == "drag" else (waits(), prepare_waits)
        executor: Any = chosen(workers, where) if where or workers > 1 else processes_of_one()
        return Side.begun(executor, workers, *work)

    sides = {"processes": begun(None), "Ray": begun(f"local:{workers}")}
    found: dict[str, list[tuple[float, float]]] = {side: [] for side in SIDES}
    with closing(sides["processes"].outcomes), closing(sides["Ray"].outcomes):
        for _ in range(rounds):
            for side in SIDES:
                found[side].append(sides[side].turn(workers, jobs))
    row: dict[str, Any] = {"kind": kind, "workers": workers, "rounds": rounds, "jobs": jobs, "steps": steps}
    for side in SIDES:
        row[side] = {
            "started": sides[side].started, "rates": [rate for rate, _ in found[side]],
            "rate": statistics.median(rate for rate, _ in found[side]),
            "cpu": statistics.median(cpu for _, cpu in found[side]),
        }  # fmt: skip
    row["overhead"] = row["processes"]["rate"] / row["Ray"]["rate"] - 1
    row["cpu_overhead"] = row["Ray"]["cpu"] / row["processes"]["cpu"] - 1 if row["processes"]["cpu"] else None
    return row


def processes_of_one() -> Any:
    """One process beside the driver, as Ray's single worker is; the command's own process would be none."""
    from gansteer.executors.processes import processes

    return processes(1)


# --- telling ------------------------------------------------------------------------------------------------------------


def told(row: dict[str, Any]) -> str:
    plain, ray = row["processes"], row["Ray"]
    return (
        f"{row['kind']:>5}, {row['workers']} worker(s): processes {plain['rate']:.3f} jobs/s, {plain['cpu']:.3f} CPU s a job; "
        f"Ray {ray['rate']:.3f} jobs/s, {ray['cpu']:.3f} CPU s a job; overhead {row['overhead']:+.1%}; "
        f"started in {plain['started']:.1f} s and {ray['started']:.1f} s"
    )


def in_words(rows: list[dict[str, Any]], load: float) -> str:
    names = {"drag": "drags of {steps} steps", "wait": "waits of a second"}
    cells = [
        [
            names[row["kind"]].format(**row), row["workers"],
            *(f"{row[side]['rate']:.2f}" for side in SIDES), f"{row['overhead']:+.1%}",
            *(f"{row[side]['cpu']:.2f}" for side in SIDES), *(f"{row[side]['started']:.0f}" for side in SIDES),
        ]
        for row in rows
    ]  # fmt: skip
    head = [
        "jobs", "workers", "processes, jobs/s", "Ray, jobs/s", "overhead", "processes, CPU s a job", "Ray, CPU s a job",
        "processes, s to begin", "Ray, s to begin",
    ]  # fmt: skip
    return (
        f"{rows[0]['rounds']} turns of {rows[0]['jobs']} jobs for each side, medians; load average {load:.1f} "
        f"on {os.cpu_count()} cores:\n\n{table(head, cells)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=["drag", "wait"], default=["wait", "drag"])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--jobs", type=int, default=8, help="jobs counted in a turn")
    parser.add_argument("--steps", type=int, default=40, help="of every drag")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--document", type=Path, help="put the table between <!-- jobs --> and <!-- end of jobs -->")
    args = parser.parse_args()
    rows = []
    for kind in args.kinds:
        for workers in args.workers:
            rows.append(measure(kind, workers, args.rounds, args.jobs, args.steps))
            print(told(rows[-1]), flush=True)
    load = os.getloadavg()[0]
    if args.json:
        args.json.write_text(json.dumps({"load": load, "rows": rows}, indent=1))
    if args.document:
        fill(args.document, "jobs", in_words(rows, load))


if __name__ == "__main__":
    main()
