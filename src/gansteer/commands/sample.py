"""`gansteer sample`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from gansteer.commands.seeds import check_psi, parse_seeds
from gansteer.commands.sharing import Place, Sharing
from gansteer.commands.starting import open_start
from gansteer.errors import UserError
from gansteer.output import FORMATS, encoded
from gansteer.places import Address, check_place, open_folder, write_bytes

if TYPE_CHECKING:
    from PIL import Image

    from gansteer.subject import Subject

MAX_SHEET = 16_383
"""Pixels of a sheet's side: the most that every format can hold."""


@dataclass(frozen=True, kw_only=True)
class Sample(Sharing):
    """Draw the pictures of some seeds, on one sheet or each in its own file; or the picture of a subject."""

    model: str | None = None
    """Name of a model, a checkpoint's file, or a hub id; with --subject, the one it was made with."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""
    subject: Path | None = None
    """A .steer file, or a latent that another program saved, whose picture is drawn instead of seeds."""
    tuned: str | None = None
    """With a latent: the checkpoint that was tuned around it, as PTI saves both."""
    out: Place
    """The sheet (.png, .jpg or .webp); or a folder, or a name with {seed} in it, for one file per seed; or the subject of
    one seed (.steer), for --subject of other commands. Or an address of one of these."""
    seeds: str = "0-15"
    """Such as 7, 0-15 or 0-15,20."""
    seeds_like: Literal["torch", "numpy"] = "torch"
    """Whose random numbers: numpy draws what NVIDIA's programs draw for a seed."""
    psi: float = 0.7
    """Truncation: 0 draws the mean picture, 1 the whole variety."""
    label: int | None = None
    """The class, for a class-conditional model."""
    device: str = "auto"
    show_layout: bool = False
    """Draw the blobs of the layout on each picture, with their numbers, at 256 px or more."""

    def run(self) -> None:
        seeds = parse_seeds(self.seeds)
        check_psi(self.psi)
        self.check_sharing()
        pattern = self._pattern()
        one_each = "{seed}" in pattern.name
        if self.out.suffix == ".steer":
            if len(seeds) > 1 and self.subject is None and not one_each:
                raise UserError(f"{self.out} keeps one picture: give one of --seeds, or a name with {{seed}} in it")
        elif pattern.suffix.lower() not in FORMATS:
            raise UserError(f"{pattern}: a picture's file ends in {', '.join(FORMATS)}")
        check_place(pattern)
        if self.subject is not None:
            self._given(self.subject)
        elif one_each or pattern.suffix == ".steer":
            self._one_each(pattern, seeds)
        else:
            self._sheet(seeds)

    def _pattern(self) -> Path:
        """The file, with {seed} in its name where there is one for each."""
        if isinstance(self.out, Address):
            return self.out if self.out.suffix else open_folder(self.out).at("seed-{seed}.png")
        return self.out / "seed-{seed}.png" if self.out.is_dir() else self.out

    def _given(self, given: Path) -> None:
        """The picture of a subject that is given as a file."""
        if self.is_shared:
            raise UserError("--processes and --cluster share the pictures of many seeds: give --seeds")
        model, subject = open_start(self.model, given, self.device, self.network, self.tuned)
        assert subject is not None
        write_bytes(self.out, self.kept(subject, self.out.suffix, {"subject": str(given)}))
        print(f"wrote {self.out}: the picture of {given}, {model.resolution} px")

    def _one_each(self, pattern: Path, seeds: list[int]) -> None:
        """A picture or a subject for each seed, in a file of its own."""
        folder, what = open_folder(pattern.parent, make=False), "pictures of"
        if isinstance(pattern, Address):
            folder = open_folder(Address(pattern.text.rpartition("/")[0]))
        for _, drawn in self._drawn(seeds, pattern.name):
            write_bytes(folder.at(drawn.name), drawn.data)
            what = drawn.what
        many = "s" * (len(seeds) > 1)
        shown = f"subject{many} of {what}" if pattern.suffix == ".steer" else f"pictures of {what}"
        print(f"wrote {pattern}: {len(seeds)} {shown}")

    def _sheet(self, seeds: list[int]) -> None:
        """All pictures on one sheet, unless it would be larger than a picture can be."""
        from gansteer.sheet import columns_for, sheet

        pictures, what = {}, ""
        for index, drawn in self._drawn(seeds, None):
            assert drawn.picture is not None
            pictures[index], what = drawn.picture, drawn.what
            side = drawn.picture.width
            if columns_for(len(seeds)) * side > MAX_SHEET:
                raise UserError(
                    f"{len(seeds)} pictures of {side} px make a sheet of more than {MAX_SHEET} px: "
                    "give fewer seeds, or a folder for --out"
                )
        whole = sheet([pictures[index] for index in range(len(seeds))])
        write_bytes(self.out, encoded(whole, self.out.suffix))
        print(f"wrote {self.out}: {len(seeds)} pictures of {what}")

    def _drawn(self, seeds: list[int], name: str | None) -> "Iterator[tuple[int, Drawn]]":
        """Every seed's place with what was drawn of it, as it is done: a file of this name, or a picture."""
        sent = replace(self, processes=1, cluster=None, model=self.for_workers(self.model), out=Path("here"))
        tasks = list(enumerate(seeds))
        for (index, _), drawn in self.results(
            "drawing", self.device, tasks, lambda task: f"the picture of seed {task[1]}", None, prepare, sent, name
        ):
            yield index, drawn

    def kept(self, subject: "Subject", ending: str, source: dict[str, object]) -> bytes:
        """What is in the file of the picture, or of the subject with where it came from."""
        from gansteer.steerfile import save_subject

        if ending != ".steer":
            return encoded(self.shown(subject), ending)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "subject.steer"
            save_subject(subject, path, source)
            return path.read_bytes()

    def shown(self, subject: "Subject") -> "Image.Image":
        """The picture, with its blobs if they are asked for. Raises UserError if there are none to show."""
        if not self.show_layout:
            return subject.image
        from gansteer.edits.arrangement.edit import layout_of
        from gansteer.layout_picture import with_blobs

        return with_blobs(subject.image, layout_of(subject))


@dataclass(frozen=True)
class Drawn:
    """What a worker made of a seed."""

    what: str
    """Resolution of pictures, or the model's name for subjects."""
    name: str = ""
    data: bytes = b""
    """The file, if one is written for each seed."""
    picture: "Image.Image | None" = None
    """Otherwise the picture, for the sheet."""


def prepare(command: Sample, name: str | None) -> "Callable[[tuple[int, int]], Drawn]":
    """Open the model, once."""
    model, _ = open_start(command.model, None, command.device, command.network, command.tuned)

    def work(task: tuple[int, int]) -> Drawn:
        _, seed = task
        subject = model.sample(seed, command.psi, command.label, command.seeds_like)
        if name is None:
            return Drawn(f"{model.resolution} px", picture=command.shown(subject))
        source: dict[str, object] = {"seed": seed, "psi": command.psi, "label": command.label}
        source |= {"like": "numpy"} if command.seeds_like == "numpy" else {}
        what = model.card.name if name.endswith(".steer") else f"{model.resolution} px"
        own = name.replace("{seed}", str(seed))
        return Drawn(what, own, command.kept(subject, Path(name).suffix, source))

    return work
