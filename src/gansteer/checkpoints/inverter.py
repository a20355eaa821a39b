"""Reads and writes the encoders of generators: the trained head alone."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from gansteer.checkpoints.companions import Companions
from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.errors import UserError
from gansteer.models.inverter import Inverter, InverterConfig, InverterHead
from gansteer.subject import Model

ENCODERS = Companions("gansteer-inverter", "encoder", "encoders", "train-encoder")


def find_inverter(model: Model, folders: tuple[Path, ...] | None = None) -> Inverter | None:
    """The encoder that was trained for just these weights, or None."""
    for path in ENCODERS.files(model, folders):
        return load_inverter(path, model)
    return None


def load_inverter(path: Path, model: Model) -> Inverter:
    """The encoder of a file, in eval mode, on the model's device and in its type. Raises UserError if it does not fit."""
    if ENCODERS.about(path).get("model_digest") != model.digest:
        raise UserError(
            f"{path} belongs to other weights than {model.card.name}'s: run gansteer train-encoder for these"
        )
    like = model.generator.mean_w()
    head = read_head(path).to(like).eval().requires_grad_(False)
    return Inverter(load_efficientnet().to(like), head, model.generator)


def read_head(path: Path) -> InverterHead:
    """What is trained of the encoder in a file, whatever model it belongs to. Raises UserError if it can't be read."""
    try:
        config = InverterConfig(**ENCODERS.about(path)["config"])
        head = InverterHead(replace(config, widths=tuple(config.widths)))  # a list, as JSON has it
    except (KeyError, TypeError, RuntimeError) as error:
        raise ENCODERS.damaged(path) from error
    ENCODERS.fill(head, path)
    return head


def save_inverter(head: InverterHead, model: Model, path: Path, card: Mapping[str, object]) -> None:
    """Write the head in float16 with its card; the file appears complete or not at all. Raises UserError."""
    ENCODERS.save(head, model, path, asdict(head.config), card)
