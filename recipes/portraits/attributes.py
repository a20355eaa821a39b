"""The labels that the attributes are compared with, and the tables and figures of docs/attributes.md.

usage: python attributes.py labels OUT.csv LABELS.jsonl [LABELS.jsonl ...]
       python attributes.py document REPORT.json SPEED.json DOCS

`labels` turns the renderer's labels into columns named like the directions. `document` takes what `gansteer evaluate
attributes --json` and benchmarks/attributes.py wrote, draws the figures into DOCS/images, and puts the tables between the
marks in DOCS/attributes.md.
"""

import csv
import json
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from face_data import STYLES, scalars
from PIL import Image, ImageDraw

import gansteer
from gansteer.checkpoints.directions import own_directions
from gansteer.edits.attribute.fitting import EXTREME
from gansteer.edits.attribute.portrait_scores import LIGHTNESS, PORTRAIT_SCORES
from gansteer.edits.intervention.parts import part_of
from gansteer.errors import UserError
from gansteer.evaluation.document import fill, table
from gansteer.models.face_reader import HAIR_COLORS, HAIR_LENGTHS, HAIR_STYLES, SCALARS, eye_opening
from gansteer.sheet import sheet
from gansteer.subject import to_image

MEASURED, SPEED = "measured by gansteer evaluate attributes", "measured by benchmarks/attributes.py"
"""The marks in the document."""
SLIDERS = (*PORTRAIT_SCORES, "quality")
STEPS = (-3.0, -1.5, 0.0, 1.5, 3.0)
CELL = 34


# --- Labels -----------------------------------------------------------------------------------------------------------


def columns(label: dict) -> dict[str, object]:
    """One line of labels; bald heads have no colour of hair."""
    values = dict(zip(SCALARS, scalars(label), strict=True))
    style = STYLES[label["hair"]]
    light = "" if style == "bald" else LIGHTNESS[HAIR_COLORS.index(label["hair_color"])]
    values.pop("roll")
    return {
        **values, "gender": label["gender"], "hair_color": light, "hair_length": HAIR_LENGTHS[HAIR_STYLES.index(style)],
        "eyes_wide": float(eye_opening(torch.tensor(label["lm"]), torch.tensor(values["yaw"]))),
    }  # fmt: skip


def write_labels(out: Path, files: list[Path]) -> None:
    """All labels of the files as one CSV file."""
    rows = [columns(json.loads(line)) for file in files for line in file.read_text().splitlines()]
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    print(f"{out}: {len(rows)} lines")


# --- Tables -----------------------------------------------------------------------------------------------------------


def tables(report: dict) -> str:
    """What was measured of the directions, and of edits in a region."""
    parts = [*boundaries(report["attributes"]), *moved(report["attributes"])]
    if report["regions"] is not None:
        parts += in_a_region(report["regions"])
    return "\n\n".join(parts)


def boundaries(found: dict) -> list[str]:
    """How often boundaries are right."""
    spaces = list(found["cosine"])
    accuracy = {(a["name"], a["space"]): a for a in found["accuracy"]}
    rows = [
        [name, *(f"{accuracy[name, s][kind]:.1%}" for s in spaces for kind in ("extremes", "all"))]
        for name in found["names"]
    ]
    return [
        f"{found['samples']} samples that took no part in fitting, psi 1: the share on the right side of the boundary, of the\n"
        f"highest and lowest {EXTREME:.0%} of the scores (extremes) and of all others (labelled by the middle between the least\n"
        "and the greatest score).",
        table(["", *(f"{s}: {kind}" for s in spaces for kind in ("extremes", "all"))], rows),
    ]


def moved(found: dict) -> list[str]:
    """What holding does."""
    r = found["rescoring"]
    return [
        f"Re-scoring {found['pictures']} pictures moved by {found['step']:g} deviations: {r['entangled']} changes of other "
        f"attributes are at least a tenth of the\nwanted one, {r['unwanted_plain']:.0%} of it on average. With all others held "
        f"they are {r['unwanted_held']:.0%}: **cut by {r['cut']:.0%}** at equal change of what is\nwanted "
        f"({r['cut_at_equal_strength']:.0%} at equal steps).",
        "![The three entanglement matrices and the re-scoring, plain and held](images/attributes-matrices.png)",
    ]


def in_a_region(inside: dict) -> list[str]:
    """The comparison of the methods."""
    rows = [
        [
            m["region"], m["attribute"], m["method"], m["pictures"], f"{m['gain']:.2f} sd",
            *(spread(m[key]) for key in ("outside", "times", "seam")),
        ]
        for m in inside["methods"]
    ]  # fmt: skip
    return [
        f"Edits in a region of {inside['pictures']} pictures at psi {inside['psi']:g}, intervention at {inside['strength']:g} "
        "deviations, all others at the strength that\nchanges the attribute as much: change outside the region and jump "
        "across its border (levels of 256), with 95 %\nintervals over the pictures.",
        table(
            ["region", "attribute", "method", "pictures", "change", "outside", "times the intervention's", "seam"], rows
        ),
        "Pictures in which there was nothing to compare were left out:",
        table(
            ["region", "compared", "left out"],
            [[job, f"{n - inside['left_out'][job]} of {n}", why(inside["reasons"][job])] for job, n in inside["tried"].items()],
        ),
    ]  # fmt: skip


def why(reasons: dict[str, int]) -> str:
    """How many pictures were left out for which reason."""
    return "; ".join(f"{count}: {reason}" for reason, count in reasons.items())


def spread(interval: dict) -> str:
    """A value with its interval."""
    return f"{interval['value']:.2f} ({interval['low']:.2f} to {interval['high']:.2f})"


def speed(found: dict) -> str:
    """How long edits take."""
    rows = [
        [
            row["what"],
            *(f"{1e3 * row[key]:.0f} ms" if row[key] < 1 else f"{row[key]:.1f} s" for key in ("core", "clock")),
        ]
        for row in found["rows"]
    ]
    return f"One core, `{found['model']}`.\n\n" + table(["", "of the core", "by the clock"], rows)


# --- Figures ----------------------------------------------------------------------------------------------------------


def heat(value: float) -> tuple[int, int, int]:
    """-1 blue, 0 white, 1 red."""
    v = float(np.clip(value, -1, 1))
    low, high = ((33, 102, 172), (255, 255, 255)) if v < 0 else ((255, 255, 255), (178, 24, 43))
    t = v + 1 if v < 0 else v
    return tuple(round(a + t * (b - a)) for a, b in zip(low, high, strict=True))


def matrix_picture(title: str, names: list[str], matrix: list[list[float]]) -> Image.Image:
    """A matrix with its values, rows named on the left."""
    left, top = 92, 40
    page = Image.new("RGB", (left + CELL * len(names) + 10, top + CELL * len(names) + 10), "white")
    draw = ImageDraw.Draw(page)
    draw.text((4, 4), title, fill="black")
    for i, name in enumerate(names):
        draw.text((4, top + CELL * i + 11), name, fill="black")
        draw.text((left + CELL * i + 3, 24), name[:5], fill="black")
        for j, value in enumerate(matrix[i]):
            x, y = left + CELL * j, top + CELL * i
            draw.rectangle([x, y, x + CELL - 1, y + CELL - 1], fill=heat(value))
            draw.text(
                (x + 4, y + 11),
                f"{value:+.2f}"[: 5 if abs(value) < 10 else 4],
                fill="black" if abs(value) < 0.7 else "white",
            )
    return page


def matrices(report: dict) -> Image.Image:
    """All matrices on one page."""
    found = report["attributes"]
    shown = [
        ("cosine of the normals in z", found["cosine"].get("z")),
        ("cosine of the normals in w", found["cosine"].get("w")),
        ("correlation of the scores over samples", found["drawn"]),
        ("correlation of the labels in the data", found["labelled"]),
        ("re-scoring, plain (deviations)", found["rescoring"]["plain"]),
        ("re-scoring, all others held", found["rescoring"]["held"]),
    ]
    return sheet([matrix_picture(title, found["names"], m) for title, m in shown if m is not None], columns=2)


def captioned(picture: Image.Image, text: str) -> Image.Image:
    """A picture with a line of text above it."""
    page = Image.new("RGB", (picture.width, picture.height + 14), "white")
    page.paste(picture, (0, 14))
    ImageDraw.Draw(page).text((3, 1), text, fill="black")
    return page


def sliders(model: gansteer.Model, seed: int) -> Image.Image:
    """A row for every attribute, from less to more."""
    subject = model.sample(seed)
    known = {d.name for d in own_directions(model).entries}
    cells = []
    for name in (n for n in SLIDERS if n in known):
        for steps in STEPS:
            moved = gansteer.start(subject, gansteer.Attribute({name: steps})).step().subject
            cells.append(captioned(moved.image, f"{name} {steps:+g}"))
    return sheet(cells, columns=len(STEPS))


def in_regions(model: gansteer.Model, seeds: dict[tuple[str, str], int]) -> Image.Image:
    """A row for every region: picture, region, edit in w and its change, intervention and its change (times four)."""
    cells = []
    for (region, attribute), seed in seeds.items():
        subject = model.sample(seed)
        mask = part_of(subject, region)
        whole = gansteer.start(subject, gansteer.Attribute({attribute: 3.0})).step().subject
        *_, last = gansteer.start(subject, gansteer.Intervention({attribute: 3.0}, mask))
        shaded = np.asarray(subject.image).copy()
        shaded[~mask.numpy()] //= 4
        cells += [captioned(subject.image, f"seed {seed}"), captioned(Image.fromarray(shaded), region)]
        for name, result in (("in w", whole), ("inside", last.subject)):
            change = (result.render() - subject.render()).abs().mean(dim=0, keepdim=True)
            cells.append(captioned(result.image, f"{attribute} +3 {name}"))
            cells.append(captioned(to_image((4 * change - 1).expand(3, -1, -1)), "change x 4"))
    return sheet(cells, columns=6)


def first_with(model: gansteer.Model, region: str, seed: int) -> int:
    """The first seed from this on in whose picture the part is found."""
    while True:
        with suppress(UserError):
            part_of(model.sample(seed), region)
            return seed
        seed += 1


def document(report: dict, times: dict, docs: Path) -> None:
    """The figures and the tables."""
    model = gansteer.load(report["attributes"]["model"], "cpu")
    images, page = docs / "images", docs / "attributes.md"
    matrices(report).save(images / "attributes-matrices.png")
    sliders(model, 3).save(images / "attributes-sliders.jpg", quality=88)
    jobs = {("mouth", "mouth_open"): 2, ("mouth", "smile"): 1, ("eyes", "eyes_wide"): 2}
    jobs |= {("hair", "hair_color"): 4, ("face", "skin_tone"): 5}
    seeds = {job: first_with(model, job[0], seed) for job, seed in jobs.items()}
    in_regions(model, seeds).save(images / "attributes-regions.jpg", quality=88)
    fill(page, MEASURED, tables(report))
    fill(page, SPEED, speed(times))
    print(f"{page} and three figures in {images}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["labels", out, *files] if files:
            write_labels(Path(out), [Path(file) for file in files])
        case ["document", report, times, docs]:
            document(json.loads(Path(report).read_text()), json.loads(Path(times).read_text()), Path(docs))
        case _:
            sys.exit(__doc__)
