"""`gansteer evaluate layout`, `layout-drag`, `layout-face` and `layout-pairs`."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro

from gansteer.bars import bar
from gansteer.commands.evaluate import RecordedEvaluation, SampleEvaluation
from gansteer.commands.starting import Opener
from gansteer.errors import UserError
from gansteer.evaluation.records import recording
from gansteer.executors.api import Prepare

if TYPE_CHECKING:
    from gansteer.edits.drag.config import Method
    from gansteer.evaluation.layout_drag import DragReport
    from gansteer.evaluation.layout_face import FaceLayoutReport
    from gansteer.evaluation.layout_pairs import PairsReport
    from gansteer.evaluation.layout_report import LayoutReport, Row
    from gansteer.subject import Model

T = TypeVar("T")

Keys = tuple[str, ...]
Found = tuple[str, Any]
"""A key, and what was found as JSON, or None."""


@dataclass(frozen=True, kw_only=True)
class Examination(RecordedEvaluation):
    """What commands share that examine one picture after another."""

    def examined(
        self, head: Mapping[str, Any], keys: Sequence[Keys], of_record: Callable[[Any], T],
        prepare: Prepare[Keys, list[Found]], *arguments: Any,
    ) -> list[T]:  # fmt: skip
        """What was found for each key, in their order; what is in the records already is not sought again.

        `head` says what the records are of. Keys that stand together are examined one after another by the same worker; it
        gives None as what it found where there is nothing to be found.
        """

        def parse(value: Any) -> tuple[str, T | None]:
            return str(value["key"]), None if value["found"] is None else of_record(value["found"])

        with recording(self.records, head, parse) as (known, add):
            found: dict[str, T | None] = dict(known)
            left = [some for each in keys if (some := tuple(key for key in each if key not in found))]
            with suppress(KeyboardInterrupt):
                for _, new in self.results(
                    "examining", self.device, left, ", ".join, self.minutes, prepare, *arguments
                ):
                    for key, record in new:
                        add({"key": key, "found": record})
                        found[key] = None if record is None else of_record(json.loads(json.dumps(record)))
        return [value for each in keys for key in each if (value := found.get(key)) is not None]


@dataclass(frozen=True, kw_only=True)
class Layout(Examination, SampleEvaluation):
    """Whether things follow their blobs: moved, removed, added and restyled ones in pictures of a model with a layout."""

    scenes: int = 200
    """How many pictures to examine, each with about ten changes of its layout."""
    seed: int = 5000
    """The first picture's seed; the others follow."""
    data: Path | None = None
    """Real pictures, a folder or zip: also the Frechet distance to them, with its floor. What this and --runs ask for is
    measured where the command runs, the scenes wherever --processes or --cluster say."""
    runs: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """With --data, again for each: folders of runs of gansteer train that differ in one thing, to stand beside the model:
    without a layout, with and without the alignment loss. Also whether their discriminators are fooled, and where they look."""
    things: Path | None = None
    """With --runs: real pictures whose things are known, a folder with FOLDER_maps.npz beside it."""
    samples: int = 2000
    """With --data: how many pictures to draw, and at most to judge."""

    def check(self) -> None:
        super().check()
        _check_count("--scenes", self.scenes)
        if self.samples < 16:
            raise UserError(f"--samples must be at least 16, not {self.samples}")
        if self.data is None and (self.runs or self.things is not None):
            raise UserError("--runs and --things compare with real pictures: give their folder with --data")

    def measure(self, model: "Model") -> "LayoutReport":
        from gansteer.checkpoints.readers import ROOMS
        from gansteer.evaluation.layout import of_record
        from gansteer.evaluation.layout_networks import networks
        from gansteer.evaluation.layout_report import LayoutReport, rows
        from gansteer.evaluation.layout_scene import SubjectScene

        SubjectScene(model.sample(self.seed, self.psi))  # complains before the work
        with bar("comparing") as report:
            beside = networks(model, self.runs, self.data, self.things, self.samples, self.seed, report.named)
        heldout = ROOMS.card()["heldout"]
        assert isinstance(heldout, dict)
        accuracy = {name: heldout[name] for name in ("pixel_accuracy", "mean_iou")}

        head = {"of": "layout", "model": model.digest, "psi": self.psi, "reader": accuracy}
        seeds = _seeds(self.seed, self.scenes)
        found = self.examined(head, seeds, of_record, prepare_layout, self.opener(model), self.psi)
        _check_found(found)
        return LayoutReport(
            model.card.name, model.digest, len(found), self.psi, self.seed, rows(found), accuracy, beside
        )

    def tell(self, found: "LayoutReport") -> None:
        from gansteer.evaluation.layout_networks import table_of

        print_rows(found.rows)
        print_table(*table_of(found.networks))
        print(
            f"{found.scenes} pictures of {found.model} at psi {found.psi:g}; the reader tells the kind of "
            f"{found.reader['pixel_accuracy']:.1%} of the pixels of held-out rooms, mean IoU {found.reader['mean_iou']}"
        )


@dataclass(frozen=True, kw_only=True)
class LayoutDrag(Examination, SampleEvaluation):
    """Coarse to fine: things dragged by a point alone, by their blob alone, and by the blob first and then by both."""

    scenes: int = 200
    """In how many pictures to drag a thing."""
    steps: int = 100
    """Latent steps at most."""
    seed: int = 6000
    """The first picture's seed; the others follow."""
    method: Literal["natural", "adaptive", "draggan"] = "natural"
    """By which method of gansteer drag."""

    def check(self) -> None:
        super().check()
        _check_count("--scenes", self.scenes)
        _check_count("--steps", self.steps)

    def measure(self, model: "Model") -> "DragReport":
        from gansteer.edits.arrangement.edit import layout_of
        from gansteer.evaluation.layout_drag import DragReport, of_record, rows

        layout_of(model.sample(self.seed, self.psi))  # complains before the work
        head = {"of": "layout-drag", "model": model.digest, "psi": self.psi, "steps": self.steps, "method": self.method}
        seeds = _seeds(self.seed, self.scenes)
        found = self.examined(
            head, seeds, of_record, prepare_layout_drag, self.opener(model), self.psi, self.steps, self.method
        )
        _check_found([record for record in found if record.found is not None])
        return DragReport(
            model.card.name, model.digest, self.method, len(found), self.steps, self.psi, self.seed, rows(found)
        )

    def tell(self, found: "DragReport") -> None:
        print_rows(found.rows)
        print(
            f"{found.scenes} pictures of {found.model} at psi {found.psi:g}, "
            f"dragged by {found.method} in at most {found.steps} steps"
        )


@dataclass(frozen=True, kw_only=True)
class LayoutFace(Examination, SampleEvaluation):
    """Whether the first blob of a hierarchical layout moves the head of a portrait, and the others its eyes and mouth."""

    scenes: int = 200
    """How many pictures to examine."""
    seed: int = 7000
    """The first picture's seed; the others follow."""

    def check(self) -> None:
        super().check()
        _check_count("--scenes", self.scenes)

    def measure(self, model: "Model") -> "FaceLayoutReport":
        from gansteer.evaluation.layout_face import FaceLayoutReport, levels_of, of_record, rows
        from gansteer.evaluation.layout_scene import SubjectScene

        levels_of(SubjectScene(model.sample(self.seed, self.psi)))  # complains before the work
        head = {"of": "layout-face", "model": model.digest, "psi": self.psi}
        seeds = _seeds(self.seed, self.scenes)
        found = self.examined(head, seeds, of_record, prepare_layout_face, self.opener(model), self.psi)
        _check_found(found)
        return FaceLayoutReport(model.card.name, model.digest, len(found), self.psi, self.seed, rows(found))

    def tell(self, found: "FaceLayoutReport") -> None:
        print_rows(found.rows)
        print(f"{found.scenes} pictures of {found.model} at psi {found.psi:g}")


@dataclass(frozen=True, kw_only=True)
class LayoutPairs(Examination):
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
        from gansteer.evaluation.layout_pairs import PairsReport, of_record, read_pairs, rows

        edits: dict[str, list[str]] = {}
        for pair in read_pairs(self.data):
            edits.setdefault(pair.name, []).append(f"{pair.name} {pair.edit}")
        layout_of(model.sample(0))  # complains before the work
        keys = [tuple(edits[name]) for name in list(edits)[: self.rooms]]
        head = {"of": "layout-pairs", "model": model.digest, "projection": self.projection}
        found = self.examined(
            head, keys, of_record, prepare_layout_pairs, self.opener(model), self.data.absolute(), self.projection
        )
        _check_found(found)
        rooms = len({record.name for record in found})
        return PairsReport(model.card.name, model.digest, str(self.data), rooms, self.projection, rows(found))

    def tell(self, found: "PairsReport") -> None:
        print_rows(found.rows)
        print(f"{found.rooms} rooms of {found.data} brought into {found.model} in {found.projection} steps")


# --- in a worker --------------------------------------------------------------------------------------------------------


def prepare_layout(opener: Opener, psi: float) -> "Callable[[Keys], list[Found]]":
    """What examines the pictures of some seeds."""
    from gansteer.checkpoints.readers import ROOMS
    from gansteer.evaluation.layout import examine, to_record
    from gansteer.evaluation.layout_scene import SubjectScene

    model, reader = opener.open(), ROOMS.load()

    def one(key: str) -> Any:
        return to_record(examine(SubjectScene(model.sample(int(key), psi)), reader.segment, int(key)))

    return lambda keys: [(key, one(key)) for key in keys]


def prepare_layout_drag(opener: Opener, psi: float, steps: int, method: "Method") -> "Callable[[Keys], list[Found]]":
    """What drags things in the pictures of some seeds."""
    from gansteer.edits.arrangement.differences import gain_of
    from gansteer.evaluation.layout_drag import examine, to_record

    model = opener.open()
    gain_of(model)  # measured once for a model: no part of any drag's time
    return lambda keys: [(key, to_record(examine(model, int(key), psi, steps, method))) for key in keys]


def prepare_layout_face(opener: Opener, psi: float) -> "Callable[[Keys], list[Found]]":
    """What examines the pictures of some seeds."""
    from gansteer.checkpoints.mtcnn import load_face_detector
    from gansteer.evaluation.layout_face import examine, levels_of, to_record
    from gansteer.evaluation.layout_scene import SubjectScene

    model = opener.open()
    detector = load_face_detector(model.device)

    def one(key: str) -> Any:
        scene = SubjectScene(model.sample(int(key), psi))
        return to_record(examine(scene, levels_of(scene), detector, int(key)))

    return lambda keys: [(key, one(key)) for key in keys]


def prepare_layout_pairs(opener: Opener, data: Path, projection: int) -> "Callable[[Keys], list[Found]]":
    """What brings a room in and carries its edits out."""
    from gansteer.evaluation.layout_pairs import base_of, examine, read_pairs, to_record

    model = opener.open()
    known = {f"{pair.name} {pair.edit}": pair for pair in read_pairs(data)}

    def work(keys: Keys) -> list[Found]:
        subject = base_of(model, known[keys[0]], projection)
        found = [(key, examine(subject, known[key])) for key in keys]
        return [(key, None if record is None else to_record(record)) for key, record in found]

    return work


def _check_count(flag: str, count: int) -> None:
    if count < 2:
        raise UserError(f"{flag} must be at least 2, not {count}")


def _check_found(found: Sequence[object]) -> None:
    if len(found) < 2:
        raise UserError("fewer than 2 pictures could be examined: give more pictures or --minutes")


def _seeds(first: int, count: int) -> list[Keys]:
    return [(str(seed),) for seed in range(first, first + count)]


def print_rows(rows: "Sequence[Row]") -> None:
    """Measures with their intervals, to the terminal."""
    values = [
        [row.name, f"{row.value.value:.3f}", f"{row.value.low:.3f} to {row.value.high:.3f}", str(row.cases)]
        for row in rows
    ]
    print_table(["", "value", "95 %", "cases"], values)


def print_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """To the terminal: the first column is of names."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for i, name in enumerate(heading):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
