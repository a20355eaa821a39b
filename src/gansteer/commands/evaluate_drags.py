"""`gansteer evaluate drags`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gansteer.commands.evaluate import RecordedEvaluation, usable
from gansteer.commands.seeds import check_psi
from gansteer.errors import UserError
from gansteer.evaluation.drags.rows import Settings, chosen
from gansteer.evaluation.records import recording

if TYPE_CHECKING:
    from gansteer.evaluation.drags.run import DragsReport, Plan, RowSummary, Task
    from gansteer.subject import Model

COLUMNS = {
    "landmarks": ("distance", "left", "face", "arrived", "steps", "passes", "seconds"),
    "there-and-back": ("distance", "back", "back, perceptual", "face", "steps", "passes", "seconds"),
    "reconstruction": ("mse", "perceptual", "left", "arrived", "steps", "passes", "seconds"),
    "known-motion": ("distance", "mse", "perceptual", "face", "steps", "passes", "seconds"),
}
"""What is printed of each protocol; the report holds everything."""

SHARES = ("face", "arrived")


@dataclass(frozen=True, kw_only=True)
class Drags(RecordedEvaluation):
    """The evaluations that the papers on dragging describe: every row on the same cases, with bootstrap intervals."""

    protocol: Literal["landmarks", "reconstruction", "there-and-back", "known-motion"] = "landmarks"
    """landmarks: of one face to those of another; reconstruction: of a perturbed picture from 32 points; there-and-back:
    landmarks and back again; known-motion: rendered heads brought in, turned or with an opened jaw."""
    points: str = "1,5,68"
    """How many landmarks are dragged; one table each. The reconstruction always drags 32."""
    pairs: int = 200
    """Cases of every table."""
    first: int = 0
    """Number of the first of them: cases from another number on are others."""
    psi: float = 0.7
    rows: tuple[str, ...] = ()
    """Rows whose name contains one of these; by default the usual ones, see docs/evaluation.md."""
    data: Path | None = None
    """Folder of pictures with known motion, for known-motion: NNNN_base, NNNN_turned, NNNN_jaw and pairs.jsonl beside it."""
    correspondence: Literal["features", "flow"] = "features"
    """For reconstruction, how points of both pictures are matched: followed in the model's features on the way from one to
    the other, or by optical flow (needs the extra `trackers`)."""
    projection: int = 100
    """For known-motion, the steps by which a picture is brought in."""

    def check(self) -> None:
        super().check()
        check_psi(self.psi)
        chosen(self.rows)
        self._counts()
        if self.pairs < 1:
            raise UserError(f"--pairs must be at least 1, not {self.pairs}")
        if self.first < 0:
            raise UserError(f"--first must not be negative, not {self.first}")
        if self.protocol == "known-motion" and (self.data is None or not self.data.is_dir()):
            raise UserError(
                "known-motion needs --data with the folder of the pictures, such as shared/data/portraits/pairs"
            )

    def _counts(self) -> tuple[int, ...]:
        from gansteer.evaluation.drags.rows import COUNTS, PAIRED_POINTS

        if self.protocol == "reconstruction":
            return (PAIRED_POINTS,)
        if not re.fullmatch(r"\d+(,\d+)*", self.points) or not set(found := self._numbers()) <= set(COUNTS):
            raise UserError(f"--points is one or more of {', '.join(map(str, COUNTS))}, as 1,5, not {self.points}")
        return found

    def _numbers(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(int(count) for count in self.points.split(",")))

    def plan(self) -> "Plan":
        """What the tables are of."""
        from gansteer.evaluation.drags.run import Plan

        known = self.protocol == "known-motion"
        return Plan(
            self.model, self.protocol, self._counts(), self.psi,
            str(self.data) if known else None, self.correspondence, self.projection, self.network,
        )  # fmt: skip

    def _plan_for_workers(self) -> "Plan":
        plan = self.plan()
        return replace(plan, model=self.for_workers(plan.model) or plan.model)

    def measure(self, model: "Model") -> "DragsReport":
        from gansteer.evaluation.drags.run import Record, prepare, resolved, summed_up, tasks

        def of_case(task: "Task") -> str:
            return f"case {task.number} of {task.points} points"

        plan, rows = self.plan(), self._rows(model)
        about = {
            "model": model.digest, "protocol": plan.protocol, "psi": plan.psi, "data": plan.data,
            "correspondence": plan.correspondence, "projection": plan.projection,
        }  # fmt: skip
        settings = {name: resolved(model, row) for name, row in rows.items()}
        with recording(self.records, about, Record.from_json) as (known, add):
            records = [record for record in known if settings.get(record.row, record) == record.settings]
            left = tasks(plan, rows, self.first, self.pairs, records)
            for _, found in self.results(
                "dragging", "cpu", left, of_case, self.minutes, prepare, self._plan_for_workers()
            ):
                for record in found:
                    add(record.to_json())
                    records.append(record)
        within = [record for record in records if self.first <= record.number < self.first + self.pairs]
        return summed_up(plan, model, rows, self.first, within)

    def _rows(self, model: "Model") -> "dict[str, Settings]":
        """The rows that can be run here; ones that were asked for by name must be. Raises UserError."""
        from gansteer.evaluation.drags.run import check_row

        return usable(chosen(self.rows), lambda name, settings: check_row(model, settings), asked=bool(self.rows))

    def tell(self, found: "DragsReport") -> None:
        for table in found.tables:
            print(f"{table.points} point{'s' if table.points > 1 else ''}, {table.rows[0].cases} cases")
            print_aligned(("", *COLUMNS[found.protocol], "of no edit", "Frechet"), [
                (row.row, *(cell(row, name) for name in COLUMNS[found.protocol]),
                 "" if row.relative is None else f"{row.relative:.2f}",
                 "" if row.frechet is None else f"{row.frechet:.1f}") for row in table.rows
            ])  # fmt: skip
            print()
        print(
            f"{found.protocol} of {found.model} ({found.resolution} px) at psi {found.psi:g}; lengths in pixels; in brackets "
            "95 % bootstrap intervals; Frechet distance in EfficientNet-Lite0 features, comparable at equal numbers only"
        )


def print_aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table in columns as wide as they must be, the first to the left and the rest to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for line in (head, *rows):
        cells = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())


INTERVALS = ("distance", "back", "mse", "perceptual", "face")
"""Measures whose interval is printed; the report has all of them."""


def cell(row: "RowSummary", name: str) -> str:
    """Mean and interval of a measure; empty where it has no value."""
    found = row.measures.get(name)
    if found is None:
        return ""
    mean, low, high = found
    if name in SHARES:
        return f"{mean:.0%} [{low:.0%}, {high:.0%}]" if name in INTERVALS else f"{mean:.0%}"
    digits = 4 if name == "mse" else 3 if "perceptual" in name else 0 if name in ("steps", "passes") else 2
    bounds = f" [{low:.{digits}f}, {high:.{digits}f}]" if name in INTERVALS else ""
    return f"{mean:.{digits}f}{bounds}"
