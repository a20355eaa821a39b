"""A training run in its folder: opened or continued, stepped, logged, saved. Yields progress; draws no bars.

The folder holds `config.json`, `log.jsonl`, TensorBoard events, `checkpoint.pt` (all that continuing needs),
`snapshot-NNNNNNNNN.safetensors` (the averaged generator, a model like any other) and `samples-NNNNNNNNN.png`.
"""

import json
import os
import time
from collections.abc import Callable
from collections.abc import Generator as Steps
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.checkpoints.native import save_model
from gansteer.checkpoints.registry import load
from gansteer.device import pick_device
from gansteer.errors import UserError
from gansteer.memory import keep_freed_memory
from gansteer.models.stylegan2 import Generator
from gansteer.sheet import sheet
from gansteer.subject import Card, Model
from gansteer.training.config import TrainConfig
from gansteer.training.data import Pictures, batches
from gansteer.training.distributed import World, join_world
from gansteer.training.loop import Trainer, build_networks

LOG_STEPS = 10
MAY_CHANGE = {"out", "images", "snapshot_images", "checkpoint_minutes", "workers", "device", "data"}
"""What a continued run may be told otherwise: none of it changes what a step computes."""


@dataclass(frozen=True)
class TrainProgress:
    """Where a run stands, every few steps."""

    images: int
    total: int
    images_per_second: float
    losses: dict[str, float]


def train(
    config: TrainConfig, checking: Callable[[int, int], None] = lambda done, total: None
) -> Steps[TrainProgress, None, None]:
    """Carry out a run, yielding every 10 steps. `checking(done, total)` is told how far the data check is.

    Raises UserError before anything is written if the data, the configuration or the folder are wrong. Closing the
    iterator (Ctrl-C) saves a checkpoint first.
    """
    keep_freed_memory()
    device = pick_device(config.device)
    world = join_world(device)
    if config.batch % world.size:
        raise UserError(f"--batch {config.batch} cannot be shared by {world.size} processes: choose a multiple")
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", device.index or 0)))
    saved = _read_checkpoint(config)
    data = Pictures(config.data, config.resolution, mirror=config.mirror, labels=config.conditional, progress=checking)
    trainer = _trainer(config, data.c_dim, device, world, saved)
    if world.rank == 0:
        _write_config(config)
    yield from _loop(config, trainer, data)


def _trainer(
    config: TrainConfig, c_dim: int, device: torch.device, world: World, saved: dict[str, Any] | None
) -> Trainer:
    backbone = load_efficientnet(device) if config.loss == "projected" else None
    start, discriminator = (None, None) if config.grow is None or saved else _read_start(config.grow, config)
    trainer = Trainer(config, build_networks(config, c_dim, backbone, device, start), device, world)
    if saved is not None:
        trainer.load_state_dict(saved)
    elif discriminator is not None:
        trainer.load_discriminator(discriminator)
    return trainer


def _loop(config: TrainConfig, trainer: Trainer, data: Pictures) -> Steps[TrainProgress, None, None]:
    world, chief = trainer.world, trainer.world.rank == 0
    order = batches(len(data), config.batch, config.seed, trainer.steps, world.rank, world.size)
    loader = DataLoader(data, batch_sampler=order, num_workers=config.workers)
    log = _Log(config.out) if chief else None
    saved_at = time.monotonic()
    since, shown = time.monotonic(), trainer.images
    try:
        for reals, labels in loader:
            if trainer.images >= config.images:
                break
            before = trainer.images
            report = trainer.step(reals, labels)
            if trainer.images // config.snapshot_images > before // config.snapshot_images and chief:
                save_snapshot(config, trainer)
            if trainer.steps % LOG_STEPS:
                continue
            now = time.monotonic()
            rate = (trainer.images - shown) / max(now - since, 1e-9)
            since, shown = now, trainer.images
            values = {name: float(value) for name, value in report.items()}
            if not all(map(torch.isfinite, map(torch.tensor, values.values()))):
                raise UserError(
                    f"training diverged at {trainer.images} images; {config.out} holds the last good checkpoint: "
                    "continue from it in a new run with smaller --g-lr and --d-lr"
                )
            if log is not None:
                log.write(trainer.images, rate, values)
            if chief and now - saved_at > config.checkpoint_minutes * 60:
                save_checkpoint(config, trainer)
                saved_at = now
            yield TrainProgress(trainer.images, config.images, rate, values)
    except (GeneratorExit, KeyboardInterrupt):
        if chief:
            save_checkpoint(config, trainer)
        raise
    finally:
        if log is not None:
            log.close()
    if chief:
        save_checkpoint(config, trainer)
        if not snapshot_file(config, trainer.images).exists():
            save_snapshot(config, trainer)


class _Log:
    """One line of JSON, and one point in TensorBoard if it is installed, for every report."""

    def __init__(self, out: Path) -> None:
        self.lines = (out / "log.jsonl").open("a", buffering=1)
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board: Any = SummaryWriter(str(out))
        except ImportError:
            self.board = None

    def write(self, images: int, rate: float, values: dict[str, float]) -> None:
        line = {"time": round(time.time(), 1), "images": images, "images_per_second": round(rate, 2), **values}
        self.lines.write(json.dumps(line) + "\n")
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, images)

    def close(self) -> None:
        self.lines.close()
        if self.board is not None:
            self.board.close()


def snapshot_file(config: TrainConfig, images: int) -> Path:
    """Where the generator goes that has seen so many pictures."""
    return config.out / f"snapshot-{images:09d}.safetensors"


def save_snapshot(config: TrainConfig, trainer: Trainer) -> None:
    """Write the averaged generator as a model, and a sheet of its samples (psi 0.7, seeds 0 to 31)."""
    card = Card(
        name=config.out.resolve().name,
        description=f"snapshot of a training run after {trainer.images} images",
        training={"images": trainer.images, "loss": config.loss, "augment": config.augmentation, "batch": config.batch},
    )
    model = Model(card, trainer.nets.ema)
    save_model(model, snapshot_file(config, trainer.images))
    labels = [seed % model.generator.config.c_dim if model.generator.config.c_dim else None for seed in range(32)]
    page = sheet([model.sample(seed, label=label).image for seed, label in enumerate(labels)], columns=8)
    _replace(config.out / f"samples-{trainer.images:09d}.png", lambda path: page.save(path, "PNG"))


def save_checkpoint(config: TrainConfig, trainer: Trainer) -> None:
    """Write all that continuing needs; the previous checkpoint survives whatever goes wrong."""
    _replace(config.out / "checkpoint.pt", lambda path: torch.save(trainer.state_dict(), path))


def _replace(target: Path, write: Callable[[Path], object]) -> None:
    """Write to a new name beside `target`, then rename."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        write(temporary)
        os.replace(temporary, target)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{target} could not be written ({error}); what was there before is as it was") from error
    finally:
        temporary.unlink(missing_ok=True)


def _record(config: TrainConfig) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items()}


def _write_config(config: TrainConfig) -> None:
    text = json.dumps(_record(config), indent=1) + "\n"
    _replace(config.out / "config.json", lambda path: path.write_text(text))


def _read_checkpoint(config: TrainConfig) -> dict[str, Any] | None:
    """The state to continue from, if the folder holds a run; it must be of this configuration."""
    out = config.out
    if not out.parent.is_dir():
        raise UserError(f"there is no folder {out.parent} to make the run {out.name} in: make it first")
    try:
        out.mkdir(exist_ok=True)
        (out / ".writable").touch()
        (out / ".writable").unlink()
    except OSError as error:
        raise UserError(f"the run's folder {out} cannot be written: {error.strerror}") from error
    record = out / "config.json"
    if not record.exists():
        return None
    try:
        before = json.loads(record.read_text())
    except ValueError as error:
        raise UserError(f"{record} is damaged: choose another --out") from error
    for name, value in _record(config).items():
        if name not in MAY_CHANGE and before.get(name, value) != value:
            flag = name.replace("_", "-")
            raise UserError(
                f"{out} is a run with --{flag} {before[name]}, not {value}: choose another --out, or give the same --{flag}"
            )
    return _read_state(out / "checkpoint.pt") if (out / "checkpoint.pt").exists() else None


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{path} is damaged or not a checkpoint of a run: choose another folder") from error
    return state


def _read_start(path: Path, config: TrainConfig) -> tuple[Generator, dict[str, Tensor] | None]:
    """The generator to go on from and, if `path` is a run with the same loss, its discriminator."""
    discriminator = None
    if (path / "checkpoint.pt").exists():
        state = _read_state(path / "checkpoint.pt")
        before = json.loads((path / "config.json").read_text())
        small = replace(config, **{k: before[k] for k in (*SHAPE, "resolution")}).generator_config()
        g = Generator(small)
        g.load_state_dict(state["ema"])
        # The projected discriminator sees resized pictures, so it fits every resolution.
        if config.loss == before["loss"] == "projected":
            discriminator = state["d"]
    else:
        g = load(str(path), device="cpu").generator
    wrong = [k for k in SHAPE if getattr(g.config, k) != getattr(config, k)]
    if wrong:
        flag = wrong[0].replace("_", "-")
        raise UserError(f"{path} has --{flag} {getattr(g.config, wrong[0])}: give the same to go on from it")
    if g.config.resolution not in (config.resolution, config.resolution // 2):
        raise UserError(f"{path} draws {g.config.resolution} px; --grow goes on at {g.config.resolution} or twice that")
    return g, discriminator


SHAPE = ("z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max")
"""What a generator keeps when it grows."""
