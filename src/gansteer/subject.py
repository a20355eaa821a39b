"""The nouns: a Model (generator and card) draws Subjects, each of which determines one picture."""

import hashlib
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.models.generator import Generator
from gansteer.models.tuning import Tuning
from gansteer.output import save_subject

MAX_SEED = 2**32 - 1
SeedsLike = Literal["torch", "numpy"]
"""Whose random numbers a seed stands for: ours, or `numpy.random.RandomState(seed).randn`, as in NVIDIA's releases."""


@dataclass(frozen=True)
class Card:
    """What a person should know of a model; stored as JSON in the safetensors header."""

    name: str
    domain: str = "unknown"
    licence: str = "unknown"
    description: str = ""
    training: Mapping[str, object] = field(default_factory=dict)
    """How it was trained: data, images seen, loss ..."""
    metrics: Mapping[str, object] = field(default_factory=dict)
    """Name of a metric to its value, floors beside them."""
    limits: tuple[str, ...] = ()
    drag_layer: str | None = None
    """The layer whose features dragging follows; None for the default of the resolution."""


@dataclass(frozen=True, eq=False)
class Model:
    """A generator with its card. The generator is in eval mode and its weights need no gradient."""

    card: Card
    generator: Generator
    notes: tuple[str, ...] = ()
    """What a person should know of the file that it was read from: what was chosen, filled in or left out."""

    def __repr__(self) -> str:
        """One line."""
        return f"<Model {self.card.name}, {self.resolution} px>"

    @property
    def resolution(self) -> int:
        return self.generator.config.resolution

    @property
    def device(self) -> torch.device:
        return self.generator.device

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights in float32, in the order of their names: which model this is, whatever it is called."""
        return self.digest_in(torch.float32)

    def digest_in(self, dtype: torch.dtype) -> str:
        """The same of the weights in another type."""
        sha = hashlib.sha256()
        for _, x in sorted(self.generator.state_dict().items()):
            sha.update(x.detach().cpu().to(dtype).contiguous().numpy().tobytes())
        return sha.hexdigest()

    def sample(self, seed: int = 0, psi: float = 0.7, label: int | None = None, like: SeedsLike = "torch") -> "Subject":
        """The subject of a seed (0 to 2**32 - 1), truncated by `psi`; `label` is the class of a conditional model.

        The same seed gives the same subject, on any device. `like` "numpy" draws what NVIDIA's programs draw for it.
        """
        try:
            whole, psi = operator.index(seed), float(psi)
        except (TypeError, ValueError) as error:
            raise UserError(f"seed is a whole number and psi a number, not {seed!r} and {psi!r}") from error
        if not 0 <= whole <= MAX_SEED:
            raise UserError(f"seed must be from 0 to {MAX_SEED}, not {seed}")
        self.check_label(label)
        rng = torch.Generator().manual_seed(whole)
        with torch.no_grad():
            if like == "numpy":
                drawn = np.random.RandomState(whole).randn(1, self.generator.config.z_dim)
                z = torch.from_numpy(drawn).to(self.generator.mean_w())
                c = self.condition(label)
                return Subject(self, self.generator.code_of(z, c, psi=psi, rng=rng)[0])
            return Subject(self, self.generator.sample_code(rng, psi, label))

    def check_label(self, label: int | None) -> None:
        """Raise UserError for a class that the model does not have, and for none where it needs one."""
        classes = self.generator.config.c_dim
        if not classes and label is not None:
            raise UserError(f"{self.card.name} has no classes: leave the label out")
        if classes and not (label is not None and 0 <= label < classes):
            raise UserError(f"{self.card.name} is class-conditional: give a label from 0 to {classes - 1}")

    def condition(self, label: int | None, count: int = 1) -> Tensor | None:
        """What the mapping takes for `count` pictures of a class, `[count, c_dim]`; None for a model without classes.

        Raises UserError for a label that the model does not have.
        """
        self.check_label(label)
        return None if label is None else self.generator.one_hot([label] * count)


@dataclass(frozen=True, eq=False)
class Subject:
    """Everything that determines one picture. Immutable: an edit turns one subject into another."""

    model: Model
    code: Code
    """What the generator draws it from."""
    tuning: Tuning | None = None
    """Changed weights, for a subject that came from a photo."""
    rounding: Mapping[str, Tensor] = field(default_factory=dict)
    """What rounding took from w+ (`"w"`) and from style offsets (by layer) as attributes were turned, in float64 on the
    CPU: with it, turning one back gives the same picture."""

    @property
    def generator(self) -> Generator:
        """What draws this subject: the model's generator, with the subject's own tuning if it has one."""
        return self.model.generator if self.tuning is None else self.tuning.generator

    def __repr__(self) -> str:
        """One line."""
        from_photo = "" if self.tuning is None else ", with tuned weights"
        return f"<Subject of {self.model.card.name}, {self.model.resolution} px{from_photo}>"

    def _repr_png_(self) -> bytes:
        """The picture, for notebooks."""
        data = BytesIO()
        self.image.save(data, "PNG")
        return data.getvalue()

    def save(self, path: str | Path) -> None:
        """Write the picture (.png, .jpg or .webp), or the subject itself (.steer) to open and edit again.

        Raises UserError for other endings and where the file cannot be written.
        """
        save_subject(self, Path(path))

    def render(self, resolution: int | None = None) -> Tensor:
        """The picture `float [3, H, W]`, nominally in [-1, 1], without gradients.

        At a smaller `resolution` it is about the same picture, much sooner (`Generator.synthesize`).
        """
        with torch.no_grad():
            return self.generator.synthesize(self.code, resolution=resolution)[0]

    @cached_property
    def image(self) -> Image.Image:
        """The picture as 8-bit RGB."""
        return to_image(self.render())


def to_image(picture: Tensor) -> Image.Image:
    """`float [3 or 1, H, W]` in [-1, 1] to a PIL picture, rounding to the nearest of 256 levels."""
    levels = picture.detach().float().mul(127.5).add(127.5).round().clamp(0, 255).to(torch.uint8)
    array = levels.permute(1, 2, 0).cpu().numpy()  # [H, W, C]
    return Image.fromarray(array if array.shape[2] == 3 else array[:, :, 0])
