"""Reads and writes the networks that follow points in a generator's pictures."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from gansteer.checkpoints.companions import Companions
from gansteer.errors import UserError
from gansteer.models.flow_network import FlowNetwork, FlowNetworkConfig
from gansteer.models.point_network import PointNetwork, PointNetworkConfig
from gansteer.subject import Model

TrackerKind = Literal["flow", "points"]

TRACKERS: Mapping[TrackerKind, Companions] = {
    "flow": Companions("gansteer-flow-network", "flow network", "trackers/flow", "train-tracker --kind flow"),
    "points": Companions("gansteer-point-network", "point network", "trackers/points", "train-tracker --kind points"),
}


def find_tracker(
    kind: TrackerKind, model: Model, folders: tuple[Path, ...] | None = None
) -> FlowNetwork | PointNetwork:
    """The network of a kind that was trained on just this model's pictures. Raises UserError if there is none."""
    companions = TRACKERS[kind]
    for path in companions.files(model, folders):
        return read_tracker(kind, path).to(model.device)
    name = model.card.name
    raise UserError(f"{name} has no {companions.name}: run gansteer {companions.command} --model {name}")


def read_tracker(kind: TrackerKind, path: Path) -> FlowNetwork | PointNetwork:
    """The network of a file, in eval mode. Raises UserError if it can't be read."""
    companions = TRACKERS[kind]
    try:
        config = companions.about(path)["config"]
        network: FlowNetwork | PointNetwork = (
            FlowNetwork(FlowNetworkConfig(**config)) if kind == "flow" else PointNetwork(PointNetworkConfig(**config))
        )
    except (KeyError, TypeError, RuntimeError) as error:
        raise companions.damaged(path) from error
    companions.fill(network, path)
    return network.eval().requires_grad_(False)


def save_tracker(network: FlowNetwork | PointNetwork, model: Model, path: Path, card: Mapping[str, object]) -> None:
    """Write the network in float16 with its card; the file appears complete or not at all. Raises UserError."""
    kind: TrackerKind = "flow" if isinstance(network, FlowNetwork) else "points"
    TRACKERS[kind].save(network, model, path, asdict(network.config), card)
