"""Put the measured figures of the shipped model into docs/models.md.

usage: python document.py REPORTS docs/models.md [CURVE.jsonl]

REPORTS is a folder with what `gansteer evaluate quality|faces|smoothness|tracking --json` wrote: quality.json, faces.json,
smoothness.json and one or more tracking*.json of several strengths. CURVE.jsonl is what curve.py writes.
"""

import json
import sys
from pathlib import Path

from gansteer.evaluation.document import fill, table

PLATEAU_IMAGES, PLATEAU_GAIN = 60_000, 0.03
"""Training may end when the distance has improved by less than this share over the last so many images."""


def measured(quality: dict, faces: dict, smoothness: dict) -> str:
    """Each measure beside the same of real pictures against real ones."""
    rows = [
        [f"{name}, psi {quality['psi']:g}", *(f"{quality[key][which]:{form}}" for which in ("value", "matched", "floor"))]
        for name, key, form in (
            ("Frechet distance", "frechet_distance", ".1f"), ("kernel distance", "kernel_distance", ".1g"),
            ("precision", "precision", ".2f"), ("recall", "recall", ".2f"),
        )
    ]  # fmt: skip
    found = f"a face found by MTCNN, {faces['samples']:,} samples at psi {faces['psi']}"
    steps = (
        f"largest step of a {smoothness['steps']}-step path in w, times the median step, {smoothness['paths']} paths"
    )
    rows += [[found, f"{faces['share']:.1%}", "", ""], [steps, f"{smoothness['worst']:.1f}", "", ""]]
    half = f"{quality['half']:,}"
    columns = f"{quality['samples']:,} samples, all {quality['reals']:,} pictures", f"{half} samples, {half} pictures"
    return table(["", *columns, f"{half} pictures, the other {half}"], rows)


def eyes(faces: dict) -> str:
    """How alike the eyes of drawn faces are, beside those of real pictures."""
    drawn, real = faces["eyes"], faces["real_eyes"]
    rows = [
        [
            name,
            f"{drawn[key]:{form}}",
            f"{real[key]:{form}}",
            f"{drawn[key] / real[key]:.2f}",
        ]
        for name, key, form in (
            ("openings: distance between the lids, as a share of the eye's width", "opening", ".4f"),
            ("colours between the lids, point by point, of 255", "look", ".1f"),
        )
    ]
    heads = [f"{drawn['faces']:,} samples, psi {faces['psi']}", f"{real['faces']:,} held-out pictures", "ratio"]
    return table(["mean difference of right and left eye", *heads], rows)


def followed(reports: list[dict]) -> str:
    """How well the features of each layer follow points, by how far these move."""
    layers = [layer["layer"] for layer in reports[0]["layers"]]
    rows = [
        [
            f"{report['strength']:.0%}",
            f"{report['median_motion']:.1f} px",
            *(f"{layer['share']:.1%}" for layer in report["layers"]),
        ]
        for report in sorted(reports, key=lambda report: report["strength"])
    ]
    names = ["stay" if layer == "none" else layer.split(".")[0] for layer in layers]
    return table(["way to the other face", "the points move by (median)", *names], rows)


def plateau(points: list[dict]) -> str:
    """How much the distance has improved over the last 60,000 images of the curve, in words."""
    points = sorted((p for p in points if p["resolution"] == 128), key=lambda p: p["images"])
    last = points[-1]
    before = max((p for p in points if p["images"] <= last["images"] - PLATEAU_IMAGES), key=lambda p: p["images"])
    gain = 1 - last["frechet"] / before["frechet"]
    verdict = "so training ends here" if gain < PLATEAU_GAIN else "so it should be trained on"
    return (
        f"From {before['images']:,} to {last['images']:,} images the distance of {last['samples']:,} samples went from "
        f"{before['frechet']:.2f} to {last['frechet']:.2f}, {abs(gain):.1%} {'less' if gain > 0 else 'more'}, {verdict}: "
        f"the rule is to go on until {PLATEAU_IMAGES:,} images gain less than {PLATEAU_GAIN:.0%}."
    )


def main(reports: Path, page: Path, curve: Path | None) -> None:
    quality, faces, smoothness = (
        json.loads((reports / f"{name}.json").read_text()) for name in ("quality", "faces", "smoothness")
    )
    fill(page, "quality", measured(quality, faces, smoothness))
    fill(page, "eyes", eyes(faces))
    fill(page, "tracking", followed([json.loads(path.read_text()) for path in sorted(reports.glob("tracking*.json"))]))
    if curve:
        fill(page, "plateau", plateau([json.loads(line) for line in curve.read_text().splitlines()]))


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) == 4 else None)
