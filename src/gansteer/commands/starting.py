"""What a command begins with: a model, and the picture of a .steer file if one is given."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gansteer.commands.seeds import check_psi
from gansteer.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from gansteer.subject import Model, Subject


def open_model(name: str, device: str, network: str | None = None) -> "Model":
    """The model of that name; what there is to know of its file is told on stderr. Raises UserError."""
    from gansteer.checkpoints.registry import load
    from gansteer.memory import keep_freed_memory

    keep_freed_memory()
    model = load(name, device, network=network)
    for note in model.notes:
        print(f"note: {note}", file=sys.stderr)
    return model


@dataclass(frozen=True, eq=False)
class Opener:
    """A model that is opened where it is needed: here it may be open already, elsewhere it is known by its name."""

    name: str
    device: str
    network: str | None = None
    model: "Model | None" = None

    def open(self) -> "Model":
        """Raises UserError."""
        return self.model or open_model(self.name, self.device, self.network)


def open_start(
    name: str | None, subject: Path | None, device: str, network: str | None = None, tuned: str | None = None
) -> "tuple[Model, Subject | None]":
    """The model and, if a file of a subject or latent is given, its picture. Without a name, the model it was made with.

    `tuned` is a generator of the same shape that was tuned around a latent. Raises UserError.
    """
    from gansteer.checkpoints.latents import is_latent

    if subject is None or not is_latent(subject):
        if tuned is not None:
            raise UserError("--tuned belongs to a latent: give its file with --subject")
    else:
        return open_latent(name, subject, device, network, tuned)
    if subject is None:
        if name is None:
            raise UserError("give --model, such as --model portraits, or --subject with a .steer file")
        return open_model(name, device, network), None
    from gansteer.steerfile import open_subject

    if name is not None:
        model = open_model(name, device, network)
        return model, open_subject(subject, lambda known: model)
    opened = open_subject(subject, lambda known: open_model(known, device, network))
    return opened.model, opened


def open_latent(
    name: str | None, path: Path, device: str, network: str | None, tuned: str | None
) -> "tuple[Model, Subject]":
    """The model and the picture of a latent that another program saved. Raises UserError."""
    from gansteer.checkpoints.latents import as_subject, read_latent
    from gansteer.checkpoints.registry import load

    latent = read_latent(path)
    whose = name or latent.model
    if whose is None:
        raise UserError(f"{path} does not say which model it belongs to: give --model")
    model = open_model(whose, device, network)
    return model, as_subject(latent, model, str(path), None if tuned is None else load(tuned, device))


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """The picture that a command begins with: that of a .steer file or of a latent, or of a seed."""

    model: str | None = None
    """Name of a model, a checkpoint's file, or a hub id; with --subject, the one it was made with."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""
    subject: Path | None = None
    """The picture to edit, such as an inverted photo, instead of a seed: a .steer file, or a latent (w or w+) that another
    program saved as .npz, .npy, .pt or .safetensors."""
    tuned: str | None = None
    """With a latent: the checkpoint that was tuned around it, as PTI saves both."""
    seed: int = 0
    """Of the picture to edit."""
    seeds_like: Literal["torch", "numpy"] = "torch"
    """Whose random numbers: numpy draws what NVIDIA's programs draw for a seed."""
    psi: float = 0.7
    """Truncation of the picture to edit."""
    label: int | None = None
    """The class, for a class-conditional model."""
    device: str = "auto"

    def __post_init__(self) -> None:
        check_psi(self.psi)

    def begin(self) -> "tuple[Model, Subject]":
        """The model and the picture. Raises UserError."""
        model, given = self.opened()
        return model, given or self.drawn(model)

    def opened(self) -> "tuple[Model, Subject | None]":
        """The model and, if a file of one is given, the subject. Raises UserError."""
        return open_start(self.model, self.subject, self.device, self.network, self.tuned)

    @property
    def source(self) -> dict[str, object]:
        """Where the picture comes from, as records and session files say it."""
        if self.subject is not None:
            return {"subject": self.subject.name}
        numpy = {"like": "numpy"} if self.seeds_like == "numpy" else {}
        return {"seed": self.seed, "psi": self.psi, "label": self.label, **numpy}

    def drawn(self, model: "Model") -> "Subject":
        """The picture of the seed. Raises UserError."""
        return model.sample(self.seed, self.psi, self.label, self.seeds_like)


def read_mask(path: Path, flag: str) -> "Tensor":
    """A picture of black and white as truth values `[H, W]`, white True. Raises UserError."""
    import torch

    from gansteer.pictures import read_mask as read

    return torch.from_numpy(read(path, f"{flag} {path}", flag.removeprefix("--")))
