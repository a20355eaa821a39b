"""Tasks given to workers that may fail or vanish: each is done once, and tried again a few times where it must be."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from gansteer.errors import UserError
from gansteer.executors.api import Outcome, Prepare, Reply

T = TypeVar("T")
R = TypeVar("R")

TRIES = 4
"""Of a task whose worker fails or is lost: the first, and three again."""
BRISK = 1.0
"""Seconds. Workers whose last task took less have the next one at hand already, so that they need not wait for it."""

BUG = "a worker stumbled over a mistake in the code:"

Worker = Hashable


@dataclass(frozen=True)
class Ready:
    """A worker has prepared itself."""

    worker: Worker


@dataclass(frozen=True)
class Answer:
    """A worker has done a task, or failed in it."""

    worker: Worker
    number: int
    reply: Reply


@dataclass(frozen=True)
class Lost:
    """A worker is gone: its process has died, its machine cannot be reached, or it could not prepare itself."""

    worker: Worker
    why: Exception
    """A UserError if nothing can be done about it by trying again."""


Event = Ready | Answer | Lost


class Fleet(Protocol):
    """Workers of one kind, somewhere. They have been told what to prepare."""

    @property
    def takes_ahead(self) -> bool:
        """Whether a worker can be sent a task while it is doing another."""

    def capacity(self) -> int:
        """How many workers there can be now, at least 1."""

    def start(self) -> Worker:
        """Begin one more; it tells when it is ready."""

    def give(self, worker: Worker, number: int, task: Any) -> None:
        """Send a task to a worker; it does what it is given one after another."""

    def events(self) -> list[Event]:
        """What has happened since; waits a while where nothing has."""

    def stop(self, worker: Worker) -> None:
        """End a worker, whatever it is doing; nothing more is told of it."""

    def close(self) -> None:
        """End all."""


@dataclass
class Pool:
    """An executor whose workers come from a fleet, which is opened when there is a task."""

    open_fleet: Callable[[Prepare[Any, Any], tuple[Any, ...]], Fleet]
    workers: int = 0

    def outcomes(self, tasks: Iterable[T], prepare: Prepare[T, R], *arguments: Any) -> Iterator[Outcome[T, R]]:
        """As `Executor.outcomes`. A task that is no UserError's fault is tried `TRIES` times."""
        source = iter(tasks)
        first = next(source, None)
        if first is None:
            return
        with closing(self.open_fleet(prepare, arguments)) as fleet:
            shift: Shift[T, R] = Shift(fleet, source)
            shift.wait_with(first)
            while shift.fill():
                yield from shift.step()
                self.workers = len(shift.ready)
        self.workers = 0


@dataclass
class Waiting(Generic[T]):
    """A task that is not done."""

    number: int
    task: T
    failures: list[str] = field(default_factory=list)
    given: float = 0.0


class Shift(Generic[T, R]):
    """The tasks of one call, and who does which."""

    def __init__(self, fleet: Fleet, source: Iterator[T]) -> None:
        self.fleet = fleet
        self.source: Iterator[T] | None = source
        self.taken = 0
        self.backlog: deque[Waiting[T]] = deque()
        """Taken from the source, or to be tried again, and with no worker now."""
        self.starting: set[Worker] = set()
        self.ready: dict[Worker, deque[Waiting[T]]] = {}
        """Every worker that can work to the tasks that it has been given, in their order."""
        self.depth = 1
        """Tasks that a worker may have at hand."""
        self.bad_starts = 0

    def wait_with(self, task: T) -> None:
        """Put one more task into the backlog."""
        self.backlog.append(Waiting(self.taken, task))
        self.taken += 1

    def fill(self) -> bool:
        """Give tasks to workers that can take one, and begin workers for those left over. False when all is done."""
        while (free := self._free()) is not None and self._more():
            one = self.backlog.popleft()
            one.given = monotonic()
            self.ready[free].append(one)
            self.fleet.give(free, one.number, one.task)
        room = self.fleet.capacity() - len(self.ready) - len(self.starting)
        while room > 0 and (len(self.backlog) > len(self.starting) or self._take()):
            self.starting.add(self.fleet.start())
            room -= 1
        return bool(self.backlog) or any(self.ready.values()) or self.source is not None

    def _free(self) -> Worker | None:
        """The worker with the fewest tasks, if it may have one more."""
        least = min(self.ready, key=lambda worker: len(self.ready[worker]), default=None)
        return None if least is None or len(self.ready[least]) >= self.depth else least

    def _more(self) -> bool:
        return bool(self.backlog) or self._take()

    def _take(self) -> bool:
        """Move one task from the source to the backlog, if there is one."""
        if self.source is None:
            return False
        for task in self.source:
            self.wait_with(task)
            return True
        self.source = None
        return False

    def step(self) -> Iterator[Outcome[T, R]]:
        """Wait for something to happen."""
        for event in self.fleet.events():
            if isinstance(event, Ready) and event.worker in self.starting:
                self.starting.remove(event.worker)
                self.ready[event.worker] = deque()
                self.bad_starts = 0
            elif isinstance(event, Answer) and event.worker in self.ready:
                yield from self._answered(event)
            elif isinstance(event, Lost):
                yield from self._lost(event)

    def _answered(self, event: Answer) -> Iterator[Outcome[T, R]]:
        at_hand = self.ready[event.worker]
        one = next(each for each in at_hand if each.number == event.number)
        at_hand.remove(one)
        error, now = event.reply.error, monotonic()
        self.depth = 2 if self.fleet.takes_ahead and now - one.given < BRISK else 1
        if isinstance(error, AssertionError):
            raise RuntimeError(f"{BUG}\n{error}")
        if error is None:
            yield Outcome(one.task, event.reply.result)
        elif isinstance(error, UserError):
            yield Outcome(one.task, None, error)
        else:
            yield from self._again(one, str(error))
        if isinstance(error, MemoryError):  # what it holds may be why: a new one begins with nothing
            self.fleet.stop(event.worker)
            self.backlog.extendleft(reversed(self.ready.pop(event.worker)))

    def _lost(self, event: Lost) -> Iterator[Outcome[T, R]]:
        if event.worker in self.starting:
            self.starting.remove(event.worker)
            self.bad_starts += 1
            if isinstance(event.why, UserError):
                raise event.why
            if isinstance(event.why, AssertionError):
                raise RuntimeError(f"{BUG}\n{event.why}")
            if self.bad_starts >= TRIES:
                raise UserError(f"workers end before they have begun: {event.why}")
        elif event.worker in self.ready:
            at_hand = self.ready.pop(event.worker)
            if at_hand:  # what it was doing may have ended it; what it had at hand has not
                yield from self._again(at_hand.popleft(), f"its worker was lost ({event.why})")
            self.backlog.extendleft(reversed(at_hand))

    def _again(self, one: Waiting[T], why: str) -> Iterator[Outcome[T, R]]:
        one.failures.append(why)
        if len(one.failures) < TRIES:
            self.backlog.append(one)
            return
        yield Outcome(one.task, None, RuntimeError(f"tried {TRIES} times, the last time: {why}"))
