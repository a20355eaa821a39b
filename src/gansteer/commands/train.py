"""`gansteer train`."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gansteer.training.config import TrainConfig

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from gansteer.training.run import TrainProgress

LINE_SECONDS = 60.0
"""How often a line is printed where there is no terminal to draw a bar on."""


@dataclass(frozen=True)
class Train(TrainConfig):
    """Train a StyleGAN2 on a folder or zip of pictures, or continue a run.

    Runs on several processes or machines as `torchrun --nproc-per-node N -m gansteer train ...`.
    """

    def run(self) -> None:
        from gansteer.training.run import train

        try:
            with _display() as display, closing(train(self, display.checking)) as steps:
                for progress in steps:
                    display.trained(progress)
        except KeyboardInterrupt:
            saved = (self.out / "checkpoint.pt").exists()
            how = f"; {self.out} is saved: the same command continues it" if saved else " before the first step"
            raise KeyboardInterrupt(f"stopped{how}") from None
        if _is_first():
            newest = max(self.out.glob("snapshot-*.safetensors"))
            print(f"{self.out} has seen its {self.images} pictures; the model is {newest}")


class Display(Protocol):
    """Where a run shows how far it is."""

    def checking(self, done: int, total: int) -> None:
        """Pictures of the data that are checked."""

    def trained(self, progress: "TrainProgress") -> None:
        """Pictures that have been shown."""


class Silence:
    """For all processes but the first."""

    def checking(self, done: int, total: int) -> None: ...

    def trained(self, progress: "TrainProgress") -> None: ...


class Lines(Silence):
    """A line a minute, for log files."""

    shown = 0.0

    def trained(self, progress: "TrainProgress") -> None:
        if time.monotonic() - self.shown < LINE_SECONDS:
            return
        self.shown = time.monotonic()
        left = (progress.total - progress.images) / max(progress.images_per_second, 1e-9) / 3600
        print(
            f"{progress.images} of {progress.total} pictures, {progress.images_per_second:.1f} a second, {left:.1f} h left",
            flush=True,
        )


class Bars:
    """First a bar for the data check, then one for the training, with pictures per second and time left."""

    def __init__(self, progress: "Progress") -> None:
        self.progress = progress
        self.check = progress.add_task("checking pictures", total=None, rate="")
        self.training: TaskID | None = None

    def checking(self, done: int, total: int) -> None:
        self.progress.update(self.check, completed=done, total=total)

    def trained(self, progress: "TrainProgress") -> None:
        rate = f"{progress.images_per_second:.1f} a second"
        if self.training is None:
            self.progress.remove_task(self.check)
            # A continued run starts where it is, or its speed would be thought enormous.
            self.training = self.progress.add_task(
                "training", total=progress.total, completed=progress.images, rate=rate
            )
        self.progress.update(self.training, completed=progress.images, rate=rate)


@contextmanager
def _display() -> Iterator[Display]:
    if not _is_first():
        yield Silence()
    elif not sys.stderr.isatty():
        yield Lines()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
        ]
        console = Console(stderr=True)
        with Progress(*columns, TimeRemainingColumn(), console=console, speed_estimate_period=300) as progress:
            yield Bars(progress)


def _is_first() -> bool:
    """Whether this process is the only one, or the first that torchrun started."""
    return os.environ.get("RANK", "0") == "0"
