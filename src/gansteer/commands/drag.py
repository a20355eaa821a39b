"""`gansteer drag`."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gansteer.commands.results import Carried, Results, told
from gansteer.commands.starting import Beginning, read_mask
from gansteer.edits.drag.config import DragSettings
from gansteer.errors import UserError
from gansteer.output import check_writable

if TYPE_CHECKING:
    from gansteer.edits.drag.edit import Drag as DragEdit
    from gansteer.subject import Model, Subject


@dataclass(frozen=True, kw_only=True)
class Drag(Beginning, Results):
    """Move points of a picture to where you want them: one picture, or a file of jobs."""

    out: Path
    """The picture (.png, .jpg or .webp), or the subject (.steer); with --jobs, the folder for the results."""
    point: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A handle and its target as x,y:x,y in pixels, such as 60,70:78,68; give --point once for each."""
    mask: Path | None = None
    """A picture of the model's size: white may move, black must stay."""
    jobs: Path | None = None
    """A file with one job a line: a JSON object with seed, points (["60,70:78,68"]) and any other flag of this command."""
    how: tyro.conf.OmitArgPrefixes[DragSettings] = field(default_factory=DragSettings)

    def run(self) -> None:
        if self.jobs is not None:
            _run_jobs(self)
            return
        if bool(self.point) == bool(self.replay):
            raise UserError("give --point x,y:x,y for every handle, or --replay with a record")
        self.check()
        if self.replay is not None:
            model, _ = self.opened()
            print(self.run_again(self.replay, model))
            return
        edit = self.edit()
        _, subject = self.begin()
        carried, line = self.drag(subject, edit)
        told(carried, line)

    def edit(self) -> "DragEdit":
        """The edit that the flags describe."""
        from gansteer.edits.drag.edit import Drag as DragEdit

        pairs = [_parse_pair(text) for text in self.point]
        return DragEdit(
            handles=[handle for handle, _ in pairs],
            targets=[target for _, target in pairs],
            mask=read_mask(self.mask, "--mask") if self.mask else None,
            **vars(self.how),
        )

    def drag(self, subject: "Subject", edit: "DragEdit") -> tuple[Carried, str]:
        """Drag, and write what was asked for. Returns one line about the result, too."""
        carried = self.carry_out(subject, edit, "dragging", self.source)
        last = carried.run.progress or carried.last
        distances = ", ".join(f"{distance:.1f}" for distance in last.distances)
        why, steps = carried.run.stop_reason or "stopped", len(carried.progresses) - 1
        return carried, f"wrote {self.out}: {why} after {steps} steps; {distances} px from the target"


Pair = tuple[tuple[float, float], tuple[float, float]]


def _parse_pair(text: str) -> Pair:
    try:
        (hx, hy), (tx, ty) = (map(float, point.split(",")) for point in text.split(":"))
    except ValueError as error:
        raise UserError(f"--point {text!r}: write handle and target as x,y:x,y, such as 60,70:78,68") from error
    return (hx, hy), (tx, ty)


# --- many jobs ----------------------------------------------------------------------------------------------------------


def _run_jobs(command: Drag) -> None:
    """Every line of the jobs file that has no result yet; a failed one is reported and does not stop the others."""
    assert command.jobs is not None
    try:
        lines = command.jobs.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--jobs {command.jobs} cannot be read: {error}") from error
    try:
        command.out.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {command.out} cannot be made a folder: {error.strerror}") from error
    results = command.out / "results.jsonl"
    check_writable(results)
    done = _done(results)
    jobs = [(number, line, _key(number, line)) for number, line in enumerate(lines, 1) if line.strip()]
    model, given = None, None
    if any(key not in done for _, _, key in jobs):
        model, given = command.opened()
    failed = 0
    with results.open("a", encoding="utf-8") as log:
        log.write("\n" if log.tell() else "")  # the last line may have been cut short
        for number, line, key in jobs:
            if key in done:
                print(f"line {number}: done before")
                continue
            assert model is not None
            result: dict[str, object] = {"line": number, "key": key}
            try:
                result["message"] = _run_job(command, model, given, number, line)
                result["ok"] = True
            except (UserError, RuntimeError, MemoryError) as error:
                result["message"], result["ok"] = " ".join(str(error).split()), False
                failed += 1
            log.write(json.dumps(result) + "\n")
            log.flush()
            print(f"line {number}: {result['message']}", flush=True)
    if failed:
        raise UserError(f"{failed} of {len(jobs)} jobs failed: see {results}; run again to try only those")


def _run_job(command: Drag, model: "Model", given: "Subject | None", number: int, line: str) -> str:
    try:
        job = json.loads(line)
    except ValueError as error:
        raise UserError(f"no JSON: {error}") from error
    one = _job_command(command, job, number)
    one.check()
    carried, line = one.drag(given or one.drawn(model), one.edit())
    if carried.stopped:
        raise KeyboardInterrupt(line)
    return line


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


def _job_command(command: Drag, line: object, number: int) -> Drag:
    """The command of one line. Raises UserError."""
    import msgspec

    if not isinstance(line, dict) or not line.get("points"):
        raise UserError('a job is a JSON object with its points, such as {"seed": 7, "points": ["60,70:78,68"]}')
    known = {each.name for each in fields(Job)}
    for key in line:
        if key not in known:
            raise UserError(f"a job has no field {key!r}; its fields are {', '.join(sorted(known))}")
    same = {name: getattr(command, name) for name in ("seed", "psi", "label", "marks")}
    mask = None if command.mask is None else str(command.mask.absolute())
    flags = {**vars(command.how), **same, "mask": mask, "name": f"line-{number:05d}"}
    try:
        job = msgspec.convert({**flags, **line}, Job)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise UserError(f"this is no job: {error}") from error
    name = str(job.name)
    if Path(name).name != name:
        raise UserError(f"the name {name!r} of a job must be usable as a file's name")
    assert command.jobs is not None
    return replace(
        command, jobs=None, out=command.out / f"{name}.png", json=command.out / f"{name}.json",
        film=command.out / f"{name}{command.film.suffix}" if command.film else None, point=job.points,
        mask=None if job.mask is None else command.jobs.parent / job.mask,
        how=DragSettings(**{each.name: getattr(job, each.name) for each in fields(DragSettings)}),
        **{key: getattr(job, key) for key in same},
    )  # fmt: skip


def _key(number: int, line: str) -> str:
    return f"{number}-{hashlib.sha256(line.strip().encode()).hexdigest()[:16]}"


def _done(results: Path) -> set[str]:
    """Keys of the jobs that went well before; a last line cut short counts as not done."""
    if not results.exists():
        return set()
    return {entry["key"] for entry in _entries(results) if entry.get("ok")}


def _entries(results: Path) -> Iterator[dict[str, Any]]:
    for line in results.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "key" in entry:
            yield entry
