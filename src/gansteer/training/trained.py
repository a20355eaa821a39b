"""The networks of a run's folder, to be measured: the averaged generator, and the discriminator that it played against."""

from dataclasses import dataclass, fields
from pathlib import Path

import torch

from gansteer.errors import UserError
from gansteer.models.generator import Generator
from gansteer.training.choice import generator_training
from gansteer.training.config import TrainConfig
from gansteer.training.folder import fitting, read_record, read_state
from gansteer.training.networks import load_discriminator
from gansteer.training.objectives import OBJECTIVES, DiscriminatorNetwork

PATHS = ("data", "out", "grow")


@dataclass(frozen=True, eq=False)
class Trained:
    """What a run has come to. The networks are in eval mode, without gradients of their own."""

    config: TrainConfig
    generator: Generator
    discriminator: DiscriminatorNetwork
    images: int
    """Real pictures shown."""


def read_trained(folder: Path, device: torch.device) -> Trained:
    """The networks of the run in `folder`. Raises UserError if it holds none, or a damaged one."""
    if not (folder / "checkpoint.pt").is_file():
        raise UserError(
            f"{folder} is no folder of a training run with a checkpoint.pt: give one that gansteer train made"
        )
    record = read_record(folder / "config.json")
    state = read_state(folder / "checkpoint.pt")
    with fitting(folder / "checkpoint.pt", "give another run"):
        known = {field.name for field in fields(TrainConfig)}
        told = {name: value for name, value in record.items() if name in known}
        told |= {name: Path(told[name]) for name in PATHS if told.get(name) is not None}
        config = TrainConfig(**told)
        training = generator_training(config)
        g = training.restore(record, state["ema"])
        with torch.random.fork_rng(devices=[]):  # fresh weights are drawn, and read over
            d = OBJECTIVES[config.loss].build_discriminator(config, training.discriminator_shape(g), device)
        load_discriminator(d, state["d"])
        images = int(state["steps"]) * config.batch
    g, d = g.to(device).eval().requires_grad_(False), d.to(device).eval().requires_grad_(False)
    return Trained(config, g, d, images)
