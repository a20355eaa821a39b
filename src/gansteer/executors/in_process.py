"""Tasks done one after another, here."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from gansteer.errors import UserError
from gansteer.executors.api import Outcome, Prepare

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class InProcess:
    """This process is the only worker."""

    workers: int = 1

    def outcomes(self, tasks: Iterable[T], prepare: Prepare[T, R], *arguments: Any) -> Iterator[Outcome[T, R]]:
        """As `Executor.outcomes`, in the order of the tasks."""
        work: Callable[[T], R] | None = None
        for task in tasks:
            work = work or prepare(*arguments)
            try:
                outcome = Outcome(task, work(task))
            except (UserError, RuntimeError, MemoryError) as error:
                outcome = Outcome[T, R](task, None, error)
            yield outcome
