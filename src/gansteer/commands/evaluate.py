"""`gansteer evaluate quality`, `faces`, `smoothness` and `tracking`."""

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from gansteer.bars import Bar, bar
from gansteer.commands.seeds import check_psi
from gansteer.commands.sharing import Place, Sharing
from gansteer.commands.starting import Opener, open_model
from gansteer.errors import UserError
from gansteer.evaluation.records import check_records
from gansteer.places import check_place, write_bytes

if TYPE_CHECKING:
    from gansteer.evaluation.faces import FacesReport
    from gansteer.evaluation.quality import QualityReport
    from gansteer.evaluation.sharing import Share
    from gansteer.evaluation.smoothness import SmoothnessReport
    from gansteer.evaluation.tracking import TrackingReport
    from gansteer.subject import Model


T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Evaluation(Sharing, ABC):
    """What every command that measures a model is told, and does."""

    model: str
    """Name of a model, a checkpoint's file, or a hub id."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""
    json: Place | None = None
    """Also write the report to this file (.json), or to an address."""
    device: str = "auto"

    def run(self) -> None:
        self.check()
        found = self.measure(open_model(self.model, self.device, self.network))
        if self.json is not None:
            write_bytes(self.json, (json.dumps(asdict(found), indent=1, allow_nan=False) + "\n").encode())
        self.tell(found)

    def check(self) -> None:
        """Raise UserError before the work if it could not be done, or its report not be written after it."""
        self.check_sharing()
        if self.json is not None:
            if self.json.suffix != ".json":
                raise UserError(f"{self.json}: the report's file ends in .json")
            check_place(self.json)

    @abstractmethod
    def measure(self, model: "Model") -> Any:
        """The report, a dataclass."""

    @abstractmethod
    def tell(self, found: Any) -> None:
        """Print the report."""

    def opener(self, model: "Model") -> Opener:
        """What opens the model in every worker; this process has it open."""
        name = self.for_workers(self.model) or self.model
        return Opener(name, self.device, self.network, None if self.is_shared else model)

    def share(self, model: "Model", what: str, report: Bar | None = None) -> "Share":
        """Has cases measured by whom the flags name, under a bar named `what`: `report`, or one of its own."""

        def share(cases: Iterable[T], count: int, prepare: Callable[..., Callable[[T], R]], *arguments: Any) -> list[R]:
            found: dict[int, R] = {}
            for (number, _), result in self.results(
                what, self.device, enumerate(cases), _name_of_case, None,
                _prepare_numbered, self.opener(model), prepare, arguments, count=count, report=report,
            ):  # fmt: skip
                found[number] = result
            return [found[number] for number in range(count)]

        return share


def _name_of_case(numbered: tuple[int, Any]) -> str:
    return f"part {numbered[0] + 1} of the work"


def _prepare_numbered(
    opener: Opener, prepare: Callable[..., Callable[[T], R]], arguments: tuple[Any, ...]
) -> Callable[[tuple[int, T]], R]:
    measure = prepare(opener.open(), *arguments)
    return lambda numbered: measure(numbered[1])


@dataclass(frozen=True, kw_only=True)
class RecordedEvaluation(Evaluation):
    """The same of a command that measures one thing after another, and can be stopped and go on."""

    records: Place | None = None
    """Keep what is found in this file (.jsonl), or at an address, and pass over what is there already."""
    minutes: float | None = None
    """Begin nothing more after so long, and report what there is; with --records, started again it goes on."""

    def check(self) -> None:
        super().check()
        check_records(self.records, self.minutes)


@dataclass(frozen=True, kw_only=True)
class SampleEvaluation(Evaluation):
    """The same of a command that draws samples."""

    psi: float = 0.7
    """Truncation; 1 draws the whole variety."""
    seed: int = 0

    def check(self) -> None:
        check_psi(self.psi)
        super().check()


@dataclass(frozen=True, kw_only=True)
class Quality(SampleEvaluation):
    """How near a model's pictures are to real ones: Frechet and kernel distance, precision and recall, with floors."""

    data: Path
    """Folder or zip of the real pictures."""
    samples: int = 5000
    """How many pictures to draw."""
    psi: float = 1.0
    features: Literal["efficientnet-lite0", "inception"] = "efficientnet-lite0"
    """What distances are measured in; inception needs the extra `metrics`, and only then they are FID and KID."""
    lpips: bool = False
    """Also the mean LPIPS between pairs of samples, and between pairs of real pictures; needs the extra `metrics`."""

    def measure(self, model: "Model") -> "QualityReport":
        from gansteer.evaluation.quality import quality

        with bar("measuring") as report:
            return quality(
                model, self.data, self.samples, psi=self.psi, seed=self.seed, features=self.features, lpips=self.lpips,
                report=report.named, share=self.share(model, "looking at pictures", report),
            )  # fmt: skip

    def tell(self, found: "QualityReport") -> None:
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        table.add_column("")
        for heading in ("all", "as many as the floor", "floor: real and real"):
            table.add_column(heading, justify="right")
        for name in ("frechet_distance", "kernel_distance", "precision", "recall"):
            measure = getattr(found, name)
            table.add_row(
                name.replace("_", " "), *(f"{x:.4g}" for x in (measure.value, measure.matched, measure.floor))
            )
        Console().print(table)
        if found.lpips is not None:
            drawn, real = found.lpips.drawn, found.lpips.real
            print(
                f"LPIPS between pairs: {drawn:.3f} of samples, {real:.3f} of real pictures ({found.lpips.pairs} pairs each)"
            )
        print(
            f"{found.samples} samples of {found.model} at psi {found.psi:g} and {found.reals} pictures of {found.data}, "
            f"{found.resolution} px, {found.features} features; the floor compares {found.half} with {found.half}"
        )


@dataclass(frozen=True, kw_only=True)
class Faces(SampleEvaluation):
    """The share of a portrait model's pictures in which a face detector that took no part in training finds a face, and how alike
    the two eyes of these faces are."""

    samples: int = 1000
    """How many pictures to draw."""
    data: Path | None = None
    """Folder or zip of real portraits, to tell how often the detector finds those and how alike their eyes are."""

    def measure(self, model: "Model") -> "FacesReport":
        from gansteer.evaluation.faces import faces

        share = self.share(model, "looking for faces")
        return faces(model, self.samples, psi=self.psi, seed=self.seed, data=self.data, share=share)

    def tell(self, found: "FacesReport") -> None:
        print(
            f"a face in {found.found} of {found.samples} samples ({found.share:.1%}) of {found.model} at psi {found.psi:g}"
        )
        if found.real_share is not None:
            print(f"a face in {found.real_share:.1%} of the pictures of {self.data}")
        for eyes, whose in ((found.eyes, "samples"), (found.real_eyes, "real pictures")):
            if eyes is not None:
                look = (
                    ""
                    if eyes.look is None
                    else f", colours by {eyes.look:.1f} of 255 ({eyes.open_faces} with both open)"
                )
                print(f"eyes of {eyes.faces} {whose}: openings differ by {eyes.opening:.4f} of the eye's width{look}")


@dataclass(frozen=True, kw_only=True)
class Smoothness(SampleEvaluation):
    """How evenly the picture changes along straight paths between samples: the largest step against the median step."""

    paths: int = 20
    """How many paths between pairs of samples."""
    steps: int = 60
    """Steps of every path."""

    def measure(self, model: "Model") -> "SmoothnessReport":
        from gansteer.evaluation.smoothness import smoothness

        share = self.share(model, "following paths")
        return smoothness(model, self.paths, self.steps, psi=self.psi, seed=self.seed, share=share)

    def tell(self, found: "SmoothnessReport") -> None:
        print(
            f"the largest step is {found.worst:.2f} times the median step of its path, over {found.paths} paths of "
            f"{found.steps} steps of {found.model} at psi {found.psi:g}: {'smooth' if found.smooth else 'not smooth'} "
            f"(at most {found.limit:g} is)"
        )


@dataclass(frozen=True, kw_only=True)
class Tracking(SampleEvaluation):
    """Whether a portrait model's features follow the points of a face, so that it can be dragged by them; per layer."""

    moves: int = 50
    """How many small moves between samples."""
    strength: float = 0.15
    """How far each goes, as a share of the way to the other sample."""

    def measure(self, model: "Model") -> "TrackingReport":
        from gansteer.evaluation.tracking import of_faces, tracking

        share = self.share(model, "following points")
        return tracking(model, of_faces, self.moves, strength=self.strength, psi=self.psi, seed=self.seed, share=share)

    def tell(self, found: "TrackingReport") -> None:
        print(f"{found.points} points of {found.model} that move by {found.median_motion:.1f} px (median)")
        for layer in found.layers:
            print(
                f"{layer.layer:<12} {layer.share:6.1%} within {found.within:g} px, median error {layer.median_error:.2f} px"
            )


def usable(found: Mapping[str, T], check: Callable[[str, T], None], asked: bool) -> dict[str, T]:
    """Of what there is by name, what passes the check. The rest is told to be left out, unless it was asked for by name.

    Raises UserError as the check does for what was.
    """
    kept = {}
    for name, value in found.items():
        try:
            check(name, value)
            kept[name] = value
        except UserError as error:
            if asked:
                raise
            print(f"{name} is left out: {error}", file=sys.stderr)
    return kept
