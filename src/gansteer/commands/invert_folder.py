"""`gansteer invert` of a folder of photos. Here they are read and their subjects written; workers bring them in."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gansteer.bars import bar
from gansteer.commands.sharing import Made, Sent, made
from gansteer.commands.starting import open_model
from gansteer.errors import UserError
from gansteer.places import check_place, open_folder, write_bytes

if TYPE_CHECKING:
    from gansteer.commands.invert import Invert


@dataclass(frozen=True)
class Task:
    """A photo, and the name of the file that its subject gets."""

    photo: Sent
    target: str


def invert_folder(command: "Invert") -> None:
    """Every photo of a folder that has no subject yet, with a line for each; one that fails does not stop the others."""
    for flag in ("picture", "paste", "film", "json"):
        if getattr(command, flag) is not None:
            raise UserError(f"--{flag} belongs to one photo: leave it out for a folder, or give the photo itself")
    photos = _photos(command)
    out = open_folder(command.out)
    there = set(out.names())
    left = {name: target for name, target in photos.items() if target not in there}
    replace(command, out=Path("any.steer")).check()
    check_place(out.at(next(iter(photos.values()))))
    for name in photos:
        if name not in left:
            print(f"{name}: done before")
    executor = command.executor(command.device)
    failed: list[str] = []
    with bar("bringing in") if command.is_shared else nullcontext() as report:
        tasks = _tasks(command, left, failed)
        for done, outcome in enumerate(executor.outcomes(tasks, prepare, _for_workers(command)), 1):
            name = outcome.task.photo.where.name
            try:
                found = outcome.found
                write_bytes(out.at(outcome.task.target), found.files[outcome.task.target])
                print(f"{name}: wrote {out.at(outcome.task.target)}: {found.line}", flush=True)
            except (UserError, RuntimeError, MemoryError) as error:
                _fail(name, error, failed)
            if report is not None:
                report.pace(done, len(left), executor.workers)
    if failed:
        raise UserError(f"{len(failed)} of {len(photos)} photos failed; run again to try only those")


def prepare(command: "Invert") -> Callable[[Task], Made]:
    """Open the model and what finds faces, once."""
    model = open_model(command.model, command.device, command.network)
    aligner = command.aligner(model)

    def work(task: Task) -> Made:
        def write(folder: Path) -> str:
            with task.photo.at_hand(folder) as path:
                one = replace(command, photo=path, out=folder / task.target)
                photo = one.read()
                crop, _ = one.crop_of(photo, aligner)
                carried, line = one.bring_in(photo, model, one.edit(photo, crop, model))
            if carried.stopped:
                raise KeyboardInterrupt(f"stopped at {path.name}: the same command goes on from there")
            return line

        return made(write)

    return work


def _photos(command: "Invert") -> Mapping[str, str]:
    """The names of the folder's photos, sorted, to those of their subjects. Raises UserError if there are none."""
    from gansteer.pictures import ENDINGS, is_theirs

    names = open_folder(command.photo, make=False).names()
    names = [name for name in names if Path(name).suffix.lower() in ENDINGS and is_theirs(name)]
    if not names:
        raise UserError(f"{command.photo} holds no pictures ({', '.join(ENDINGS)})")
    stems = Counter(Path(name).stem for name in names)
    return {name: f"{name if stems[Path(name).stem] > 1 else Path(name).stem}.steer" for name in names}


def _tasks(command: "Invert", names: Mapping[str, str], failed: list[str]) -> Iterator[Task]:
    """Photos, each read when a worker is to have it; those that can't be are added to `failed`."""
    folder = open_folder(command.photo, make=False)
    for name, target in names.items():
        try:
            photo = Sent.read(folder.at(name), "the photo")
        except UserError as error:
            _fail(name, error, failed)
        else:
            yield Task(photo, target)


def _fail(name: str, error: Exception, failed: list[str]) -> None:
    failed.append(name)
    print(f"{name}: {' '.join(str(error).split()) or 'out of memory'}", flush=True)


def _for_workers(command: "Invert") -> "Invert":
    """The command as workers are sent it."""
    return replace(command, processes=1, cluster=None, model=command.for_workers(command.model) or command.model)
