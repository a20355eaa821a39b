"""`gansteer invert`."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from gansteer.colours import parse_colour
from gansteer.commands.results import Results, told
from gansteer.commands.sharing import Place, Sharing
from gansteer.commands.starting import open_model
from gansteer.edits.inversion.config import InversionSettings
from gansteer.errors import UserError
from gansteer.output import check_picture, save_picture
from gansteer.places import Address

if TYPE_CHECKING:
    from PIL import Image

    from gansteer.commands.results import Carried
    from gansteer.edits.inversion.align import Aligner
    from gansteer.edits.inversion.crop import Crop
    from gansteer.edits.inversion.edit import Inversion
    from gansteer.subject import Model


@dataclass(frozen=True, kw_only=True, eq=False)
class How(InversionSettings):
    """How the photo is brought in: a first guess, projection into the latent space, then tuning of the weights around it."""

    start: Literal["auto", "encoder", "mean"] = "auto"
    """The first guess: the model's encoder if it has one, or the mean picture."""


@dataclass(frozen=True, kw_only=True)
class Invert(Results, Sharing):
    """Bring a photo in: find the subject that draws it, to be dragged and edited like any other."""

    photo: tyro.conf.Positional[Place]
    """Any picture; HEIC with the extra `photos`. Or a folder of them, or its address: those that were done before are passed
    over."""
    model: str
    """Name of a model, a checkpoint's file, or a hub id."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""
    out: Place
    """The subject (.steer), for --subject of other commands; for a folder of photos, the folder for theirs, or its address."""
    face: int | None = None
    """Which face, counted from 1 by size; by default the largest."""
    crop: str | None = None
    """The square to take, as x,y,size or x,y,size,angle in pixels of the photo; x,y is its centre. No face is sought then."""
    whole: bool = False
    """Take the middle square of the photo as it is: it is cut like the model's pictures already."""
    picture: Path | None = None
    """Also write the reconstruction (.png, .jpg or .webp)."""
    paste: Path | None = None
    """Also write the whole photo with the reconstruction in its place."""
    film: Path | None = None
    """Write a film of the reconstruction (.webp, .gif or .mp4), the photo beside it."""
    device: str = "auto"
    how: tyro.conf.OmitArgPrefixes[How] = field(default_factory=How)

    background: str = "white"
    """The colour behind transparent parts: a name, or #rrggbb."""

    def run(self) -> None:
        parse_colour(self.background, "--background")
        self.check_sharing()
        if (self.photo.is_dir() or isinstance(self.photo, Address)) and self.replay is None:
            from gansteer.commands.invert_folder import invert_folder

            invert_folder(self)
            return
        if self.is_shared:
            raise UserError("--processes and --cluster share many photos: give a folder of them")
        self.check()
        if self.replay is not None:
            print(self.run_again(self.replay, open_model(self.model, self.device, self.network)))
            return
        from gansteer.edits.inversion.estimate import estimate

        photo = self.read()
        model = open_model(self.model, self.device, self.network)
        crop, note = self.crop_of(photo, self.aligner(model))
        if note:
            print(f"{note}: --crop {crop.x:.1f},{crop.y:.1f},{crop.size:.1f},{crop.angle:.1f}")
        edit = self.edit(photo, crop, model)
        print(f"this takes {estimate(model, edit)}", flush=True)
        carried, line = self.bring_in(photo, model, edit)
        line = f"wrote {self.out}: {line}"
        told(carried, f"stopped; {line}" if carried.stopped else line)

    def read(self) -> "Image.Image":
        """The photo. Raises UserError."""
        from gansteer.pictures import read_photo

        return read_photo(self.photo, background=parse_colour(self.background, "--background"))

    def edit(self, photo: "Image.Image", crop: "Crop", model: "Model") -> "Inversion":
        """The edit that the flags describe, of a part of the photo."""
        from gansteer.edits.inversion.crop import cut
        from gansteer.edits.inversion.edit import Inversion

        return Inversion(cut(photo, crop, model.resolution), crop, **vars(self.how))

    def check(self) -> None:
        """Raise UserError before the work if a result could not be written after it."""
        super().check()
        if self.out.suffix != ".steer":
            raise UserError(f"{self.out}: the file to write ends in .steer; --picture writes a picture")
        for target in (self.picture, self.paste):
            if target is not None:
                check_picture(target)
        if sum([self.face is not None, self.crop is not None, self.whole]) > 1:
            raise UserError("give one of --face, --crop and --whole")

    def aligner(self, model: "Model") -> "Aligner | None":
        """What finds faces, unless the flags say where to cut."""
        from gansteer.edits.inversion.align import Aligner

        return None if self.whole or self.crop is not None else Aligner.of(model)

    def crop_of(self, photo: "Image.Image", aligner: "Aligner | None") -> "tuple[Crop, str]":
        """Where to cut, and what was found there, if anything was sought."""
        from gansteer.edits.inversion.align import parse_crop
        from gansteer.edits.inversion.crop import Crop

        if aligner is None:
            return (Crop.centred(photo) if self.crop is None else parse_crop(self.crop)), ""
        found = aligner.align(photo, self.face)
        return found.crop, found.note

    def bring_in(self, photo: "Image.Image", model: "Model", edit: "Inversion") -> "tuple[Carried, str]":
        """Reconstruct, and write what was reached, also when Ctrl-C ends it early. Returns one line about it, too."""
        from gansteer.edits.inversion.crop import paste
        from gansteer.edits.inversion.projection import mean_subject
        from gansteer.edits.inversion.run import PSNR

        begin = time.monotonic()
        carried = self.carry_out(mean_subject(model), edit, "first guess", {"photo": self.photo.name})
        subject = carried.run.subject
        if self.picture is not None:
            save_picture(subject.image, self.picture)
        if self.paste is not None:
            assert edit.crop is not None
            save_picture(paste(photo, edit.crop, subject.image), self.paste)
        best = {now.stage: now.metrics[PSNR] for now in carried.progresses}
        stages = ", ".join(f"{psnr:.1f} dB after the {stage}" for stage, psnr in best.items())
        steps = carried.last.step
        seconds = time.monotonic() - begin
        return carried, f"{stages}; {steps} step{'s' * (steps != 1)} in {seconds:.0f} s"
