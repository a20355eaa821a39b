"""A run with `--anchor-faces`, read to give it another mapping network and written to be gone on from with --grow."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gansteer.checkpoints.readers import FACES
from gansteer.models.stylegan2.network import Mapping
from gansteer.training.codes import describe_faces, described
from gansteer.training.config import TrainConfig
from gansteer.training.data import Pictures

CPU = torch.device("cpu")
NETWORKS = ("g", "ema")
"""The generator that trains and its average."""
OWN = "mapping."
"""How the names of the mapping network's weights begin."""


@dataclass
class Run:
    """What the folder holds."""

    record: dict[str, Any]
    """Its configuration, as `config.json` has it."""
    latents: dict[str, Tensor]
    """`codes [N, z_dim]` of the pictures, the mirrored ones last, their `landmarks [N, 68, 2]` and, if
    they are a coder's, that coder."""
    state: dict[str, Any]
    """The trainer's."""

    @classmethod
    def read(cls, folder: Path) -> "Run":
        record = json.loads((folder / "config.json").read_text())
        state = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
        return cls(record, load_file(folder / "codes.safetensors"), state)

    @property
    def config(self) -> TrainConfig:
        return TrainConfig(**{**self.record, **{key: Path(self.record[key]) for key in ("data", "out")}, "grow": None})

    def mapping(self, network: str) -> Mapping:
        """The mapping network of one of `NETWORKS`."""
        found = Mapping(self.config.generator_config(0))
        weights = self.state[network].items()
        found.load_state_dict({k.removeprefix(OWN): v for k, v in weights if k.startswith(OWN)})
        return found

    def put(self, network: str, mapping: Mapping) -> None:
        """Give it this one instead, which may have other layers."""
        kept = {k: v for k, v in self.state[network].items() if not k.startswith(OWN)}
        self.state[network] = {**kept, **{OWN + k: v for k, v in mapping.state_dict().items()}}

    def attributes(self, data: Path) -> Tensor:
        """What the face reader says of each picture, `[N, 22]`."""
        reader = FACES.load(CPU)
        pictures = Pictures(data, self.config.resolution, mirror=self.config.mirror)
        return described(pictures, lambda x: describe_faces(x, reader), CPU)[2]

    def write(self, folder: Path) -> None:
        torch.save(self.state, folder / "checkpoint.pt")
        save_file({name: x.contiguous() for name, x in self.latents.items()}, folder / "codes.safetensors")
        (folder / "config.json").write_text(json.dumps(self.record, indent=1))
