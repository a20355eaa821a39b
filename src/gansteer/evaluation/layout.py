"""Whether a layout steers: blobs of many scenes are moved, removed, restyled and added, and the pictures are compared.

A `Scene` is one picture with its blobs and a way to draw it with one of them changed, so that the protocol is the same for
a trained model and for a drawing whose behaviour is known. Each scene's findings are one record; `layout_report.py`
makes figures of the records of all.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gansteer.edits.arrangement.differences import Place, centroid, change, drawn_by_difference
from gansteer.evaluation.layout_measures import (
    LOOK,
    appeared,
    disc,
    drawn_by_reader,
    gone,
    inside_outside,
    kind_of,
    remains,
    thing_under,
    things,
)

Segment = Callable[[Tensor], Tensor]
"""Pictures `[B, 3, H, H]` in [-1, 1] to maps of kinds `[B, S, S]`, 0 for the background."""

SHORTEST, LONGEST = 0.05, 0.25
"""Moves are this long at least and at most, in widths of the picture."""
WITHIN = 0.1
"""A thing that went where it was asked to, to this share of the width, counts as there; so does one that was added."""
MARGIN = 0.06
"""Blobs are moved and added at least this share of the width inside of the border."""
VANISHED = 0.25
"""A thing vanished with a blob when at most this share of its pixels still shows its kind."""


@dataclass(frozen=True)
class SceneBlob:
    """A blob of a scene that is there, in pixels of the picture."""

    number: int
    """What the scene calls it."""
    x: float
    y: float
    radius: float
    """Where its heatmap has fallen to `exp(-2)`: two deviations from the centre."""


@dataclass(frozen=True)
class Variant:
    """One change of a scene: exactly one of the fields is not None."""

    without: int | None = None
    """The number of a blob that is taken away."""
    move: tuple[int, float, float] | None = None
    """The number of a blob and how far to the right and down it goes, in pixels."""
    restyle: tuple[int, int] | None = None
    """The number of a blob and the seed of its new style code."""
    add: tuple[float, float, int] | None = None
    """Where a new blob's centre is, in pixels, and the seed of its size and style code."""


class Scene(Protocol):
    """A picture with blobs."""

    @property
    def size(self) -> int:
        """Width and height of the picture."""
        ...

    @property
    def blobs(self) -> Sequence[SceneBlob]:
        """Those that are there."""
        ...

    def draw(self, variants: Sequence[Variant]) -> Tensor:
        """The pictures of these changes, each of them on its own, `[V, 3, H, H]`; `Variant()` changes nothing."""
        ...

    def heat(self, number: int) -> Tensor:
        """The heatmap `[H, H]` of a blob."""
        ...


@dataclass(frozen=True)
class Record:
    """What one scene showed. Each list has one entry for each blob or thing that was looked at."""

    seed: int
    moves: tuple["Move", ...]
    removed: tuple[bool, ...]
    """For each blob that covers a thing: whether that is gone without the blob, and nothing new stands there."""
    covered: tuple[bool, ...]
    """For each thing that the reader sees: whether it vanishes with one of the blobs."""
    added: tuple[bool, ...]
    """For each blob that was added: whether a thing appeared there."""
    restyles: tuple["Restyle", ...]


@dataclass(frozen=True)
class Move:
    """A blob that was moved, in widths of the picture."""

    asked: Place
    difference: Place | None
    """How far what the blob draws went; None where it draws nothing before or after."""
    reader: Place | None
    """How far the things that the blob draws went, by the reader; None where there are none before or after."""
    seen: tuple[bool, bool]
    """Whether the blob drew something before it was moved, by differences and by the reader."""
    kept: bool | None
    """Whether most of what the blob draws is still of the same kind; None where it draws nothing before or after."""
    inside: float
    """Mean change of the picture in the old and the new place (discs of the blob's radius), in levels of 256."""
    outside: float
    """The same of all other pixels."""


@dataclass(frozen=True)
class Restyle:
    """A blob that was given another style code."""

    inside: float
    """Mean change in its disc, in levels of 256."""
    outside: float
    kept: bool | None
    """Whether the thing on it is still of its kind; None where there is none."""
    otherwise: bool | None
    """Whether it looks otherwise."""


def examine(scene: Scene, segment: Segment, seed: int, moves: int = 2) -> Record:
    """Everything that is asked of one scene: `moves` blobs moved, one restyled, one added, each removed in turn."""
    rng = np.random.default_rng(seed)
    blobs = list(scene.blobs)
    chosen = [blobs[i] for i in rng.permutation(len(blobs))[:moves]]
    shifts = [shift_of(blob, scene.size, rng) for blob in chosen]
    restyled = [blobs[int(rng.integers(len(blobs)))]] if blobs else []
    place = _free_place(blobs, scene.size, rng)
    variants = [
        Variant(),
        *(Variant(without=blob.number) for blob in blobs),
        *(Variant(move=(blob.number, *shift)) for blob, shift in zip(chosen, shifts, strict=True)),
        *(Variant(restyle=(blob.number, int(rng.integers(2**31)))) for blob in restyled),
        Variant(add=(*place, int(rng.integers(2**31)))),
    ]
    pictures = scene.draw(variants)
    kinds = segment(pictures)
    first = 1 + len(blobs)
    bases = {blob.number: 1 + i for i, blob in enumerate(blobs)}
    pair = _Pair(pictures[0], kinds[0])
    without = [_Pair(pictures[1 + i], kinds[1 + i]) for i in range(len(blobs))]
    found = tuple(
        _moved(scene.size, blob, shift, pair, without[bases[blob.number] - 1], _Pair(pictures[i], kinds[i]))
        for i, (blob, shift) in enumerate(zip(chosen, shifts, strict=True), start=first)
    )
    removed: list[bool] = []
    for blob, base in zip(blobs, without, strict=True):
        under = thing_under(kinds[0], _resized(scene.heat(blob.number), kinds.shape[-1]))
        if under is not None:
            removed.append(gone(under[1], kinds[0], base.kinds))
    covered = tuple(
        any(remains(thing, kinds[0], base.kinds) <= VANISHED for base in without) for thing in things(kinds[0])
    )
    first += len(chosen)
    restyles = tuple(
        _restyled(scene, blob, pair, _Pair(pictures[first + i], kinds[first + i])) for i, blob in enumerate(restyled)
    )
    scale = kinds.shape[-1] / scene.size
    at = ((place[0] + 0.5) * scale - 0.5, (place[1] + 0.5) * scale - 0.5)
    added = (appeared(kinds[0], kinds[-1], at, WITHIN * kinds.shape[-1]),)
    return Record(seed, found, tuple(removed), covered, added, restyles)


@dataclass(frozen=True, eq=False)
class _Pair:
    picture: Tensor
    kinds: Tensor


def shift_of(blob: SceneBlob, size: int, rng: np.random.Generator, margin: float = MARGIN) -> Place:
    """A move of 5 to 25 % of the width in any direction that leaves the centre inside of the margins, in pixels.

    Where there is none such, the blob is beyond them: it goes by 25 % towards the middle.
    """
    low, high = margin * size, (1 - margin) * size - 1
    for _ in range(100):
        length, angle = size * rng.uniform(SHORTEST, LONGEST), rng.uniform(0, 2 * np.pi)
        shift = float(length * np.cos(angle)), float(length * np.sin(angle))
        if low <= blob.x + shift[0] <= high and low <= blob.y + shift[1] <= high:
            return shift
    towards = (size - 1) / 2 - blob.x, (size - 1) / 2 - blob.y
    far = max(float(np.hypot(*towards)), 1e-6)
    return towards[0] / far * LONGEST * size, towards[1] / far * LONGEST * size


def _free_place(blobs: Sequence[SceneBlob], size: int, rng: np.random.Generator) -> Place:
    """The one of eight random places that is farthest from every blob, in the lower three quarters of the picture."""
    low, high = MARGIN * size, (1 - MARGIN) * size - 1
    places = np.stack([rng.uniform(low, high, 8), rng.uniform(size / 4, high, 8)], axis=1)
    others = np.array([(blob.x, blob.y) for blob in blobs]).reshape(-1, 2)
    if not len(others):
        return float(places[0, 0]), float(places[0, 1])
    gap = np.linalg.norm(places[:, None] - others[None], axis=2).min(axis=1)
    x, y = places[int(gap.argmax())]
    return float(x), float(y)


def _moved(size: int, blob: SceneBlob, shift: Place, before: _Pair, base: _Pair, after: _Pair) -> Move:
    drawn = [drawn_by_difference(pair.picture, base.picture) for pair in (before, after)]
    by_difference = _way(drawn[0], drawn[1], size)
    read = drawn_by_reader(before.kinds, base.kinds)
    read_after = drawn_by_reader(after.kinds, base.kinds)
    by_reader = _way(read, read_after, before.kinds.shape[-1])
    kept = None
    if read is not None and read_after is not None:
        kept = kind_of(before.kinds, read) == kind_of(after.kinds, read_after)
    inside, outside = in_places(size, blob, shift, change(before.picture, after.picture))
    asked = shift[0] / size, shift[1] / size
    return Move(asked, by_difference, by_reader, (drawn[0] is not None, read is not None), kept, inside, outside)


def in_places(size: int, blob: SceneBlob, shift: Place, x: Tensor) -> tuple[float, float]:
    """The mean of a map of change `[H, H]` in a blob's old and new place (discs of its radius), and elsewhere."""
    old = disc(size, (blob.x, blob.y), blob.radius)
    return inside_outside(x, old | disc(size, (blob.x + shift[0], blob.y + shift[1]), blob.radius))


def _way(before: Tensor | None, after: Tensor | None, size: int) -> Place | None:
    """From the centroid of one map to that of another, in widths; None where one of them is missing or empty."""
    places = [None if mask is None else centroid(mask) for mask in (before, after)]
    if places[0] is None or places[1] is None:
        return None
    return (places[1][0] - places[0][0]) / size, (places[1][1] - places[0][1]) / size


def _restyled(scene: Scene, blob: SceneBlob, before: _Pair, after: _Pair) -> Restyle:
    size = change(before.picture, after.picture)
    inside, outside = inside_outside(size, disc(scene.size, (blob.x, blob.y), blob.radius))
    side = before.kinds.shape[-1]
    under = thing_under(before.kinds, _resized(scene.heat(blob.number), side))
    if under is None:
        return Restyle(inside, outside, None, None)
    kept = remains(under[1], before.kinds, after.kinds) >= 0.5
    small = torch.nn.functional.adaptive_avg_pool2d(size[None, None], side)[0, 0] if scene.size > side else (
        torch.nn.functional.interpolate(size[None, None], (side, side), mode="bilinear")[0, 0]
    )  # fmt: skip
    return Restyle(inside, outside, kept, float(small[under[1]].mean()) >= LOOK)


def _resized(heat: Tensor, side: int) -> Tensor:
    """A heatmap at the size of the reader's map."""
    if heat.shape[-1] == side:
        return heat
    return torch.nn.functional.interpolate(heat[None, None], (side, side), mode="bilinear", antialias=True)[0, 0]


# --- Records ----------------------------------------------------------------------------------------------------------


def to_record(record: Record) -> dict[str, Any]:
    """As JSON can hold it."""
    return asdict(record)


def of_record(values: Any) -> Record:
    """The record of `to_record`. Raises LookupError, TypeError or ValueError for anything else."""

    def place(value: Any) -> Place | None:
        return None if value is None else (float(value[0]), float(value[1]))

    moves = tuple(
        Move(
            (float(m["asked"][0]), float(m["asked"][1])), place(m["difference"]), place(m["reader"]),
            (bool(m["seen"][0]), bool(m["seen"][1])), m["kept"], float(m["inside"]), float(m["outside"]),
        )
        for m in values["moves"]
    )  # fmt: skip
    restyles = tuple(Restyle(r["inside"], r["outside"], r["kept"], r["otherwise"]) for r in values["restyles"])
    removed, covered, added = (tuple(bool(x) for x in values[name]) for name in ("removed", "covered", "added"))
    return Record(int(values["seed"]), moves, removed, covered, added, restyles)
