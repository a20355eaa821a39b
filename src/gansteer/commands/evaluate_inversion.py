"""`gansteer evaluate inversion`."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gansteer.commands.progress import bar
from gansteer.errors import UserError
from gansteer.output import check_writable, replacing

if TYPE_CHECKING:
    from torch import Tensor

    from gansteer.evaluation.inversion import InversionReport
    from gansteer.subject import Model

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".heic")


@dataclass(frozen=True)
class InversionQuality:
    """How faithfully photos come in, how well they can be edited then, and what stays of the model's other pictures."""

    model: str
    """Name of a model, a checkpoint's file, or a hub id."""
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
    projection: int = 150
    """Steps in w+."""
    tuning_steps: int = 250
    json: Path | None = None
    """Also write the report to this file."""
    device: str = "auto"

    def run(self) -> None:
        if self.json is not None:
            check_writable(self.json)
        if self.count < 1:
            raise UserError(f"--count must be at least 1, not {self.count}")
        from gansteer.checkpoints.directions import own_directions
        from gansteer.checkpoints.face_reader import load_face_reader
        from gansteer.checkpoints.registry import load
        from gansteer.evaluation.inversion import inversion
        from gansteer.inversion.edit import Inversion
        from gansteer.memory import keep_freed_memory

        keep_freed_memory()
        model = load(self.model, self.device)
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
        if self.json is not None:
            with replacing(self.json) as path:
                path.write_text(json.dumps(asdict(found), indent=1) + "\n")
        _print(found)

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


def _print(found: "InversionReport") -> None:
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
        print(f"{held.name}: pictures at other seeds agree to {held.psnr:.1f} dB (perceptual {held.perceptual:.3f})")
    print(f"{found.pictures} pictures, {found.model}, {found.threads} threads")
