"""The protocol on drawings whose behaviour is known: one that follows its blobs, ones that follow them badly or not at all."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from gansteer.evaluation.layout import (
    Record,
    SceneBlob,
    Variant,
    examine,
    of_record,
    to_record,
)
from gansteer.evaluation.layout_measures import disc
from gansteer.evaluation.layout_report import LayoutReport, rows

SIZE = 64


@dataclass(frozen=True)
class Disc:
    x: float
    y: float
    radius: float
    value: float


@dataclass(frozen=True)
class Discs:
    """A drawing of discs, each under a blob of its own. `gain` is how far a disc goes of what its blob does."""

    discs: tuple[Disc, ...]
    gain: float = 1.0
    leak: float = 0.0
    """What any change adds to the brightness of everything."""
    size: int = SIZE

    @property
    def blobs(self) -> Sequence[SceneBlob]:
        return [SceneBlob(i + 1, d.x, d.y, 1.5 * d.radius) for i, d in enumerate(self.discs)]

    def heat(self, number: int) -> Tensor:
        d = self.discs[number - 1]
        y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
        return torch.exp(-((x - d.x) ** 2 + (y - d.y) ** 2) / (d.radius**2 / math.log(2)))

    def draw(self, variants: Sequence[Variant]) -> Tensor:
        return torch.stack([self.drawn(self.changed(v), v != Variant()) for v in variants])

    def changed(self, v: Variant) -> tuple[Disc, ...]:
        discs = list(self.discs)
        if v.without is not None:
            del discs[v.without - 1]
        if v.move is not None:
            number, dx, dy = v.move
            d = discs[number - 1]
            discs[number - 1] = replace(d, x=d.x + self.gain * dx, y=d.y + self.gain * dy)
        if v.restyle is not None:
            number, _ = v.restyle
            # Another brightness within the same kind.
            d = discs[number - 1]
            discs[number - 1] = replace(d, value=math.floor(d.value / 0.4) * 0.4 + (d.value + 0.2) % 0.4)
        if v.add is not None:
            discs.append(Disc(v.add[0], v.add[1], 6, 0.3))
        return tuple(discs)

    def drawn(self, discs: Sequence[Disc], changed: bool) -> Tensor:
        out = torch.full((3, SIZE, SIZE), -0.8 + self.leak * changed)
        for d in discs:
            out[:, disc(SIZE, (d.x, d.y), d.radius)] = d.value
        return out


class Deaf(Discs):
    """Draws the same whatever the blobs do."""

    def changed(self, v: Variant) -> tuple[Disc, ...]:
        return self.discs


def segment(pictures: Tensor) -> Tensor:
    """Kinds by brightness: background below -0.6, then steps of 0.4."""
    value = pictures.mean(dim=1)
    return torch.where(value < -0.6, 0, (value / 0.4).floor().long() + 3)


def scene(cls: type[Discs], seed: int, **settings: float) -> Discs:
    """Three discs of three kinds that do not touch."""
    rng = np.random.default_rng(seed)
    columns = rng.permutation(3)
    discs = [
        Disc(12 + 20 * int(c) + rng.uniform(-2, 2), rng.uniform(20, 44), 6, v)
        for c, v in zip(columns, (-0.3, 0.1, 0.5), strict=True)
    ]
    return cls(tuple(discs), **settings)  # type: ignore[arg-type]


def report(cls: type[Discs], scenes: int = 12, **settings: float) -> LayoutReport:
    records = [examine(scene(cls, seed, **settings), segment, seed) for seed in range(scenes)]
    return LayoutReport("discs", "0" * 64, scenes, 1.0, 0, rows(records), {})


def test_a_drawing_that_follows_its_blobs_passes_everything() -> None:
    found = report(Discs)
    for by in ("difference", "reader"):
        slope = found[f"displacement slope by {by}"].value
        assert slope.value == pytest.approx(1, abs=0.1)
        assert slope.low <= slope.value <= slope.high
        assert found[f"displacement r2 by {by}"].value.value > 0.85  # discs meet and hide each other now and then
        assert found[f"displacement within 10 % of the width by {by}"].value.value > 0.9
    assert found["thing gone without its blob"].value.value == 1
    assert found["thing gone without its blob"].cases == 36
    assert found["things that vanish with one of the blobs"].value.value == 1
    assert found["thing appears where a blob is added"].value.value > 0.8
    assert found["moved thing keeps its kind"].value.value == 1
    assert found["restyled thing keeps its kind"].value.value == 1
    assert found["restyled thing looks otherwise"].value.value == 1
    assert found["move: change outside over inside"].value.value < 0.02
    assert found["restyle: change inside over outside"].value.value > 1000


def test_a_drawing_that_ignores_its_blobs_passes_nothing() -> None:
    found = report(Deaf)
    names = [row.name for row in found.rows]
    assert not any(
        "slope" in name or "within" in name for name in names
    )  # there is no case: nothing was drawn by a blob
    assert found["moved blobs that draw something by reader"].value.value == 0
    for name in (
        "thing gone without its blob", "things that vanish with one of the blobs",
        "thing appears where a blob is added", "restyled thing looks otherwise",
    ):  # fmt: skip
        assert found[name].value.value == 0, name


def test_a_drawing_that_goes_half_the_way_has_slope_one_half() -> None:
    found = report(Discs, gain=0.5)
    assert found["displacement slope by difference"].value.value == pytest.approx(0.5, abs=0.07)
    assert found["displacement slope by reader"].value.value == pytest.approx(0.5, abs=0.07)


def test_change_elsewhere_is_seen() -> None:
    still, leaky = report(Discs), report(Discs, leak=0.1)
    name = "move: change outside over inside"
    assert leaky[name].value.value > still[name].value.value + 0.1
    assert leaky["restyle: change inside over outside"].value.value < 10


def test_the_same_seed_asks_the_same() -> None:
    assert examine(scene(Discs, 3), segment, 3) == examine(scene(Discs, 3), segment, 3)
    asked = [m.asked for m in examine(scene(Discs, 3), segment, 4).moves]
    assert asked != [m.asked for m in examine(scene(Discs, 3), segment, 3).moves]
    for seed in range(20):
        for move in examine(scene(Discs, seed), segment, seed).moves:
            assert 0.05 <= math.hypot(*move.asked) <= 0.25


def test_a_scene_without_blobs_and_one_blob_beyond_the_border() -> None:
    empty = examine(Discs(()), segment, 0)
    assert (empty.moves, empty.removed, empty.restyles) == ((), (), ())
    assert empty.added == (True,)
    beyond = examine(Discs((Disc(-30, 30, 6, 0.1),)), segment, 0)
    assert beyond.removed == ()
    assert beyond.moves[0].difference is None
    assert beyond.moves[0].seen == (False, False)
    assert beyond.moves[0].asked[0] > 0  # it is asked to come in
    assert len(rows([empty, beyond])) > 0


def test_records_come_back_from_json() -> None:
    for cls in (Discs, Deaf):
        record = examine(scene(cls, 1), segment, 1)
        assert of_record(json.loads(json.dumps(to_record(record)))) == record
    for wrong in ({}, [], {"seed": 1}, {**to_record(record), "moves": [{}]}):
        with pytest.raises((LookupError, TypeError, ValueError)):
            of_record(wrong)


def test_intervals_hold_the_share_of_resampled_scenes() -> None:
    """Against a plain bootstrap of scenes with lists."""
    rng = np.random.default_rng(5)
    records = [Record(i, (), tuple(rng.random(3) < 0.7), (), (), ()) for i in range(40)]
    (row,) = [row for row in rows(records) if row.name == "thing gone without its blob"]
    means = []
    for _ in range(3000):
        chosen = [records[i] for i in rng.integers(0, 40, 40)]
        flags = [flag for record in chosen for flag in record.removed]
        means.append(sum(flags) / len(flags))
    low, high = np.quantile(means, [0.025, 0.975])
    assert row.value.low == pytest.approx(low, abs=0.02)
    assert row.value.high == pytest.approx(high, abs=0.02)
