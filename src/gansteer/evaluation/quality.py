"""How near a model's pictures are to real ones: distances between two sets of features, and the floor under each.

- Frechet distance: `|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))` of the two means and covariances (Heusel et al. 2017).
- Kernel distance: the squared maximum mean discrepancy with the kernel `(x.y / D + 1)^3`, unbiased (Binkowski et al. 2018).
- Precision and recall: the share of drawn pictures within the real manifold, and the reverse; the manifold is the union of
  balls around its pictures, each as wide as the distance to its third neighbour (Kynkaanniemi et al. 2019).

These are "FID" and "KID" in Inception's features only.

A distance between finite samples is above zero even between real and real, and the more so the fewer there are. So three
numbers are given for each: `value`, of all samples against all real pictures; `floor`, of one half of the real pictures
against the other; and `matched`, of as many samples as a half has against that other half, which differs from the floor
in nothing but where the pictures come from.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from gansteer.errors import UserError
from gansteer.evaluation.features import FeatureName, extractor
from gansteer.evaluation.lpips import Diversity, distances, lpips_distance
from gansteer.evaluation.picture_cases import Case, drawn_cases, real_cases
from gansteer.evaluation.sharing import Share, here
from gansteer.subject import Model
from gansteer.training.data import Pictures

NEIGHBOUR = 3
"""Balls of the manifold reach to this neighbour."""
LEAST = 16
"""Pictures a comparison takes at least."""
MOST_REAL = 50_000
KERNEL_SUBSET, KERNEL_SUBSETS = 1000, 20
LPIPS_PAIRS = 500
CHUNK = 1024
"""Rows of a distance matrix that are computed at once."""

Report = Callable[[str, int, int], None]
"""`report(what, done, total)`."""


@dataclass(frozen=True)
class Measure:
    """One metric with its floor; see the top of the module."""

    value: float
    matched: float
    floor: float


@dataclass(frozen=True)
class QualityReport:
    """What was measured, and how."""

    model: str
    data: str
    features: FeatureName
    resolution: int
    samples: int
    reals: int
    half: int
    """Pictures on each side of `matched` and `floor`."""
    psi: float
    seed: int
    frechet_distance: Measure
    kernel_distance: Measure
    precision: Measure
    recall: Measure
    lpips: Diversity | None = None
    """Measured when asked for."""


def quality(
    model: Model,
    data: Path,
    samples: int = 5000,
    *,
    psi: float = 1.0,
    seed: int = 0,
    features: FeatureName = "efficientnet-lite0",
    lpips: bool = False,
    report: Report = lambda what, done, total: None,
    share: Share | None = None,
) -> QualityReport:
    """Compare `samples` pictures of the model with those of `data`, a folder or zip, at the model's resolution.

    At most 50,000 real pictures are taken, in an order that `seed` determines. `lpips` adds the perceptual diversity of
    both, over at most 500 pairs. `share` has pictures drawn and looked at elsewhere. Raises UserError.
    """
    if samples < LEAST:
        raise UserError(f"--samples must be at least {LEAST}, not {samples}")
    conditional = model.generator.config.c_dim > 0
    real = Pictures(
        data,
        model.resolution,
        labels=conditional,
        progress=lambda done, total: report("checking pictures", done, total),
    )
    if len(real) < 2 * LEAST:
        raise UserError(f"{data} holds {len(real)} pictures: comparing takes at least {2 * LEAST}")
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))[:MOST_REAL].tolist()
    labels = [real.labels[i] for i in order] if conditional else None
    half = min(len(order) // 2, samples)
    pairs = min(LPIPS_PAIRS, half // 2) if lpips else 0

    parts = [real_cases(real, order), drawn_cases(model, samples, seed, labels)]
    if lpips:
        parts += [
            real_cases(real, order[: 2 * pairs], paired=True),
            drawn_cases(model, 2 * pairs, seed, labels, paired=True),
        ]
    count = sum(number for number, _ in parts)
    share = share or here(model, lambda done, total: report("looking at pictures", done, total))
    found = iter(share((case for _, cases in parts for case in cases), count, prepare, features, psi, lpips))
    reals, fakes, *diverse = (torch.cat(list(islice(found, number))) for number, _ in parts)

    report("comparing", 0, 1)
    measures = compare(fakes, reals, half, seed)
    diversity = None
    if diverse:
        real_mean, drawn_mean = (float(each.mean()) for each in diverse)
        diversity = Diversity(pairs, drawn_mean, real_mean)
    name = model.card.name
    return QualityReport(
        name, str(data), features, model.resolution, samples, len(order), half, psi, seed, *measures, diversity
    )


def prepare(model: Model, features: FeatureName, psi: float, lpips: bool) -> Callable[[Case], Tensor]:
    """What gives the features `[B, D]` of a case's pictures, or the distances `[B / 2]`, on the host in float64."""
    network = extractor(features, model.device)
    distance = lpips_distance(model.device) if lpips else None

    @torch.no_grad()
    def look(case: Case) -> Tensor:
        pictures = case.shown(model, psi)
        if not case.paired:
            return network(pictures).cpu().double()
        assert distance is not None
        return distances(pictures, distance).cpu().double()

    return look


# --- distances --------------------------------------------------------------------------------------------------------


def compare(fakes: Tensor, reals: Tensor, half: int, seed: int = 0) -> tuple[Measure, Measure, Measure, Measure]:
    """Frechet distance, kernel distance, precision and recall of features `[N, D]` and `[M, D]` in float64.

    `half` rows of each, at most `M / 2`, make the floor. Rows must be in random order.
    """
    pairs = _compared(fakes, reals, half)
    subset = min(KERNEL_SUBSET, half)
    frechet, kernel, precision, recall = [], [], [], []
    for these, those in pairs:
        frechet.append(frechet_distance(these, those))
        kernel.append(kernel_distance(these, those, subset, seed))
        p, r = precision_recall(these, those)
        precision.append(p)
        recall.append(r)
    return Measure(*frechet), Measure(*kernel), Measure(*precision), Measure(*recall)


def _compared(fakes: Tensor, reals: Tensor, half: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """What is compared with what for the value, for `matched` and for the floor."""
    first, second = reals[:half], reals[-half:]
    return (fakes, reals), (fakes[:half], second), (first, second)


def frechet_measure(fakes: Tensor, reals: Tensor) -> Measure:
    """The Frechet distance of features `[N, D]` and `[M, D]` alone, with its floor; rows in random order."""
    half = min(len(reals) // 2, len(fakes))
    return Measure(*(frechet_distance(these, those) for these, those in _compared(fakes, reals, half)))


def frechet_distance(fakes: Tensor, reals: Tensor) -> float:
    """Of features `[N, D]` and `[M, D]`, in float64."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(Ready(fakes.shape[1])).set_dtype(torch.float64)
    metric.update(reals, real=True)
    metric.update(fakes, real=False)
    return float(metric.compute())


def kernel_distance(fakes: Tensor, reals: Tensor, subset: int = KERNEL_SUBSET, seed: int = 0) -> float:
    """Of features `[N, D]` and `[M, D]`: the mean over 20 pairs of subsets, drawn with `seed`."""
    from torchmetrics.image.kid import KernelInceptionDistance

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps the features in memory, where they are anyway
        metric = KernelInceptionDistance(Ready(fakes.shape[1]), subsets=KERNEL_SUBSETS, subset_size=subset)
    metric.update(reals, real=True)
    metric.update(fakes, real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return float(metric.compute()[0])


class Ready(nn.Identity):
    """Stands for the feature network in torchmetrics when features are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


def precision_recall(fakes: Tensor, reals: Tensor, neighbour: int = NEIGHBOUR) -> tuple[float, float]:
    """The share of `fakes [N, D]` in the manifold of `reals [M, D]`, and of `reals` in the manifold of `fakes`."""
    return _share_inside(fakes, reals, _radii(reals, neighbour)), _share_inside(reals, fakes, _radii(fakes, neighbour))


def _radii(points: Tensor, neighbour: int) -> Tensor:
    """The distance from each of `points [N, D]` to its `neighbour`-th nearest other: `[N]`."""
    found = []
    for chunk in torch.split(points, CHUNK):
        nearest = torch.cdist(chunk, points).topk(neighbour + 1, largest=False).values  # the first is the point itself
        found.append(nearest[:, -1])
    return torch.cat(found)


def _share_inside(points: Tensor, centres: Tensor, radii: Tensor) -> float:
    """How many of `points [N, D]` lie in at least one ball."""
    inside = [(torch.cdist(chunk, centres) <= radii).any(dim=1) for chunk in torch.split(points, CHUNK)]
    return float(torch.cat(inside).double().mean())
