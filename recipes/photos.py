"""Measures how photos come in, draws the pictures, and puts the tables into docs/photos.md: all that a new model changes.

    python recipes/photos.py portraits HELDOUT PHOTOGRAPHS runs/reports [COUNT]

HELDOUT is a folder of pictures cut like the model's that it was never trained on; PHOTOGRAPHS one of photographs with
faces. COUNT of the former are taken, 10 unless told; about three minutes each on one core. The model needs an encoder.
"""

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from PIL import Image, ImageDraw

import gansteer
from gansteer.checkpoints.directions import own_directions
from gansteer.checkpoints.face_reader import load_face_reader
from gansteer.edits import Drag, start
from gansteer.edits.attribute import Attribute
from gansteer.evaluation.inversion import InversionReport, inversion
from gansteer.inversion.align import Aligner
from gansteer.inversion.crop import Crop, cut
from gansteer.inversion.edit import Inversion
from gansteer.inversion.photo import read_photo
from gansteer.memory import keep_freed_memory
from gansteer.models.face_reader import FaceReader
from gansteer.output import replacing, save_picture
from gansteer.subject import Subject

DOCS = Path(__file__).parent.parent / "docs"
SHOWN = 4
STAGES = ("encoder", "w+", "tuned")
CAPTION = [
    "![The photo, the three stages, the nose dragged by 10 px, smile +2](images/photos.jpg)",
    "",
    "Held-out portraits and photographs: the crop, the three stages, the nose dragged to the right by 10 px, smile +2.",
]
NAMES = {
    "encoder": "encoder alone",
    "w": "w, 400 steps from the mean",
    "w+ without prior": "encoder, then w+ without prior",
    "w+": "encoder, then w+",
    "tuned": "encoder, w+, light tuning (the default)",
    "tuned without locality": "the same without locality",
    "the model's own": "the model's own pictures",
}


def main(name: str, heldout: str, photographs: str, reports: str, count: str = "10") -> None:
    """Everything, with `count` pictures of `heldout`."""
    keep_freed_memory()
    model = gansteer.load(name, "cpu")
    aligner = Aligner.of(model)
    ours = [read_photo(path) for path in pictures_in(Path(heldout))[: int(count)]]
    theirs = [read_photo(path) for path in pictures_in(Path(photographs))]
    crops = [cut(photo, Crop.centred(photo), model.resolution) for photo in ours]
    real = [cut(photo, aligner.align(photo).crop, model.resolution) for photo in theirs]
    reader, edit = load_face_reader("cpu"), Inversion(crops[0])
    one, found = inversion(model, crops, edit, reader=reader, directions=own_directions(model), report=say)
    other, more = inversion(model, real, edit, reader=reader, edits=False, report=say)
    sheet([*crops[:SHOWN], *real], {n: [s for s, _ in [*found[n][:SHOWN], *more[n]]] for n in STAGES}, reader)
    for what, report in (("heldout", one), ("photographs", other)):
        with replacing(Path(reports) / f"inversion-{what}.json") as path:
            path.write_text(json.dumps(asdict(report), indent=1) + "\n")
    page = DOCS / "photos.md"
    text = page.read_text()
    parts = {"heldout": table(one), "photographs": table(other), "edits": edits(one), "pictures": CAPTION}
    for mark, lines in parts.items():
        block = f"<!-- {mark} -->\n" + "\n".join(lines) + f"\n<!-- end of {mark} -->"
        text = re.sub(rf"<!-- {mark} -->.*?<!-- end of {mark} -->", lambda _, block=block: block, text, flags=re.DOTALL)
    with replacing(page) as path:
        path.write_text(text)


def say(done: int, total: int) -> None:
    """It takes long."""
    print(f"{done} of {total}", flush=True)


def pictures_in(folder: Path) -> list[Path]:
    """In the order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".png"))


def table(report: InversionReport) -> list[str]:
    """The stages and options as a Markdown table."""
    lines = [
        f"{report.pictures} pictures, {report.model}, {report.threads} thread{'s' * (report.threads > 1)}.",
        "",
        "| | PSNR | MSE | SSIM | perceptual | landmarks | time | tuned weights |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for f in report.faithful:
        size = f"{f.size / 1e6:.2f} MB" if f.size else ""
        marks = "" if f.landmarks is None else f"{f.landmarks:.1f} %"
        cells = (NAMES[f.name], f"{f.psnr:.1f} dB", f"{f.mse:.4f}", f"{f.ssim:.3f}", f"{f.perceptual:.3f}", marks)
        lines.append("| " + " | ".join((*cells, f"{f.seconds:.1f} s", size)) + " |")
    return lines


def edits(report: InversionReport) -> list[str]:
    """Editability and locality as Markdown tables."""
    own = report.editable[0]
    lines = [
        f"| | drags that arrive, of {own.drags} | " + " | ".join(own.gains) + " | mean gain |",
        "|---|---|" + "---|" * (len(own.gains) + 1),
    ]
    for e in report.editable:
        share = "" if e.gain is None else f"{e.gain:.0%}"
        gains = " | ".join(f"{gain:+.2f}" for gain in e.gains.values())
        lines.append(f"| {NAMES[e.name]} | {e.arrived:.0%} | {gains} | {share} |")
    lines += ["", "| tuned for a photo | other pictures agree to | perceptual distance |", "|---|---|---|"]
    lines += [f"| {NAMES[x.name]} | {x.psnr:.1f} dB | {x.perceptual:.3f} |" for x in report.local]
    return lines


def sheet(crops: list[torch.Tensor], stages: dict[str, list[Subject]], reader: FaceReader) -> None:
    """Each picture with its stages and two edits beside it."""
    columns = ("photo", "encoder", "projection in w+", "tuned", "dragged", "smile +2")
    side, head = 2 * 128, 24
    page = Image.new("RGB", (side * len(columns), head + side * len(crops)), "white")
    for x, text in enumerate(columns):
        ImageDraw.Draw(page).text((x * side + 6, 6), text, fill="black")
    for y, crop in enumerate(crops):
        subject = stages["tuned"][y]
        with torch.no_grad():
            nose = reader.read(subject.render()[None].clamp(-1, 1)).landmarks[0, 30].tolist()
        *_, dragged = start(subject, Drag([(nose[0], nose[1])], [(nose[0] + 10, nose[1])]))
        smiling = start(subject, Attribute({"smile": 2.0})).step()
        shots = [Image.fromarray(crop.numpy()), *(stages[name][y].image for name in STAGES)]
        shots += [dragged.subject.image, smiling.subject.image]
        for x, shot in enumerate(shots):
            page.paste(shot.resize((side, side), Image.Resampling.BICUBIC), (x * side, head + y * side))
    save_picture(page, DOCS / "images" / "photos.jpg")


if __name__ == "__main__":
    main(*sys.argv[1:])
