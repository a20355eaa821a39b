"""What a command begins with: a model, and the picture of a .steer file if one is given."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gansteer.commands.seeds import check_psi
from gansteer.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from gansteer.subject import Model, Subject


def open_model(name: str, device: str) -> "Model":
    """The model of that name. Raises UserError."""
    from gansteer.checkpoints.registry import load
    from gansteer.memory import keep_freed_memory

    keep_freed_memory()
    return load(name, device)


def open_start(name: str | None, subject: Path | None, device: str) -> "tuple[Model, Subject | None]":
    """The model and, if a .steer file is given, its picture. Without a name, the model that the file was made with.

    Raises UserError.
    """
    if subject is None:
        if name is None:
            raise UserError("give --model, or --subject with a .steer file")
        return open_model(name, device), None
    from gansteer.steerfile import open_subject

    if name is not None:
        model = open_model(name, device)
        return model, open_subject(subject, lambda known: model)
    opened = open_subject(subject, lambda known: open_model(known, device))
    return opened.model, opened


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """The picture that a command begins with: that of a .steer file, or of a seed."""

    model: str | None = None
    """Name of a model, a checkpoint's file, or a hub id; with --subject, the one it was made with."""
    subject: Path | None = None
    """A .steer file of the picture to edit, such as an inverted photo, instead of a seed."""
    seed: int = 0
    """Of the picture to edit."""
    psi: float = 0.7
    """Truncation of the picture to edit."""
    label: int | None = None
    """The class, for a class-conditional model."""
    device: str = "auto"

    def __post_init__(self) -> None:
        check_psi(self.psi)

    def begin(self) -> "tuple[Model, Subject]":
        """The model and the picture. Raises UserError."""
        model, given = open_start(self.model, self.subject, self.device)
        return model, given or self.drawn(model)

    @property
    def source(self) -> dict[str, object]:
        """Where the picture comes from, as records and session files say it."""
        if self.subject is not None:
            return {"subject": self.subject.name}
        return {"seed": self.seed, "psi": self.psi, "label": self.label}

    def drawn(self, model: "Model") -> "Subject":
        """The picture of the seed. Raises UserError."""
        return model.sample(self.seed, self.psi, self.label)


def read_mask(path: Path, flag: str) -> "Tensor":
    """A picture of black and white as truth values `[H, W]`, white True. Raises UserError."""
    import torch

    from gansteer.pictures import read_mask as read

    return torch.from_numpy(read(path, f"{flag} {path}"))
