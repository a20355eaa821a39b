"""What the workers of these tests do: next to nothing, or something bad. Workers import this module."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gansteer.errors import UserError

Task = tuple[int, str]
"""A number, and what becomes of it: `double`, or a mishap."""

MISHAPS = [(90, "mistake"), (91, "memory"), (92, "memory once"), (93, "dies once"), (94, "dies"), (95, "runtime")]


def prepare(folder: str) -> Callable[[Task], int]:
    """Every worker leaves a file in the folder, named after its process, with a line for each task it has begun."""
    diary = Path(folder) / f"worker-{os.getpid()}"
    diary.touch()

    def work(task: Task) -> int:
        number, what = task
        first = number not in begun(diary.parent)
        with diary.open("a") as file:
            file.write(f"{number}\n")
        if what == "mistake":
            raise UserError(f"{number} is no number to double")
        if what == "memory" or (what == "memory once" and first):
            raise MemoryError
        if what == "runtime":
            raise RuntimeError("CUDA out of memory")
        if what == "dies" or (what == "dies once" and first):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "bug":
            raise KeyError("nothing")
        while what == "held" and first and not (diary.parent / "go").exists():
            time.sleep(0.01)
        return 2 * number

    return work


def unprepared(folder: str) -> Callable[[Task], int]:
    raise UserError("there is no such model")


def vanishing(folder: str) -> Callable[[Task], int]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def diaries(folder: Path) -> dict[str, list[int]]:
    """The tasks that each worker has begun."""
    return {path.name: [int(line) for line in path.read_text().split()] for path in folder.glob("worker-*")}


def begun(folder: Path) -> dict[int, int]:
    """How often each task was begun, by number."""
    every = [number for numbers in diaries(folder).values() for number in numbers]
    return {number: every.count(number) for number in every}


def check_mishaps(outcomes: Sequence[Any], tasks: Sequence[Task], folder: Path) -> None:
    """Of `MISHAPS` among other tasks: each task has one outcome, and was begun as often as it should."""
    assert sorted(outcome.task for outcome in outcomes) == sorted(tasks)
    errors = {outcome.task[0]: outcome.error for outcome in outcomes if outcome.error is not None}
    assert {outcome.task[0]: outcome.result for outcome in outcomes if outcome.error is None} == {
        number: 2 * number for number, what in tasks if number not in errors
    }
    assert sorted(errors) == [90, 91, 94, 95]
    assert isinstance(errors[90], UserError)
    assert "90 is no number" in str(errors[90])
    # A worker that dies may take the answer of the task before with it, which is tried again then.
    lost = "its worker was lost"
    for number, why in ((91, "out of memory"), (94, lost), (95, "CUDA out of memory")):
        assert str(errors[number]).startswith(
            (f"tried 4 times, the last time: {why}", f"tried 4 times, the last time: {lost}")
        )
    counts = begun(folder)
    # At least: what else a worker had begun when it was ended is begun again.
    assert all(counts[number] >= times for number, times in ((90, 1), (91, 4), (92, 2), (93, 2), (94, 4), (95, 4)))
    assert {number for number, what in tasks if what == "double"} <= set(counts)
