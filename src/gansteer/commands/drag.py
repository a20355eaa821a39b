"""`gansteer drag`."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gansteer.commands.results import Carried, Results, told
from gansteer.commands.sharing import Place, Sharing
from gansteer.commands.starting import Beginning, read_mask
from gansteer.edits.drag.config import DragSettings
from gansteer.errors import UserError

if TYPE_CHECKING:
    from gansteer.edits.drag.edit import Drag as DragEdit
    from gansteer.subject import Subject


@dataclass(frozen=True, kw_only=True)
class Drag(Beginning, Results, Sharing):
    """Move points of a picture to where you want them: one picture, or a file of jobs."""

    out: Place
    """The picture (.png, .jpg or .webp), or the subject (.steer); with --jobs, the folder for the results, or its address."""
    point: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A handle and its target as x,y:x,y in pixels, such as 60,70:78,68; give --point once for each."""
    mask: Path | None = None
    """A picture of the model's size: white may move, black must stay."""
    jobs: Place | None = None
    """A file with one job a line: a JSON object with seed, points (["60,70:78,68"]) and any other flag of this command. Or
    its address, as s3://bucket/jobs.jsonl."""
    how: tyro.conf.OmitArgPrefixes[DragSettings] = field(default_factory=DragSettings)

    def run(self) -> None:
        self.check_sharing()
        if self.jobs is not None:
            from gansteer.commands.drag_jobs import run_jobs

            run_jobs(self)
            return
        if self.is_shared:
            raise UserError("--processes and --cluster share many drags: give --jobs")
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
        self.advise(edit, subject, carried)
        told(carried, f"wrote {self.out}: {line}")

    def advise(self, edit: "DragEdit", subject: "Subject", carried: Carried) -> None:
        """Say on stderr what to do about handles that have not arrived, or a face that broke."""
        from gansteer.commands.drag_advice import advice, broken

        last = carried.run.progress or carried.last
        for line in (advice(edit, carried.progresses[0], last), broken(subject, last.subject)):
            if line is not None and not carried.stopped:
                print(f"note: {line}", file=sys.stderr)

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
        return carried, f"{why} after {steps} steps; {distances} px from the target"


Pair = tuple[tuple[float, float], tuple[float, float]]


def _parse_pair(text: str) -> Pair:
    try:
        (hx, hy), (tx, ty) = (map(float, point.split(",")) for point in text.split(":"))
    except ValueError as error:
        raise UserError(f"--point {text!r}: write handle and target as x,y:x,y, such as 60,70:78,68") from error
    return (hx, hy), (tx, ty)
