"""Reads and writes the networks that say what a picture shows: the readers of faces and of rooms that come with the package."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from safetensors import SafetensorError
from torch import nn

from gansteer.checkpoints.companions import COUNTER, package_folder, read_about, read_tensors, write_network
from gansteer.errors import UserError
from gansteer.models.face_reader import FaceReader
from gansteer.models.room_reader import RoomReader

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class ReaderFile(Generic[N]):
    """One kind of reader: a network of one fixed shape, and its file in the package."""

    kind: str
    """What its header says."""
    name: str
    """What a person calls it."""
    create: Callable[[], N]

    def shipped(self) -> Path:
        """The file in the package; in a folder of its own, since it is no model that draws."""
        return package_folder("readers") / f"{self.name.replace(' ', '_')}.safetensors"

    def load(self, device: torch.device | str = "cpu", path: Path | None = None) -> N:
        """The shipped reader (or the one in `path`), float32, in eval mode, its weights without gradients.

        Raises UserError if the file is missing or is no reader of this kind.
        """
        path = self.shipped() if path is None else path
        network = self.create()
        state = network.state_dict()
        try:
            found = {name: x.float() for name, x in read_tensors(path).items()}
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} could not be read ({error}): install gansteer again") from error
        wanted = {name: x.shape for name, x in state.items() if not name.endswith(COUNTER)}
        if {name: x.shape for name, x in found.items()} != wanted:
            raise UserError(f"{path} holds no {self.name} of this version: install gansteer again")
        network.load_state_dict({**state, **found})
        return network.eval().requires_grad_(False).to(device)

    def card(self, path: Path | None = None) -> dict[str, object]:
        """What is known of the shipped reader (or of the one in `path`): data, licence, held-out accuracy."""
        card: dict[str, object] = read_about(self.shipped() if path is None else path)["card"]
        return card

    def save(self, network: N, path: Path, card: Mapping[str, object]) -> None:
        """Write the network in float16 with its card; the file appears complete or not at all. Raises UserError."""
        write_network(network, path, {"kind": self.kind, "card": dict(card)})


FACES = ReaderFile("face-reader", "face reader", FaceReader)
ROOMS = ReaderFile("room-reader", "room reader", RoomReader)
