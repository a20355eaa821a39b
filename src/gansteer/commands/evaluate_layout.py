"""`gansteer evaluate layout`, `layout-drag` and `layout-pairs`."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from gansteer.bars import bar
from gansteer.commands.evaluate import Evaluation, SampleEvaluation
from gansteer.errors import UserError
from gansteer.evaluation.records import append, check_records, resume

if TYPE_CHECKING:
    from gansteer.evaluation.layout import Record
    from gansteer.evaluation.layout_drag import DragRecord, DragReport
    from gansteer.evaluation.layout_pairs import PairRecord, PairsReport
    from gansteer.evaluation.layout_report import LayoutReport, Row
    from gansteer.subject import Model

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RecordedEvaluation(Evaluation):
    """What commands share that examine one picture after another and can be stopped and go on."""

    records: Path | None = None
    """Keep what is found in each picture in this file (.jsonl), and pass over what is there already."""
    minutes: float | None = None
    """Begin no other picture after so long; the report says how many there were."""

    def check(self) -> None:
        super().check()
        check_records(self.records, self.minutes)

    def examined(
        self, head: Mapping[str, Any], keys: Sequence[str], examine: Callable[[str], T | None],
        to_record: Callable[[T], Any], of_record: Callable[[Any], T],
    ) -> list[T]:  # fmt: skip
        """What was found for each key, in their order; what is in the records already is not sought again.

        `head` says what the records are of. Where `examine` gives None there is nothing to be found.
        """
        end = None if self.minutes is None else time.monotonic() + 60 * self.minutes

        def parse(value: Any) -> tuple[str, T | None]:
            return str(value["key"]), None if value["found"] is None else of_record(value["found"])

        with TemporaryDirectory() as folder:
            path = self.records or Path(folder) / "records.jsonl"
            found: dict[str, T | None] = dict(resume(path, head, parse))
            with bar("examining") as report, suppress(KeyboardInterrupt):
                for i, key in enumerate(keys):
                    report(i, len(keys))
                    if key in found:
                        continue
                    if end is not None and time.monotonic() > end:
                        break
                    found[key] = examine(key)
                    value = found[key]
                    append(path, {"key": key, "found": None if value is None else to_record(value)})
        return [value for key in keys if (value := found.get(key)) is not None]


@dataclass(frozen=True, kw_only=True)
class Layout(RecordedEvaluation, SampleEvaluation):
    """Whether things follow their blobs: moved, removed, added and restyled ones in pictures of a model with a layout."""

    scenes: int = 200
    """How many pictures to examine, each with about ten changes of its layout."""
    seed: int = 5000
    """The first picture's seed; the others follow."""

    def check(self) -> None:
        super().check()
        _check_count("--scenes", self.scenes)

    def measure(self, model: "Model") -> "LayoutReport":
        from gansteer.checkpoints.readers import ROOMS
        from gansteer.evaluation.layout import examine, of_record, to_record
        from gansteer.evaluation.layout_report import LayoutReport, rows
        from gansteer.evaluation.layout_scene import SubjectScene

        SubjectScene(model.sample(self.seed, self.psi))  # complains before the work
        reader, heldout = ROOMS.load(), ROOMS.card()["heldout"]
        assert isinstance(heldout, dict)
        accuracy = {name: heldout[name] for name in ("pixel_accuracy", "mean_iou")}

        def one(key: str) -> "Record":
            seed = int(key)
            return examine(SubjectScene(model.sample(seed, self.psi)), reader.segment, seed)

        head = {"of": "layout", "model": model.digest, "psi": self.psi, "reader": accuracy}
        found = self.examined(head, _seeds(self.seed, self.scenes), one, to_record, of_record)
        _check_found(found)
        return LayoutReport(model.card.name, len(found), self.psi, self.seed, rows(found), accuracy)

    def tell(self, found: "LayoutReport") -> None:
        print_rows(found.rows)
        print(
            f"{found.scenes} pictures of {found.model} at psi {found.psi:g}; the reader tells the kind of "
            f"{found.reader['pixel_accuracy']:.1%} of the pixels of held-out rooms, mean IoU {found.reader['mean_iou']}"
        )


@dataclass(frozen=True, kw_only=True)
class LayoutDrag(RecordedEvaluation, SampleEvaluation):
    """Coarse to fine: things dragged by a point alone, by their blob alone, and by the blob first and then by both."""

    scenes: int = 200
    """In how many pictures to drag a thing."""
    steps: int = 100
    """Latent steps at most."""
    seed: int = 6000
    """The first picture's seed; the others follow."""

    def check(self) -> None:
        super().check()
        _check_count("--scenes", self.scenes)
        _check_count("--steps", self.steps)

    def measure(self, model: "Model") -> "DragReport":
        from gansteer.edits.arrangement.differences import gain_of
        from gansteer.edits.arrangement.edit import layout_of
        from gansteer.evaluation.layout_drag import DragReport, examine, of_record, rows, to_record

        layout_of(model.sample(self.seed, self.psi))  # complains before the work
        gain_of(model)  # measured once for a model: no part of any drag's time

        def one(key: str) -> "DragRecord":
            return examine(model, int(key), self.psi, self.steps)

        head = {"of": "layout-drag", "model": model.digest, "psi": self.psi, "steps": self.steps}
        found = self.examined(head, _seeds(self.seed, self.scenes), one, to_record, of_record)
        _check_found([record for record in found if record.found is not None])
        return DragReport(model.card.name, len(found), self.steps, self.psi, self.seed, rows(found))

    def tell(self, found: "DragReport") -> None:
        print_rows(found.rows)
        print(f"{found.scenes} pictures of {found.model} at psi {found.psi:g}, at most {found.steps} steps")


@dataclass(frozen=True, kw_only=True)
class LayoutPairs(RecordedEvaluation):
    """Known edits: rendered rooms brought in, edited as they were rendered, and compared with what they should become."""

    data: Path
    """The folder `pairs` of the rooms data, beside its pairs.jsonl."""
    rooms: int | None = None
    """How many rooms to bring in; by default all."""
    projection: int = 150
    """Steps of bringing a room in."""

    def check(self) -> None:
        super().check()
        if self.rooms is not None:
            _check_count("--rooms", self.rooms)
        if self.projection < 0:
            raise UserError(f"--projection must not be negative, not {self.projection}")

    def measure(self, model: "Model") -> "PairsReport":
        from gansteer.edits.arrangement.edit import layout_of
        from gansteer.evaluation.layout_pairs import (
            PairsReport,
            examine,
            of_record,
            read_pairs,
            read_picture,
            rows,
            to_record,
        )  # fmt: skip
        from gansteer.evaluation.samples import brought_in

        pairs = read_pairs(self.data)
        layout_of(model.sample(0))  # complains before the work
        names = list(dict.fromkeys(pair.name for pair in pairs))[: self.rooms]
        known = {f"{pair.name} {pair.edit}": pair for pair in pairs if pair.name in names}
        last: dict[str, Any] = {}

        def one(key: str) -> "PairRecord | None":
            pair = known[key]
            if last.get("name") != pair.name:
                pixels = read_picture(pair.base, model.resolution)
                last.update(name=pair.name, subject=brought_in(model, pixels, self.projection))
            return examine(last["subject"], pair)

        head = {"of": "layout-pairs", "model": model.digest, "projection": self.projection}
        found = self.examined(head, list(known), one, to_record, of_record)
        _check_found(found)
        rooms = len({record.name for record in found})
        return PairsReport(model.card.name, str(self.data), rooms, self.projection, rows(found))

    def tell(self, found: "PairsReport") -> None:
        print_rows(found.rows)
        print(f"{found.rooms} rooms of {found.data} brought into {found.model} in {found.projection} steps")


def _check_count(flag: str, count: int) -> None:
    if count < 2:
        raise UserError(f"{flag} must be at least 2, not {count}")


def _check_found(found: Sequence[object]) -> None:
    if len(found) < 2:
        raise UserError("fewer than 2 pictures could be examined: give more pictures or --minutes")


def _seeds(first: int, count: int) -> list[str]:
    return [str(seed) for seed in range(first, first + count)]


def print_rows(rows: "Sequence[Row]") -> None:
    """Measures with their intervals, to the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for heading in ("value", "95 %", "cases"):
        table.add_column(heading, justify="right")
    for row in rows:
        v = row.value
        table.add_row(row.name, f"{v.value:.3f}", f"{v.low:.3f} to {v.high:.3f}", str(row.cases))
    Console().print(table)
