"""Carrying an edit out in the shell, the same way for every kind: progress, Ctrl-C, and what is kept of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gansteer.bars import bar
from gansteer.errors import UserError
from gansteer.output import check_picture, check_writable, replacing, save_picture

if TYPE_CHECKING:
    from PIL import Image

    from gansteer.edits.api import Edit, Progress, Run
    from gansteer.subject import Model, Subject

SHOTS = 90
"""Pictures of a film, at most, of steps that change the weights: each is drawn as it is reached."""


@dataclass(frozen=True, eq=False)
class Carried:
    """An edit that was carried out, or stopped by Ctrl-C."""

    run: "Run"
    progresses: "list[Progress]"
    """Every step. Those that changed the model's weights come with the first subject, since theirs would fill the memory."""
    filmed: "list[Progress]"
    """The steps that a film shows."""
    shots: "Mapping[int, Image.Image]"
    """Place in `filmed` to the picture of a step that changed the weights."""
    stopped: bool

    @property
    def last(self) -> "Progress":
        """The last step."""
        return self.progresses[-1]


def carry_out(subject: "Subject", edit: "Edit", what: str, film: bool = False) -> Carried:
    """Carry `edit` out with a progress bar named `what`. Ctrl-C stops it; what was reached is the result then.

    Raises KeyboardInterrupt if there was no step before, UserError if the edit does not fit the subject. With `film`, the
    pictures of steps that change the weights are kept.
    """
    from gansteer.edits.registry import start

    run = start(subject, edit)
    progresses: list[Progress] = []
    filmed: list[Progress] = []
    shots: dict[int, Image.Image] = {}
    stopped = False
    every = max(1, edit.step_limit // SHOTS)
    with bar(what) as report:
        try:
            for progress in run:
                report.named(progress.stage or what, progress.step, edit.step_limit)
                if progress.subject.tuning is subject.tuning:
                    filmed.append(progress)
                else:
                    shown = film and (progress.step % every == 0 or bool(progress.stop_reason))
                    if shown:
                        shots[len(filmed)] = progress.subject.image
                    progress = replace(progress, subject=subject)
                    filmed += [progress] * shown
                progresses.append(progress)
        except KeyboardInterrupt:
            stopped = True
    if not progresses:
        raise KeyboardInterrupt("stopped before the first step: nothing was written")
    return Carried(run, progresses, filmed, shots, stopped)


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a command that edits a picture writes."""

    out: Path
    """The picture (.png, .jpg or .webp), or the subject (.steer) for another edit."""
    film: Path | None = None
    """Write a film of the edit (.webp, .gif or .mp4)."""
    marks: bool = True
    """Draw handles, targets and trails into the film."""
    json: Path | None = None
    """Write a record, from which --replay runs the edit again bit for bit."""
    replay: Path | None = None
    """Run this record again (what is to be done comes from it)."""

    def check(self) -> None:
        """Raise UserError before the work if a result could not be written after it."""
        if self.out.suffix == ".steer":
            check_writable(self.out)
        else:
            check_picture(self.out)
        if self.film is not None:
            from gansteer.film import check_film

            check_film(self.film)
        if self.json is not None:
            check_writable(self.json)

    def keep(self, subject: "Subject", source: Mapping[str, Any], edit: "Edit") -> None:
        """Write the picture or the subject, `edit` being what made it."""
        if self.out.suffix == ".steer":
            from gansteer.steerfile import save_subject

            save_subject(subject, self.out, source, edit)
        else:
            save_picture(subject.image, self.out)

    def carry_out(self, subject: "Subject", edit: "Edit", what: str, source: Mapping[str, Any]) -> Carried:
        """Carry `edit` out and write all that was asked for, also when Ctrl-C ends it early.

        `source` says where the subject came from. Raises as the function `carry_out`.
        """
        carried = carry_out(subject, edit, what, film=self.film is not None)
        # A session's root says where it came from only if that can be drawn again.
        self.keep(carried.run.subject, {} if "subject" in source else source, edit)
        if self.json is not None:
            from gansteer.edits.record import record

            with replacing(self.json) as path:
                path.write_text(json.dumps(record(carried.run, carried.progresses, source), indent=1))
        if self.film is not None:
            from gansteer.film import frames, save_film

            save_film(frames(carried.filmed, edit, marks=self.marks, shots=carried.shots), self.film)
        return carried

    def run_again(self, record: Path, model: "Model") -> str:
        """Run a record again and write its picture or subject. Returns one line about it. Raises UserError."""
        from gansteer.edits.record import replay

        run = replay(read_json(record), model)
        self.keep(run.subject, {"record": record.name}, run.history[-1][0])
        return f"wrote {self.out}: the same as recorded, bit for bit"


def told(carried: Carried, line: str) -> None:
    """Print what came of it; where Ctrl-C stopped it, raise KeyboardInterrupt with the line instead."""
    if carried.stopped:
        raise KeyboardInterrupt(line)
    print(line)


def read_json(path: Path) -> Any:
    """What a record's file holds. Raises UserError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is no JSON: give the file that --json wrote") from error
