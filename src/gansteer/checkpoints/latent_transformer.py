"""Reads and writes latent transformers: safetensors files in float16, each for the weights of one generator."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from gansteer.checkpoints.native import write_tensors
from gansteer.errors import UserError
from gansteer.models.latent_transformer import LatentTransformer, LatentTransformerConfig
from gansteer.subject import Model

KIND = "gansteer-latent-transformer"


def transformer_folders() -> tuple[Path, ...]:
    """Where latent transformers are sought: with the package, and where `gansteer train-transformer` puts a person's own."""
    return (Path(str(resources.files("gansteer") / "weights" / "transformers")), own_folder())


def own_folder() -> Path:
    """A person's own latent transformers."""
    return Path.home() / ".cache" / "gansteer" / "transformers"


def find_transformer(model: Model, folders: tuple[Path, ...] | None = None) -> LatentTransformer:
    """The latent transformer that was trained for just these weights. Raises UserError if there is none."""
    for folder in transformer_folders() if folders is None else folders:
        for path in sorted(folder.glob("*.safetensors")):
            if _about(path).get("model_digest") == model.digest:
                return read_transformer(path).to(model.device, model.generator.dtype)
    raise UserError(
        f"{model.card.name} has no latent transformer: run gansteer train-transformer --model {model.card.name}"
    )


def read_transformer(path: Path) -> LatentTransformer:
    """The network of a file, in eval mode. Raises UserError if it can't be read."""
    about = _about(path)
    if not about:
        raise UserError(f"{path} is no latent transformer: give a file that gansteer train-transformer wrote")
    try:
        network = LatentTransformer(LatentTransformerConfig(**about["config"]))
        with safe_open(path, "pt") as file:
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{path} is damaged, or of a later version: train it again") from error
    return network.eval().requires_grad_(False)


def save_transformer(network: LatentTransformer, model: Model, path: Path, card: Mapping[str, object]) -> None:
    """Write the network in float16 with its card; the file appears complete or not at all. Raises UserError."""
    tensors = {name: x.detach().cpu().half().contiguous() for name, x in network.state_dict().items()}
    if not all(bool(x.isfinite().all()) for x in tensors.values()):
        raise UserError(f"the weights are not finite in float16: {path} was not written")
    about = {
        "format": 1, "kind": KIND, "config": asdict(network.config), "model_digest": model.digest, "card": dict(card),
    }  # fmt: skip
    write_tensors(tensors, json.dumps(about), path)


def _about(path: Path) -> dict[str, Any]:
    """The header of a file; empty if it is none of ours."""
    try:
        with safe_open(path, "pt") as file:
            about: dict[str, Any] = json.loads((file.metadata() or {}).get("gansteer", "{}"))
    except (OSError, SafetensorError, ValueError):
        return {}
    return about if about.get("kind") == KIND else {}
