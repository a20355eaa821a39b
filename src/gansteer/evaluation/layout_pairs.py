"""Known edits: rendered rooms brought in, edited as they were rendered, and compared with what they should have become.

Of each room there are three pictures: as it is, with one thing moved, and without that thing. The first is brought in
(projection of w and layout), the blob on the thing is moved as the thing was, or hidden, and the result is compared with
the second or third. "No edit" is the picture as it was brought in; "drag only" drags the thing's middle by the same way,
blobs staying where they are.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gansteer.edits.arrangement.differences import change
from gansteer.edits.arrangement.edit import Arrangement, layout_of
from gansteer.edits.drag.edit import Drag
from gansteer.edits.inversion.perceptual import comparison
from gansteer.errors import UserError
from gansteer.evaluation.editing import brought_in, result_of
from gansteer.evaluation.layout_report import Row, sum_row
from gansteer.evaluation.samples import from_levels
from gansteer.models.layout import heatmaps
from gansteer.subject import Model, Subject

EditName = Literal["moved", "removed"]
Method = Literal["no edit", "drag only", "layout"]
METHODS: tuple[Method, ...] = get_args(Method)
TOUCHED = 12.0
"""Levels: where the true pictures differ by as much, the edit has something to do."""
LEAST_TOUCHED = 40
"""Pixels of 128 x 128 that an edit touches at least; those of things that are all but hidden are left out."""


@dataclass(frozen=True)
class Pair:
    """A room and what it should become."""

    name: str
    edit: EditName
    base: Path
    truth: Path
    at: tuple[float, float]
    """The thing's middle in the first picture, as shares of its width and height."""
    way: tuple[float, float]
    """How far its middle goes, in the same; (0, 0) where it is removed."""


@dataclass(frozen=True)
class Distances:
    """Of an edited picture from the true one."""

    inside: float
    """Mean absolute difference where the true edit changes the picture, in levels of 256."""
    outside: float
    """The same elsewhere."""
    perceptual: float
    """Of the whole, in EfficientNet-Lite0's features."""


@dataclass(frozen=True)
class PairRecord:
    """All methods on one pair."""

    name: str
    edit: EditName
    psnr: float
    """Of the picture as it was brought in against the rendered one, in decibels."""
    found: dict[Method, Distances]
    """Without `drag only` where a thing is removed: a drag cannot."""


@dataclass(frozen=True)
class PairsReport:
    """What was measured, and how."""

    model: str
    weights: str
    """Their digest."""
    data: str
    rooms: int
    projection: int
    rows: tuple[Row, ...]


def read_pairs(folder: Path) -> list[Pair]:
    """The pairs of a folder `pairs` beside its `pairs.jsonl`, in order. Raises UserError if there are none."""
    labels = folder.with_suffix(".jsonl")
    try:
        lines = [json.loads(line) for line in labels.read_text(encoding="utf-8").splitlines()]
        rooms: dict[int, dict[str, Any]] = {}
        for line in lines:
            rooms.setdefault(line["seed"], {})[Path(line["file"]).stem.rpartition("_")[2]] = line
        pairs = []
        for seed, room in rooms.items():
            thing = room["base"]["edit"]["thing"]
            at, moved = (_middle(room.get(name, {"things": []}), thing) for name in ("base", "moved"))
            if at is None:
                continue
            x, y = at
            paths = {name: folder / room[name]["file"] for name in room}
            if moved is not None:
                way = moved[0] - x, moved[1] - y
                pairs.append(Pair(str(seed), "moved", paths["base"], paths["moved"], (x, y), way))
            if "removed" in paths:
                pairs.append(Pair(str(seed), "removed", paths["base"], paths["removed"], (x, y), (0.0, 0.0)))
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{folder} holds no pairs: give the folder beside pairs.jsonl ({error})") from error
    if not pairs:
        raise UserError(f"{labels} holds no pairs")
    return pairs


def _middle(room: dict[str, Any], thing: int) -> tuple[float, float] | None:
    return next(((t["centre"][0], t["centre"][1]) for t in room["things"] if t["id"] == thing), None)


def read_picture(path: Path, size: int) -> Tensor:
    """uint8 `[size, size, 3]`, resized by Lanczos. Raises UserError."""
    try:
        with Image.open(path) as image:
            small = image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    return torch.from_numpy(np.array(small))


def base_of(model: Model, pair: Pair, projection: int) -> Subject:
    """A pair's first room as a subject of the model, w and layout free."""
    return brought_in(model, read_picture(pair.base, model.resolution), projection)


def examine(subject: Subject, pair: Pair) -> PairRecord | None:
    """All methods on one pair whose base was brought in as `subject`; None where the true edit changes next to nothing."""
    size = subject.model.resolution
    base, truth = (from_levels(read_picture(path, size)).permute(2, 0, 1) for path in (pair.base, pair.truth))
    touched = change(base, truth) >= TOUCHED
    if int(touched.sum()) < LEAST_TOUCHED * size**2 / 128**2:
        return None
    distance = comparison("efficientnet-lite0", truth)(truth[None])
    x, y = (v * size - 0.5 for v in pair.at)
    dx, dy = (v * size for v in pair.way)
    blob = nearest_blob(subject, (x, y))
    results: dict[Method, Subject] = {"no edit": subject}
    if pair.edit == "moved":
        results["layout"] = result_of(subject, Arrangement(moves={blob: (dx, dy)}))
        inside = [min(max(v, 0.0), size - 1.0) for v in (x, y, x + dx, y + dy)]
        handle, target = (inside[0], inside[1]), (inside[2], inside[3])
        edit = Drag([handle], [target], method="draggan", layout="fixed")
        results["drag only"] = result_of(subject, edit)
    else:
        results["layout"] = result_of(subject, Arrangement(removes=(blob,)))
    found: dict[Method, Distances] = {}
    for method, result in results.items():
        picture = result.render().cpu().clamp(-1, 1)
        away = change(picture, truth)
        with torch.no_grad():
            found[method] = Distances(
                float(away[touched].mean()), float(away[~touched].mean()), float(distance(picture[None])[0])
            )
    error = float((subject.render().cpu().clamp(-1, 1) - base).square().mean())
    return PairRecord(pair.name, pair.edit, 10 * float(np.log10(4 / max(error, 1e-12))), found)


def nearest_blob(subject: Subject, at: tuple[float, float]) -> int:
    """The blob whose heatmap is highest at a point; of several with nothing there, the one whose centre is nearest."""
    layout = layout_of(subject)
    size = subject.model.resolution
    column, row = (min(max(round(v), 0), size - 1) for v in at)
    heat = heatmaps(layout, size)[0, :, row, column]
    if float(heat.max()) > 0.01:
        return int(heat.argmax())
    away = (layout.centres.cpu() - torch.tensor(at)).norm(dim=1)
    return int(away.argmin())


# --- Records and report -----------------------------------------------------------------------------------------------


def to_record(record: PairRecord) -> dict[str, Any]:
    """As JSON can hold it."""
    return asdict(record)


def of_record(values: Any) -> PairRecord:
    """The record of `to_record`. Raises LookupError, TypeError or ValueError for anything else."""
    found: dict[Method, Distances] = {
        method: Distances(**values["found"][method]) for method in METHODS if method in values["found"]
    }
    if values["edit"] not in get_args(EditName):
        raise ValueError(values["edit"])
    return PairRecord(str(values["name"]), values["edit"], float(values["psnr"]), found)


def rows(records: Sequence[PairRecord]) -> tuple[Row, ...]:
    """Distances by edit and method, and how many times nearer the layout's result is than each other's."""
    out: list[Row | None] = [sum_row("brought in: PSNR, dB", [r.psnr for r in records])]
    for edit in get_args(EditName):
        mine = [r for r in records if r.edit == edit]
        for method in METHODS:
            each = [r.found[method] for r in mine if method in r.found]
            out += [
                sum_row(f"{edit}, {method}: difference where it should change, levels", [d.inside for d in each]),
                sum_row(f"{edit}, {method}: difference elsewhere, levels", [d.outside for d in each]),
                sum_row(f"{edit}, {method}: perceptual distance", [d.perceptual for d in each]),
            ]
        for other in ("no edit", "drag only"):
            both = [(r.found["layout"], r.found[other]) for r in mine if other in r.found]
            nearer = [float(a.inside < b.inside) for a, b in both]
            out.append(sum_row(f"{edit}: share in which layout is nearer than {other} where it should change", nearer))
            by = [b.inside - a.inside for a, b in both]
            out.append(sum_row(f"{edit}: levels by which layout is nearer than {other} there", by))
    return tuple(row for row in out if row is not None)
