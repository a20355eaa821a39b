"""What a new model changes in docs/photos.md: its pictures are drawn, its tables written from files of records.

    python recipes/photos.py pictures portraits HELDOUT PHOTOGRAPHS
    python recipes/photos.py document HELDOUT.jsonl,MORE.jsonl PHOTOGRAPHS.jsonl

The files are what `gansteer evaluate inversion --records` keeps; docs/photos.md says with which commands. HELDOUT is a folder
of pictures cut like the model's that it was never trained on; PHOTOGRAPHS one of photographs with faces. `pictures` brings in
the first four of the former and all of the latter, half a minute each.
"""

import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw

import gansteer
from gansteer.checkpoints.readers import FACES
from gansteer.edits.attribute.edit import Attribute
from gansteer.edits.drag.edit import Drag
from gansteer.edits.inversion.align import Aligner
from gansteer.edits.inversion.crop import Crop, cut
from gansteer.edits.inversion.edit import Inversion
from gansteer.edits.registry import start
from gansteer.evaluation.document import fill, table
from gansteer.evaluation.inversion import OWN, TRUNCATED, InversionReport, of_picture, summed_up
from gansteer.evaluation.records import read_records
from gansteer.memory import keep_freed_memory
from gansteer.models.face_reader import FaceReader
from gansteer.output import save_picture
from gansteer.pictures import read_photo
from gansteer.subject import Model

DOCS = Path(__file__).parent.parent / "docs"
SHOWN = 4
SIDE = 2 * 128
COLUMNS = ("photo", "encoder", "projection in w+", "tuned", "dragged", "smile +2")
NAMES = {
    "encoder": "encoder alone",
    "w": "w, 400 steps from the mean",
    "w+ without prior": "encoder, then w+ without prior",
    "w+": "encoder, then w+",
    "tuned": "encoder, w+, light tuning (the default)",
    "tuned without locality": "the same without locality",
    OWN: "the model's own pictures of the same level",
    TRUNCATED: "the model's own pictures, psi 0.7",
}


def pictures(name: str, heldout: str, photographs: str) -> None:
    """docs/images/photos.jpg: each picture with its stages and two edits beside it."""
    keep_freed_memory()
    model = gansteer.load(name, "cpu")
    reader, aligner = FACES.load("cpu"), Aligner.of(model)
    ours = [read_photo(path) for path in pictures_in(Path(heldout))[:SHOWN]]
    theirs = [read_photo(path) for path in pictures_in(Path(photographs))]
    crops = [cut(photo, Crop.centred(photo), model.resolution) for photo in ours]
    crops += [cut(photo, aligner.align(photo).crop, model.resolution) for photo in theirs]
    head = 24
    page = Image.new("RGB", (SIDE * len(COLUMNS), head + SIDE * len(crops)), "white")
    for x, text in enumerate(COLUMNS):
        ImageDraw.Draw(page).text((x * SIDE + 6, 6), text, fill="black")
    for y, crop in enumerate(crops):
        for x, shot in enumerate(shots(model, crop, reader)):
            page.paste(shot.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (x * SIDE, head + y * SIDE))
        print(f"{y + 1} of {len(crops)}", flush=True)
    save_picture(page, DOCS / "images" / "photos.jpg")


def shots(model: Model, crop: torch.Tensor, reader: FaceReader) -> list[Image.Image]:
    """The columns of one row."""
    reached: dict[str, Image.Image] = {}
    run = start(model.sample(), Inversion(crop))
    for now in run:
        reached[now.stage] = now.subject.image
    subject = run.subject
    with torch.no_grad():
        nose = reader.read(subject.render()[None].clamp(-1, 1)).landmarks[0, 30].tolist()
    *_, dragged = start(subject, Drag([(nose[0], nose[1])], [(nose[0] + 10, nose[1])]))
    smiling = start(subject, Attribute({"smile": 2.0})).step()
    found = (reached["first guess"], reached["projection"], reached["tuning"])
    return [Image.fromarray(crop.numpy()), *found, dragged.subject.image, smiling.subject.image]


def pictures_in(folder: Path) -> list[Path]:
    """In the order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".png"))


def document(heldout: str, photographs: str) -> None:
    """Put the tables into docs/photos.md; each argument is a file of records, or several with commas between."""
    one, other = read(heldout), read(photographs)
    page = DOCS / "photos.md"
    for mark, text in {"heldout": stages(one), "photographs": stages(other), "edits": edits(one)}.items():
        fill(page, mark, text)


def read(files: str) -> InversionReport:
    """What files of records of the same model and settings say together."""
    found = [read_records(Path(file), of_picture) for file in files.split(",")]
    if any(about != found[0][0] for about, _ in found):
        raise SystemExit(f"{files} are not of the same model and settings")
    return summed_up("portraits", [record for _, pictures in found for records in pictures for record in records])


def counted(number: int, what: str) -> str:
    """With an s where it belongs."""
    return f"{number} {what}{'s' * (number != 1)}"


def stages(report: InversionReport) -> str:
    """The stages and options as a Markdown table."""
    rows = []
    for option in report.options:
        if (f := option.near) is not None:
            marks = "" if f.landmarks is None else f"{f.landmarks:.1f} %"
            size = f"{f.size / 1e6:.2f} MB" if f.size else ""
            rows.append([
                NAMES[option.name], f"{f.psnr:.1f} dB", f"{f.mse:.4f}", f"{f.ssim:.3f}", f"{f.perceptual:.3f}", marks,
                f"{f.seconds:.1f} s", size,
            ])  # fmt: skip
    head = ["", "PSNR", "MSE", "SSIM", "perceptual", "landmarks", "time", "tuned weights"]
    return f"{counted(report.pictures, 'picture')}, one thread.\n\n{table(head, rows)}"


def edits(report: InversionReport) -> str:
    """Editability and locality as Markdown tables."""
    own = next((option for option in report.options if option.name == OWN), None)
    if own is None:
        raise SystemExit("the records of the held-out pictures are without edits")
    rows = []
    for option in report.options:
        arrived = "" if option.arrived is None else f"{option.arrived:.0%}"
        share = "" if option.gain is None else f"{option.gain:.0%}"
        rows.append([NAMES[option.name], arrived, *(f"{x:.2f}" for x in option.changes.values()), share])
    held = [
        [NAMES[option.name], f"{x.psnr:.1f} dB", f"{x.perceptual:.3f}"]
        for option in report.options if (x := option.local) is not None
    ]  # fmt: skip
    return "\n\n".join((
        f"{counted(report.pictures, 'picture')} brought in, {own.pictures} of the model's own dragged.",
        table(["", f"drags that arrive, of {own.drags}", *own.changes, "mean gain"], rows),
        table(["tuned for a photo", "other pictures agree to", "perceptual distance"], held),
    ))  # fmt: skip


if __name__ == "__main__":
    {"pictures": pictures, "document": document}[sys.argv[1]](*sys.argv[2:])
