"""`gansteer invert`."""

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from gansteer.colours import parse_colour
from gansteer.commands.results import Results, told
from gansteer.commands.starting import open_model
from gansteer.edits.inversion.config import InversionSettings
from gansteer.errors import UserError
from gansteer.output import check_picture, save_picture

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
class Invert(Results):
    """Bring a photo in: find the subject that draws it, to be dragged and edited like any other."""

    photo: tyro.conf.Positional[Path]
    """Any picture; HEIC with the extra `photos`. Or a folder of them: those that were done before are passed over."""
    model: str
    """Name of a model, a checkpoint's file, or a hub id."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""
    out: Path
    """The subject (.steer), for --subject of other commands; for a folder of photos, the folder for theirs."""
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
        if self.photo.is_dir() and self.replay is None:
            self._folder()
            return
        self.check()
        if self.replay is not None:
            print(self.run_again(self.replay, open_model(self.model, self.device, self.network)))
            return
        from gansteer.edits.inversion.estimate import estimate

        photo = self._read(self.photo)
        model = open_model(self.model, self.device, self.network)
        crop, note = self._crop(photo, self._aligner(model))
        if note:
            print(f"{note}: --crop {crop.x:.1f},{crop.y:.1f},{crop.size:.1f},{crop.angle:.1f}")
        edit = self._edit(photo, crop, model)
        print(f"this takes {estimate(model, edit)}", flush=True)
        carried, line = self._carry_out(photo, model, edit)
        told(carried, f"stopped; {line}" if carried.stopped else line)

    def _folder(self) -> None:
        """Every photo of a folder that has no subject yet, with a line for each; one that fails does not stop the others."""
        from gansteer.pictures import ENDINGS, is_theirs

        for flag in ("picture", "paste", "film", "json"):
            if getattr(self, flag) is not None:
                raise UserError(f"--{flag} belongs to one photo: leave it out for a folder, or give the photo itself")
        photos = [
            path for path in sorted(self.photo.iterdir()) if path.suffix.lower() in ENDINGS and is_theirs(path.name)
        ]
        if not photos:
            raise UserError(f"{self.photo} holds no pictures ({', '.join(ENDINGS)})")
        try:
            self.out.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(f"--out {self.out} cannot be made a folder: {error.strerror}") from error
        stems = Counter(path.stem for path in photos)
        targets = {path: self.out / f"{path.name if stems[path.stem] > 1 else path.stem}.steer" for path in photos}
        left = [path for path, target in targets.items() if not target.exists()]
        replace(self, out=next(iter(targets.values()))).check()
        model = open_model(self.model, self.device, self.network) if left else None
        aligner = None if model is None else self._aligner(model)
        failed = 0
        for path, target in targets.items():
            if path not in left:
                print(f"{path.name}: done before")
                continue
            assert model is not None
            try:
                photo = self._read(path)
                crop, _ = self._crop(photo, aligner)
                one = replace(self, photo=path, out=target)
                carried, line = one._carry_out(photo, model, self._edit(photo, crop, model))
            except UserError as error:
                failed += 1
                print(f"{path.name}: {error}", flush=True)
                continue
            if carried.stopped:
                target.unlink()
                raise KeyboardInterrupt(f"stopped at {path.name}: the same command goes on from there")
            print(f"{path.name}: {line}", flush=True)
        if failed:
            raise UserError(f"{failed} of {len(photos)} photos failed; run again to try only those")

    def _read(self, path: Path) -> "Image.Image":
        from gansteer.pictures import read_photo

        return read_photo(path, background=parse_colour(self.background, "--background"))

    def _edit(self, photo: "Image.Image", crop: "Crop", model: "Model") -> "Inversion":
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

    def _aligner(self, model: "Model") -> "Aligner | None":
        """What finds faces, unless the flags say where to cut."""
        from gansteer.edits.inversion.align import Aligner

        return None if self.whole or self.crop is not None else Aligner.of(model)

    def _crop(self, photo: "Image.Image", aligner: "Aligner | None") -> "tuple[Crop, str]":
        """Where to cut, and what was found there, if anything was sought."""
        from gansteer.edits.inversion.align import parse_crop
        from gansteer.edits.inversion.crop import Crop

        if aligner is None:
            return (Crop.centred(photo) if self.crop is None else parse_crop(self.crop)), ""
        found = aligner.align(photo, self.face)
        return found.crop, found.note

    def _carry_out(self, photo: "Image.Image", model: "Model", edit: "Inversion") -> "tuple[Carried, str]":
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
        return carried, f"wrote {self.out}: {stages}; {steps} step{'s' * (steps != 1)} in {seconds:.0f} s"
