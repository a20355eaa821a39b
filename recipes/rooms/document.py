"""Put the measured figures of layouts into docs/layout.md.

usage: python document.py REPORTS docs/layout.md

REPORTS is a folder with what `gansteer evaluate layout|layout-drag|layout-pairs|layout-face --json` wrote: layout.json,
layout-drag.json (and layout-drag-draggan.json), layout-pairs.json and layout-face.json. What isn't there is left as it is, and what
is of other weights than the `rooms` that ships stops it. The reader's figures come from its file.
"""

import json
import sys
from pathlib import Path

from gansteer.checkpoints.readers import ROOMS
from gansteer.checkpoints.registry import load
from gansteer.evaluation.document import fill, table
from gansteer.evaluation.layout_networks import Network, table_of
from gansteer.evaluation.quality import Measure
from gansteer.evaluation.regions import Interval

INTERVALS = ("disequilibrium", "attention_on_things", "attention_on_blobs")

AIMS = {
    "displacement slope by difference": "0.85 to 1.15", "displacement slope by reader": "0.85 to 1.15",
    "displacement r2 by difference": ">= 0.8", "displacement r2 by reader": ">= 0.8",
    "displacement within 10 % of the width by difference": ">= 0.85",
    "displacement within 10 % of the width by reader": ">= 0.85", "thing gone without its blob": ">= 0.85",
    "thing appears where a blob is added": ">= 0.8", "things that vanish with one of the blobs": ">= 0.8",
    "restyle: change inside over outside": ">= 6", "move: change outside over inside": "<= 0.125",
    "of those, move+joint arrives in at most 20 steps": ">= 0.8",
    "of those, move+joint arrives in as many, and the thing is within 10 % of the width": ">= 0.8",
}  # fmt: skip


def measured(report: dict) -> str:
    """Each measure with its interval, its cases, and what it aims at."""
    rows = [
        [
            row["name"],
            f"{row['value']['value']:.3g}",
            f"{row['value']['low']:.3g} to {row['value']['high']:.3g}",
            row["cases"],
            AIMS.get(row["name"], ""),
        ]
        for row in report["rows"]
    ]
    about = f"weights {report['weights'][:8]}, " + ", ".join(
        f"{name} {report[name]}"
        for name in ("method", "scenes", "rooms", "psi", "seed", "steps", "projection")
        if name in report
    )
    return f"`{report['model']}`: {about}.\n\n" + table(["", "value", "95 %", "cases", "aim"], rows)


def networks(report: dict) -> str:
    """The model beside networks that differ from it in one thing, `-` where there was none."""
    found = [
        Network(
            n["name"],
            n["images"],
            None if n["frechet_distance"] is None else Measure(**n["frechet_distance"]),
            *(None if n[name] is None else Interval(**n[name]) for name in INTERVALS),
        )
        for n in report["networks"]
    ]
    return table(*table_of(found))


def reader() -> str:
    """The reader's accuracy on held-out rooms, at 128 px and through 64 px."""
    card = ROOMS.card()
    heldout = card["heldout"]
    assert isinstance(heldout, dict)
    small = heldout["through_64_px"]
    rows = [
        ["pixels right", f"{heldout['pixel_accuracy']:.1%}", f"{small['pixel_accuracy']:.1%}"],
        [
            "the same, always saying background",
            f"{heldout['background_share']:.1%}",
            f"{heldout['background_share']:.1%}",
        ],
        ["mean intersection over union", f"{heldout['mean_iou']:.3f}", f"{small['mean_iou']:.3f}"],
        *([kind, f"{value:.2f}", f"{small['iou'][kind]:.2f}"] for kind, value in heldout["iou"].items()),
    ]
    training = card["training"]
    assert isinstance(training, dict)
    head = (
        f"{heldout['pictures']} held-out rooms, read with the shipped float16 weights (taught with {training['seen']:,} views of "
        f"{training['pictures']:,} rooms).\n\n"
    )
    return head + table(["", "128 px", "seen through 64 px"], rows)


def main(reports: Path, page: Path) -> None:
    fill(page, "reader", reader())
    shipped = load("rooms", "cpu").digest
    for name in ("layout", "layout-drag", "layout-drag-draggan", "layout-pairs", "layout-face"):
        path = reports / f"{name}.json"
        if path.exists():
            report = json.loads(path.read_text())
            if name != "layout-face" and report["weights"] != shipped:
                sys.exit(f"{path} is of other weights than the rooms that ships: measure again")
            fill(page, name, measured(report))
            if report.get("networks"):
                fill(page, "layout-networks", networks(report))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
