"""The figures of many scenes of the layout protocol, with 95 % intervals from resampling scenes (bootstrap)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gansteer.evaluation.layout import WITHIN, Move, Record, Restyle
from gansteer.evaluation.regions import Interval

if TYPE_CHECKING:
    from gansteer.evaluation.layout_networks import Network

RESAMPLES = 2000


@dataclass(frozen=True)
class Row:
    """One measure with its 95 % interval and on how many cases it stands."""

    name: str
    value: Interval
    cases: int


@dataclass(frozen=True)
class LayoutReport:
    """What was measured, and how."""

    model: str
    weights: str
    """Their digest."""
    scenes: int
    psi: float
    seed: int
    rows: tuple[Row, ...]
    reader: Mapping[str, object]
    """The reader's held-out accuracy."""
    networks: tuple["Network", ...] = ()
    """The model and networks that differ from it in one thing."""

    def __getitem__(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)


def rows(records: Sequence[Record]) -> tuple[Row, ...]:
    """All measures of these scenes. One of which there is no case is left out."""
    found: list[Row | None] = []
    for index, by in ((0, "difference"), (1, "reader")):
        sums = np.array([_line_sums(record, by) for record in records])
        seen = np.array([_seen_sums(record, by, index) for record in records])
        cases = int(sums[:, 0].sum() / 2)
        found += [
            _row(f"displacement slope by {by}", sums, lambda s: s[..., 5] / s[..., 3], cases),
            _row(f"displacement r2 by {by}", sums, _r2_of, cases),
            share_row(f"displacement within 10 % of the width by {by}", seen[:, :2]),
            share_row(f"moved blobs that draw something by {by}", seen[:, 1:]),
        ]
    counts = {
        "thing gone without its blob": [(sum(r.removed), len(r.removed)) for r in records],
        "thing appears where a blob is added": [(sum(r.added), len(r.added)) for r in records],
        "things that vanish with one of the blobs": [(sum(r.covered), len(r.covered)) for r in records],
        "moved thing keeps its kind": [_flags([m.kept for m in r.moves]) for r in records],
        "restyled thing keeps its kind": [_flags([x.kept for x in r.restyles]) for r in records],
        "restyled thing looks otherwise": [_flags([x.otherwise for x in r.restyles]) for r in records],
    }
    found += [share_row(name, np.array(values, float)) for name, values in counts.items()]
    moved = np.array([_change_sums(r.moves) for r in records])
    restyled = np.array([_change_sums(r.restyles) for r in records])
    found += [
        _row("move: change outside over inside", moved[:, [1, 0]], _quotient, int(moved[:, 2].sum())),
        _row("restyle: change inside over outside", restyled[:, :2], _quotient, int(restyled[:, 2].sum())),
    ]
    return tuple(row for row in found if row is not None)


def _flags(values: Sequence[bool | None]) -> tuple[int, int]:
    return sum(value is True for value in values), sum(value is not None for value in values)


def _change_sums(edits: Sequence[Move] | Sequence[Restyle]) -> tuple[float, float, int]:
    """Change inside, outside, and of how many; one whose place is nothing or everything of the picture is left out."""
    known = [edit for edit in edits if np.isfinite([edit.inside, edit.outside]).all()]
    return sum(edit.inside for edit in known), sum(edit.outside for edit in known), len(known)


def _line_sums(record: Record, by: str) -> tuple[float, ...]:
    """n, sum a, sum b, sum aa, sum bb, sum ab over what was asked (a) and obtained (b), along x and along y."""
    pairs = [(m.asked[i], way[i]) for m in record.moves if (way := getattr(m, by)) is not None for i in (0, 1)]
    a, b = np.array(pairs).reshape(-1, 2).T
    return len(a), a.sum(), b.sum(), (a * a).sum(), (b * b).sum(), (a * b).sum()


def _seen_sums(record: Record, by: str, index: int) -> tuple[int, int, int]:
    """Moved blobs whose thing is where it was asked to go, that drew something, and all."""
    seen = [m for m in record.moves if m.seen[index]]
    hits = [m for m in seen if (w := getattr(m, by)) and np.hypot(w[0] - m.asked[0], w[1] - m.asked[1]) <= WITHIN]
    return len(hits), len(seen), len(record.moves)


def _r2_of(s: np.ndarray) -> np.ndarray:
    n, a, b, aa, bb, ab = np.moveaxis(s, -1, 0)
    below = (n * aa - a * a) * (n * bb - b * b)
    squared: np.ndarray = (n * ab - a * b) ** 2 / np.maximum(below, 1e-300)
    return squared


def _quotient(s: np.ndarray) -> np.ndarray:
    out: np.ndarray = s[..., 0] / np.maximum(s[..., 1], 1e-12)
    return out


def share_row(name: str, hits: np.ndarray) -> Row | None:
    """Of `[scenes, 2]`: hits and cases of each scene."""
    return _row(name, hits, _quotient, int(hits[:, 1].sum()))


def sum_row(name: str, values: Sequence[float]) -> Row | None:
    """The mean of one number a scene; None where there is none."""
    return _row(name, np.array([(value, 1.0) for value in values]).reshape(-1, 2), _quotient, len(values))


def _row(name: str, sums: np.ndarray, of: Callable[[np.ndarray], np.ndarray], cases: int) -> Row | None:
    """A quantity of the sums over scenes `[scenes, S]`, resampled; None where there is no case."""
    if not cases:
        return None
    weight = np.random.default_rng(0).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), RESAMPLES)
    with np.errstate(invalid="ignore", divide="ignore"):
        low, high = np.nanquantile(of(weight @ sums), [0.025, 0.975])
    return Row(name, Interval(float(of(sums.sum(axis=0))), float(low), float(high)), cases)
