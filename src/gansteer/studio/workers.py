"""The two threads that compute: the scheduler carries out edits, the renderer draws pictures. Neither waits for a browser.

Edits stand in one queue. The first are concurrent: whichever had the least time takes the next step. One that had its share
more than the first of those who wait goes to their end. So everybody sees their picture move soon, and nobody's edit waits for ever.

Two threads hold each other up: every operation takes the interpreter for a moment, and a step has hundreds of them. So
previews of running edits are drawn without it (`preview.py`) or, where that can't be, by the scheduler between two steps.
"""

import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch

from gansteer.edits.api import Progress, Run
from gansteer.errors import UserError

MAX_CONCURRENT = 16
"""Edits that take turns."""
SHARE = 1.0
"""Seconds of computing that an edit may have had more than the first of those who wait, before it lets that one go first."""
OUT_OF_MEMORY = "there is not enough memory for this: try it with a smaller model, or when fewer people are here"


def explained(error: BaseException) -> str:
    """One line for a person, whatever went wrong."""
    if isinstance(error, UserError):
        return str(error)
    text = " ".join(str(error).split())[:200]
    if isinstance(error, MemoryError) or "memory" in text.lower():
        return OUT_OF_MEMORY
    return f"this did not work ({type(error).__name__}: {text})"


@dataclass(eq=False)
class Job:
    """An edit in the queue. The callbacks are called on the scheduler's thread and must be quick."""

    begin: Callable[[], Run]
    """Makes the run; it may take as long as a step."""
    stepped: Callable[[Progress, float], None]
    """Called after each step with the seconds of computing so far."""
    left: Callable[["str | None"], None]
    """Called once, at the end: with None after the last step or when stopped, or with what went wrong."""
    run: Run | None = None
    seconds: float = 0.0
    clock: float = 0.0
    """Seconds of computing, as if it had had as many as the others concurrent when it joined them."""
    served: float = 0.0
    """The same, of all that were in the queue when it came: by this it gives its place to one that waits."""
    stopped: bool = False

    def step(self) -> bool:
        """One step; whether the run has ended."""
        before, begun = time.perf_counter(), self.run is not None
        if self.run is None:
            self.run = self.begin()
        progress = self.run.step()
        took = time.perf_counter() - before
        self.seconds += took
        if begun:  # the first step prepares all others: who begins must not stand still for it
            self.clock += took
            self.served += took
        self.stepped(progress, self.seconds)
        return progress.stop_reason is not None


Draw = Callable[[], Any]
"""Makes a picture. For the renderer it may be a generator function: others have their turn at every `yield`."""


def fulfil(draw: Draw, future: "Future[Any]") -> None:
    """Give the future what `draw` makes."""
    try:
        future.set_result(draw())
    except Exception as error:
        future.set_exception(error)


class EditScheduler:
    """The queue of edits and the thread that works on it."""

    def __init__(
        self, changed: Callable[[], None] = lambda: None, longest: int = 32, concurrent: int = MAX_CONCURRENT
    ) -> None:
        """`changed` is called, on any thread, when somebody's place in the queue changes; `longest` bounds it, and
        `concurrent` how many take turns.
        """
        self._changed, self._longest, self._most = changed, longest, concurrent
        self._now: Job | None = None
        """Whose step is being taken."""
        self._abreast: list[Job] = []
        """Those that have their turns, but for `_now`."""
        self._waiting: deque[Job] = deque()
        self._drawings: deque[tuple[Draw, Future[Any]]] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="scheduler", daemon=True)
        self._thread.start()

    def add(self, job: Job) -> None:
        """Put a job at the end of the queue. Raises UserError if it is full."""
        with self._wake:
            if len(self._turns()) + len(self._waiting) >= self._longest:
                raise UserError(f"{self._longest} edits wait already: try again in a minute")
            job.served = min((other.served for other in (*self._turns(), *self._waiting)), default=0.0)
            self._waiting.append(job)
            self._fill()
            self._wake.notify()

    def stop(self, job: Job) -> None:
        """End the job: at once, or after the step that it is in."""
        with self._wake:
            job.stopped = True
            line = next((line for line in (self._waiting, self._abreast) if job in line), None)
            if line is not None:
                line.remove(job)
                self._fill()
        if line is not None:
            job.left(None)
            self._changed()

    def draw(self, draw: Draw) -> "Future[Any]":
        """What `draw` returns, from between two steps: at most one picture is drawn before the next."""
        future: Future[Any] = Future()
        with self._wake:
            self._drawings.append((draw, future))
            self._wake.notify()
        return future

    @property
    def idle(self) -> bool:
        """Whether no edit is running or waiting."""
        with self._wake:
            return not self._turns() and not self._waiting

    def position(self, job: Job) -> int:
        """How many jobs wait before it, or 0 if it has its turns."""
        with self._wake:
            return self._waiting.index(job) + 1 if job in self._waiting else 0

    def close(self) -> None:
        """Stop everything and end the thread after the step that it is in."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _turns(self) -> list[Job]:
        return self._abreast if self._now is None else [*self._abreast, self._now]

    def _fill(self) -> None:
        while self._waiting and len(turns := self._turns()) < self._most:
            job = self._waiting.popleft()
            job.clock = min((other.clock for other in turns), default=0.0)
            self._abreast.append(job)

    def _work(self) -> None:
        # One core is left to the rest and to the browser: where threads that work together wait for one, a step takes seconds.
        torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) - 1)))
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._abreast or self._drawings or self._closed)
                if self._closed:
                    return
                drawing = self._drawings.popleft() if self._drawings else None
            if drawing is not None and drawing[1].set_running_or_notify_cancel():
                fulfil(*drawing)
            with self._wake:
                if not self._abreast:
                    continue
                job = self._now = min(self._abreast, key=lambda job: job.clock)
                self._abreast.remove(job)
            self._turn(job)

    def _turn(self, job: Job) -> None:
        """One step of the job, and where it goes then."""
        problem, over = None, False
        try:
            over = job.step()
        except Exception as error:
            problem, over = explained(error), True
        with self._wake:
            self._now = None
            over = over or job.stopped
            moved = over or (bool(self._waiting) and job.served - self._waiting[0].served >= SHARE)
            if moved:
                self._fill()
            if not over:
                (self._waiting if moved else self._abreast).append(job)
        if over:
            job.left(problem)
        if moved:
            self._changed()


class RenderWorker:
    """The thread that draws, for one person after the other; of requests with the same key the newest counts."""

    def __init__(self, name: str = "renderer", most: int = 128) -> None:
        """`name` is the thread's; `most` requests of one person may wait."""
        self._most = most
        self._wanted: OrderedDict[object, OrderedDict[object, tuple[Draw, Future[Any]]]] = OrderedDict()
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def draw(self, owner: object, draw: Draw, key: object = None) -> "Future[Any]":
        """What `draw` returns, in time. An earlier request of the same owner and key is cancelled.

        Raises UserError if the owner has too many.
        """
        future: Future[Any] = Future()
        with self._wake:
            mine = self._wanted.setdefault(owner, OrderedDict())
            if len(mine) >= self._most:
                raise UserError("too many pictures were asked for at once: wait for some of them")
            key = object() if key is None else key
            before = mine.get(key)
            mine[key] = (draw, future)
            self._wake.notify()
        if before is not None:
            before[1].cancel()
        return future

    def close(self) -> None:
        """End the thread after the picture that it is at."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _work(self) -> None:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))  # of this thread
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._wanted or self._closed)
                if self._closed:
                    return
                owner, mine = self._wanted.popitem(last=False)
                key, (draw, future) = mine.popitem(last=False)
                if mine:
                    self._wanted[owner] = mine
            if future.running() or future.set_running_or_notify_cancel():
                self._one(owner, key, draw, future)

    def _one(self, owner: object, key: object, draw: Draw, future: "Future[Any]") -> None:
        try:
            result = draw()
            if isinstance(result, Generator):
                try:
                    next(result)
                except StopIteration as end:
                    result = end.value
                else:
                    self._again(owner, key, result, future)
                    return
            future.set_result(result)
        except Exception as error:
            future.set_exception(error)

    def _again(self, owner: object, key: object, work: Generator[Any, Any, Any], future: "Future[Any]") -> None:
        """Put the rest of a long piece of work behind what others want."""
        with self._wake:
            self._wanted.setdefault(owner, OrderedDict())[object()] = (lambda: work, future)
