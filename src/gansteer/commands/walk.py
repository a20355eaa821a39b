"""`gansteer walk` and `gansteer mix`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gansteer.bars import bar
from gansteer.commands.sample import MAX_SHEET
from gansteer.commands.seeds import check_psi, parse_seeds
from gansteer.commands.starting import open_model, open_start
from gansteer.errors import UserError
from gansteer.output import check_picture, check_writable, save_picture

if TYPE_CHECKING:
    from PIL import Image

    from gansteer.subject import Model, Subject

USUAL = "portraits"
"""The model of seeds where none is named."""
MOST_STOPS = 200
MOST_PICTURES = 2000
"""Of a film: they are in memory until it is written."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Where several pictures of one model come from."""

    model: str | None = None
    """Name of a model, a checkpoint's file, or a hub id; by default the one that the first .steer file was made with, or
    else portraits."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""
    psi: float = 0.7
    """Truncation of seeds."""
    label: int | None = None
    """The class of seeds, for a class-conditional model."""
    seeds_like: Literal["torch", "numpy"] = "torch"
    """Whose random numbers: numpy draws what NVIDIA's programs draw for a seed."""
    device: str = "auto"

    def opened(self, words: Sequence[str]) -> "list[Subject]":
        """The pictures that `words` name: seeds, ranges of seeds, .steer files and latents. Raises UserError."""
        check_psi(self.psi)
        places: list[int | Path] = []
        for word in words:
            places += [Path(word)] if Path(word).suffix else parse_seeds(word)
        if not places:
            raise UserError("no picture is given: give seeds, such as 1,5,9, or .steer files")
        if len(places) > MOST_STOPS:
            raise UserError(f"that is more than {MOST_STOPS} pictures: give fewer")
        photo = next((p for p in places if isinstance(p, Path) and p.suffix.lower() not in LATENTS), None)
        if photo is not None:
            raise UserError(f"{photo} is no .steer file: bring a photo in with gansteer invert --photo {photo} first")
        files: dict[Path, Subject] = {}
        model: Model | None = None
        for place in places:
            if isinstance(place, Path) and place not in files:
                model, files[place] = self.file(place, model)
        if model is None:
            model = open_model(self.model or USUAL, self.device, self.network)
        of = model
        return [
            files[p] if isinstance(p, Path) else of.sample(p, self.psi, self.label, self.seeds_like) for p in places
        ]

    def file(self, path: Path, model: "Model | None") -> "tuple[Model, Subject]":
        """The picture in a file and its model, which is `model` if that is given. Raises UserError."""
        from gansteer.checkpoints.latents import as_subject, is_latent, read_latent
        from gansteer.steerfile import open_subject

        if model is None:
            opened, subject = open_start(self.model, path, self.device, self.network)
            assert subject is not None
            return opened, subject
        if is_latent(path):
            return model, as_subject(read_latent(path), model, str(path))
        return model, open_subject(path, lambda known: model)


LATENTS = (".steer", ".npz", ".npy", ".pt", ".pkl", ".safetensors")
"""Endings of files that hold a picture's code."""


@dataclass(frozen=True, kw_only=True)
class Walk(Pictures):
    """A film from each of several pictures to the next, through all that the model draws in between."""

    seeds: str | None = None
    """The pictures by seeds, such as 1,5,9."""
    stops: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SEED|FILE")] = ()
    """The pictures in their order: seeds, .steer files (photos that were brought in, edited pictures) and latents."""
    frames: int = 60
    """Pictures of the whole film."""
    loop: bool = False
    """Lead back to the first one, so that the film repeats without a jump."""
    fps: int = 15
    """Pictures a second."""
    out: Path
    """The film (.webp, .gif or .mp4), or a folder that is there for one file a picture."""

    def run(self) -> None:
        if (self.seeds is None) == (not self.stops):
            raise UserError("give the pictures by --seeds, such as 1,5,9, or by --stops, such as 1 anna.steer 9")
        if not 2 <= self.frames <= MOST_PICTURES:
            raise UserError(f"--frames is from 2 to {MOST_PICTURES}")
        if not 1 <= self.fps <= 60:
            raise UserError("--fps is from 1 to 60")
        from gansteer.film import check_film

        if self.out.is_dir():
            check_writable(self.out / "walk-0000.png")
        else:
            check_film(self.out)
        stops = self.opened([self.seeds] if self.seeds is not None else self.stops)

        from gansteer.film import save_film
        from gansteer.mixing import walk

        pictures = drawn(walk(stops, self.frames, self.loop), self.frames)
        if self.out.is_dir():
            for i, picture in enumerate(pictures):
                save_picture(picture, self.out / f"walk-{i:04}.png")
        else:
            save_film(pictures, self.out, self.fps, rest=not self.loop)
        way = f"{len(stops)} pictures{' and back' * self.loop}"
        print(f"wrote {self.out}: {self.frames} pictures of {stops[0].model.resolution} px, through {way}")


@dataclass(frozen=True, kw_only=True)
class Mix(Pictures):
    """Pictures with the pose and shape of one and the colours and detail of another (style mixing).

    Of several, a sheet of all mixes: those of --coarse above, those of --fine at the left.
    """

    coarse: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SEED|FILE")] = ()
    """Whose pose and shape: seeds such as 3 or 0-3, .steer files, latents."""
    fine: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SEED|FILE")] = ()
    """Whose colours and detail."""
    coarse_up_to: int = 16
    """Pixels of the side of the largest maps that take the coarse styles: 8 for pose and outline, 16, 32 for most of it."""
    out: Path = Path("mix.png")
    """The picture (.png, .jpg or .webp), or the subject (.steer) for other commands."""

    def run(self) -> None:
        if not self.coarse or not self.fine:
            raise UserError("give --coarse and --fine: seeds such as 3, or .steer files")
        if self.out.suffix == ".steer":
            check_writable(self.out)
        else:
            check_picture(self.out)
        count = sum(1 if Path(word).suffix else len(parse_seeds(word)) for word in self.coarse)
        subjects = self.opened([*self.coarse, *self.fine])
        above, left = subjects[:count], subjects[count:]

        from gansteer.mixing import mix

        if len(above) == len(left) == 1:
            mix(above[0], left[0], self.coarse_up_to).save(self.out)
            what = f"the pose and shape of {self.coarse[0]}, the colours and detail of {self.fine[0]}"
        elif self.out.suffix == ".steer":
            raise UserError(
                f"{self.out} keeps one picture: give one --coarse and one --fine, or a sheet such as mix.png"
            )
        else:
            self.save_sheet(above, left)
            what = f"the pose and shape of those above ({len(above)}), the colours and detail of those at the left ({len(left)})"
        print(f"wrote {self.out}: {what}")

    def save_sheet(self, above: "list[Subject]", left: "list[Subject]") -> None:
        """All mixes, beside what they are mixed of. Raises UserError for a sheet that no format holds."""
        from PIL import Image

        from gansteer.mixing import sheet_of_mixes
        from gansteer.sheet import sheet

        side = above[0].model.resolution
        if (1 + max(len(above), len(left))) * side > MAX_SHEET:
            raise UserError(f"these make a sheet of more than {MAX_SHEET} px: give fewer")
        count = (1 + len(above)) * (1 + len(left))
        corner = Image.new("RGB", (side, side), "white")
        pictures = drawn(sheet_of_mixes(above, left, self.coarse_up_to), count, corner)
        save_picture(sheet(list(pictures), 1 + len(above)), self.out)


def drawn(
    subjects: "Iterable[Subject | None]", count: int, nothing: "Image.Image | None" = None
) -> "Iterable[Image.Image]":
    """Draw `count` subjects one by one under a progress bar; None draws `nothing`."""
    with bar("drawing") as report:
        for i, subject in enumerate(subjects):
            if subject is not None:
                yield subject.image
            elif nothing is not None:
                yield nothing
            report(i + 1, count)
