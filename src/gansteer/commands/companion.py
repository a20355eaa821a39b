"""What the commands that train a network beside a generator share: the steps under a bar, Ctrl-C, the line at the end."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gansteer.bars import bar

Step = TypeVar("Step")


@dataclass(frozen=True)
class Trained:
    """How far a training came."""

    steps: int
    mean: float
    """Of the last steps' measure."""
    stopped: bool
    """By Ctrl-C."""


def collected(what: str, items: Iterable[Step], total: int) -> list[Step]:
    """All of `total` items, as they come, under a progress bar that is called `what`."""
    found = []
    with bar(what) as report:
        for item in items:
            found.append(item)
            report(len(found), total)
    return found


def train(steps: Iterable[Step], total: int, measure: Callable[[Step], float], window: int) -> Trained:
    """Take the steps of a trainer, at most `total`, under a progress bar, until they end or Ctrl-C comes.

    `mean` is a running mean of `measure` over about `window` steps. Raises KeyboardInterrupt, saying that nothing was
    written, if it is stopped before the first step.
    """
    mean, done, stopped = 0.0, 0, False
    with bar("training") as report:
        try:
            for now in steps:
                done += 1
                mean += (measure(now) - mean) / min(done, window)
                report(done, total)
        except KeyboardInterrupt:
            stopped = True
    if not done:
        raise KeyboardInterrupt("stopped before the first step: nothing was written")
    return Trained(done, mean, stopped)


def say(trained: Trained, out: Path, result: str, again: str = "") -> None:
    """Print what was written; after Ctrl-C raise KeyboardInterrupt with that line and what to do `again`."""
    line = f"wrote {out}: {trained.steps} steps, {result}, {out.stat().st_size / 1e6:.1f} MB"
    if trained.stopped:
        raise KeyboardInterrupt(f"stopped; {line}{again}")
    print(line)
