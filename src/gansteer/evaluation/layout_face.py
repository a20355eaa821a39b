"""Whether a hierarchical layout steers one face: its first blob is moved, then the others, and a face detector looks.

The detector (MTCNN) took part in no training and slides over the picture, so it sees a head anywhere alike. The head is where
the mean of its five points is: eyes, nose and the corners of the mouth. Blobs are moved by the edit that a person uses, so
the first one takes the others along (Wang et al. 2022, section 3.2).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansteer.edits.arrangement.differences import Place, change
from gansteer.errors import UserError
from gansteer.evaluation.layout import MARGIN, Move, Record, Scene, Variant, in_places, shift_of
from gansteer.evaluation.layout_measures import disc, inside_outside
from gansteer.evaluation.layout_report import Row, share_row, sum_row
from gansteer.evaluation.layout_report import rows as layout_rows
from gansteer.evaluation.layout_scene import SubjectScene
from gansteer.models.mtcnn import FaceDetector

HEAD_MARGIN = 0.25
"""The first blob is moved to this share of the width inside of the border at least, where its head is in the picture."""
PART = 0.12
"""Radius of a disc around an eye, or around the middle of the mouth, in widths of the picture."""


@dataclass(frozen=True)
class PartMove:
    """A blob below the first that was moved alone."""

    level: int
    inside: float
    """Mean change of the picture in the old and the new place (discs of the blob's radius), in levels of 256."""
    outside: float
    parts: float | None
    """Mean change within the discs of eyes and mouth, in levels of 256; None where no face was found."""
    rest: float | None
    """Mean change of all other pixels."""


@dataclass(frozen=True)
class FaceRecord:
    """What one picture showed."""

    seed: int
    asked: Place
    """How far the first blob was moved, in widths of the picture."""
    obtained: Place | None
    """How far the head went; None where no face was found before or after."""
    faces: tuple[bool, bool]
    """Whether a face was found before and after."""
    inside: float
    outside: float
    parts: tuple[PartMove, ...]


@dataclass(frozen=True)
class FaceLayoutReport:
    """What was measured, and how."""

    model: str
    weights: str
    """Their digest."""
    scenes: int
    psi: float
    seed: int
    rows: tuple[Row, ...]


def levels_of(scene: SubjectScene) -> list[int]:
    """The level of each of a picture's blobs. Raises UserError unless they belong to a first one."""
    if not bool((scene.layout.parents == 0).any()):
        raise UserError(
            f"{scene.subject.model.card.name} has independent blobs, which evaluate layout is for: "
            "layout-face takes a model that was trained with --layout hierarchical"
        )
    levels: list[int] = scene.layout.levels.tolist()
    return levels


def examine(scene: Scene, levels: Sequence[int], detector: FaceDetector, seed: int) -> FaceRecord:
    """Move the first blob by 5 to 25 % of the width, and one blob of each further level by as much; `levels` by number."""
    rng = np.random.default_rng(seed)
    size = scene.size
    chosen = [
        known[int(rng.integers(len(known)))]
        for level in sorted(set(levels))
        if (known := [blob for blob in scene.blobs if levels[blob.number] == level])
    ]
    edges = [HEAD_MARGIN, *[MARGIN] * (len(chosen) - 1)]
    moves = [(blob, shift_of(blob, size, rng, edge)) for blob, edge in zip(chosen, edges, strict=True)]
    pictures = scene.draw([Variant(), *(Variant(move=(blob.number, *shift)) for blob, shift in moves)])
    points = [_points(detector, picture) for picture in pictures[:2]]
    changes = [change(pictures[0], picture) for picture in pictures[1:]]
    sides = [in_places(size, blob, shift, x) for (blob, shift), x in zip(moves, changes, strict=True)]
    shift = moves[0][1]
    return FaceRecord(
        seed, (shift[0] / size, shift[1] / size), _way(points[0], points[1], size),
        (points[0] is not None, points[1] is not None), *sides[0],
        tuple(
            PartMove(levels[blob.number], *side, *_of_parts(points[0], x))
            for (blob, _), side, x in zip(moves[1:], sides[1:], changes[1:], strict=True)
        ),
    )  # fmt: skip


def _points(detector: FaceDetector, picture: Tensor) -> Tensor | None:
    """The five points `[5, 2]` of the likeliest face, in pixels."""
    found = detector.find(picture)
    return found.points[0].double() if len(found.points) else None


def _way(before: Tensor | None, after: Tensor | None, size: int) -> Place | None:
    if before is None or after is None:
        return None
    x, y = ((after.mean(dim=0) - before.mean(dim=0)) / size).tolist()
    return x, y


def _of_parts(points: Tensor | None, x: Tensor) -> tuple[float | None, float | None]:
    """The mean of a map of change `[H, H]` on eyes and mouth, and elsewhere."""
    if points is None:
        return None, None
    size = x.shape[-1]
    middles = [points[0], points[1], points[3:].mean(dim=0)]
    place = torch.stack([disc(size, (float(p[0]), float(p[1])), PART * size) for p in middles]).any(dim=0)
    return inside_outside(x, place)


# --- Records and report -----------------------------------------------------------------------------------------------


def to_record(record: FaceRecord) -> dict[str, Any]:
    """As JSON can hold it."""
    return asdict(record)


def of_record(values: Any) -> FaceRecord:
    """The record of `to_record`. Raises LookupError, TypeError or ValueError for anything else."""

    def place(value: Any) -> Place:
        return float(value[0]), float(value[1])

    return FaceRecord(
        int(values["seed"]), place(values["asked"]), None if values["obtained"] is None else place(values["obtained"]),
        (bool(values["faces"][0]), bool(values["faces"][1])), float(values["inside"]), float(values["outside"]),
        tuple(PartMove(**part) for part in values["parts"]),
    )  # fmt: skip


def rows(records: Sequence[FaceRecord]) -> tuple[Row, ...]:
    """All measures. One of which there is no case is left out."""
    seen = [r for r in records if r.faces[0]]
    wanted = {
        "displacement slope by reader": "head: displacement slope",
        "displacement r2 by reader": "head: displacement R2",
        "displacement within 10 % of the width by reader": "head: displacement within 10 % of the width",
    }
    as_moves = [
        Record(r.seed, (Move(r.asked, None, r.obtained, (False, True), None, r.inside, r.outside),), (), (), (), ())
        for r in seen
    ]
    found: list[Row | None] = [
        Row(wanted[row.name], row.value, row.cases) for row in layout_rows(as_moves) if row.name in wanted
    ]
    found.append(share_row("a face is found", np.array([(r.faces[0], 1) for r in records], float)))
    found.append(share_row("after the move still a face", np.array([(r.faces[1], 1) for r in seen], float)))
    for level in sorted({part.level for r in records for part in r.parts}):
        parts = [part for r in records for part in r.parts if part.level == level]
        changed = [p for p in parts if np.isfinite([p.inside, p.outside]).all() and p.inside > 0]
        shares = [p.parts / p.rest for p in parts if p.parts is not None and p.rest]
        found.append(sum_row(f"level {level}: mean change in the blob's places, levels", [p.inside for p in changed]))
        found.append(sum_row(f"level {level}: change outside over inside", [p.outside / p.inside for p in changed]))
        found.append(sum_row(f"level {level}: change of eyes and mouth over that of the rest", shares))
    return tuple(row for row in found if row is not None)
