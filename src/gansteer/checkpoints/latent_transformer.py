"""Reads and writes the latent transformers of generators."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from gansteer.checkpoints.companions import Companions
from gansteer.errors import UserError
from gansteer.models.latent_transformer import LatentTransformer, LatentTransformerConfig
from gansteer.subject import Model

TRANSFORMERS = Companions("gansteer-latent-transformer", "latent transformer", "transformers", "train-transformer")


def find_transformer(model: Model, folders: tuple[Path, ...] | None = None) -> LatentTransformer:
    """The latent transformer that was trained for just these weights. Raises UserError if there is none."""
    for path in TRANSFORMERS.files(model, folders):
        return read_transformer(path).to(model.device, model.generator.dtype)
    raise UserError(
        f"{model.card.name} has no latent transformer: run gansteer train-transformer --model {model.card.name}"
    )


def read_transformer(path: Path) -> LatentTransformer:
    """The network of a file, in eval mode. Raises UserError if it can't be read."""
    try:
        network = LatentTransformer(LatentTransformerConfig(**TRANSFORMERS.about(path)["config"]))
    except (KeyError, TypeError, RuntimeError) as error:
        raise TRANSFORMERS.damaged(path) from error
    TRANSFORMERS.fill(network, path)
    return network.eval().requires_grad_(False)


def save_transformer(network: LatentTransformer, model: Model, path: Path, card: Mapping[str, object]) -> None:
    """Write the network in float16 with its card; the file appears complete or not at all. Raises UserError."""
    TRANSFORMERS.save(network, model, path, asdict(network.config), card)
