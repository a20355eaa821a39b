"""Sharing the work of a command: with processes of this machine, or with the workers of a cluster."""

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, mkdtemp
from time import monotonic
from typing import Annotated, Any, TypeVar

import tyro

from gansteer.bars import Bar, bar
from gansteer.errors import UserError
from gansteer.executors.api import Executor, Prepare
from gansteer.places import place, read_bytes

T = TypeVar("T")
R = TypeVar("R")

MOST_PROCESSES = 64

Place = Annotated[
    Path,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda words: place(words[0]),
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda value: [str(value)],
    ),
]
"""The type of a flag that also takes an address, such as `s3://bucket/folder`."""


@dataclass(frozen=True)
class Made:
    """What a worker sends to who writes it: files, and a line about them."""

    line: str
    files: dict[str, bytes]


@dataclass(frozen=True)
class Sent:
    """A file that goes to the workers, which may be on other machines."""

    where: Path
    """Where it came from."""
    data: bytes

    @classmethod
    def read(cls, where: Path, flag: str) -> "Sent":
        """Raises UserError if it can't be."""
        try:
            return cls(where, read_bytes(where))
        except OSError as error:
            raise UserError(f"{flag} {where} cannot be read: {error.strerror or 'there is no such file'}") from error

    def put(self, folder: Path) -> Path:
        """Write it to a folder under its own name."""
        path = folder / self.where.name
        path.write_bytes(self.data)
        return path

    @contextmanager
    def at_hand(self, folder: Path) -> Iterator[Path]:
        """A copy of it for a while; what is said against the copy then is said of the file."""
        inside = Path(mkdtemp(dir=folder))
        copy = self.put(inside)
        try:
            yield copy
        except UserError as error:
            raise UserError(str(error).replace(str(copy), str(self.where))) from error
        finally:
            rmtree(inside)


def made(work: Callable[[Path], str]) -> Made:
    """The files that `work` writes to the folder that it is given, and the line that it returns."""
    with TemporaryDirectory(prefix="gansteer-") as text:
        folder = Path(text)
        line = work(folder)
        return Made(line, {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()})


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Who does the work."""

    processes: int = 1
    """How many processes share the work, of one thread each."""
    cluster: str | None = None
    """Share it on a Ray cluster: auto for the one that runs on this machine, HOST:PORT, or local:4 for four workers here.
    Needs the extra `cluster`."""

    def check_sharing(self) -> None:
        """Raise UserError for what cannot be meant."""
        if not 1 <= self.processes <= MOST_PROCESSES:
            raise UserError(f"--processes is from 1 to {MOST_PROCESSES}, not {self.processes}")
        if self.cluster is not None and self.processes > 1:
            raise UserError("give --processes or --cluster, not both")

    @property
    def is_shared(self) -> bool:
        """Whether others than this process do the work."""
        return self.cluster is not None or self.processes > 1

    def for_workers(self, name: str | None) -> str | None:
        """The name of a model as workers can use it: on a cluster, whose workers are elsewhere, a file with its whole path."""
        from gansteer.checkpoints.shipped import shipped

        if self.cluster is None or name is None or name in shipped() or not Path(name).expanduser().exists():
            return name
        return str(Path(name).expanduser().absolute())

    def executor(self, device: str = "cpu") -> Executor:
        """Who does it; on a cluster, workers have a GPU each unless `device` is the CPU."""
        from gansteer.executors.choose import chosen

        self.check_sharing()
        return chosen(self.processes, self.cluster, gpu=device != "cpu")

    def results(
        self, what: str, device: str, tasks: Iterable[T], name: Callable[[T], str], minutes: float | None,
        prepare: Prepare[T, R], *arguments: Any, count: int | None = None, report: Bar | None = None,
    ) -> Iterator[tuple[T, R]]:  # fmt: skip
        """Each task with its result as it is done, under a progress bar named `what`: `report`, or one of its own.

        `count` says how many tasks there are where they are made as they are asked for. None is begun after so many minutes.
        Raises UserError as a task does. Where workers fail at one again and again, the others are done all the same; then
        UserError says what was wrong with the first of them by its `name`.
        """
        executor, failed = self.executor(device), []
        total = count if count is not None else len(tasks) if isinstance(tasks, Sized) else 0
        end = None if minutes is None else monotonic() + 60 * minutes
        begun = (task for task in tasks if end is None or monotonic() < end)
        with bar(what) if report is None else nullcontext(report) as shown:
            shown.named(what, 0, total)
            for done, outcome in enumerate(executor.outcomes(begun, prepare, *arguments), 1):
                shown.pace(done, total, executor.workers)
                if outcome.error is None:
                    yield outcome.task, outcome.found
                elif isinstance(outcome.error, UserError) or not self.is_shared:
                    raise outcome.error
                else:
                    failed.append((name(outcome.task), outcome.error))
        if failed:
            (first, error), others = failed[0], len(failed) - 1
            more = f" ({others} more failed)" if others else ""
            raise UserError(f"{first} failed: {error}{more}") from error
