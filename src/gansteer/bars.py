"""Progress bars in the terminal and in notebooks. Only who asks for one gets it: the library yields or calls back."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

    from gansteer.edits.api import Progress as Step
    from gansteer.edits.api import Run


class Bar:
    """One bar, which may be given another name for another part of the work."""

    def __init__(self, progress: "Progress", what: str) -> None:
        self.progress = progress
        self.what = what
        self.task = progress.add_task(what, total=None, pace="")
        self.begun = monotonic()
        self.first: tuple[float, int] | None = None
        """When the first result came, and how many were done then."""

    def __call__(self, done: int, total: int) -> None:
        """So much is done of the whole."""
        self.progress.update(self.task, completed=done, total=total)

    def pace(self, done: int, total: int, workers: int) -> None:
        """So much is done of the whole by so many workers. What they needed to begin is no part of the pace."""
        now = monotonic()
        since, before = self.first or (self.begun, 0)
        self.first = self.first or (now, done)
        each = (done - before) / max(now - since, 1e-3)
        speed = f"{each:.1f} jobs/s" if each >= 1 else f"{60 * each:.1f} jobs/min"
        pace = f"{speed}, {workers} worker{'s' * (workers != 1)}"
        self.progress.update(self.task, completed=done, total=total, pace=pace)

    def named(self, what: str, done: int, total: int) -> None:
        """So much is done of the part of this name."""
        if what != self.what:
            self.what = what
            self.begun, self.first = monotonic(), None
            self.progress.reset(self.task, description=what, pace="")
        self(done, total)


@contextmanager
def bar(what: str) -> Iterator[Bar]:
    """A bar on stderr, gone when the block ends; draws nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[pace]}"),
    )  # fmt: skip
    console = Console(stderr=True)
    is_worker = parent_process() is not None  # whose parent has the bar
    quiet = is_worker or not (sys.stderr.isatty() or console.is_jupyter)
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        yield Bar(progress, what)


def watch(run: "Run") -> "Iterator[Step]":
    """Step a run until it ends, under a progress bar: `for progress in gansteer.watch(run)`, in a terminal or a notebook.

    Where stderr is neither, nothing is drawn.
    """
    edit = run.history[-1][0]
    with bar(edit.title) as report:
        for step in run:
            report.named(step.stage or edit.title, step.step, edit.step_limit)
            yield step
