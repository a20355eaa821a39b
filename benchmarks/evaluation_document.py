"""Put what `gansteer evaluate drags` and `gansteer evaluate trackers` reported into docs/evaluation.md, beside the papers' figures.

    python benchmarks/evaluation_document.py landmarks=back.json reconstruction=pairs.json trackers=trackers.json

    python benchmarks/evaluation_document.py beside=back1.json,back5.json,back68.json

Each word names a part of the document, between `<!-- NAME -->` and `<!-- end of NAME -->`, and the reports (.json, several with commas:
their tables follow each other) that fill it. Beside the document a plot of each table is written, docs/evaluation-NAME-POINTS.svg.
`beside` is the landmark table of DragGAN's paper with our rows next to its own.
"""

import argparse
import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from gansteer.errors import UserError
from gansteer.evaluation.document import fill, table
from gansteer.output import replacing

COLUMNS = {
    "distance": "distance, px", "back": "back, levels", "back, perceptual": "back, perceptual", "mse": "MSE x100",
    "perceptual": "perceptual", "face": "face whole", "patch 1": "patch, radius 1", "patch 5": "patch, radius 5",
    "patch 10": "patch, radius 10", "left": "left by its tracker, px", "arrived": "arrived", "change": "change, levels",
    "steps": "steps", "passes": "passes", "seconds": "CPU seconds",
}  # fmt: skip
"""Measure to the heading of its column, in this order."""
WITH_INTERVAL = ("distance", "back", "mse", "perceptual", "face")
PLOTTED = {"landmarks": "distance", "there-and-back": "distance", "known-motion": "distance", "reconstruction": "mse"}


PAPER = {
    "no edit": ("no edit", (12.93, 11.66, 16.02)),
    "User-Controllable Latent Transformer": ("latent transformer", (11.64, 10.41, 10.15)),
    "RAFT tracking": ("learned flow tracking", (13.43, 13.59, 15.92)),
    "PIPs tracking": ("learned point tracking", (2.98, 4.83, 5.30)),
    "DragGAN": ("DragGAN, published", (2.44, 3.18, 4.73)),
}
"""Table 1 of Pan et al. 2023, mean distances at 1, 5 and 68 points: the paper's row to ours that stands for it, and its figures."""
COUNTS = (1, 5, 68)


def counted(points: int) -> str:
    return f"{points} point{'s' if points > 1 else ''}"


def cell(name: str, values: list[float] | None) -> str:
    if values is None:
        return ""
    scale = 100.0 if name in ("face", "arrived", "mse") else 1.0
    digits = (
        0 if name in ("face", "arrived", "steps", "passes") else 3 if "perceptual" in name or "patch" in name else 2
    )
    mean, low, high = (f"{scale * value:.{digits}f}" for value in values)
    unit = " %" if name in ("face", "arrived") else ""
    return f"{mean}{unit} [{low}, {high}]" if name in WITH_INTERVAL else mean + unit


def of_drags(report: dict[str, Any], number: dict[str, Any]) -> str:
    rows = number["rows"]
    shown = [name for name in COLUMNS if any(row["measures"].get(name) for row in rows)]
    head = ["row", *(COLUMNS[name] for name in shown), "of no edit", "Frechet"]
    lines = [
        [
            row["row"],
            *(cell(name, row["measures"].get(name)) for name in shown),
            "" if row["relative"] is None else f"{row['relative']:.2f}",
            "" if row["frechet"] is None else f"{row['frechet']:.1f}",
        ]
        for row in rows
    ]
    points = number["points"]
    about = (
        f"{counted(points)}, {rows[0]['cases']} cases from number {report['first']} on; "
        f"`{report['model']}` ({report['resolution']} px, weights {report['weights'][:8]}, psi {report['psi']:g}):"
    )
    return about + "\n\n" + table(head, lines)


def beside(reports: list[dict[str, Any]]) -> str:
    """The paper's landmark table with ours: distances in px, and as shares of "no edit" in brackets."""
    ours = {}
    for report in reports:
        for number in report["tables"]:
            for row in number["rows"]:
                ours[row["row"], number["points"]] = row
    names = {our: paper for paper, (our, _) in PAPER.items()}
    others = [name for name in dict.fromkeys(name for name, _ in ours) if name not in names]
    head = [
        "paper's row",
        *(counted(n) for n in COUNTS),
        "our row",
        *(f"{n}, ours" for n in COUNTS),
    ]
    lines = []
    for name in [*(our for our, _ in PAPER.values()), *others]:
        if not any((name, n) in ours for n in COUNTS) and name not in names:
            continue
        paper, figures = (names[name], PAPER[names[name]][1]) if name in names else ("", None)
        theirs = [
            "" if figures is None else f"{figure:.2f} ({figure / still:.2f})"
            for figure, still in zip(figures or COUNTS, PAPER["no edit"][1], strict=True)
        ]
        found = [ours.get((name, n)) for n in COUNTS]
        mine = ["-" if row is None else _distance(row) for row in found]
        lines.append([paper, *theirs, name, *mine])
    return table(head, lines)


def _distance(row: dict[str, Any]) -> str:
    mean, low, high = row["measures"]["distance"]
    share = "" if row["relative"] is None else f" ({row['relative']:.2f})"
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]{share}, {row['cases']} cases"


def of_trackers(report: dict[str, Any]) -> str:
    rows = sorted(report["rows"], key=lambda row: row["error"][0])
    limits = list(rows[0]["within"])
    lines = [
        [
            row["tracker"],
            "{:.2f} [{:.2f}, {:.2f}]".format(*row["error"]),
            f"{row['median']:.2f}",
            *(f"{100 * row['within'][limit]:.0f} %" for limit in limits),
        ]
        for row in rows
    ]
    about = (
        f"68 landmarks of {report['walks']} walks of `{report['model']}`, {report['steps']} pictures each, which move them by "
        f"{report['motion']:.2f} px on average:"
    )
    return about + "\n\n" + table(["tracker", "mean error, px", "median", *(f"within {x} px" for x in limits)], lines)


def plot(report: dict[str, Any], number: dict[str, Any]) -> str:
    """Bars with their intervals, one a row, as SVG."""
    name = PLOTTED[report["protocol"]]
    rows = [row for row in number["rows"] if row["measures"].get(name)]
    top = max(row["measures"][name][2] for row in rows) or 1.0
    left, width, step = 190, 420, 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" height="{step * len(rows) + 40}" '
        'font-family="sans-serif" font-size="13">',
        f'<text x="4" y="18">{escape(COLUMNS[name])}, {counted(number["points"])}, {rows[0]["cases"]} cases</text>',
    ]
    for i, row in enumerate(rows):
        mean, low, high = (width * value / top for value in row["measures"][name])
        y = 30 + step * i
        parts += [
            f'<text x="{left - 6}" y="{y + 14}" text-anchor="end">{escape(row["row"])}</text>',
            f'<rect x="{left}" y="{y + 3}" width="{mean:.1f}" height="14" fill="#4a7ab5"/>',
            f'<line x1="{left + low:.1f}" x2="{left + high:.1f}" y1="{y + 10}" y2="{y + 10}" stroke="#222" stroke-width="2"/>',
            f'<text x="{left + high + 6:.1f}" y="{y + 14}">{cell(name, row["measures"][name]).split(" ")[0]}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", metavar="NAME=REPORT[,REPORT ...]")
    parser.add_argument("--document", type=Path, default=Path("docs/evaluation.md"))
    args = parser.parse_args(words)
    for part in args.parts:
        name, _, files = part.partition("=")
        if not files:
            raise UserError(f"{part}: write the part's name, =, and the reports that fill it")
        texts, plots = [], []
        reports = [json.loads(Path(file).read_text(encoding="utf-8")) for file in files.split(",")]
        if name == "beside":
            fill(args.document, name, beside(reports))
            continue
        for report in reports:
            if "walks" in report:
                texts.append(of_trackers(report))
                continue
            for number in report["tables"]:
                target = args.document.with_name(f"{args.document.stem}-{name}-{number['points']}.svg")
                plots.append((target, plot(report, number)))
                texts.append(of_drags(report, number) + f"\n\n![{name}, {counted(number['points'])}]({target.name})")
        fill(args.document, name, "\n\n".join(texts))
        for target, text in plots:
            with replacing(target) as temporary:
                temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from error
