"""`gansteer invert`."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from gansteer.commands.results import Results, told
from gansteer.commands.starting import open_model
from gansteer.edits.inversion.config import InversionSettings
from gansteer.errors import UserError
from gansteer.output import check_picture, save_picture

if TYPE_CHECKING:
    from PIL import Image

    from gansteer.edits.inversion.crop import Crop
    from gansteer.edits.inversion.edit import Inversion
    from gansteer.subject import Model


@dataclass(frozen=True, kw_only=True, eq=False)
class How(InversionSettings):
    """How the photo is brought in: a first guess, projection into the latent space, then tuning of the weights around it."""

    start: Literal["auto", "encoder", "mean"] = "auto"
    """The first guess: the model's encoder if it has one, or the mean picture."""


@dataclass(frozen=True, kw_only=True)
class Invert(Results):
    """Bring a photo in: find the subject that draws it, to be dragged and edited like any other."""

    photo: tyro.conf.Positional[Path]
    """Any picture; HEIC with the extra `photos`."""
    model: str
    """Name of a model, a checkpoint's file, or a hub id."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""
    out: Path
    """The subject (.steer), for --subject of other commands."""
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

    def run(self) -> None:
        self.check()
        if self.replay is not None:
            print(self.run_again(self.replay, open_model(self.model, self.device, self.network)))
            return
        from gansteer.edits.inversion.crop import cut
        from gansteer.edits.inversion.edit import Inversion
        from gansteer.edits.inversion.estimate import estimate
        from gansteer.pictures import read_photo

        photo = read_photo(self.photo)
        model = open_model(self.model, self.device, self.network)
        crop = self._crop(photo, model)
        edit = Inversion(cut(photo, crop, model.resolution), crop, **vars(self.how))
        print(f"this takes {estimate(model, edit)}", flush=True)
        self._carry_out(photo, model, edit)

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

    def _crop(self, photo: "Image.Image", model: "Model") -> "Crop":
        from gansteer.edits.inversion.align import Aligner, parse_crop
        from gansteer.edits.inversion.crop import Crop

        if self.whole:
            return Crop.centred(photo)
        if self.crop is not None:
            return parse_crop(self.crop)
        found = Aligner.of(model).align(photo, self.face)
        crop = found.crop
        print(f"{found.note}: --crop {crop.x:.1f},{crop.y:.1f},{crop.size:.1f},{crop.angle:.1f}")
        return crop

    def _carry_out(self, photo: "Image.Image", model: "Model", edit: "Inversion") -> None:
        """Reconstruct, and write what was reached, also when Ctrl-C ends it early."""
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
        line = f"wrote {self.out}: {stages}; {steps} step{'s' * (steps != 1)} in {time.monotonic() - begin:.0f} s"
        told(carried, f"stopped; {line}" if carried.stopped else line)
