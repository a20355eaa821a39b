"""What every edit in progress has in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from gansteer.subject import Subject

Point = tuple[float, float]
"""(x, y) in pixels of the picture; the centre of the top-left pixel is (0, 0)."""


@dataclass(frozen=True)
class Progress:
    """What one step of a run found. `subject` is drawn only when somebody asks for `subject.image`."""

    step: int
    """Latent steps taken to reach this picture; 0 for the picture the edit began with."""
    loss: float
    """Of this picture; NaN when it was not needed because the run ended here."""
    points: tuple[Point, ...]
    """Where every handle is in this picture."""
    distances: tuple[float, ...]
    """Pixels from every handle to its target."""
    subject: Subject = field(repr=False)
    stop_reason: str | None = None
    """Why the run ended with this step, in one line; None while it goes on."""


class Run(Protocol):
    """An edit being carried out. It can be left after any step and taken up again."""

    @property
    def subject(self) -> Subject:
        """The result so far."""
        ...

    def step(self) -> Progress:
        """One step; once the run has ended, the last progress again."""
        ...

    def __iter__(self) -> Iterator[Progress]:
        """Step until the end."""
        ...


P = TypeVar("P", bound=Progress)


class SteppedRun(ABC, Generic[P]):
    """What runs of many steps share: the last progress says where they are."""

    start: Subject
    progress: P | None = None
    """What the last step found."""

    @property
    def subject(self) -> Subject:
        """The picture of the last step, before the first the one that the edit begins with; at the end the result."""
        return self.start if self.progress is None else self.progress.subject

    @property
    def stop_reason(self) -> str | None:
        """Why the run has ended, or None."""
        return None if self.progress is None else self.progress.stop_reason

    @abstractmethod
    def step(self) -> P:
        """One step; once the run has ended, the last progress again."""

    def __iter__(self) -> Iterator[P]:
        """Step until the run ends; can be left and entered again."""
        while True:
            progress = self.step()
            yield progress
            if progress.stop_reason:
                return


R_co = TypeVar("R_co", bound=Run, covariant=True)


class Edit(Protocol[R_co]):
    """What shall be done to a picture: a frozen dataclass, one class per kind; `KINDS` in `edits/__init__.py` lists them.

    Its fields are numbers, texts, `None`, literals, tuples, mappings and dataclasses of those, and tensors: what
    `record.py` takes to JSON and back.
    """

    @property
    def title(self) -> str:
        """In a few plain words, for a history: `Drag 2 points`."""
        ...

    def begin(self, subject: Subject) -> R_co:
        """The run that carries it out; raises UserError if the edit does not fit the subject."""
        ...
