"""What the workers of these tests do: next to nothing, or something bad. Workers import this module."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from gansteer.errors import UserError

Task = tuple[int, str]
"""A number, and what becomes of it: `double`, or a mishap."""


def prepare(folder: str) -> Callable[[Task], int]:
    """Every worker leaves a file in the folder, named after its process, with a line for each task it has begun."""
    diary = Path(folder) / f"worker-{os.getpid()}"
    diary.touch()

    def work(task: Task) -> int:
        number, what = task
        with diary.open("a") as file:
            file.write(f"{number}\n")
        before = sum(
            f"{number}\n" in path.read_text().splitlines(keepends=True) for path in diary.parent.glob("worker-*")
        )
        if what == "mistake":
            raise UserError(f"{number} is no number to double")
        if what == "memory" or (what == "memory once" and before == 1):
            raise MemoryError
        if what == "runtime":
            raise RuntimeError("CUDA out of memory")
        if what == "dies" or (what == "dies once" and before == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "bug":
            raise KeyError("nothing")
        return 2 * number

    return work


def unprepared(folder: str) -> Callable[[Task], int]:
    raise UserError("there is no such model")


def dying(folder: str) -> Callable[[Task], int]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def begun(folder: Path) -> dict[int, int]:
    """How often each task was begun, by number."""
    counts: dict[int, int] = {}
    for path in folder.glob("worker-*"):
        for line in path.read_text().split():
            counts[int(line)] = counts.get(int(line), 0) + 1
    return counts
