"""The files of networks that stand beside a generator: safetensors in float16, with kind and card as JSON in the header.

A reader (of faces, of rooms) comes with the package; an encoder, a latent transformer or a tracker is trained for the
weights of one generator, and found again by their digest.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from gansteer.checkpoints.native import write_tensors
from gansteer.errors import UserError
from gansteer.output import check_writable
from gansteer.subject import Model

COUNTER = "num_batches_tracked"
"""Batch norm's count of batches, of no use once trained; not stored."""


def package_folder(name: str) -> Path:
    """A folder of weights in the package."""
    return Path(str(resources.files("gansteer") / "weights" / name))


def read_about(path: Path) -> dict[str, Any]:
    """The header of a network's file: `kind`, `card` and what else its writer says; empty if it is no such file."""
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("gansteer", "{}"))
    except (OSError, SafetensorError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file as they are stored. Raises OSError or SafetensorError."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)


def write_network(network: nn.Module, path: Path, about: Mapping[str, object]) -> None:
    """Write a network in float16; the file appears complete or not at all.

    Raises UserError if weights are not finite in float16, or the file can't be written.
    """
    state = {name: x for name, x in network.state_dict().items() if not name.endswith(COUNTER)}
    tensors = {name: x.detach().cpu().half().contiguous() for name, x in state.items()}
    if not all(bool(x.isfinite().all()) for x in tensors.values()):
        raise UserError(f"the weights are not finite in float16: {path} was not written")
    write_tensors(tensors, json.dumps({"format": 1, **about}), path)


@dataclass(frozen=True)
class Companions:
    """Where networks of one kind are that are each trained for the weights of one generator, and what they are called."""

    kind: str
    """What their headers say."""
    name: str
    """What a person calls one, such as "encoder"."""
    folder: str
    """Of the package's weights, and of a person's own."""
    command: str
    """The command that trains one, such as "train-encoder"."""

    def own_folder(self) -> Path:
        """A person's own ones."""
        return Path.home() / ".cache" / "gansteer" / self.folder

    def folders(self) -> tuple[Path, ...]:
        """Where they are sought: with the package, and where the command puts a person's own."""
        return package_folder(self.folder), self.own_folder()

    def files(self, model: Model, folders: tuple[Path, ...] | None = None) -> Iterator[Path]:
        """The files of networks that were trained for just these weights, the package's first."""
        for folder in self.folders() if folders is None else folders:
            for path in sorted(folder.glob("*.safetensors")):
                about = read_about(path)
                if about.get("kind") == self.kind and about.get("model_digest") == model.digest:
                    yield path

    def about(self, path: Path) -> dict[str, Any]:
        """The header of one's file, with `config`. Raises UserError if it is none."""
        about = read_about(path)
        if about.get("kind") != self.kind:
            raise UserError(f"{path} is no {self.name}: give a file that gansteer {self.command} wrote")
        return about

    def out(self, model: Model, out: Path | None) -> Path:
        """The file to write: the one that was asked for, or by default where it is found for this model from now on.

        Raises UserError if the file can't be written there.
        """
        if out is None:
            self.own_folder().mkdir(parents=True, exist_ok=True)
            out = self.own_folder() / f"{model.digest[:16]}.safetensors"
        if out.suffix != ".safetensors":
            raise UserError(f"{out}: the file to write ends in .safetensors")
        check_writable(out)
        return out

    def fill(self, network: nn.Module, path: Path) -> None:
        """Put the weights of a file into a network of its shape. Raises UserError if they don't fit."""
        try:
            network.load_state_dict(read_tensors(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise self.damaged(path) from error

    def damaged(self, path: Path) -> UserError:
        """What is said of a file whose header or tensors don't fit."""
        return UserError(f"{path} is damaged, or of a later version: train the {self.name} again")

    def save(
        self, network: nn.Module, model: Model, path: Path, config: Mapping[str, object], card: Mapping[str, object]
    ) -> None:
        """Write one in float16 with its card; the file appears complete or not at all. Raises UserError."""
        about = {"kind": self.kind, "config": dict(config), "model_digest": model.digest, "card": dict(card)}
        write_network(network, path, about)
