"""The queue of edits: everybody has as much of the machine, however dear a step is."""

import threading
import time
from collections.abc import Callable

import torch
from client import tiny_model

from gansteer.edits.api import Progress
from gansteer.edits.drag.edit import Drag
from gansteer.edits.registry import start
from gansteer.studio.workers import EditScheduler, Job


class Person:
    """Somebody whose drag goes on for ever, and how it went."""

    def __init__(self, resolution: int) -> None:
        subject = tiny_model("tiny", 0, resolution).sample(3)
        drag = Drag([(9, 9)], [(13, 9)], layer=f"b{resolution}.conv1", steps=10**9, patience=10**9, learning_rate=0.0)
        self.job = Job(lambda: start(subject, drag), self.stepped, self.left)
        self.longest = self.seconds = 0.0
        """Of all steps but the first, which is for free."""
        self._last: float | None = None
        self.ends: list[str | None] = []
        self.over = threading.Event()

    def stepped(self, found: Progress, seconds: float) -> None:
        if self._last is not None:
            self.longest = max(self.longest, seconds - self._last)
            self.seconds += seconds - self._last
        self._last = seconds

    def left(self, problem: str | None) -> None:
        self.ends.append(problem)
        self.over.set()


def until(happened: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_dear_steps_and_cheap_ones_share_the_machine() -> None:
    torch.set_num_threads(1)
    scheduler = EditScheduler(concurrent=2)
    dear, cheap, third = Person(32), Person(16), Person(16)
    for person in (dear, cheap, third):
        scheduler.add(person.job)
    assert [scheduler.position(person.job) for person in (dear, cheap, third)] == [0, 0, 1]
    until(lambda: dear.seconds > 0.3 and cheap.seconds > 0.3)
    scheduler.stop(third.job)
    assert third.ends == [None], "who waits goes at once"
    for person in (cheap, dear):
        scheduler.stop(person.job)
        assert person.over.wait(20)
    scheduler.close()
    assert dear.ends == cheap.ends == [None]
    assert third.seconds == 0.0
    assert dear.job.run is not None
    assert cheap.job.run is not None
    assert abs(dear.seconds - cheap.seconds) < 3 * max(dear.longest, cheap.longest)


def test_pictures_are_drawn_between_steps_and_without_any() -> None:
    torch.set_num_threads(1)
    scheduler = EditScheduler()
    assert scheduler.draw(lambda: 7).result(20) == 7
    person = Person(16)
    scheduler.add(person.job)
    steps = [scheduler.draw(lambda: person.seconds).result(20) for _ in range(3)]
    until(lambda: person.seconds > steps[-1])
    failed = scheduler.draw(lambda: 1 / 0)
    assert isinstance(failed.exception(20), ZeroDivisionError), "which harms no edit"
    scheduler.stop(person.job)
    assert person.over.wait(20)
    scheduler.close()
    assert person.ends == [None]
    assert steps == sorted(steps)
