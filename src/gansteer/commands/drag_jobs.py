"""`gansteer drag --jobs`: every line of a file is a drag. Here they are read and their results written; workers drag."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from gansteer.bars import bar
from gansteer.commands.sharing import Made, Sent, made
from gansteer.edits.drag.config import DragSettings
from gansteer.errors import UserError
from gansteer.places import Address, Folder, Log, open_folder, place, read_bytes, write_bytes

if TYPE_CHECKING:
    from gansteer.commands.drag import Drag


@dataclass(frozen=True, kw_only=True, eq=False)
class Job(DragSettings):
    """A line of the jobs file; what it leaves out is as the command's flags say."""

    points: tuple[str, ...]
    name: str | int
    seed: int
    psi: float
    label: int | None
    mask: str | None
    marks: bool


@dataclass(frozen=True)
class Line:
    """One of the file that is not empty."""

    number: int
    text: str

    @property
    def key(self) -> str:
        """What tells in the results that it is done: a line that was changed is another job."""
        return f"{self.number}-{hashlib.sha256(self.text.strip().encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Task:
    """A drag as a worker is sent it. The paths of the command are names in a folder of the worker's."""

    line: Line
    command: "Drag"
    mask: Sent | None


def run_jobs(command: "Drag") -> None:
    """Every line of the jobs file that has no result yet; a failed one is reported and does not stop the others."""
    try:
        _run(command)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(str(stop) or "stopped: the same command goes on from there") from stop


def _run(command: "Drag") -> None:
    assert command.jobs is not None
    lines = _lines(command.jobs)
    out = open_folder(command.out)
    with closing(out.log("results.jsonl")) as log:
        done = _done(log.lines())
        for line in lines:
            if line.key in done:
                print(f"line {line.number}: done before")
        results = Results(command, out, log, len(lines))
        with bar("dragging") if command.is_shared else nullcontext() as report:
            executor = command.executor(command.device)
            tasks = results.tasks(lines, done)
            for outcome in executor.outcomes(tasks, prepare, _for_workers(command), _subject(command)):
                try:
                    results.add(outcome.task.line, outcome.found, outcome.task.command.out.name)
                except (UserError, RuntimeError, MemoryError) as error:
                    results.fail(outcome.task.line, error)
                if report is not None:
                    report.pace(results.told, len(lines) - len(done), executor.workers)
    if results.failed:
        where = out.at("results.jsonl")
        raise UserError(f"{results.failed} of {len(lines)} jobs failed: see {where}; run again to try only those")


@dataclass
class Results:
    """What has come of the jobs: told to the person, and kept."""

    command: "Drag"
    out: Folder
    log: Log
    total: int
    told: int = 0
    failed: int = 0

    def tasks(self, lines: Sequence[Line], done: set[str]) -> Iterator[Task]:
        """What is to be done. A line that is no job fails here."""
        names: dict[str, int] = {}
        for line in lines:
            try:
                task = _task(self.command, line, names)
            except UserError as error:
                if line.key not in done:
                    self.fail(line, error)
                continue
            if line.key not in done:
                yield task

    def add(self, line: Line, found: Made, picture: str) -> None:
        """Write what a worker made. Raises UserError if that cannot be."""
        for name, data in found.files.items():
            write_bytes(self.out.at(name), data)
        self._tell(line, f"wrote {self.out.at(picture)}: {found.line}", True)

    def fail(self, line: Line, error: Exception) -> None:
        """Keep why there is no result."""
        self.failed += 1
        self._tell(line, " ".join(str(error).split()) or "out of memory", False)

    def _tell(self, line: Line, message: str, ok: bool) -> None:
        self.told += 1
        self.log.add(json.dumps({"line": line.number, "key": line.key, "message": message, "ok": ok}))
        print(f"{'' if ok else f'{self.command.jobs}, '}line {line.number}: {message}", flush=True)


# --- in a worker --------------------------------------------------------------------------------------------------------


def prepare(command: "Drag", subject: Sent | None) -> Callable[[Task], Made]:
    """Open the model, once. `subject` is the picture of all drags, if it is given as a file."""
    if subject is None:
        model, given = command.opened()
    else:
        with TemporaryDirectory() as folder:
            model, given = replace(command, subject=subject.put(Path(folder))).opened()

    def work(task: Task) -> Made:
        def write(folder: Path) -> str:
            one = replace(
                task.command, out=folder / task.command.out, json=folder / f"{task.command.out.stem}.json",
                film=task.command.film and folder / task.command.film,
            )  # fmt: skip
            one.check()
            with task.mask.at_hand(folder) if task.mask else nullcontext() as mask:
                edit = replace(one, mask=mask).edit()
            carried, text = one.drag(given or one.drawn(model), edit)
            if carried.stopped:
                raise KeyboardInterrupt(f"stopped at line {task.line.number}: the same command goes on from there")
            return text

        return made(write)

    return work


# --- reading the file ---------------------------------------------------------------------------------------------------


def _lines(jobs: Path) -> list[Line]:
    try:
        texts = read_bytes(jobs).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--jobs {jobs} cannot be read: {error}") from error
    return [Line(number, text) for number, text in enumerate(texts, 1) if text.strip()]


def _task(command: "Drag", line: Line, names: dict[str, int]) -> Task:
    """The drag of one line; `names` are those of the lines before. Raises UserError if it is no job."""
    import msgspec

    try:
        found = json.loads(line.text)
    except ValueError as error:
        raise UserError(f"no JSON: {error}") from error
    if not isinstance(found, dict) or not found.get("points"):
        raise UserError('a job is a JSON object with its points, such as {"seed": 7, "points": ["60,70:78,68"]}')
    known = {each.name for each in fields(Job)}
    for key in found:
        if key not in known:
            raise UserError(f"a job has no field {key!r}; its fields are {', '.join(sorted(known))}")
    same = {name: getattr(command, name) for name in ("seed", "psi", "label", "marks")}
    mask = None if command.mask is None else str(command.mask.absolute())
    flags = {**vars(command.how), **same, "mask": mask, "name": f"line-{line.number:05d}"}
    try:
        job = msgspec.convert({**flags, **found}, Job)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise UserError(f"this is no job: {error}") from error
    name = str(job.name)
    if Path(name).name != name:
        raise UserError(f"the name {name!r} of a job must be usable as a file's name")
    if names.setdefault(name, line.number) != line.number:
        raise UserError(f"line {names[name]} has the name {name!r} already: its files would be lost")
    assert command.jobs is not None
    one = replace(
        _for_workers(command), out=Path(f"{name}.png"), film=command.film and Path(f"{name}{command.film.suffix}"),
        point=job.points, how=DragSettings(**{each.name: getattr(job, each.name) for each in fields(DragSettings)}),
        **{key: getattr(job, key) for key in same},
    )  # fmt: skip
    return Task(line, one, None if job.mask is None else _mask(command.jobs, job.mask))


def _mask(jobs: Path, mask: str) -> Sent:
    """The mask that a line names, from beside the jobs file."""
    if "://" in mask or Path(mask).is_absolute():
        return Sent.read(place(mask), "--mask")
    beside = place(f"{str(jobs).rpartition('/')[0]}/{mask}") if isinstance(jobs, Address) else jobs.parent / mask
    return Sent.read(beside, "--mask")


def _subject(command: "Drag") -> Sent | None:
    return None if command.subject is None else Sent.read(command.subject, "--subject")


def _for_workers(command: "Drag") -> "Drag":
    """The command as workers are sent it: without what is only for this side, and wherever they run."""
    model, tuned = command.for_workers(command.model), command.for_workers(command.tuned)
    return replace(command, jobs=None, processes=1, cluster=None, mask=None, model=model, tuned=tuned)


def _done(lines: Sequence[str]) -> set[str]:
    """Keys of the jobs that went well before; a last line cut short counts as not done."""
    return {entry["key"] for entry in _entries(lines) if entry.get("ok")}


def _entries(lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "key" in entry:
            yield entry
