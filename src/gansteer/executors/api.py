"""What every executor offers: tasks go in as a stream, their outcomes come out as they are done."""

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from gansteer.errors import UserError

T = TypeVar("T")
R = TypeVar("R")

Prepare = Callable[..., Callable[[T], R]]
"""A function at the top of a module, called once in each worker: it opens what the tasks need and returns what does one."""


@dataclass(frozen=True)
class Outcome(Generic[T, R]):
    """What became of one task."""

    task: T
    result: R | None
    """What the work returned, if there is no error."""
    error: Exception | None = None
    """A UserError, RuntimeError or MemoryError that says why there is no result."""

    @property
    def found(self) -> R:
        """The result. Raises the error if there is none."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # a result may be None itself


class Executor(Protocol):
    """Does tasks somewhere."""

    @property
    def workers(self) -> int:
        """How many are at work now."""

    def outcomes(self, tasks: Iterable[T], prepare: Prepare[T, R], *arguments: Any) -> Iterator[Outcome[T, R]]:
        """The outcome of every task, once, in the order in which they are done.

        `tasks` is read as workers become free, so it may be long. Every worker calls `prepare(*arguments)` once, before its
        first task; without tasks nobody does. A task that fails does not stop the others: its outcome holds the error.
        Raises UserError if `prepare` does, or if no worker can be had. An error that is no UserError, RuntimeError or
        MemoryError is a mistake in the code and ends everything.
        """


Kind = Literal["mistake", "memory", "runtime", "bug"]


@dataclass(frozen=True)
class Reply:
    """What a worker sends back: a result, or an error as text, since not every exception survives the way."""

    result: Any = None
    kind: Kind | None = None
    text: str = ""

    @property
    def error(self) -> Exception | None:
        """The error, as an exception of this process."""
        if self.kind is None:
            return None
        kinds = {"mistake": UserError, "memory": MemoryError, "runtime": RuntimeError, "bug": AssertionError}
        return kinds[self.kind](self.text)


def attempt(work: Callable[[], Any]) -> Reply:
    """Do something in a worker, whatever comes of it."""
    try:
        return Reply(work())
    except UserError as error:
        return Reply(kind="mistake", text=str(error))
    except MemoryError as error:
        return Reply(kind="memory", text=str(error) or "out of memory")
    except RuntimeError as error:
        return Reply(kind="runtime", text=str(error) or type(error).__name__)
    except Exception:
        return Reply(kind="bug", text=traceback.format_exc())


def use_one_thread() -> None:
    """Let this process compute on one core: it has neighbours. PyTorch is not loaded for that."""
    os.environ["OMP_NUM_THREADS"] = "1"  # for libraries that are loaded from now on
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
