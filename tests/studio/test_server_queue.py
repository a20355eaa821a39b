"""The queue of edits: everybody has as much of the machine, however dear a step is."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from client import studio_model

from gansteer.edits.api import Progress, Run
from gansteer.edits.drag.edit import Drag
from gansteer.edits.registry import start
from gansteer.studio import workers
from gansteer.studio.workers import SHARE, EditScheduler, Job
from support.waiting import PATIENCE, until


class Clock:
    """The scheduler's clock: a step takes as long as a test says, on a machine of any speed."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    torch.set_num_threads(1)
    clock = Clock()
    monkeypatch.setattr(workers, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    return clock


class Costly:
    """A run whose steps take as long on the clock as a test says."""

    def __init__(self, run: Run, clock: Clock, cost: float) -> None:
        self._run, self._clock, self._cost = run, clock, cost

    def step(self) -> Progress:
        self._clock.now += self._cost
        return self._run.step()


class Person:
    """Somebody whose drag goes on for ever."""

    def __init__(self, clock: Clock, cost: float, turns: "list[Person] | None" = None) -> None:
        """`turns` is told of every step that anybody takes."""
        subject = studio_model("tiny", 0, 16).sample(3)
        drag = Drag([(9, 9)], [(13, 9)], layer="b16.conv1", steps=10**9, patience=10**9, learning_rate=0.0)
        run: Any = Costly(start(subject, drag), clock, cost)
        self.job = Job(lambda: run, self.stepped, self.left)
        self.cost, self.steps, self.turns = cost, 0, [] if turns is None else turns
        self.ends: list[str | None] = []
        self.over = threading.Event()
        self.at_step: Callable[[], None] = lambda: None
        """What happens while a step is being taken."""

    def stepped(self, found: Progress, seconds: float) -> None:
        self.steps += 1
        self.turns.append(self)
        self.at_step()

    def left(self, problem: str | None) -> None:
        self.ends.append(problem)
        self.over.set()


@contextmanager
def scheduled(*people: Person, concurrent: int = 16) -> Iterator[EditScheduler]:
    """A scheduler that begins when all these people stand in the queue."""
    scheduler, all_there = EditScheduler(concurrent=concurrent), threading.Event()
    scheduler.draw(lambda: all_there.wait(PATIENCE))
    for person in people:
        scheduler.add(person.job)
    all_there.set()
    yield scheduler
    for person in people:
        scheduler.stop(person.job)
        assert person.over.wait(PATIENCE)
        assert person.ends == [None]
    scheduler.close()


def had(person: Person, turns: list[Person]) -> float:
    """Seconds of computing in these turns, but for the first, which is for free."""
    return person.cost * max(0, turns.count(person) - 1)


def test_dear_steps_and_cheap_ones_share_the_machine(clock: Clock) -> None:
    turns: list[Person] = []
    dear, cheap, third = Person(clock, 0.3, turns), Person(clock, 0.1, turns), Person(clock, 0.1, turns)
    with scheduled(dear, cheap, third, concurrent=2):
        until(lambda: len(turns) >= 100)
    waits = turns.index(third)
    for count in range(waits + 1):
        assert abs(had(dear, turns[:count]) - had(cheap, turns[:count])) < 0.3 + 1e-9, "who had least is next"
    assert SHARE - 1e-9 <= max(had(dear, turns[:waits]), had(cheap, turns[:waits])) < SHARE + 0.3, "then who waits is"
    for person in (dear, cheap, third):
        own = [i for i, each in enumerate(turns[:100]) if each is person]
        for one, after in pairwise(own):
            others = sum(each.cost for each in turns[one + 1 : after])
            assert others <= 4 * (SHARE + 0.3), "nobody waits for ever: two places, each two shares at most"


def test_who_waits_is_told_so_and_goes_at_once(clock: Clock) -> None:
    people = [Person(clock, 0.001) for _ in range(4)]
    with scheduled(*people, concurrent=2) as scheduler:
        last = people[-1]
        scheduler.stop(last.job)
        assert last.ends == [None], "without a step being waited for"
        until(lambda: all(person.steps > 2 for person in people[:2]))
        assert sorted(scheduler.position(person.job) for person in people[:3])[:2] == [0, 0]
    assert last.steps == 0


def test_a_step_is_the_last_if_it_is_stopped_in_it(clock: Clock) -> None:
    person, inside, stopped = Person(clock, 0.1), threading.Event(), threading.Event()

    def at_step() -> None:
        if person.steps == 5:
            inside.set()
            assert stopped.wait(PATIENCE)

    person.at_step = at_step
    with scheduled(person) as scheduler:
        assert inside.wait(PATIENCE)
        scheduler.stop(person.job)
        stopped.set()
        assert person.over.wait(PATIENCE)
        assert scheduler.draw(lambda: person.steps).result(PATIENCE) == 5


def test_pictures_are_drawn_between_steps_and_without_any(clock: Clock) -> None:
    person = Person(clock, 0.1)
    with scheduled() as idle:
        assert idle.draw(lambda: 7).result(PATIENCE) == 7
    with scheduled(person) as scheduler:
        steps = [scheduler.draw(lambda: person.steps).result(PATIENCE) for _ in range(3)]
        until(lambda: person.steps > steps[-1])
        failed = scheduler.draw(lambda: 1 / 0)
        assert isinstance(failed.exception(PATIENCE), ZeroDivisionError), "which harms no edit"
        until(lambda reached=person.steps: person.steps > reached)
    assert steps == sorted(steps)


@pytest.mark.parametrize("costs", [(0.1, 0.1, 0.1), (0.3, 0.1, 0.2), (0.1, 0.1, 0.1, 0.1, 0.1)], ids=str)
def test_nobody_has_more_of_the_machine_in_the_long_run(clock: Clock, costs: tuple[float, ...]) -> None:
    """Steps that take just as long make the ones who wait leave and come back in step, over and over."""
    turns: list[Person] = []
    people = [Person(clock, cost, turns) for cost in costs]
    with scheduled(*people, concurrent=2):
        until(lambda: len(turns) >= 600)
    spent = [had(person, turns[:600]) for person in people]
    assert max(spent) - min(spent) <= 2 * (SHARE + max(costs))
