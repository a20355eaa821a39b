"""Reads and writes the encoders of generators: safetensors files of the trained head alone, in float16."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib import resources
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.checkpoints.native import write_tensors
from gansteer.errors import UserError
from gansteer.models.inverter import Inverter, InverterConfig, InverterHead
from gansteer.subject import Model

KIND = "gansteer-inverter"


def inverter_folders() -> tuple[Path, ...]:
    """Where encoders are sought: with the package, and where `gansteer train-encoder` puts a person's own."""
    return (Path(str(resources.files("gansteer") / "weights" / "encoders")), own_folder())


def own_folder() -> Path:
    """A person's own encoders."""
    return Path.home() / ".cache" / "gansteer" / "encoders"


def find_inverter(model: Model, folders: tuple[Path, ...] | None = None) -> Inverter | None:
    """The encoder that was trained for just these weights, or None."""
    for folder in inverter_folders() if folders is None else folders:
        for path in sorted(folder.glob("*.safetensors")):
            if read_about(path).get("model_digest") == model.digest:
                return load_inverter(path, model)
    return None


def read_about(path: Path) -> dict[str, Any]:
    """The header of an encoder's file: `config`, `card`, `model_digest`; empty if it is none."""
    try:
        with safe_open(path, "pt") as file:
            about: dict[str, Any] = json.loads((file.metadata() or {}).get("gansteer", "{}"))
    except (OSError, SafetensorError, ValueError):
        return {}
    return about if about.get("kind") == KIND else {}


def load_inverter(path: Path, model: Model) -> Inverter:
    """The encoder of a file, in eval mode, on the model's device and in its type. Raises UserError if it does not fit."""
    about = read_about(path)
    if not about:
        raise UserError(f"{path} is no encoder: give a file that gansteer train-encoder wrote")
    if about.get("model_digest") != model.digest:
        raise UserError(
            f"{path} belongs to other weights than {model.card.name}'s: run gansteer train-encoder for these"
        )
    like = model.generator.mean_w()
    head = read_head(path).to(like).eval().requires_grad_(False)
    return Inverter(load_efficientnet().to(like), head, model.generator)


def read_head(path: Path) -> InverterHead:
    """What is trained of the encoder in a file, whatever model it belongs to. Raises UserError if it can't be read."""
    about = read_about(path)
    if not about:
        raise UserError(f"{path} is no encoder: give a file that gansteer train-encoder wrote")
    try:
        config = InverterConfig(**about["config"])
        head = InverterHead(replace(config, widths=tuple(config.widths)))  # a list, as JSON has it
        with safe_open(path, "pt") as file:
            head.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{path} is damaged, or of a later version: train the encoder again") from error
    return head


def save_inverter(head: InverterHead, model: Model, path: Path, card: Mapping[str, object]) -> None:
    """Write the head in float16 with its card; the file appears complete or not at all. Raises UserError."""
    tensors = {name: x.detach().cpu().half().contiguous() for name, x in head.state_dict().items()}
    if not all(bool(x.isfinite().all()) for x in tensors.values()):
        raise UserError(f"the weights are not finite in float16: {path} was not written")
    about = {
        "format": 1, "kind": KIND, "config": asdict(head.config), "model_digest": model.digest, "card": dict(card),
    }  # fmt: skip
    write_tensors(tensors, json.dumps(about), path)
