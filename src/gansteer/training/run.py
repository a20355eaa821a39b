"""A training run in its folder: opened or continued, stepped, logged, saved. Yields progress; draws no bars.

The folder holds `config.json`, `log.jsonl`, TensorBoard events, `checkpoint.pt` (all that continuing needs),
`snapshot-NNNNNNNNN.safetensors` (the averaged generator, a model like any other) and `samples-NNNNNNNNN.png`;
with `--anchor` also `codes.safetensors`, from which every known picture's latent follows.
"""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from collections.abc import Generator as Steps
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import tee
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from gansteer.colours import parse_colour
from gansteer.device import pick_device
from gansteer.errors import UserError
from gansteer.memory import keep_freed_memory
from gansteer.training.choice import generator_training
from gansteer.training.codes import LatentTargets
from gansteer.training.config import TrainConfig
from gansteer.training.data import Pictures, batches
from gansteer.training.distributed import ProcessGroup, join_processes, leave_processes
from gansteer.training.folder import (
    fitting,
    read_checkpoint,
    read_start,
    save_checkpoint,
    save_snapshot,
    snapshot_file,
    write_config,
)
from gansteer.training.log import Log
from gansteer.training.loop import Trainer
from gansteer.training.networks import build_networks
from gansteer.training.targets import latent_targets

LOG_STEPS = 10


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
    group = join_processes(device)
    try:
        if config.batch % group.size:
            raise UserError(f"--batch {config.batch} cannot be shared by {group.size} processes: choose a multiple")
        if config.anchor and round(config.batch / group.size * config.anchor) < 1:
            raise UserError(
                f"--anchor {config.anchor} of {config.batch // group.size} pictures a process is none: give more of either"
            )
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", device.index or 0)))
        saved = read_checkpoint(config)
        data = Pictures(
            config.data, config.resolution, mirror=config.mirror, labels=config.conditional, progress=checking,
            crop=config.crop, background=parse_colour(config.background, "--background"),
        )  # fmt: skip
        trainer = _trainer(config, data.c_dim, device, group, saved)
        if not group.agrees(torch.tensor([trainer.steps, len(data)], device=device)):
            raise UserError(
                "the processes see different runs or data: give all of them the same --out and --data folders"
            )
        if group.rank == 0:
            config.out.mkdir(exist_ok=True)
            write_config(config)
        targets = latent_targets(config, data, device, group, checking) if config.anchor else None
        yield from _loop(config, trainer, data, targets)
    finally:
        leave_processes()


def _trainer(
    config: TrainConfig, c_dim: int, device: torch.device, group: ProcessGroup, saved: dict[str, Any] | None
) -> Trainer:
    training = generator_training(config)
    start, discriminator = None, None
    if config.grow is not None and saved is None:
        start, discriminator = read_start(config.grow, config, training, c_dim)
    ramp = start is None or start.config.resolution != config.resolution  # else its average is as good as it is
    nets = build_networks(config, training, c_dim, device, start)
    trainer = Trainer(config, training, nets, device, group, ramp=ramp)
    if saved is not None:
        with fitting(config.out / "checkpoint.pt", f"choose another folder, and --grow {config.out} to go on from it"):
            trainer.load_state_dict(saved)
    elif discriminator is not None:
        trainer.load_discriminator(discriminator)
    return trainer


def _loop(
    config: TrainConfig, trainer: Trainer, data: Pictures, targets: LatentTargets | None
) -> Steps[TrainProgress, None, None]:
    group, chief = trainer.group, trainer.group.rank == 0
    # One copy goes to the loader, which may read ahead; the other says which pictures a batch holds.
    order, items = tee(batches(len(data), config.batch, config.seed, trainer.steps, group.rank, group.size))
    loader = DataLoader(data, batch_sampler=order, num_workers=0 if data.in_memory else config.workers)
    log = Log(config.out) if chief else None
    saved_at = time.monotonic()
    since, shown = time.monotonic(), trainer.images
    latest: dict[str, Tensor] = {}
    """The newest value of everything since the last report: regularisers run in other steps than those reported."""
    try:
        for (reals, labels), shown_items in zip(loader, items, strict=False):
            if trainer.images >= config.images:
                break
            before = trainer.images
            with _uninterrupted():
                latest |= trainer.step(reals, labels, None if targets is None else targets[shown_items])
            if trainer.images // config.snapshot_images > before // config.snapshot_images and chief:
                save_snapshot(config, trainer, data.class_names)
            if trainer.steps % LOG_STEPS and trainer.images < config.images:
                continue
            now = time.monotonic()
            rate = (trainer.images - shown) / max(now - since, 1e-9)
            since, shown = now, trainer.images
            means = group.mean(torch.stack(list(latest.values()))).tolist()
            values = dict(zip(latest, means, strict=True))
            latest = {}
            if not all(map(math.isfinite, means)) or not trainer.is_finite():
                raise UserError(_diverged(config, trainer))
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
            save_snapshot(config, trainer, data.class_names)


def _diverged(config: TrainConfig, trainer: Trainer) -> str:
    what = f"training diverged at {trainer.images} images: start a new run with smaller --g-lr and --d-lr"
    good = (config.out / "checkpoint.pt").exists()
    return f"{what}, from the last good state with --grow {config.out}" if good else what


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits for the end of the step: a run stopped within one could not be continued as if never stopped."""
    if threading.current_thread() is not threading.main_thread():  # Python interrupts the main thread only
        yield
        return
    pressed = False

    def note(*_: object) -> None:
        nonlocal pressed
        pressed = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        if pressed:
            signal.raise_signal(signal.SIGINT)
