"""A kind of edit that nothing in gansteer knows: it moves all rows of w+ by the same amount, a little at every step."""

import math
from dataclasses import dataclass, replace

import torch

from gansteer.commands.results import Results, told
from gansteer.commands.starting import Beginning
from gansteer.edits.api import Edit, Progress, SteppedRun, StepRecord
from gansteer.edits.registry import KINDS, EditKind
from gansteer.errors import UserError
from gansteer.subject import Subject


@dataclass(frozen=True, eq=False)
class Shift(Edit):
    """Move w+ by `amount` in `times` steps."""

    amount: float
    times: int = 4

    def __post_init__(self) -> None:
        if not math.isfinite(self.amount):
            raise UserError("amount must be a finite number")

    @property
    def title(self) -> str:
        return f"Shift {self.amount:g}"

    @property
    def step_limit(self) -> int:
        return self.times

    def check(self, subject: Subject) -> None:
        if self.times > 100:
            raise UserError("times goes up to 100")

    def resumed(self, last: StepRecord) -> "Shift":
        return replace(self, amount=self.amount * (1 - last.step / self.times), times=self.times - last.step)

    def command_line(self, area: str) -> list[str]:
        return ["shift", f"--amount {self.amount:g}", f"--times {self.times}"]


class ShiftRun(SteppedRun[Shift]):
    """A shift being carried out."""

    def _step(self) -> Progress:
        step = 1 if self.progress is None else self.progress.step + 1
        subject = moved(self.start, self.edit.amount * step / self.edit.times)
        stop = "shifted" if step == self.edit.times else None
        return Progress(
            step, 0.0, subject, metrics={"moved": self.edit.amount * step / self.edit.times}, stop_reason=stop
        )


def moved(subject: Subject, amount: float) -> Subject:
    """The subject with `amount` added to every number of its w+."""
    ws = subject.code.ws + torch.tensor(amount, dtype=subject.code.ws.dtype)
    return replace(subject, code=replace(subject.code, ws=ws))


def asked(subject: Subject, arguments: dict[str, float]) -> float:
    """What the page may ask for this kind: the mean of w+."""
    return float(subject.code.ws.mean())


@dataclass(frozen=True, kw_only=True)
class ShiftCommand(Beginning, Results):
    """Shift a picture."""

    amount: float = 0.0
    times: int = 4

    def run(self) -> None:
        self.check()
        model, subject = self.begin()
        if self.replay is not None:
            print(self.run_again(self.replay, model))
            return
        edit = Shift(self.amount, self.times)
        carried = self.carry_out(subject, edit, "shifting", self.source)
        told(carried, f"wrote {self.out}: {carried.run.stop_reason}")


KIND = EditKind(
    edit="toy_kind:Shift", run="toy_kind:ShiftRun", command=("shift", "toy_kind:ShiftCommand"),
    queries={"mean": "toy_kind:asked"},
)  # fmt: skip


def register() -> None:
    """Put the kind where all others are."""
    KINDS["shift"] = KIND
