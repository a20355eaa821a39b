"""What a command begins with: the picture of a seed, or a subject from a .steer file."""

from pathlib import Path
from typing import TYPE_CHECKING

from gansteer.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from gansteer.subject import Model, Subject


def open_model(name: str | None, subject: Path | None, device: str) -> "Model":
    """The model of that name or, for None, the shipped one that the .steer file was made with. Raises UserError."""
    from gansteer.checkpoints.registry import load
    from gansteer.memory import keep_freed_memory

    keep_freed_memory()
    if name is not None:
        return load(name, device)
    if subject is None:
        raise UserError("give --model, or --subject with a .steer file")
    from gansteer.steerfile import open_subject

    return open_subject(subject, lambda known: load(known, device)).model


def first_subject(model: "Model", subject: Path | None, seed: int, psi: float, label: int | None) -> "Subject":
    """The picture to begin with: that of the .steer file if one is given, else that of the seed. Raises UserError."""
    if subject is None:
        return model.sample(seed, psi, label)
    from gansteer.steerfile import open_subject

    return open_subject(subject, lambda known: model)


def read_mask(path: Path, flag: str) -> "Tensor":
    """A picture of black and white as truth values `[H, W]`, white True. Raises UserError."""
    import numpy as np
    import torch
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            return torch.from_numpy(np.asarray(picture.convert("L")) >= 128)
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"{flag} {path} cannot be read as a picture: give a PNG, white where it may change") from error
