"""Names of models: those that come with gansteer, local files and folders, and hub ids."""

import os
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import torch

from gansteer.checkpoints.files import describe, load_file
from gansteer.checkpoints.hub import HUB_ID, fetch
from gansteer.checkpoints.shipped import shipped
from gansteer.errors import UserError
from gansteer.models.registry import ARCHITECTURES
from gansteer.subject import Card, Model


@dataclass(frozen=True)
class Installed:
    """A model that comes with gansteer."""

    name: str
    path: Path
    size: int
    """Bytes."""
    resolution: int
    card: Card


def installed(folder: Path | None = None) -> list[Installed]:
    """The models that come with gansteer, described from their headers. Raises UserError if one is damaged."""
    models = []
    for name, path in shipped(folder).items():
        about = describe(path, thorough=False)
        if about.config is None or about.card is None:
            raise UserError(about.problem or f"{path} is no model")
        models.append(Installed(name, path, about.size, about.config.resolution, about.card))
    return models


def models_with_layout(folder: Path | None = None) -> list[str]:
    """The names of the models that come with gansteer whose pictures have layouts; one that is damaged is left out."""
    kinds = [each.config_class for each in ARCHITECTURES.values() if each.layouts]
    found = []
    for name, path in shipped(folder).items():
        with suppress(UserError):
            if type(describe(path).config) in kinds:
                found.append(name)
    return found


def resolve(
    name: str | os.PathLike[str],
    *,
    folder: Path | None = None,
    endpoint: str | None = None,
    cache: Path | None = None,
) -> Path:
    """The local file or folder that a name stands for: a shipped model, a path, or a hub id (which is downloaded).

    `folder` holds the shipped models, `endpoint` is the hub's address, `cache` the folder for downloads.
    """
    text = os.fspath(name)
    models = shipped(folder)
    if text in models:
        return models[text]
    path = Path(text).expanduser()
    if path.exists():
        return path
    if text.startswith("hf:") or (HUB_ID.fullmatch(text) and not path.parent.exists()):
        return fetch(text, endpoint=endpoint, cache=cache)
    if os.sep in text or path.suffix:
        raise UserError(f"{path}: there is no such file")
    near = get_close_matches(text, models, n=1, cutoff=0.5)
    if near:
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = f"installed: {', '.join(models) or 'none'}."
    raise UserError(f"there is no model {text!r}; {hint} Or give a file, or a hub id as hf:owner/name")


def load(
    name_or_path: str | os.PathLike[str],
    device: str = "auto",
    dtype: torch.dtype = torch.float32,
    network: str | None = None,
) -> Model:
    """Open a model by the name of a shipped one, a path, or a hub id (`hf:owner/name[/file]`).

    Opens our own files, NVIDIA's StyleGAN2 networks (pickles of PyTorch and TensorFlow, what `torch.save` made of one,
    state dicts) and those of rosinality, pSp and e4e, recognised by their content; nothing in them is run. `network`
    chooses one of several in the file, such as `G` instead of `G_ema`. `device` as in `pick_device`. Raises UserError.
    """
    return load_file(resolve(name_or_path), device, dtype, network)
