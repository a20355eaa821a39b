"""What every kind of edit has in common: the edit, which is data, and the run that carries it out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

import msgspec
from torch import Tensor

from gansteer.errors import UserError
from gansteer.subject import Subject

if TYPE_CHECKING:
    from PIL.Image import Image

Point = tuple[float, float]
"""(x, y) in pixels of the picture; the centre of the top-left pixel is (0, 0)."""


@dataclass(frozen=True)
class Progress:
    """What one step of a run found. `subject` is drawn only when somebody asks for `subject.image`."""

    step: int
    """Latent steps taken to reach this picture; 0 for the picture the edit began with."""
    loss: float
    """The loss of this picture; NaN when it was not needed because the run ended here."""
    subject: Subject = field(repr=False)
    """What the edit has reached."""
    points: tuple[Point, ...] = ()
    """Where every handle is in this picture; empty for kinds without points."""
    distances: tuple[float, ...] = ()
    """Pixels from every handle to its target."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What else was measured of this picture, by the metric's name, such as `psnr` in decibels."""
    stage: str = ""
    """What is being done, for edits of several stages, in a few words."""
    stop_reason: str | None = None
    """Why the run ended with this step, in one line; None while it goes on."""


class StepRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of one step of an edit: a `Progress` without its picture. Files and messages leave defaults out."""

    step: int
    loss: float | None
    """None where there is none."""
    points: tuple[Point, ...]
    """Where every handle was, in pixels of the picture."""
    distances: tuple[float, ...]
    """Pixels from every handle to its target."""
    seconds: float
    """Of computing since the edit began."""
    metrics: dict[str, float] = {}
    """As in `Progress`."""
    stage: str = ""
    """As in `Progress`."""


class Run(Protocol):
    """An edit being carried out. It can be left after any step and taken up again."""

    @property
    def start(self) -> Subject:
        """What the edit began with."""
        ...

    @property
    def subject(self) -> Subject:
        """The result so far."""
        ...

    @property
    def progress(self) -> Progress | None:
        """What the last step found; None before the first."""
        ...

    @property
    def history(self) -> "Sequence[tuple[Edit, int]]":
        """Every edit of this run, in order, and how many pictures were looked at under it: enough to run it again."""
        ...

    @property
    def stop_reason(self) -> str | None:
        """Why the run has ended, or None."""
        ...

    def step(self) -> Progress:
        """One step; once the run has ended, the last progress again."""
        ...

    def revise(self, edit: Any) -> None:
        """Go on from the present picture with another edit of the same kind. Raises UserError for kinds that cannot."""
        ...

    def __iter__(self) -> Iterator[Progress]:
        """Step until the end."""
        ...


E = TypeVar("E", bound="Edit")


def _told(value: object) -> str:
    """A field's value in a few words: of a tensor how large it is."""
    return f"<{' x '.join(map(str, value.shape))}>" if isinstance(value, Tensor) else repr(value)


class SteppedRun(ABC, Generic[E]):
    """A run whose last progress says where it is: what every kind of edit's run is made of."""

    progress: Progress | None = None
    """What the last step found."""

    def __init__(self, start: Subject, edit: E) -> None:
        self.start = start
        self.edit = edit
        self.history: list[tuple[E, int]] = [(edit, 0)]
        """Every edit of this run and how many pictures were looked at under it: enough to run it again."""

    def __repr__(self) -> str:
        step = 0 if self.progress is None else self.progress.step
        return f"<Run of {self.edit!r}: step {step}{f', {self.stop_reason}' if self.stop_reason else ''}>"

    @property
    def subject(self) -> Subject:
        """The picture of the last step, before the first the one that the edit begins with; at the end the result."""
        return self.start if self.progress is None else self.progress.subject

    @property
    def stop_reason(self) -> str | None:
        """Why the run has ended, or None."""
        return None if self.progress is None else self.progress.stop_reason

    def revise(self, edit: E) -> None:
        """Go on from the present picture with another edit of the same kind. Raises UserError for kinds that cannot."""
        raise UserError(f"{edit.title}: this kind of edit cannot be revised, start a new one")

    def step(self) -> Progress:
        """Look at the present picture and, unless that ends the run, take one step towards the next.

        Once the run has ended, the last progress again.
        """
        if self.progress is not None and self.progress.stop_reason:
            return self.progress
        self.progress = self._step()
        edit, pictures = self.history[-1]
        self.history[-1] = (edit, pictures + 1)
        return self.progress

    @abstractmethod
    def _step(self) -> Progress:
        """What one step of this kind finds; its `stop_reason` ends the run."""

    def __iter__(self) -> Iterator[Progress]:
        """Step until the run ends; can be left and entered again."""
        while True:
            progress = self.step()
            yield progress
            if progress.stop_reason:
                return


class Edit(ABC):
    """What is to be done to a picture: a frozen dataclass, one for each kind; `registry.py` lists the kinds.

    Its fields are numbers, texts, `None`, literals, tuples, mappings and dataclasses of those, and tensors: what
    `record.py` takes to JSON and back. Apart from `title`, its members have answers that suit most kinds.
    """

    @classmethod
    def from_earlier(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a file as they were meant by the release that wrote it: what it left out, what it did not mind."""
        return dict(stored)

    @property
    @abstractmethod
    def title(self) -> str:
        """The edit in a few plain words, for a history: `Drag 2 points`."""

    def __repr__(self) -> str:
        """What was asked for, without all that is as usual: `Drag(handles=((64.0, 76.0),), targets=((72.0, 76.0),))`."""
        told = [f"{each.name}={_told(getattr(self, each.name))}" for each in fields(self) if not self._usual(each)]  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(told)})"

    def _usual(self, each: "Field[Any]") -> bool:
        value = getattr(self, each.name)
        usual = each.default_factory() if each.default_factory is not MISSING else each.default
        return value is usual or (not isinstance(value, Tensor) and type(value) is type(usual) and bool(value == usual))

    @property
    def step_limit(self) -> int:
        """How many steps a run takes at most."""
        return 1

    def check(self, subject: Subject) -> None:  # noqa: B027 (most kinds find out as they begin)
        """Raise UserError if the edit does not fit the subject, as far as that can be told at once."""

    def resumed(self, last: StepRecord) -> Self | None:
        """The edit that goes on from the picture of the step `last`, where the run is no longer there.

        None where it has to begin anew.
        """
        return None

    def area(self) -> Tensor | None:
        """Where the picture may change, `[H, W]`, 1 or True = may; None where the whole picture may."""
        return None

    def points(self) -> tuple[Sequence[Point], Sequence[Point]]:
        """Handles and their targets; empty for kinds without points."""
        return (), ()

    def film_frame(self, picture: "Image") -> "Image":
        """The picture of one step as it stands in a film without marks."""
        return picture

    def command_line(self, area: str) -> list[str]:
        """The words after `gansteer` that carry the edit out: the command, then its flags.

        `area` is the name of the file that holds `area()`. Raises UserError where the shell has no words for the edit.
        """
        raise UserError("the shell has no command for this edit: take the Python script")
