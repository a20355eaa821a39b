"""`gansteer directions fit`, `gansteer directions import` and `gansteer directions list`."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gansteer.bars import bar
from gansteer.commands.seeds import check_psi, parse_seeds
from gansteer.commands.starting import open_model
from gansteer.errors import UserError
from gansteer.output import check_writable

if TYPE_CHECKING:
    from gansteer.checkpoints.scorers import Scorer
    from gansteer.directions import Direction
    from gansteer.subject import Model


@dataclass(frozen=True)
class Fit:
    """Find the directions along which attributes change, from scores or from examples.

    Without --attribute: all that the face reader reads, the principal components, and those in closed form (SeFa).
    """

    model: str
    """Name of a model, a checkpoint's file, or a hub id."""
    out: Path
    """Where to write them (.safetensors)."""
    attribute: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Which attribute; give it once for each. With your own scores or examples, the name that it is to have."""
    function: str | None = None
    """Your own score as MODULE:FUNCTION; takes pictures [B, 3, H, H] in [-1, 1], returns B numbers (PyTorch)."""
    onnx: Path | None = None
    """Your own score as an ONNX file that does the same."""
    labels: Path | None = None
    """A CSV file with a line seed,label for each picture; labels are 1 or 0, or scores."""
    liked: str | None = None
    """Seeds of examples, such as 3,17,40-44; about 20."""
    disliked: str | None = None
    """Seeds of counterexamples."""
    real: Path | None = None
    """Folder or zip of real pictures such as the model was trained on: what tells them from the model's own is the score
    of the direction `quality`."""
    psi: float = 0.7
    """Truncation of the pictures of --labels, --liked and --disliked."""
    label: int | None = None
    """The class of the pictures, for a class-conditional model: one fit for each class."""
    space: Annotated[tuple[Literal["w", "s", "z"], ...], tyro.conf.UseAppendAction] = ()
    """w, s (styles), z; by default all, and for examples w."""
    samples: int = 12_000
    """How many pictures to score."""
    components: int = 10
    """How many principal components."""
    seed: int = 0
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""
    device: str = "auto"

    def run(self) -> None:
        self._check()
        from gansteer.checkpoints.directions import save_directions
        from gansteer.directions import Directions

        examples = self._examples()
        model = open_model(self.model, self.device, self.network)
        found = self._from_examples(model, *examples) if examples else self._from_scores(model)
        if self.label is not None:
            found = [replace(entry, about={**entry.about, "label": self.label}) for entry in found]
        save_directions(Directions(model.card.name, model.digest, tuple(found)), self.out)
        _print(found)
        print(f"wrote {self.out}: {len(found)} direction{'s' * (len(found) > 1)} of {model.card.name}")

    def _check(self) -> None:
        check_psi(self.psi)
        if self.out.suffix != ".safetensors":
            raise UserError(f"{self.out}: a file of directions ends in .safetensors")
        check_writable(self.out)
        sources = {
            "--function": self.function, "--onnx": self.onnx, "--labels": self.labels,
            "--liked": self.liked or self.disliked, "--real": self.real if self.attribute else None,
        }  # fmt: skip
        given = [flag for flag, value in sources.items() if value]
        if len(given) > 1:
            raise UserError(f"{given[0]} and {given[1]} exclude each other: fit one direction after the other")
        if given and len(self.attribute) != 1:
            raise UserError(f"{given[0]} gives one score: name it with one --attribute")
        if bool(self.liked) != bool(self.disliked):
            raise UserError("give both --liked and --disliked")
        if self.samples < 1 or self.components < 1:
            raise UserError("--samples and --components must be at least 1")

    def _examples(self) -> tuple[list[int], list[float]] | None:
        if self.labels is not None:
            from gansteer.checkpoints.scorers import read_labels

            return read_labels(self.labels)
        if self.liked and self.disliked:
            liked, disliked = parse_seeds(self.liked), parse_seeds(self.disliked)
            return liked + disliked, [1.0] * len(liked) + [0.0] * len(disliked)
        return None

    def _from_examples(self, model: "Model", seeds: list[int], labels: list[float]) -> "list[Direction]":
        from gansteer.edits.attribute.fitting import fit_examples

        name = self.attribute[0]
        return [
            fit_examples(model, name, seeds, labels, space=space, psi=self.psi, label=self.label)
            for space in self.space or ("w",)
        ]

    def _from_scores(self, model: "Model") -> "list[Direction]":
        from gansteer.edits.attribute.fitting import check_count, fit_model, sample
        from gansteer.edits.attribute.unsupervised import fit_closed_form, fit_components, row_groups

        check_count(self.samples)
        found: list[Direction] = []
        with bar("scoring samples") as report:
            for scorer, count in self._scorers(model, report.named):
                found += fit_model(
                    model, scorer, self.attribute or None, count=count, seed=self.seed, label=self.label,
                    spaces=self.space or ("w", "s", "z"), report=partial(report.named, "scoring samples"),
                )  # fmt: skip
        if not self.attribute:
            w = sample(model, 10_000, seed=self.seed, label=self.label).w
            found += fit_components(w, self.components)
            found += fit_closed_form(model, w, row_groups(model.generator.config.num_ws))
        return found

    def _scorers(self, model: "Model", report: Callable[[str, int, int], None]) -> "Iterator[tuple[Scorer, int]]":
        """What scores pictures, and how many each is to score."""
        from gansteer.checkpoints.scorers import function_scorer, onnx_scorer

        if self.function is not None:
            yield function_scorer(self.attribute[0], self.function), self.samples
        elif self.onnx is not None:
            yield onnx_scorer(self.attribute[0], self.onnx), self.samples
        elif self.real is None or not self.attribute:
            from gansteer.checkpoints.readers import FACES
            from gansteer.edits.attribute.portrait_scores import PortraitScorer

            note = self._faceless(model)
            if self.attribute or not note:
                yield PortraitScorer(FACES.load(model.device)), self.samples
            if note:
                print(f"note: {note}", file=sys.stderr)
        if self.real is not None:
            from gansteer.evaluation.realism import realism

            name = self.attribute[0] if self.attribute else "quality"
            real = realism(model, self.real, name, label=self.label, report=partial(report, "looking at real pictures"))
            # Its features take several times as long as all the rest, and its direction needs no such precision.
            yield real, self.samples if self.attribute else max(self.samples // 8, 400)

    def _faceless(self, model: "Model") -> str:
        """Where the detector finds no faces, one line that says so and what comes of it; else nothing."""
        from gansteer.checkpoints.mtcnn import load_face_detector
        from gansteer.edits.inversion.align import faces_drawn

        try:
            detector = load_face_detector()
        except UserError:  # an extra, without which nobody knows
            return ""
        found, looked = faces_drawn(model, detector, self.label)
        if found * 2 >= looked:
            return ""
        seen = f"a face was found in {found} of {looked} pictures of {model.card.name}"
        if self.attribute:
            return f"{seen}: what the face reader makes of them means little; --function takes scores of your own"
        return f"{seen}: only principal components and those in closed form are fitted"


@dataclass(frozen=True, kw_only=True)
class Import:
    """Take over directions that another program found: InterFaceGAN's boundaries (.npy), eigenvectors and others (.pt)."""

    file: tyro.conf.Positional[Path]
    """The file: .npy, .npz, .pt, .pkl or .safetensors with a vector of the space's size, or with several as rows."""
    model: str
    """Name of a model, a checkpoint's file, or a hub id."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""
    space: Literal["w", "z", "s"]
    """The space that it was found in, which its file does not tell: w, z, or s (styles)."""
    name: str | None = None
    """What it is to be called; by default as the file."""
    out: Path
    """Where to write them (.safetensors), for --directions of other commands."""
    label: int | None = None
    """The class of the pictures, for a class-conditional model."""
    device: str = "auto"

    def run(self) -> None:
        if self.out.suffix != ".safetensors":
            raise UserError(f"{self.out}: a file of directions ends in .safetensors")
        check_writable(self.out)
        from gansteer.checkpoints.directions import save_directions
        from gansteer.directions import Directions
        from gansteer.edits.attribute.imported import imported

        model = open_model(self.model, self.device, self.network)
        found = imported(model, self.file, self.name or self.file.stem, self.space, self.label)
        save_directions(Directions(model.card.name, model.digest, tuple(found)), self.out)
        _print(found)
        print(f"wrote {self.out}: {len(found)} direction{'s' * (len(found) > 1)} of {model.card.name}")


@dataclass(frozen=True)
class List:
    """List the directions that a model has, with what was measured when they were fitted."""

    model: str
    """Name of a model, a checkpoint's file, or a hub id."""
    directions: Path | None = None
    """Also those of this file."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""
    device: str = "auto"

    def run(self) -> None:
        from gansteer.checkpoints.directions import directions_for

        model = open_model(self.model, self.device, self.network)
        found = directions_for(model, self.directions).entries
        if not found:
            raise UserError(f"{model.card.name} has no directions: make some with `gansteer directions fit`")
        _print(found)


def _print(found: "list[Direction] | tuple[Direction, ...]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "space", "method"):
        table.add_column(heading)
    for heading in ("right on extremes", "right on all", "variance"):
        table.add_column(heading, justify="right")
    for entry in found:
        about = entry.about
        shares = (about.get("accuracy_validation", about.get("accuracy_left_out")), about.get("accuracy_all"))
        of_class = f" of class {about['label']}" if "label" in about else ""
        table.add_row(
            entry.name, entry.space, f"{about.get('method', '')}{of_class}",
            *(f"{x:.1%}" if isinstance(x, float) else "" for x in (*shares, about.get("variance"))),
        )  # fmt: skip
    Console().print(table)
