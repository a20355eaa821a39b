"""`gansteer sample`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gansteer.bars import bar
from gansteer.commands.seeds import check_psi, parse_seeds
from gansteer.commands.starting import open_start
from gansteer.errors import UserError
from gansteer.output import check_picture, check_writable, save_picture

if TYPE_CHECKING:
    from PIL import Image

    from gansteer.subject import Model, Subject

MAX_SHEET = 16_383
"""Pixels of a sheet's side: the most that every format can hold."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Draw the pictures of some seeds, on one sheet or each in its own file; or the picture of a subject."""

    model: str | None = None
    """Name of a model, a checkpoint's file, or a hub id; with --subject, the one it was made with."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""
    subject: Path | None = None
    """A .steer file, or a latent that another program saved, whose picture is drawn instead of seeds."""
    tuned: str | None = None
    """With a latent: the checkpoint that was tuned around it, as PTI saves both."""
    out: Path
    """The sheet (.png, .jpg or .webp); or a folder, or a name with {seed} in it, for one file per seed; or the subject of
    one seed (.steer), for --subject of other commands."""
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
        pattern = self.out / "seed-{seed}.png" if self.out.is_dir() else self.out
        one_each = "{seed}" in pattern.name
        if self.out.suffix == ".steer":
            if len(seeds) > 1 and self.subject is None and not one_each:
                raise UserError(f"{self.out} keeps one picture: give one of --seeds, or a name with {{seed}} in it")
            check_writable(pattern)
        else:
            check_picture(pattern)

        model, subject = open_start(self.model, self.subject, self.device, self.network, self.tuned)
        if subject is not None:
            if self.show_layout:
                save_picture(self.shown(subject), self.out)
            else:
                self.keep(subject, self.out, {"subject": str(self.subject)})
            print(f"wrote {self.out}: the picture of {self.subject}, {model.resolution} px")
            return
        if self.out.suffix == ".steer":
            for seed in seeds:
                source: dict[str, object] = {"seed": seed, "psi": self.psi, "label": self.label}
                source |= {"like": "numpy"} if self.seeds_like == "numpy" else {}
                drawn = model.sample(seed, self.psi, self.label, self.seeds_like)
                self.keep(drawn, pattern.with_name(pattern.name.replace("{seed}", str(seed))), source)
            print(f"wrote {pattern}: {len(seeds)} subject{'s' * (len(seeds) > 1)} of {model.card.name}")
            return
        if one_each:
            for seed, picture in zip(seeds, self.pictures(model, seeds), strict=True):
                save_picture(picture, pattern.with_name(pattern.name.replace("{seed}", str(seed))))
        else:
            self.save_sheet(model, seeds)
        print(f"wrote {pattern}: {len(seeds)} pictures of {model.resolution} px")

    def keep(self, subject: "Subject", target: Path, source: dict[str, object]) -> None:
        """Write the picture, or the subject with where it came from."""
        from gansteer.steerfile import save_subject

        if target.suffix == ".steer":
            save_subject(subject, target, source)
        else:
            save_picture(subject.image, target)

    def pictures(self, model: "Model", seeds: list[int]) -> "Iterator[Image.Image]":
        """Draw them one by one, under a progress bar."""
        with bar("drawing") as report:
            for i, seed in enumerate(seeds):
                yield self.shown(model.sample(seed, self.psi, self.label, self.seeds_like))
                report(i + 1, len(seeds))

    def shown(self, subject: "Subject") -> "Image.Image":
        """The picture, with its blobs if they are asked for. Raises UserError if there are none to show."""
        if not self.show_layout:
            return subject.image
        from gansteer.edits.arrangement.edit import layout_of
        from gansteer.layout_picture import with_blobs

        return with_blobs(subject.image, layout_of(subject))

    def save_sheet(self, model: "Model", seeds: list[int]) -> None:
        """All pictures on one sheet, unless it would be larger than a picture can be."""
        from gansteer.layout_picture import zoom_for
        from gansteer.sheet import columns_for, sheet

        side = model.resolution * (zoom_for(model.resolution) if self.show_layout else 1)
        if columns_for(len(seeds)) * side > MAX_SHEET:
            raise UserError(
                f"{len(seeds)} pictures of {side} px make a sheet of more than {MAX_SHEET} px: "
                "give fewer seeds, or a folder for --out"
            )
        save_picture(sheet(list(self.pictures(model, seeds))), self.out)
