"""`gansteer evaluate attributes`."""

import csv
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gansteer.bars import bar
from gansteer.commands.evaluate import RecordedEvaluation
from gansteer.commands.starting import Opener
from gansteer.errors import UserError
from gansteer.evaluation.records import recording

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gansteer.directions import Directions
    from gansteer.evaluation.attributes import AttributesReport, Matrix
    from gansteer.evaluation.regions import Bench, Comparison, RegionsReport, Task
    from gansteer.subject import Model


@dataclass(frozen=True)
class Report:
    """What is measured of attributes."""

    attributes: "AttributesReport"
    regions: "RegionsReport | None"


@dataclass(frozen=True, kw_only=True)
class Attributes(RecordedEvaluation):
    """Whether a portrait model's directions do what their names say and only that, and edits in a region stay there."""

    directions: Path | None = None
    """A file of `gansteer directions fit`, besides the model's own."""
    label: int | None = None
    """The class of the pictures, for a class-conditional model."""
    samples: int = 4000
    """How many pictures to score, none of them used for fitting; where the command runs, also with --processes or --cluster."""
    pictures: int = 200
    """How many of them to move along every direction."""
    regions: int = 40
    """How many pictures for each of the six comparisons of edits in a region; 0 leaves them out. A second or two each;
    --processes and --cluster share them."""
    step: float = 1.0
    """How far to move, in deviations."""
    labels: Path | None = None
    """A CSV file of the training data's labels, a column for each attribute, titles in its first line; attributes without
    a column are left out of the tables."""
    seed: int = 1000

    def check(self) -> None:
        super().check()
        if self.regions == 1 or self.regions < 0:
            raise UserError("--regions is 0, or at least 2 pictures")

    def measure(self, model: "Model") -> Report:
        labels = None if self.labels is None else read_columns(self.labels)
        from gansteer.checkpoints.directions import directions_for
        from gansteer.checkpoints.readers import FACES
        from gansteer.edits.attribute.portrait_scores import PortraitScorer
        from gansteer.evaluation.attributes import attributes
        from gansteer.evaluation.regions import Bench, of_record

        directions = directions_for(model, self.directions)
        scorer = PortraitScorer(FACES.load(model.device))
        bench = Bench(model, directions, scorer, {}, label=self.label)
        # What was kept is read first: it may complain, and before the work.
        with recording(self.records if self.regions else None, self.about(bench), of_record) as (kept, add):
            with bar("measuring") as report:
                found = attributes(
                    model, directions, scorer, self.samples, self.pictures, step=self.step, seed=self.seed, labels=labels,
                    label=self.label, report=report.named,
                )  # fmt: skip
            if not self.regions:
                return Report(found, None)
            return Report(found, self._inside(replace(bench, deviations=found.deviations), kept, add))

    def _inside(self, bench: "Bench", kept: "Sequence[Comparison]", add: "Callable[[object], None]") -> "RegionsReport":
        """The comparisons in a region, some pictures at a time; those that were kept are not made again."""
        from gansteer.evaluation.regions import BATCH, REGIONS, summed_up, tasks, to_record

        first = self.seed + 1000
        known = [set(bench.directions.names(space)) for space in ("w", "s")]
        jobs = [job for job in REGIONS if job[1] in known[0] & known[1]]
        wanted = tasks(self.regions, first, jobs)
        done = {comparison.task: comparison for comparison in kept}
        left = [task for task in wanted if task not in done]
        # As many at a time wherever they are compared: together they are optimised.
        batch = max(1, BATCH * 128**2 // bench.model.resolution**2)
        batches = [left[i : i + batch] for i in range(0, len(left), batch)]
        for _, found in self.results(
            "comparing in regions", self.device, batches, _of_batch, self.minutes,
            prepare, self.opener(bench.model), bench.directions, self.label, bench.deviations, first,
        ):  # fmt: skip
            for comparison in found:
                add(to_record(comparison))
                done[comparison.task] = comparison
        return summed_up(bench, self.regions, first, [done[task] for task in wanted if task in done])

    def about(self, bench: "Bench") -> dict[str, object]:
        """What records are of, to know them again."""
        sha = hashlib.sha256()
        for entry in bench.directions.entries:
            sha.update(f"{entry.name} {entry.space} {entry.std}".encode() + entry.vector.numpy().tobytes())
        return {
            "model": bench.model.digest, "directions": sha.hexdigest(), "seed": self.seed, "label": self.label,
            "strength": bench.strength, "psi": bench.psi,
        }  # fmt: skip

    def tell(self, found: Report) -> None:
        print_attributes(found.attributes)
        if found.regions is not None:
            print_regions(found.regions)


def prepare(
    model: Opener, directions: "Directions", label: int | None, deviations: "Mapping[str, float]", first: int
) -> "Callable[[Sequence[Task]], list[Comparison]]":
    """What compares some pictures in a region; `first` is the seed of the first of all."""
    from gansteer.checkpoints.readers import FACES
    from gansteer.edits.attribute.portrait_scores import PortraitScorer
    from gansteer.evaluation.regions import SPARSE_PICTURES, Bench

    opened = model.open()
    bench = Bench(opened, directions, PortraitScorer(FACES.load(opened.device)), deviations, label=label)
    return lambda tasks: bench.compared(tasks, lambda task: task.seed < first + SPARSE_PICTURES)


def _of_batch(tasks: "Sequence[Task]") -> str:
    one = tasks[0]
    return f"{one.attribute} in the {one.region} of seed {one.seed}"


def read_columns(path: Path) -> dict[str, list[float]]:
    """The columns of a CSV file by their titles; an empty field is not a number. Raises UserError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        if not rows:
            raise UserError(f"{path} holds no labels: write titles, then a line for each picture")
        return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: every field is a number, or empty ({error})") from error


def print_attributes(found: "AttributesReport") -> None:
    """The tables, to the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title="Right side of the boundary", title_justify="left")
    spaces = list(found.cosine)
    table.add_column("")
    for space in spaces:
        table.add_column(f"{space}: extremes", justify="right")
        table.add_column("all", justify="right")
    for name in found.names:
        cells = []
        for space in spaces:
            (entry,) = (a for a in found.accuracy if (a.name, a.space) == (name, space))
            cells += [f"{entry.extremes:.1%}", f"{entry.all:.1%}"]
        table.add_row(name, *cells)
    Console().print(table)
    for title, matrix in (
        ("Cosine of the normals in w", found.cosine["w"]),
        ("Correlation of scores over samples", found.drawn),
        ("Correlation of labels in the data", found.labelled),
        (f"Change of scores by {found.step:g} deviations", found.rescoring.plain),
        ("The same, all others held", found.rescoring.held),
    ):
        if matrix is not None:
            _print_matrix(title, found.names, matrix)
    r = found.rescoring
    print(
        f"{r.entangled} unwanted changes of {r.unwanted_plain:.0%} of the wanted one on average; holding leaves "
        f"{r.unwanted_held:.0%} and cuts them by {r.cut:.0%} ({r.cut_at_equal_strength:.0%} at equal steps)"
    )


def _print_matrix(title: str, names: tuple[str, ...], matrix: "Matrix") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for heading in ("", *(name[:8] for name in names)):
        table.add_column(heading, justify="right")
    for name, row in zip(names, matrix, strict=True):
        table.add_row(name, *(f"{x:.2f}" for x in row))
    Console().print(table)


def print_regions(found: "RegionsReport") -> None:
    """The table, to the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        box=None, pad_edge=False, title="Edits in a region, at equal change of the attribute", title_justify="left"
    )
    for heading in ("region", "attribute", "method", "gain", "outside", "times", "seam", "matched"):
        table.add_column(heading)
    for m in found.methods:
        table.add_row(
            m.region, m.attribute, m.method, f"{m.gain:.2f}",
            f"{m.outside.value:.2f} ({m.outside.low:.2f}-{m.outside.high:.2f})",
            f"{m.times.value:.1f} ({m.times.low:.1f}-{m.times.high:.1f})",
            f"{m.seam.value:.2f} ({m.seam.low:.2f}-{m.seam.high:.2f})", f"{m.matched}/{m.pictures}",
        )  # fmt: skip
    Console().print(table)
