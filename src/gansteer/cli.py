"""The command line: which commands there are, and what becomes of what goes wrong in them."""

import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from typing import Annotated, Any, Protocol, Union

import tyro

import gansteer
from gansteer.commands.convert import Convert
from gansteer.commands.directions import Fit, Import, List
from gansteer.commands.evaluate import Faces, Quality, Smoothness, Tracking
from gansteer.commands.evaluate_attributes import Attributes
from gansteer.commands.evaluate_drags import Drags
from gansteer.commands.evaluate_inversion import InversionQuality
from gansteer.commands.evaluate_layout import Layout, LayoutDrag, LayoutFace, LayoutPairs
from gansteer.commands.evaluate_trackers import Trackers
from gansteer.commands.export import Export
from gansteer.commands.info import Info
from gansteer.commands.mistakes import check_words, explained
from gansteer.commands.models import Models
from gansteer.commands.package import Package, Push
from gansteer.commands.paste import Paste
from gansteer.commands.sample import Sample
from gansteer.commands.studio import Studio
from gansteer.commands.train import Train
from gansteer.commands.train_encoder import TrainEncoder
from gansteer.commands.train_tracker import TrainTracker
from gansteer.commands.train_transformer import TrainTransformer
from gansteer.commands.walk import Mix, Walk
from gansteer.edits.registry import KINDS, imported
from gansteer.errors import UserError


class Command(Protocol):
    """What the flags make."""

    def run(self) -> None:
        """Do it, printing the results."""


EVALUATE: dict[str, type[Command]] = {
    "attributes": Attributes,
    "quality": Quality,
    "faces": Faces,
    "smoothness": Smoothness,
    "tracking": Tracking,
    "inversion": InversionQuality,
    "drags": Drags,
    "trackers": Trackers,
    "layout": Layout,
    "layout-drag": LayoutDrag,
    "layout-face": LayoutFace,
    "layout-pairs": LayoutPairs,
}

DIRECTIONS: dict[str, type[Command]] = {"fit": Fit, "import": Import, "list": List}

COMMANDS: dict[str, type[Command]] = {
    "models": Models,
    "info": Info,
    "convert": Convert,
    "export": Export,
    "package": Package,
    "push": Push,
    "sample": Sample,
    "walk": Walk,
    "mix": Mix,
    "paste": Paste,
    "train": Train,
    "train-encoder": TrainEncoder,
    "train-transformer": TrainTransformer,
    "train-tracker": TrainTracker,
    "studio": Studio,
}
"""What is typed to the dataclass that its flags fill; the kinds of edits bring commands of their own."""

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""What PyTorch's allocators say; they raise RuntimeError."""


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for a mistake of the user's, 130 for Ctrl-C."""
    # Read when torch is loaded. Threads that spin while they wait make a drag ten times slower on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        parse(sys.argv[1:] if args is None else args).run()
        sys.stdout.flush()
    except UserError as error:
        return _complain(str(error))
    except KeyboardInterrupt as error:
        _complain(str(error) or "stopped")
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at exit
        return 1
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY):
            return _complain("out of memory: take a smaller model or batch, fewer pictures, or --device cpu")
        raise
    return 0


def parse(args: Sequence[str]) -> Command:
    """The command that the words of the shell make. Exits as argparse does for --help and unknown flags.

    Raises UserError, in its own words, where a value is refused by the dataclass itself.
    """
    if list(args) == ["--version"]:
        print(f"gansteer {gansteer.__version__}", flush=True)
        sys.exit(0)
    commands = {**edit_commands(), **COMMANDS}
    groups = {"directions": DIRECTIONS, "evaluate": EVALUATE}
    check_words(args, {**commands, **groups})
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            command: Command = tyro.cli(
                _either({**commands, **{name: _either(group) for name, group in groups.items()}}),
                prog="gansteer",
                description="Steer what a GAN draws.",
                args=list(args) or ["--help"],
            )
    except SystemExit as end:
        for error in _causes(end):
            if isinstance(error, UserError):
                raise error from None
        line = explained(said.getvalue(), args, {**commands, **groups})
        if line is not None:
            raise UserError(line) from None
        sys.stderr.write(said.getvalue())
        sys.stdout.flush()
        raise
    return command


def edit_commands() -> dict[str, type[Command]]:
    """The commands that the kinds of edits bring."""
    places = dict(kind.command for kind in KINDS.values() if kind.command is not None)
    return {name: imported(place) for name, place in places.items()}


def _either(commands: Mapping[str, Any]) -> Any:
    """The type that tyro reads as: one of these commands."""
    about = {"evaluate": "Measure a model.", "directions": "Find or list the directions along which attributes change."}
    kinds = tuple(
        Annotated[kind, tyro.conf.subcommand(name, prefix_name=False, description=about.get(name))]
        for name, kind in commands.items()
    )
    return Union[kinds]  # noqa: UP007


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _complain(message: str) -> int:
    print(f"gansteer: {' '.join(message.split())}", file=sys.stderr)
    return 2
