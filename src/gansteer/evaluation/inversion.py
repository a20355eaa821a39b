"""How faithfully photos come in, how well they can be edited then, and what that does to the model's other pictures."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gansteer.checkpoints.inverter import find_inverter
from gansteer.edits.attribute import Attribute
from gansteer.edits.directions import Directions
from gansteer.edits.drag import Drag
from gansteer.edits.portrait_scores import scores_of
from gansteer.errors import UserError
from gansteer.inversion.edit import Inversion
from gansteer.inversion.perceptual import comparison
from gansteer.inversion.run import InversionRun, peak_signal
from gansteer.models.face_reader import FaceReader
from gansteer.subject import Model, Subject

DRAGS = ((30, 0.25, 0.0), (8, 0.0, 0.25), (54, 0.2, -0.1), (19, 0.0, -0.2), (57, 0.0, 0.2))
"""A landmark (nose, chin, corner of the mouth, brow, lower lip) and its way, in distances between the eyes."""
PLACES = ((0.5, 0.5), (0.3, 0.4), (0.7, 0.4), (0.4, 0.7), (0.6, 0.7))
"""Where handles stand in pictures that are no faces, as shares of the side; each goes 5 % of it to the right."""
DRAG_STEPS = 40
TURNED = 1.5
"""Deviations by which each attribute is turned."""
ATTRIBUTES = ("smile", "age", "gender", "yaw", "mouth_open")
BASELINE = 400
"""Steps in w from the mean, the usual way, that everything is compared with."""
ORDER = ("encoder", "w", "w+ without prior", "w+", "tuned", "tuned without locality")
SEEDS = 100
"""Pictures on which locality is measured."""

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Faithful:
    """How near a stage or an option comes to the pictures: means over them."""

    name: str
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
class Editable:
    """What edits do to pictures: the model's own, or those that were brought in."""

    name: str
    drags: int
    arrived: float
    """Share of the drags whose handles all arrived."""
    gains: dict[str, float]
    """Attribute to the mean change of what the face reader reads when it is turned by `TURNED` deviations."""
    gain: float | None
    """Mean of the gains' ratios to those on the model's own pictures; None without directions."""


@dataclass(frozen=True)
class Local:
    """How much the model's own pictures at other seeds change when it is tuned for one photo."""

    name: str
    psnr: float
    """Decibels between the pictures of the tuned and the untuned generator; more is less change."""
    perceptual: float


@dataclass(frozen=True)
class InversionReport:
    """All that was measured."""

    model: str
    pictures: int
    threads: int
    faithful: tuple[Faithful, ...]
    editable: tuple[Editable, ...]
    """The model's own pictures first."""
    local: tuple[Local, ...]


Found = dict[str, list[tuple[Subject, float]]]
"""Option to a subject for each picture, and the seconds it took."""


def bring_in(model: Model, picture: Tensor, edit: Inversion, options: bool) -> dict[str, tuple[Subject, float]]:
    """One picture `uint8 [R, R, 3]` through every stage and, with `options`, option: name to subject and seconds.

    `edit` holds what the options have in common; its picture is replaced.
    """
    edit = replace(edit, picture=picture)
    blank = Subject(model, model.generator.mapping.w_mean.expand(model.generator.config.num_ws, -1))
    found: dict[str, tuple[Subject, float]] = {}

    def run(name: str, edit: Inversion, start: Subject = blank, before: float = 0.0) -> InversionRun:
        begin = time.perf_counter()
        run = edit.begin(start)
        for now in run:
            if now.stage == "projection" and edit.tuning != "none":
                found["w+"] = now.subject, time.perf_counter() - begin
        found[name] = run.subject, before + time.perf_counter() - begin
        return run

    guess = replace(edit, projection=0, tuning="none")
    if find_inverter(model) is not None:
        run("encoder", replace(guess, start="encoder"))
    run("w", replace(edit, start="mean", space="w", projection=BASELINE, prior=0, tuning="none"))
    run("tuned", edit)
    if not options:
        return found
    run("w+ without prior", replace(edit, prior=0, tuning="none"))
    pivot, seconds = found["w+"]
    run("tuned without locality", replace(edit, start="present", projection=0, locality=0), pivot, seconds)
    return found


def faithful(name: str, found: Sequence[tuple[Subject, float]], targets: Tensor, reader: FaceReader | None) -> Faithful:
    """`targets [N, 3, R, R]` in [-1, 1], one for each of `found`."""
    try:
        from torchmetrics.functional.image import structural_similarity_index_measure as similarity
    except ImportError as error:
        raise UserError("this needs torchmetrics: run pip install 'gansteer[train]'") from error
    pictures = torch.stack([subject.render().clamp(-1, 1) for subject, _ in found])
    with torch.no_grad():
        distance = comparison("efficientnet-lite0", targets)(targets)(pictures).mean()
        landmarks = None
        if reader is not None:
            true = reader.read(targets).landmarks
            away = (reader.read(pictures).landmarks - true).norm(dim=2).mean(dim=1)
            landmarks = float((100 * away / eye_distance(true)).mean())
    structure = similarity(pictures, targets, data_range=2.0)
    assert isinstance(structure, Tensor)
    return Faithful(
        name=name,
        psnr=float(peak_signal(pictures, targets).mean()),
        mse=float((pictures - targets).square().mean()),
        ssim=float(structure),
        perceptual=float(distance),
        landmarks=landmarks,
        seconds=sum(seconds for _, seconds in found) / len(found),
        size=max(0 if subject.tuning is None else subject.tuning.size for subject, _ in found),
    )


def eye_distance(landmarks: Tensor) -> Tensor:
    """`[B, 68, 2]` to the distance between the eyes' centres `[B]`."""
    right, left = landmarks[:, 36:42].mean(dim=1), landmarks[:, 42:48].mean(dim=1)
    distance: Tensor = (right - left).norm(dim=1)
    return distance


def drags_on(subject: Subject, reader: FaceReader | None) -> list[Drag]:
    """The drags that a picture is tried with: at its landmarks, or at fixed places if it is no face."""
    last = subject.model.resolution - 1
    if reader is None:
        pairs = [((x * last, y * last), ((x + 0.05) * last, y * last)) for x, y in PLACES]
    else:
        with torch.no_grad():
            seen = reader.read(subject.render()[None].clamp(-1, 1)).landmarks
        unit = float(eye_distance(seen)[0])
        at = [(seen[0, i].tolist(), (dx * unit, dy * unit)) for i, dx, dy in DRAGS]
        pairs = [((x, y), (x + dx, y + dy)) for (x, y), (dx, dy) in at]

    def inside(point: tuple[float, float]) -> tuple[float, float]:
        return min(max(point[0], 0.0), last), min(max(point[1], 0.0), last)

    return [
        Drag([inside(handle)], [inside(target)], method="gauss-newton", steps=DRAG_STEPS) for handle, target in pairs
    ]


def editable(
    name: str, subjects: Sequence[Subject], reader: FaceReader | None, directions: Directions | None,
    own: Editable | None = None,
) -> Editable:  # fmt: skip
    """Drags and attributes on these pictures; `own` is what the same edits did to the model's own pictures."""
    arrived = []
    for subject in subjects:
        for drag in drags_on(subject, reader):
            *_, last = drag.begin(subject)
            arrived.append(last.ended == "all handles have arrived")
    gains: dict[str, float] = {}
    if directions is not None and reader is not None:
        for attribute in ATTRIBUTES:
            edit = Attribute({attribute: TURNED}, directions=directions)
            changes = [
                _score(edit.begin(s).step().subject, reader, attribute) - _score(s, reader, attribute) for s in subjects
            ]
            gains[attribute] = sum(changes) / len(changes)
    ratios = [gains[a] / own.gains[a] for a in gains if own.gains[a]] if own is not None else [1.0] * len(gains)
    gain = sum(ratios) / len(ratios) if ratios else None
    return Editable(name, len(arrived), sum(arrived) / len(arrived), gains, gain)


def _score(subject: Subject, reader: FaceReader, attribute: str) -> float:
    """What the reader reads; gender in log-odds, as its probability saturates on clear cases."""
    with torch.no_grad():
        score = scores_of(reader.read(subject.render()[None].clamp(-1, 1)))[attribute][0]
    return float(score.logit(1e-6) if attribute == "gender" else score)


def local(name: str, subjects: Sequence[Subject]) -> Local:
    """The change of `SEEDS` pictures (psi 1), mean over the tuned generators of `subjects`."""
    model = subjects[0].model
    label = 0 if model.generator.config.c_dim else None
    squares, distances = [], []
    for seed in range(SEEDS):
        plain = model.sample(seed, 1.0, label)
        before = plain.render()[None].clamp(-1, 1)
        for subject in subjects:
            after = replace(plain, tuning=subject.tuning).render()[None].clamp(-1, 1)
            squares.append((after - before).square().mean())
            if seed % 10 == 0:
                with torch.no_grad():
                    distances.append(comparison("efficientnet-lite0", before)(before)(after)[0])
    mean = torch.stack(squares).mean().clamp_min(1e-12)
    return Local(name, float(10 * torch.log10(4 / mean)), float(torch.stack(distances).mean()))


def inversion(
    model: Model, pictures: Sequence[Tensor], edit: Inversion, *, reader: FaceReader | None = None,
    directions: Directions | None = None, edits: bool = True, report: Report = lambda done, total: None,
) -> tuple[InversionReport, Found]:  # fmt: skip
    """Bring in all `pictures` (`uint8 [R, R, 3]` each) with every option, and measure. Raises UserError.

    `edit` holds what the options have in common. With a `reader` they are taken for faces; `edits` also measures
    editability, on as many of the model's own pictures too, and locality, for more options.
    """
    if not pictures:
        raise UserError("there are no pictures to bring in: give a folder that has some")
    total = len(pictures) + (len(ORDER) + 1 if edits else 0)
    found: Found = {}
    for done, picture in enumerate(pictures):
        report(done, total)
        for name, result in bring_in(model, picture, edit, edits).items():
            found.setdefault(name, []).append(result)
    like = model.generator.synthesis.constant
    targets = torch.stack(list(pictures)).to(like).permute(0, 3, 1, 2) / 127.5 - 1
    order = [name for name in ORDER if name in found]
    measured = tuple(faithful(name, found[name], targets, reader) for name in order)
    able: list[Editable] = []
    held: list[Local] = []
    if edits:
        label = 0 if model.generator.config.c_dim else None
        own = [model.sample(seed, label=label) for seed in range(len(pictures))]
        able.append(editable("the model's own", own, reader, directions))
        for done, name in enumerate(order):
            report(len(pictures) + done, total)
            able.append(editable(name, [subject for subject, _ in found[name]], reader, directions, able[0]))
        held = [local(n, [subject for subject, _ in found[n]][:3]) for n in order if n.startswith("tuned")]
    report(total, total)
    threads = torch.get_num_threads()
    return InversionReport(model.card.name, len(pictures), threads, measured, tuple(able), tuple(held)), found
