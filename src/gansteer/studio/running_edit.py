"""An edit in progress, between the thread that steps it and the event loop that tells of it."""

import asyncio
import math
import time
from collections.abc import Callable
from pathlib import Path

from gansteer.edits.api import Progress, Run, StepRecord
from gansteer.errors import UserError
from gansteer.journal import Journal
from gansteer.session import Node, spaced
from gansteer.studio.workers import Job

FILM = 120
"""Steps that are kept for a film."""
TELLING = 0.06
"""Seconds between calls of the loop, at least: it takes the scheduler's thread from its work."""
KEEPING = 10.0
"""Steps that change the weights are kept on the disk no more often than this many times as long as that takes."""


class RunningEdit:
    """A node's edit in progress. `node`, `film` and `problem` are set on the scheduler's thread, and read on any."""

    def __init__(
        self,
        node: Node,
        begin: Callable[[], Run],
        journal: Path,
        *,
        seconds: float,
        film: tuple[Progress, ...],
        stepped: Callable[["RunningEdit"], None],
        left: Callable[["RunningEdit", "str | None"], None],
    ) -> None:
        """`stepped` and `left` are called on the event loop; `seconds` and `film` are of the steps before."""
        self.node = node
        self.told: Node | None = None
        """What was told of it last; set on the event loop."""
        self.film = film
        self.problem: str | None = None
        """Why the last step is not on the disk."""
        self.over = asyncio.Event()
        """Set once the session knows that it left."""
        self.job = Job(begin, self._stepped, self._left, seconds=seconds)
        self._first, self._path = node.subject, journal
        self._journal: Journal | None = None
        self._loop, self._on_step, self._on_left = asyncio.get_running_loop(), stepped, left
        self._told = self._due = 0.0

    def _stepped(self, found: Progress, seconds: float) -> None:
        loss = found.loss if math.isfinite(found.loss) else None
        record = StepRecord(
            found.step, loss, found.points, found.distances, round(seconds, 3), dict(found.metrics), found.stage
        )
        self.node = self.node.stepped(found.subject, record, found.stop_reason)
        small = found.subject.tuning is self._first.tuning
        if small:
            self.film = spaced(self.film, found, FILM)
        begun = time.perf_counter()
        if small or begun >= self._due:
            self._keep()
            self._due = time.perf_counter() + KEEPING * (time.perf_counter() - begun)
        if begun - self._told >= TELLING or found.stop_reason:
            self._told = begun
            self._loop.call_soon_threadsafe(self._on_step, self)

    def _keep(self) -> None:
        try:
            if self._journal is None:
                self._journal = Journal(self._path)
            self._journal.keep(self.node)
            self.problem = None
        except UserError as error:
            self.problem = str(error)

    def _left(self, problem: str | None) -> None:
        if self._journal is not None:
            self._journal.close()
        self._loop.call_soon_threadsafe(self._on_left, self, problem)
