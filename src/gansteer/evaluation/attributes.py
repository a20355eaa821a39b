"""Whether a model's directions do what their names say, and only that: InterFaceGAN's tables and matrices."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gansteer.directions import Directions, Space
from gansteer.edits.attribute.edit import Attribute
from gansteer.edits.attribute.fitting import EXTREME, Samples, Scorer, sample
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.subject import Model, Subject

ENTANGLED = 0.1
"""A change of another attribute is unwanted from this share of the wanted change on (both in deviations of the scores)."""

Matrix = tuple[tuple[float, ...], ...]
"""Row by row, in the order of the names."""


@dataclass(frozen=True)
class Accuracy:
    """How often a boundary is on the right side of samples that took no part in fitting it."""

    name: str
    space: Space
    extremes: float
    """Of the highest and lowest scores (`EXTREME` of the samples at either end)."""
    all: float
    """Of all other samples, labelled by the middle between the least and the greatest score."""
    correlation: float
    """Of the value with the score."""


@dataclass(frozen=True)
class Rescoring:
    """What one deviation along each direction does to every score, as the mean change in the score's deviations."""

    plain: Matrix
    """Row: the direction that is moved along; column: the score."""
    held: Matrix
    """The same with all other attributes held."""
    entangled: int
    """How many changes are unwanted when nothing is held: see `ENTANGLED`."""
    unwanted_plain: float
    """Mean size of these, each as a share of the wanted change of its row."""
    unwanted_held: float
    """Of the same ones, held."""
    cut: float
    """By which share holding cuts them, at equal change of what is wanted."""
    cut_at_equal_strength: float
    """The same at equal steps, as the matrices stand."""


@dataclass(frozen=True)
class AttributesReport:
    """What was measured, and how."""

    model: str
    samples: int
    pictures: int
    """How many were moved for the re-scoring."""
    step: float
    """How far, in deviations."""
    seed: int
    names: tuple[str, ...]
    deviations: Mapping[str, float]
    """Of the scores over the samples."""
    accuracy: tuple[Accuracy, ...]
    cosine: Mapping[str, Matrix]
    """Of the normals, by space: the first of the three entanglement matrices."""
    drawn: Matrix
    """Correlation of the scores over samples."""
    labelled: Matrix | None
    """Correlation of the labels in the data that the model was trained on; None without labels."""
    rescoring: Rescoring


def attributes(
    model: Model,
    directions: Directions,
    scorer: Scorer,
    samples: int = 4000,
    pictures: int = 200,
    *,
    step: float = 1.0,
    seed: int = 1000,
    labels: Mapping[str, Sequence[float]] | None = None,
    label: int | None = None,
    report: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> AttributesReport:
    """Measure the directions that have a score, on pictures of `seed`, which should not be that of the fit.

    `labels` are those of the training data by attribute; attributes that have none are left out of the tables. `label` is
    the class of a conditional model that is drawn.
    Raises UserError if there is nothing to measure.
    """
    if pictures < 1 or round(EXTREME * samples) < 1:
        raise UserError(f"give at least {round(1 / EXTREME)} samples and one picture")
    found = sample(
        model,
        samples,
        scorer,
        seed=seed,
        label=label,
        report=lambda done, total: report("scoring samples", done, total),
    )
    names = tuple(name for name in found.scores if name in directions.names())
    if not names:
        raise UserError(
            f"{model.card.name} has no directions that can be scored: fit them with `gansteer directions fit`"
        )
    if labels is not None:
        names = tuple(name for name in names if name in labels)
        if not names:
            raise UserError(f"the labels are of {', '.join(labels)}: name the columns like directions")
    spaces: list[Space] = [
        space for space in ("z", "w", "s") if all(name in directions.names(space) for name in names)
    ]  # fmt: skip
    accuracy = tuple(accuracy_of(directions, name, space, found) for space in spaces for name in names)
    moved = [
        Subject(
            model,
            Code(w.repeat(model.generator.config.num_ws, 1), layout=None if found.layout is None else found.layout[i]),
        )
        for i, w in enumerate(found.w[:pictures])
    ]
    return AttributesReport(
        model.card.name, samples, len(moved), step, seed, names,
        {name: float(scores.std()) for name, scores in found.scores.items()}, accuracy,
        {space: cosines([directions.get(name, space).vector for name in names]) for space in spaces},
        correlations([found.scores[name] for name in names]),
        None if labels is None else correlations([np.asarray(labels[name], float) for name in names]),
        rescoring(moved, directions, scorer, names, found, step, report),
    )  # fmt: skip


def accuracy_of(directions: Directions, name: str, space: Space, samples: Samples) -> Accuracy:
    """How well one boundary tells the samples' scores apart."""
    scores = samples.scores[name]
    values = directions.get(name, space).values(samples.codes(space)).numpy()
    order = np.argsort(scores, kind="stable")
    k = round(EXTREME * len(scores))
    low, rest, high = order[:k], order[k:-k], order[-k:]
    right = np.r_[values[low] < 0, values[high] > 0]
    positive = scores > (scores.min() + scores.max()) / 2
    return Accuracy(
        name, space, float(right.mean()), float(np.mean((values[rest] > 0) == positive[rest])),
        float(np.corrcoef(values, scores)[0, 1]),
    )  # fmt: skip


def cosines(vectors: Sequence[Tensor]) -> Matrix:
    """Cosines of unit vectors `[D]` each."""
    n = torch.stack(list(vectors))
    return _matrix((n @ n.t()).numpy())


def correlations(columns: Sequence[np.ndarray]) -> Matrix:
    """Pearson's, of columns of equal length; pairs where either is missing (NaN) are left out."""
    x = np.stack(columns)
    found = np.eye(len(x))
    for i in range(len(x)):
        for j in range(i):
            both = np.isfinite(x[i]) & np.isfinite(x[j])
            found[i, j] = found[j, i] = np.corrcoef(x[i, both], x[j, both])[0, 1]
    return _matrix(found)


def rescoring(
    subjects: Sequence[Subject], directions: Directions, scorer: Scorer, names: Sequence[str], samples: Samples,
    step: float, report: Callable[[str, int, int], None],
) -> Rescoring:  # fmt: skip
    """Move every subject along every direction, plain and with all others held, and score it again."""
    deviation = np.array([samples.scores[name].std() for name in names])
    before = scores_of(subjects, scorer, names)
    plain, held = np.zeros((2, len(names), len(names)))
    for i, name in enumerate(names):
        for target, hold in ((plain, ()), (held, tuple(other for other in names if other != name))):
            edit = Attribute({name: step}, hold, directions=directions)
            after = scores_of([start(subject, edit).step().subject for subject in subjects], scorer, names)
            target[i] = (after - before).mean(axis=0) / deviation
        report("re-scoring", i + 1, len(names))
    return summed_up(plain, held)


def summed_up(plain: np.ndarray, held: np.ndarray) -> Rescoring:
    """By how much holding cuts the unwanted changes, of the two matrices `[n, n]`."""
    wanted = np.abs(np.diag(plain))[:, None]
    unwanted = (np.abs(plain) > ENTANGLED * wanted) & ~np.eye(len(plain), dtype=bool)
    shares = [np.abs(m) / np.abs(np.diag(m))[:, None].clip(1e-9) for m in (plain, held)]
    means = [float(share[unwanted].mean()) if unwanted.any() else 0.0 for share in shares]
    equal = [float(np.abs(m)[unwanted].mean()) if unwanted.any() else 0.0 for m in (plain, held)]
    return Rescoring(
        _matrix(plain), _matrix(held), int(unwanted.sum()), means[0], means[1],
        1 - means[1] / max(means[0], 1e-9), 1 - equal[1] / max(equal[0], 1e-9),
    )  # fmt: skip


def scores_of(subjects: Sequence[Subject], scorer: Scorer, names: Sequence[str]) -> np.ndarray:
    """`[subjects, names]`."""
    found = []
    with torch.no_grad():
        for i in range(0, len(subjects), 16):
            batch = subjects[i : i + 16]
            code = Code.batch([subject.code for subject in batch])
            scores = scorer(batch[0].generator.synthesize(code).clamp(-1, 1))
            found.append(torch.stack([scores[name] for name in names], dim=1).double().cpu().numpy())
    return np.concatenate(found)


def _matrix(x: np.ndarray) -> Matrix:
    return tuple(tuple(float(v) for v in row) for row in x)
