"""The folder of a training run: its record, the checkpoint to continue from, snapshots, and what another run goes on from."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gansteer.checkpoints.native import save_model
from gansteer.checkpoints.registry import load, resolve
from gansteer.errors import UserError
from gansteer.models.generator import Generator
from gansteer.output import replacing, save_picture
from gansteer.sheet import sheet
from gansteer.subject import Card, Model
from gansteer.training.config import TrainConfig
from gansteer.training.generators import GeneratorTraining
from gansteer.training.layout_sheet import layout_sheet
from gansteer.training.loop import Trainer
from gansteer.training.objectives import OBJECTIVES, augmentation_of

MAY_CHANGE = {"out", "images", "snapshot_images", "checkpoint_minutes", "workers", "device", "data"}
"""What a continued run may be told otherwise: it says where things are and how often they are written."""
STRUCTURE = {
    "resolution",
    "conditional",
    "z_dim",
    "w_dim",
    "mapping_layers",
    "channel_base",
    "channel_max",
    "layout",
    "encoding",
    "layout_noise",
    "spread",
    "feature_size",
}
"""What decides which networks there are: a run with another one may not be able to go on from this one either."""


def snapshot_file(config: TrainConfig, images: int) -> Path:
    """Where the generator goes that has seen `images` pictures."""
    return config.out / f"snapshot-{images:09d}.safetensors"


def save_snapshot(config: TrainConfig, trainer: Trainer, class_names: tuple[str, ...] = ()) -> None:
    """Write the averaged generator as a model, and a sheet of its samples (psi 0.7, seeds 0 to 31)."""
    classes = {"classes": list(class_names)} if class_names else {}
    card = Card(
        name=config.out.resolve().name,
        description=f"snapshot of a training run after {trainer.images} images",
        training={
            "images": trainer.images,
            "loss": config.loss,
            "augment": augmentation_of(config),
            "batch": config.batch,
            **classes,
        },
    )
    model = Model(card, trainer.nets.ema)
    save_model(model, snapshot_file(config, trainer.images))
    labels = [seed % model.generator.config.c_dim if model.generator.config.c_dim else None for seed in range(32)]
    page = sheet([model.sample(seed, label=label).image for seed, label in enumerate(labels)], columns=8)
    save_picture(page, config.out / f"samples-{trainer.images:09d}.png")
    if model.generator.capabilities.layout:
        save_picture(layout_sheet(model.generator), config.out / f"layout-{trainer.images:09d}.png")


def save_checkpoint(config: TrainConfig, trainer: Trainer) -> None:
    """Write all that continuing needs; the previous checkpoint survives whatever goes wrong."""
    with replacing(config.out / "checkpoint.pt") as path:
        try:
            torch.save(trainer.state_dict(), path)
        except RuntimeError as error:  # it says of a full disk only that it is somewhere unexpected
            raise OSError("is the disk full?") from error


def _record(config: TrainConfig) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items()}


def write_config(config: TrainConfig) -> None:
    """Write the run's record, `config.json`."""
    with replacing(config.out / "config.json") as path:
        path.write_text(json.dumps(_record(config), indent=1) + "\n")


def read_checkpoint(config: TrainConfig) -> dict[str, Any] | None:
    """The state to continue from, if the folder holds a run; it must be of this configuration."""
    out = config.out
    if not out.parent.is_dir():
        raise UserError(f"there is no folder {out.parent} to make the run {out.name} in: make it first")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: choose another --out for the run's folder")
    if not os.access(out if out.exists() else out.parent, os.W_OK | os.X_OK):
        raise UserError(f"the run's folder {out} cannot be written: choose another --out")
    record = out / "config.json"
    if not record.exists():
        return None
    before = read_record(record)
    for name, value in _record(config).items():
        if name not in MAY_CHANGE and before.get(name, value) != value:
            flag = name.replace("_", "-")
            raise UserError(
                f"{out} is a run with --{flag} {before[name]}, not {value}: give the same --{flag}, or another --out"
                + ("" if name in STRUCTURE else f" and --grow {out} to go on from it")
            )
    return read_state(out / "checkpoint.pt") if (out / "checkpoint.pt").exists() else None


def read_record(path: Path) -> dict[str, Any]:
    """What a run was told, from its `config.json`. Raises UserError."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is missing or damaged: choose another folder") from error
    if not isinstance(record, dict):
        raise UserError(f"{path} is no record of a run: choose another folder")
    return record


@contextmanager
def fitting(path: Path, advice: str = "choose another folder") -> Iterator[None]:
    """What is read from `path` may lack something or have other shapes than the networks."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        about = str(error).splitlines()[-1].strip()
        raise UserError(f"{path} does not fit this configuration or data ({about}): {advice}") from error


def read_state(path: Path) -> dict[str, Any]:
    """A run's `checkpoint.pt`, from which nothing is run. Raises UserError."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{path} is damaged or not a checkpoint of a run: choose another folder") from error
    return state


def read_start(
    path: Path, config: TrainConfig, training: GeneratorTraining[Any], c_dim: int
) -> tuple[Generator, dict[str, Tensor] | None]:
    """The generator to go on from and, if `path` is a run with the same loss, its discriminator.

    `path` may also be what every command takes for `--model`: the name of a shipped model, or a hub id.
    """
    discriminator = None
    path = resolve(path)
    if (path / "checkpoint.pt").exists():
        if config.network is not None:
            raise UserError(f"{path} is a run, which goes on from its average: leave --network out")
        state = read_state(path / "checkpoint.pt")
        before = read_record(path / "config.json")
        with fitting(path / "checkpoint.pt"):
            g: Generator = training.restore(before, state["ema"])
        alike = (before.get("loss"), before.get("feature_size", 128)) == (config.loss, config.feature_size)
        if alike and OBJECTIVES[config.loss].grows:
            discriminator = state["d"]
    else:
        found = load(str(path), device="cpu", network=config.network).generator
        with torch.random.fork_rng(devices=[]):  # what is added to it is random
            torch.manual_seed(config.seed)
            g = training.adopt(found, str(path))
    wrong = [k for k in training.kept if getattr(g.config, k) != getattr(config, k)]
    if wrong:
        flag = wrong[0].replace("_", "-")
        raise UserError(f"{path} has --{flag} {getattr(g.config, wrong[0])}: give the same to go on from it")
    if g.config.resolution not in (config.resolution, config.resolution // 2):
        raise UserError(f"{path} draws {g.config.resolution} px; --grow goes on at {g.config.resolution} or twice that")
    if (g.config.c_dim, g.config.img_channels) != (c_dim, 3):
        raise UserError(
            f"{path} draws {g.config.img_channels} channels of {g.config.c_dim} classes; the data has 3 channels of {c_dim}"
        )
    return g, discriminator
