"""How many of a portrait model's pictures hold a face that a detector finds which took no part in training, and whether their two
eyes are alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gansteer.checkpoints.mtcnn import load_face_detector
from gansteer.checkpoints.readers import FACES
from gansteer.evaluation.eyes import EyePair, EyesAlike, alike, eye_pairs
from gansteer.evaluation.picture_cases import Case, drawn_cases, real_cases
from gansteer.evaluation.sharing import Share, here
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
    eyes: EyesAlike | None
    """Of the samples with a face; None if there are none."""
    real_eyes: EyesAlike | None
    """The same of real pictures with a face."""


def faces(
    model: Model,
    samples: int = 1000,
    *,
    psi: float = 0.7,
    seed: int = 0,
    data: Path | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
    share: Share | None = None,
) -> FacesReport:
    """Look for faces in `samples` pictures of the model and in those of the folder or zip `data`.

    `report(done, total)` is told of batches; `share` has them looked at elsewhere. Raises UserError.
    """
    count, cases = drawn_cases(model, samples, seed, None)
    real = None if data is None else Pictures(data, model.resolution)
    more, real_ones = (0, iter(())) if real is None else real_cases(real, range(len(real)))
    share = share or here(model, report)
    hits = share((case for each in (cases, real_ones) for case in each), count + more, prepare, psi)
    drawn, shown = ([pair for case in part for pair in case] for part in (hits[:count], hits[count:]))
    found = len(drawn)
    real_share = None if real is None else len(shown) / len(real)
    return FacesReport(
        model.card.name, samples, psi, seed, found, found / samples, real_share, alike(drawn), alike(shown)
    )


def prepare(model: Model, psi: float) -> Callable[[Case], list[EyePair]]:
    """What looks at the eyes of those pictures of a case that hold a face."""
    detector = load_face_detector(model.device)
    reader = FACES.load(model.device)

    def look(case: Case) -> list[EyePair]:
        pictures = case.shown(model, psi)
        whole = [i for i, picture in enumerate(pictures) if len(detector.find(picture).boxes) > 0]
        return eye_pairs(pictures[whole], reader.read(pictures[whole]).landmarks) if whole else []

    return look
