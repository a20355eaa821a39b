"""What a layout does to the training: Frechet distance, disequilibrium and the discriminator's attention, run beside run.

The model that is examined stands beside three networks that differ from it in one thing, where there are runs of such:
one without a layout, one with and one without the alignment loss. Which of them a run is, its own record says.

Attention is GradCAM of the discriminator as the alignment loss takes it (Wang et al. 2022), of its three levels, each within
[0, 1], averaged. How much of it lies on things is the area under the curve (ROC): 0.5 is chance.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.errors import UserError
from gansteer.evaluation.features import Extractor, extract, extractor
from gansteer.evaluation.layout_measures import attention_contrast, disequilibrium
from gansteer.evaluation.layout_report import RESAMPLES
from gansteer.evaluation.picture_cases import batches_of
from gansteer.evaluation.quality import LEAST, MOST_REAL, Measure, frechet_measure
from gansteer.evaluation.regions import Interval, interval
from gansteer.evaluation.samples import draw, from_levels, to_levels
from gansteer.models.generator import Generator
from gansteer.models.layout import heatmaps
from gansteer.subject import Card, Model
from gansteer.training.alignment import attention, attention_weights, unit_range
from gansteer.training.config import TrainConfig
from gansteer.training.data import Pictures
from gansteer.training.objectives import DiscriminatorNetwork
from gansteer.training.trained import Trained, read_trained

BATCH = 16
"""Pictures that a discriminator judges together; a projected one compares those of a group with each other."""
COVERED = 0.5
"""A pixel belongs to a blob of a drawn picture where the sum of the heatmaps is at least this."""
KINDS = ("without layout", "with alignment", "without alignment")
"""The networks beside the model, in the table's order."""

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Network:
    """What is known of one network; None where it was not, or could not be, measured."""

    name: str
    images: int | None = None
    """Real pictures that its training showed."""
    frechet_distance: Measure | None = None
    disequilibrium: Interval | None = None
    """How far the discriminator is from being fooled; 0 is a draw."""
    attention_on_things: Interval | None = None
    """In real pictures whose things are known."""
    attention_on_blobs: Interval | None = None
    """In drawn pictures."""


@dataclass(frozen=True, eq=False)
class Things:
    """Real pictures whose things are known."""

    pictures: Tensor
    """`[N, 3, H, H]` in [-1, 1]."""
    places: Tensor
    """bool `[N, H, H]`: where there is a thing."""


def kind_of_run(config: TrainConfig) -> str:
    """Which of `KINDS` a run is."""
    if config.layout == "none" or config.encoding == "none":
        return KINDS[0]
    return KINDS[1] if config.alignment > 0 else KINDS[2]


def read_things(folder: Path, resolution: int, count: int) -> Things:
    """The first `count` pictures of `folder` and the maps of their things in `FOLDER_maps.npz` beside it. Raises UserError."""
    path = folder.with_name(f"{folder.name}_maps.npz")
    try:
        with np.load(path, allow_pickle=False) as found:
            files, maps = [str(name) for name in found["files"][:count]], torch.from_numpy(found["maps"][:count] != 0)
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path} is missing or no file of maps: give a folder with its maps beside it") from error
    pictures = Pictures(folder, resolution)
    index = {name: i for i, name in enumerate(pictures.names)}
    missing = [name for name in files if name not in index]
    if missing or len(files) != len(maps) or maps.ndim != 3:
        raise UserError(f"{path} does not fit the pictures of {folder}" + (f": no {missing[0]}" if missing else ""))
    places = F.interpolate(maps[:, None].float(), (resolution, resolution), mode="area")[:, 0] >= 0.5
    return Things(from_levels(torch.stack([pictures[index[name]][0] for name in files])), places)


def scores(discriminator: DiscriminatorNetwork, pictures: Tensor) -> np.ndarray:
    """The mean logit of each picture `[B, 3, H, H]`: `[B]`."""
    with torch.no_grad():
        logits = discriminator.judge(discriminator.features(pictures))
    mean: np.ndarray = logits.mean(dim=1).double().cpu().numpy()
    return mean


def attention_of(discriminator: DiscriminatorNetwork, pictures: Tensor) -> Tensor:
    """Where the discriminator looks in pictures `[B, 3, H, H]`: `[B, H, H]` in [0, 1], the mean over its levels."""
    with torch.enable_grad():
        features = [f.detach().requires_grad_() for f in discriminator.features(pictures)]
        logits, maps = discriminator.attended(features)
        alphas = attention_weights(maps, F.softplus(-logits).mean(dim=1).sum())
    size = pictures.shape[-2:]
    full = [
        F.interpolate(attention(a.detach(), alpha)[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
        for a, alpha in zip(maps, alphas, strict=True)
    ]
    return torch.stack([unit_range(x) for x in full]).mean(dim=0)


def contrasts(discriminator: DiscriminatorNetwork, pictures: Tensor, places: Tensor) -> np.ndarray:
    """How much of the attention to each picture lies on its bool map; pictures without a place, or full of it, are left out."""
    looked = attention_of(discriminator, pictures).cpu()
    found = [attention_contrast(map_, place) for map_, place in zip(looked, places.cpu(), strict=True)]
    return np.array([x for x in found if np.isfinite(x)])


def drawn_pictures(generator: Generator, count: int, seed: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """`count` pictures at psi 1 in batches, on 256 levels, each batch with where its blobs are, if it has a layout."""
    rng = torch.Generator().manual_seed(seed)
    for start in range(0, count, BATCH):
        z = generator.sample_z(min(BATCH, count - start), rng)
        code = generator.code_of(z, None, psi=1.0, rng=rng)
        with torch.no_grad():
            pictures = from_levels(to_levels(generator.synthesize(code)))
        heat = None if code.layout is None else heatmaps(code.layout, pictures.shape[-1]).sum(dim=1) >= COVERED
        yield pictures, heat


def disequilibrium_interval(real: np.ndarray, drawn: np.ndarray) -> Interval:
    """`disequilibrium` with its 95 % interval from resampling both sets of scores."""
    rng = np.random.default_rng(0)
    resampled = [disequilibrium(rng.choice(real, len(real)), rng.choice(drawn, len(drawn))) for _ in range(RESAMPLES)]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(disequilibrium(real, drawn), float(low), float(high))


def measured_run(
    name: str, run: Trained, real: Pictures, things: Things | None, count: int, seed: int, report: Report
) -> Network:
    """The discriminator's side of a run, over `count` real and as many drawn pictures."""
    device = next(run.generator.parameters()).device
    count = min(count, len(real))
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))[:count]
    real_scores: list[np.ndarray] = []
    drawn_scores: list[np.ndarray] = []
    on_blobs: list[np.ndarray] = []
    on_things: list[np.ndarray] = []
    for start in range(0, count, BATCH):
        chunk = order[start : start + BATCH].tolist()
        report(f"{name}: real pictures", start, count)
        real_scores.append(scores(run.discriminator, from_levels(torch.stack([real[i][0] for i in chunk])).to(device)))
    for pictures, heat in drawn_pictures(run.generator, count, seed):
        report(f"{name}: drawn pictures", BATCH * len(drawn_scores), count)
        drawn_scores.append(scores(run.discriminator, pictures))
        if heat is not None and run.config.encoding != "none":
            on_blobs.append(contrasts(run.discriminator, pictures, heat))
    if things is not None:
        for start in range(0, len(things.pictures), BATCH):
            pictures, places = (x[start : start + BATCH] for x in (things.pictures, things.places))
            on_things.append(contrasts(run.discriminator, pictures.to(device), places))
    return Network(
        name,
        run.images,
        disequilibrium=disequilibrium_interval(np.concatenate(real_scores), np.concatenate(drawn_scores)),
        attention_on_things=_mean(on_things),
        attention_on_blobs=_mean(on_blobs),
    )


def _mean(batches: Sequence[np.ndarray]) -> Interval | None:
    values = np.concatenate(batches) if batches else np.zeros(0)
    return interval(values) if len(values) else None


class Distances:
    """Frechet distances of networks to the same real pictures, whose features are asked for once."""

    def __init__(
        self,
        data: Path,
        samples: int,
        seed: int,
        device: torch.device,
        report: Report,
        features: Extractor | None = None,
    ) -> None:
        """The features are by default those of EfficientNet-Lite0."""
        self.data, self.samples, self.seed, self.device, self.report = data, samples, seed, device, report
        self.network = features or extractor("efficientnet-lite0", device)
        self.pictures: dict[int, Pictures] = {}
        self.reals: dict[int, Tensor] = {}

    def real(self, resolution: int) -> Pictures:
        """The real pictures at a resolution. Raises UserError."""
        if resolution not in self.pictures:
            self.pictures[resolution] = found = Pictures(self.data, resolution)
            if len(found) < 2 * LEAST:
                raise UserError(f"{self.data} holds {len(found)} pictures: comparing takes at least {2 * LEAST}")
        return self.pictures[resolution]

    def of(self, name: str, generator: Generator) -> Measure:
        """Of `samples` of its pictures at psi 1."""
        size = generator.config.resolution
        real = self.real(size)
        if size not in self.reals:
            rng = torch.Generator().manual_seed(self.seed)
            order = torch.randperm(len(real), generator=rng)[:MOST_REAL].tolist()
            self.reals[size] = extract(
                batches_of(real, order, self.device),
                self.network,
                lambda n: self.report("real pictures", n, len(order)),
            )
        drawn = draw(Model(Card(name), generator), self.samples, seed=self.seed)
        fakes = extract(drawn, self.network, lambda n: self.report(f"{name}: samples", n, self.samples))
        return frechet_measure(fakes, self.reals[size])


def networks(
    model: Model, folders: Sequence[Path], data: Path | None, things: Path | None, samples: int, seed: int, report: Report,
    features: Extractor | None = None,
) -> tuple[Network, ...]:  # fmt: skip
    """The model, and for each of `KINDS` the run of it, or a network of which nothing is known. Raises UserError."""
    runs = _runs(folders, model.device)
    images = model.card.training.get("images")
    own = Network(model.card.name, images if isinstance(images, int) else None)
    if data is None:
        if folders or things is not None:
            raise UserError("--runs and --things compare with real pictures: give their folder with --data")
        return (own, *(Network(kind) for kind in KINDS))
    distances = Distances(data, samples, seed, model.device, report, features)
    found = [replace(own, frechet_distance=distances.of(own.name, model.generator))]
    for kind in KINDS:
        if kind not in runs:
            found.append(Network(kind))
            continue
        run = runs[kind]
        size = run.generator.config.resolution
        known = None if things is None else read_things(things, size, samples)
        network = measured_run(kind, run, distances.real(size), known, samples, seed, report)
        found.append(replace(network, frechet_distance=distances.of(kind, run.generator)))
    return tuple(found)


def _runs(folders: Sequence[Path], device: torch.device) -> dict[str, Trained]:
    """The runs by what they are."""
    runs: dict[str, Trained] = {}
    for folder in folders:
        run = read_trained(folder, device)
        kind = kind_of_run(run.config)
        if kind in runs:
            raise UserError(f"{folder} is another run {kind}: give one of each")
        if run.generator.config.c_dim:
            raise UserError(f"{folder} is a run of classes, whose discriminator judges by label: give others")
        runs[kind] = run
    return runs


# --- The table --------------------------------------------------------------------------------------------------------

MISSING = "-"


def table_of(found: Sequence[Network]) -> tuple[list[str], list[list[str]]]:
    """Heading and rows: a column for each network, and `-` where it was not measured or was not trained."""
    rows = [
        ["pictures shown", *(MISSING if n.images is None else f"{n.images:,}" for n in found)],
        ["Frechet distance", *(_distance(n.frechet_distance, "value") for n in found)],
        ["the same, as many as the floor", *(_distance(n.frechet_distance, "matched") for n in found)],
        ["floor: real and real", *(_distance(n.frechet_distance, "floor") for n in found)],
        ["disequilibrium", *(_interval(n.disequilibrium) for n in found)],
        ["attention on things, real", *(_interval(n.attention_on_things) for n in found)],
        ["attention on blobs, drawn", *(_interval(n.attention_on_blobs) for n in found)],
    ]
    return ["", *(n.name for n in found)], rows


def _distance(measure: Measure | None, which: str) -> str:
    return MISSING if measure is None else f"{getattr(measure, which):.4g}"


def _interval(value: Interval | None) -> str:
    return MISSING if value is None else f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"
