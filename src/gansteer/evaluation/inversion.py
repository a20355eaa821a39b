"""How faithfully photos come in, how well they can be edited then, and what that does to the model's other pictures.

A picture is measured with every option before the next is begun, and what was found of it is a few records: they can be
kept in a file as they come, made by several processes, and summed up at any time.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gansteer.checkpoints.inverter import find_inverter
from gansteer.directions import Directions
from gansteer.edits.inversion.edit import Inversion
from gansteer.edits.inversion.perceptual import comparison
from gansteer.edits.inversion.run import InversionRun, peak_signal
from gansteer.errors import UserError
from gansteer.evaluation.editability import (
    Reference,
    arrivals,
    changes,
    drawn,
    eye_distance,
    gain,
    levels,
    mean_changes,
)
from gansteer.models.face_reader import FaceReader
from gansteer.subject import Model, Subject

BASELINE = 400
"""Steps in w from the mean, the usual way, that everything is compared with."""
OWN, TRUNCATED = "the model's own", "the model's own, psi 0.7"
"""The names under which the model's own pictures are edited: those to compare with, and ones nearer to the mean."""
ORDER = ("encoder", "w", "w+ without prior", "w+", "tuned", "tuned without locality")
SEEDS = 100
"""Pictures on which locality is measured; in every tenth of them the perceptual distance, too."""


@dataclass(frozen=True)
class Near:
    """How near a stage or an option comes to a picture."""

    psnr: float
    mse: float
    """Of pixels from -1 to 1."""
    ssim: float
    perceptual: float
    """Distance in EfficientNet-Lite0 features, as in `inversion/perceptual.py`; not LPIPS."""
    landmarks: float | None
    """Mean distance between the landmarks that the face reader sees, in percent of that between the eyes."""
    seconds: float
    size: int
    """Bytes of tuned weights."""


@dataclass(frozen=True)
class Local:
    """How much the model's own pictures at other seeds change when it is tuned for one photo."""

    mse: float
    """Between the pictures of the tuned and the untuned generator, from -1 to 1."""
    perceptual: float

    @property
    def psnr(self) -> float:
        """Decibels between the pictures; more is less change."""
        return 10 * math.log10(4 / max(self.mse, 1e-12))


@dataclass(frozen=True)
class Record:
    """What was measured of one picture with one option."""

    picture: str
    option: str
    near: Near | None = None
    """None for the model's own pictures."""
    arrived: tuple[bool, ...] = ()
    """Of each drag, if there were any."""
    changes: dict[str, float] | None = None
    """Attribute to how much the face reader saw it change when it was turned; under `OWN`, what was to be expected."""
    local: Local | None = None

    @classmethod
    def of(cls, fields: dict[str, Any]) -> "Record":
        """From what `asdict` and JSON make of one. Raises KeyError or TypeError if it is none."""
        near, local = fields["near"], fields["local"]
        return cls(
            fields["picture"], fields["option"], None if near is None else Near(**near), tuple(fields["arrived"]),
            fields["changes"], None if local is None else Local(**local),
        )  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """An option over all pictures: means."""

    name: str
    pictures: int
    near: Near | None
    """`size` is the largest."""
    drags: int
    arrived: float | None
    """Share of the drags whose handles arrived; None if none were run."""
    changes: dict[str, float]
    """Attribute to the mean change of what the face reader reads when it is turned."""
    gain: float | None
    """Mean of the changes' ratios to those of the model's own pictures; None without directions."""
    local: Local | None


@dataclass(frozen=True)
class InversionReport:
    """All that was measured."""

    model: str
    pictures: int
    threads: int
    options: tuple[Summary, ...]
    """The model's own pictures first, if there was editing."""


@dataclass(frozen=True, eq=False)
class Judge:
    """What pictures are measured with. What is the same for all of them is found once."""

    model: Model
    reader: FaceReader | None = None
    """Says that they are faces, and where their landmarks are."""
    directions: Directions | None = None
    """The attributes that are turned."""
    edits: bool = True
    """Also edit, for more options, and see what became of the model's other pictures."""

    @cached_property
    def references(self) -> dict[str, Reference]:
        """How attributes of the model's own pictures change, `OWN` and `TRUNCATED`; empty without directions."""
        if self.reader is None or self.directions is None:
            return {}
        psis = {OWN: 1.0, TRUNCATED: 0.7}
        return {name: Reference.of(self.model, self.reader, self.directions, psi) for name, psi in psis.items()}

    @cached_property
    def others(self) -> tuple[list[Subject], Tensor]:
        """Subjects of `SEEDS` seeds (psi 1) and their pictures, on which locality is measured."""
        label = 0 if self.model.generator.config.c_dim else None
        subjects = [self.model.sample(seed, 1.0, label) for seed in range(SEEDS)]
        return subjects, drawn(subjects)

    def local(self, subject: Subject) -> Local:
        """The change of the others by the subject's tuning."""
        subjects, before = self.others
        after = drawn([replace(other, tuning=subject.tuning) for other in subjects])
        with torch.no_grad():
            distance = comparison("efficientnet-lite0", before)(before[::10])(after[::10])
        return Local(float((after - before).square().mean()), float(distance.mean()))


def bring_in(model: Model, picture: Tensor, edit: Inversion, options: bool) -> dict[str, tuple[Subject, float]]:
    """One picture `uint8 [R, R, 3]` through every stage and, with `options`, option: name to subject and seconds.

    `edit` holds what the options have in common; its picture is replaced.
    """
    edit = replace(edit, picture=picture)
    blank = Subject(model, model.generator.mean_code())
    found: dict[str, tuple[Subject, float]] = {}

    def run(name: str, edit: Inversion, start: Subject = blank, before: float = 0.0) -> InversionRun:
        begin = time.perf_counter()
        run = InversionRun(start, edit)
        for now in run:
            if now.stage == "projection" and edit.tuning != "none":
                found["w+"] = now.subject, time.perf_counter() - begin
        found[name] = run.subject, before + time.perf_counter() - begin
        return run

    if find_inverter(model) is not None:
        run("encoder", replace(edit, projection=0, tuning="none", start="encoder"))
    run("w", replace(edit, start="mean", space="w", projection=BASELINE, prior=0, tuning="none"))
    run("tuned", edit)
    if not options:
        return found
    run("w+ without prior", replace(edit, prior=0, tuning="none"))
    pivot, seconds = found["w+"]
    run("tuned without locality", replace(edit, start="present", projection=0, locality=0), pivot, seconds)
    return found


def measured(name: str, number: int, picture: Tensor, edit: Inversion, judge: Judge) -> list[Record]:
    """The records of one picture `uint8 [R, R, 3]`, and of the model's own of seed `number`. Raises UserError."""
    model, reader = judge.model, judge.reader
    found = bring_in(model, picture, edit, judge.edits)
    target = picture.to(model.generator.mean_w()).permute(2, 0, 1)[None] / 127.5 - 1
    records = own_records(name, number, target, judge) if judge.edits else []
    for option in ORDER:
        if option not in found:
            continue
        subject, seconds = found[option]
        record = Record(name, option, near(subject, target, reader, seconds))
        if judge.edits:
            record = replace(record, arrived=arrivals(subject, reader))
            if reader is not None and judge.directions is not None:
                turned = changes([subject], reader, judge.directions)
                record = replace(record, changes={name: float(change) for name, change in turned.items()})
            if option.startswith("tuned"):
                record = replace(record, local=judge.local(subject))
        records.append(record)
    return records


def own_records(name: str, number: int, target: Tensor, judge: Judge) -> list[Record]:
    """What the editing of a picture `target [1, 3, R, R]` is compared with: drags on seed `number`, and attributes."""
    label = 0 if judge.model.generator.config.c_dim else None
    arrived = arrivals(judge.model.sample(number, 1.0, label), judge.reader)
    if judge.reader is None or not judge.references:
        return [Record(name, OWN, arrived=arrived)]
    expected = judge.references[OWN].at(levels(target, judge.reader))
    nearer_the_mean = Record(name, TRUNCATED, changes=judge.references[TRUNCATED].mean())
    return [nearer_the_mean, Record(name, OWN, arrived=arrived, changes=expected)]


def near(subject: Subject, target: Tensor, reader: FaceReader | None, seconds: float) -> Near:
    """`target [1, 3, R, R]` in [-1, 1] is what the subject should look like."""
    try:
        from torchmetrics.functional.image import structural_similarity_index_measure as similarity
    except ImportError as error:
        raise UserError("this needs torchmetrics: run pip install 'gansteer[train]'") from error
    picture = subject.render()[None].clamp(-1, 1)
    with torch.no_grad():
        distance = comparison("efficientnet-lite0", target)(target)(picture)
        landmarks = None
        if reader is not None:
            true = reader.read(target).landmarks
            away = (reader.read(picture).landmarks - true).norm(dim=2).mean(dim=1)
            landmarks = float(100 * away / eye_distance(true))
    structure = similarity(picture, target, data_range=2.0)
    assert isinstance(structure, Tensor)
    return Near(
        psnr=float(peak_signal(picture, target)),
        mse=float((picture - target).square().mean()),
        ssim=float(structure),
        perceptual=float(distance),
        landmarks=landmarks,
        seconds=seconds,
        size=0 if subject.tuning is None else subject.tuning.size,
    )


def of_picture(fields: list[dict[str, Any]]) -> list[Record]:
    """The records of a picture from what `asdict` and JSON make of them. Raises KeyError or TypeError if it is none."""
    return [Record.of(each) for each in fields]


def summed_up(model: str, records: Sequence[Record]) -> InversionReport:
    """The report of what was measured so far. Raises UserError if that is nothing."""
    if not records:
        raise UserError("nothing was measured: give a folder that has pictures, and time for one of them")
    by_option = {name: [r for r in records if r.option == name] for name in (TRUNCATED, OWN, *ORDER)}
    own = mean_changes([r.changes for r in by_option[OWN] if r.changes is not None])
    options = tuple(_summary(name, some, own) for name, some in by_option.items() if some)
    return InversionReport(model, len({r.picture for r in records}), torch.get_num_threads(), options)


def _summary(name: str, records: list[Record], own: dict[str, float]) -> Summary:
    drags = [arrived for record in records for arrived in record.arrived]
    turned = mean_changes([r.changes for r in records if r.changes is not None])
    nears = [asdict(r.near) for r in records if r.near is not None]
    locals_ = [asdict(r.local) for r in records if r.local is not None]
    return Summary(
        name=name,
        pictures=len(records),
        near=Near(**_means(nears) | {"size": max(x["size"] for x in nears)}) if nears else None,
        drags=len(drags),
        arrived=sum(drags) / len(drags) if drags else None,
        changes=turned,
        gain=gain(turned, own),
        local=Local(**_means(locals_)) if locals_ else None,
    )


def _means(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of each field; None where it was not measured."""
    return {name: None if rows[0][name] is None else sum(row[name] for row in rows) / len(rows) for name in rows[0]}
