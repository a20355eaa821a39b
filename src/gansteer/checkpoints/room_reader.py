"""Reads and writes the room reader's weights: a safetensors file with its card as JSON in the header."""

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from gansteer.checkpoints.face_reader import COUNTER
from gansteer.checkpoints.native import write_tensors
from gansteer.errors import UserError
from gansteer.models.room_reader import RoomReader


def shipped_room_reader() -> Path:
    """The path of the reader's file in the package, beside the face reader's."""
    return Path(str(resources.files("gansteer") / "weights" / "readers" / "room_reader.safetensors"))


def load_room_reader(device: torch.device | str = "cpu", path: Path | None = None) -> RoomReader:
    """The shipped room reader (or the one in `path`), float32, in eval mode, its weights without gradients.

    Raises UserError if the file is missing or is no room reader.
    """
    path = shipped_room_reader() if path is None else path
    network = RoomReader()
    state = network.state_dict()
    try:
        with safe_open(path, "pt") as file:
            found = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} could not be read ({error}): install gansteer again") from error
    wanted = {name: value.shape for name, value in state.items() if not name.endswith(COUNTER)}
    if {name: value.shape for name, value in found.items()} != wanted:
        raise UserError(f"{path} holds no room reader of this version: install gansteer again")
    network.load_state_dict({**state, **found})
    return network.eval().requires_grad_(False).to(device)


def room_reader_card(path: Path | None = None) -> dict[str, object]:
    """What is known of the shipped room reader (or of the one in `path`): data, licence, held-out accuracy."""
    with safe_open(shipped_room_reader() if path is None else path, "pt") as file:
        card: dict[str, object] = json.loads(file.metadata()["gansteer"])["card"]
    return card


def save_room_reader(network: RoomReader, path: Path, card: Mapping[str, object]) -> None:
    """Write the network in float16 with its card; the file appears complete or not at all."""
    tensors = {
        n: v.detach().cpu().half().contiguous() for n, v in network.state_dict().items() if not n.endswith(COUNTER)
    }
    if not all(value.isfinite().all() for value in tensors.values()):
        raise UserError(f"the weights are not finite in float16: {path} was not written")
    about = {"format": 1, "kind": "room-reader", "card": dict(card)}
    write_tensors(tensors, json.dumps(about), path)
