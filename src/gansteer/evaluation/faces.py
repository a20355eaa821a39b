"""How many of a portrait model's pictures hold a face that a detector finds which took no part in training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gansteer.checkpoints.mtcnn import load_face_detector
from gansteer.evaluation.samples import draw, from_levels
from gansteer.subject import Model
from gansteer.training.data import Pictures


@dataclass(frozen=True)
class FacesReport:
    """What was found, and how."""

    model: str
    samples: int
    psi: float
    seed: int
    found: int
    """Samples with at least one face."""
    share: float
    real_share: float | None
    """The same share of real pictures, if there were some to compare with: the detector misses faces too."""


def faces(
    model: Model,
    samples: int = 1000,
    *,
    psi: float = 0.7,
    seed: int = 0,
    data: Path | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> FacesReport:
    """Look for faces in `samples` pictures of the model and in those of the folder or zip `data`. Raises UserError."""
    detector = load_face_detector(model.device)
    found = done = 0
    for batch in draw(model, samples, psi=psi, seed=seed):
        for picture in batch:
            found += len(detector.find(picture).boxes) > 0
        done += len(batch)
        report(done, samples)
    real_share = None
    if data is not None:
        real = Pictures(data, model.resolution)
        hits = [len(detector.find(from_levels(real[i][0].to(model.device))).boxes) > 0 for i in range(len(real))]
        real_share = sum(hits) / len(hits)
    return FacesReport(model.card.name, samples, psi, seed, found, found / samples, real_share)
