"""`gansteer evaluate inversion`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gansteer.commands.evaluate import Evaluation
from gansteer.commands.progress import bar
from gansteer.errors import UserError
from gansteer.inversion.config import InversionSettings

if TYPE_CHECKING:
    from torch import Tensor

    from gansteer.evaluation.inversion import InversionReport
    from gansteer.subject import Model

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".heic")


@dataclass(frozen=True, kw_only=True)
class InversionQuality(Evaluation):
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

    def check(self) -> None:
        super().check()
        if self.count < 1:
            raise UserError(f"--count must be at least 1, not {self.count}")

    def measure(self, model: "Model") -> "InversionReport":
        from gansteer.checkpoints.directions import own_directions
        from gansteer.checkpoints.face_reader import load_face_reader
        from gansteer.evaluation.inversion import inversion
        from gansteer.inversion.edit import Inversion

        pictures = self._pictures(model)
        edit = Inversion(pictures[0], projection=self.projection, tuning_steps=self.tuning_steps)
        reader = load_face_reader(model.device) if self.faces else None
        directions = None
        if self.faces and self.edits:
            try:
                directions = own_directions(model)
            except UserError as error:
                print(f"attributes are left out: {error}")
        with bar("bringing in") as report:
            found, _ = inversion(
                model, pictures, edit, reader=reader, directions=directions, edits=self.edits, report=report
            )
        return found

    def _pictures(self, model: "Model") -> "list[Tensor]":
        from gansteer.inversion.align import Aligner
        from gansteer.inversion.crop import Crop, cut
        from gansteer.inversion.photo import read_photo

        if not self.data.is_dir():
            raise UserError(f"there is no folder {self.data}")
        files = sorted(path for path in self.data.iterdir() if path.suffix.lower() in ENDINGS)[: self.count]
        if not files:
            raise UserError(f"{self.data} holds no pictures ({', '.join(ENDINGS)})")
        aligner = Aligner.of(model) if self.align else None
        pictures = []
        for path in files:
            photo = read_photo(path)
            crop = Crop.centred(photo) if aligner is None else aligner.align(photo).crop
            pictures.append(cut(photo, crop, model.resolution))
        return pictures

    def tell(self, found: "InversionReport") -> None:
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        table.add_column("", no_wrap=True)
        for heading in ("PSNR, dB", "MSE", "SSIM", "perceptual", "landmarks, %", "seconds", "MB"):
            table.add_column(heading, justify="right")
        for f in found.faithful:
            landmarks = "" if f.landmarks is None else f"{f.landmarks:.1f}"
            table.add_row(
                f.name, f"{f.psnr:.2f}", f"{f.mse:.4f}", f"{f.ssim:.3f}", f"{f.perceptual:.3f}", landmarks,
                f"{f.seconds:.1f}", f"{f.size / 1e6:.1f}",
            )  # fmt: skip
        Console().print(table)
        for e in found.editable:
            gains = ", ".join(f"{name} {gain:+.2f}" for name, gain in e.gains.items())
            gain = "" if e.gain is None else f"; attributes {e.gain:.0%} ({gains})"
            print(f"{e.name}: {e.arrived:.0%} of {e.drags} drags arrive{gain}")
        for held in found.local:
            print(
                f"{held.name}: pictures at other seeds agree to {held.psnr:.1f} dB (perceptual {held.perceptual:.3f})"
            )
        print(f"{found.pictures} pictures, {found.model}, {found.threads} threads")
