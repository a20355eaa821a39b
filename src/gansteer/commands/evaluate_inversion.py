"""`gansteer evaluate inversion`."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gansteer.commands.evaluate import RecordedEvaluation
from gansteer.commands.starting import Opener
from gansteer.edits.inversion.config import InversionSettings
from gansteer.errors import UserError
from gansteer.evaluation.records import recording

if TYPE_CHECKING:
    from torch import Tensor

    from gansteer.evaluation.inversion import InversionReport, Judge, Record
    from gansteer.subject import Model

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".heic")


@dataclass(frozen=True, kw_only=True)
class InversionQuality(RecordedEvaluation):
    """How faithfully photos come in, how well they can be edited then, and what stays of the model's other pictures."""

    data: Path
    """Folder of pictures that the model was never trained on."""
    count: int = 10
    """How many of them, from the first by name; each takes some minutes."""
    align: bool = False
    """Find and align a face in each; otherwise the middle square is taken as it is."""
    faces: bool = True
    """The model draws faces: drags go by their landmarks, and attributes are turned."""
    edits: bool = True
    """Also measure editability and locality; otherwise reconstruction only."""
    projection: int = InversionSettings.projection
    """Steps in w+."""
    tuning_steps: int = InversionSettings.tuning_steps
    part: str = "1/1"
    """Which part of the pictures, as 2/3: several processes, each with its own file of records, share the work."""

    def check(self) -> None:
        super().check()
        if self.count < 1:
            raise UserError(f"--count must be at least 1, not {self.count}")
        self._part()

    def _part(self) -> tuple[int, int]:
        found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", self.part)
        if found is None or int(found[1]) > int(found[2]):
            raise UserError(f"--part is one of several, as 1/2 or 2/2, not {self.part}")
        return int(found[1]) - 1, int(found[2])

    def measure(self, model: "Model") -> "InversionReport":
        from gansteer.evaluation.editability import ATTRIBUTES
        from gansteer.evaluation.inversion import of_picture, summed_up

        pictures = self._pictures(model)
        if self.faces and self.edits and self.judge(model).directions is None:
            print(f"attributes are left out: {model.card.name} has no directions for all of {', '.join(ATTRIBUTES)}")
        about = {
            "model": model.digest, "projection": self.projection, "tuning_steps": self.tuning_steps, "edits": self.edits,
        }  # fmt: skip
        with recording(self.records, about, of_picture) as (kept, add):
            found = {picture[0].picture: picture for picture in kept if picture}
            left = [picture for picture in pictures if picture[1] not in found]
            for (_, name, _), new in self.results(
                "bringing in", self.device, left, lambda picture: picture[1], self.minutes,
                prepare, self, self.opener(model),
            ):  # fmt: skip
                add([asdict(record) for record in new])
                found[name] = new
        report = summed_up(model.card.name, [record for name in sorted(found) for record in found[name]])
        return replace(report, threads=1) if self.is_shared else report

    def judge(self, model: "Model") -> "Judge":
        """What measures a picture that was brought in. It has no directions where the model has none for all attributes."""
        from gansteer.checkpoints.directions import own_directions
        from gansteer.checkpoints.readers import FACES
        from gansteer.evaluation.editability import ATTRIBUTES
        from gansteer.evaluation.inversion import Judge

        reader = FACES.load(model.device) if self.faces else None
        directions = own_directions(model) if self.faces and self.edits else None
        if directions is not None and not set(directions.names()) >= set(ATTRIBUTES):
            directions = None
        return Judge(model, reader, directions, self.edits)

    def _pictures(self, model: "Model") -> "list[tuple[int, str, Tensor]]":
        """The part's pictures: number, name and `uint8 [R, R, 3]`."""
        from gansteer.edits.inversion.align import Aligner
        from gansteer.edits.inversion.crop import Crop, cut
        from gansteer.pictures import read_photo

        if not self.data.is_dir():
            raise UserError(f"there is no folder {self.data}")
        files = sorted(path for path in self.data.iterdir() if path.suffix.lower() in ENDINGS)[: self.count]
        if not files:
            raise UserError(f"{self.data} holds no pictures ({', '.join(ENDINGS)})")
        if len(files) <= self._part()[0]:
            raise UserError(f"there is no picture for part {self.part}: there are {len(files)}")
        aligner = Aligner.of(model) if self.align else None
        first, step = self._part()
        pictures = []
        for number, path in list(enumerate(files))[first::step]:
            photo = read_photo(path)
            crop = Crop.centred(photo) if aligner is None else aligner.align(photo).crop
            pictures.append((number, path.name, cut(photo, crop, model.resolution)))
        return pictures

    def tell(self, found: "InversionReport") -> None:
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        table.add_column("", no_wrap=True)
        for heading in ("PSNR, dB", "MSE", "SSIM", "perceptual", "landmarks, %", "seconds", "MB"):
            table.add_column(heading, justify="right")
        for option in found.options:
            if (f := option.near) is not None:
                landmarks = "" if f.landmarks is None else f"{f.landmarks:.1f}"
                table.add_row(
                    option.name, f"{f.psnr:.2f}", f"{f.mse:.4f}", f"{f.ssim:.3f}", f"{f.perceptual:.3f}", landmarks,
                    f"{f.seconds:.1f}", f"{f.size / 1e6:.1f}",
                )  # fmt: skip
        Console().print(table)
        for option in found.options:
            said = []
            if option.arrived is not None:
                said.append(f"{option.arrived:.0%} of {option.drags} drags arrive")
            if option.gain is not None:
                turned = ", ".join(f"{name} {change:.2f}" for name, change in option.changes.items())
                said.append(f"attributes {option.gain:.0%} ({turned})")
            if said:
                print(f"{option.name}: {'; '.join(said)}")
        for option in found.options:
            if (held := option.local) is not None:
                print(
                    f"{option.name}: pictures at other seeds agree to {held.psnr:.1f} dB (perceptual {held.perceptual:.3f})"
                )
        print(f"{found.pictures} pictures, {found.model}, {found.threads} threads")


def prepare(command: InversionQuality, opener: Opener) -> "Callable[[tuple[int, str, Tensor]], list[Record]]":
    """What brings a picture in and measures it; on faces, and on edits, as the command says."""
    from gansteer.edits.inversion.edit import Inversion
    from gansteer.edits.registry import start
    from gansteer.evaluation.inversion import measured

    model = opener.open()
    judge = command.judge(model)
    warm = True

    def work(task: "tuple[int, str, Tensor]") -> "list[Record]":
        nonlocal warm
        number, name, picture = task
        if warm:  # what is loaded once is not timed
            begun = model.sample(0, label=0 if model.generator.config.c_dim else None)
            start(begun, Inversion(picture, projection=0, tuning="none")).step()
            warm = False
        edit = Inversion(picture, projection=command.projection, tuning_steps=command.tuning_steps)
        return measured(name, number, picture, edit, judge)

    return work
