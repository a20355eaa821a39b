"""A training run in its folder: opened or continued, stepped, logged, saved. Yields progress; draws no bars.

The folder holds `config.json`, `log.jsonl`, TensorBoard events, `checkpoint.pt` (all that continuing needs),
`snapshot-NNNNNNNNN.safetensors` (the averaged generator, a model like any other) and `samples-NNNNNNNNN.png`;
with `--anchor` also `codes.safetensors`, from which every known picture's latent follows.
"""

import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from collections.abc import Generator as Steps
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import tee
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.checkpoints.face_reader import load_face_reader
from gansteer.checkpoints.native import save_model, write_tensors
from gansteer.checkpoints.registry import load
from gansteer.colours import parse_colour
from gansteer.device import pick_device
from gansteer.errors import UserError
from gansteer.memory import keep_freed_memory
from gansteer.models.projected import ProjectedDiscriminator
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.output import replacing, save_picture
from gansteer.sheet import sheet
from gansteer.subject import Card, Model
from gansteer.training.codes import (
    Describe,
    LatentCoder,
    LatentTargets,
    describe_faces,
    describe_features,
    described,
    face_landmarks,
    fit_coder,
)
from gansteer.training.config import TrainConfig
from gansteer.training.data import Pictures, batches
from gansteer.training.distributed import ProcessGroup, join_processes, leave_processes
from gansteer.training.loop import Trainer, build_networks

LOG_STEPS = 10
MAY_CHANGE = {"out", "images", "snapshot_images", "checkpoint_minutes", "workers", "device", "data"}
"""What a continued run may be told otherwise: it says where things are and how often they are written."""


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
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", device.index or 0)))
        saved = _read_checkpoint(config)
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
            _write_config(config)
        targets = _latent_targets(config, trainer, data, group, checking) if config.anchor else None
        yield from _loop(config, trainer, data, targets)
    finally:
        leave_processes()


def _trainer(
    config: TrainConfig, c_dim: int, device: torch.device, group: ProcessGroup, saved: dict[str, Any] | None
) -> Trainer:
    backbone = load_efficientnet(device) if config.loss == "projected" else None
    start, discriminator = (None, None) if config.grow is None or saved else _read_start(config.grow, config, c_dim)
    ramp = start is None or start.config.resolution != config.resolution  # else its average is as good as it is
    trainer = Trainer(config, build_networks(config, c_dim, backbone, device, start), device, group, ramp)
    if saved is not None:
        with _fitting(config.out / "checkpoint.pt", f"choose another folder, and --grow {config.out} to go on from it"):
            trainer.load_state_dict(saved)
    elif discriminator is not None:
        trainer.load_discriminator(discriminator)
    return trainer


def _latent_targets(
    config: TrainConfig, trainer: Trainer, data: Pictures, group: ProcessGroup, progress: Callable[[int, int], None]
) -> LatentTargets:
    """Every picture's latent, and landmarks of portraits: as this run, or the one it grew from, found them, or new."""
    own = config.out / "codes.safetensors"
    before = own if own.exists() or config.grow is None else config.grow / "codes.safetensors"
    coder, targets = _read_codes(before, config.z_dim, trainer.device) if before.exists() else (None, None)
    new = before != own
    if targets is None or len(targets.codes) != len(data) or (config.anchor_faces and targets.landmarks is None):
        descriptions = described(data, _describe(config, trainer), trainer.device, progress)
        coder = coder or fit_coder(descriptions, config.z_dim, config.seed)
        if len(coder.mean) != sum(d.shape[1] for d in descriptions):
            raise UserError(
                f"{before} holds latents of another kind: use --anchor-faces as the run that it is from did"
            )
        landmarks = face_landmarks(descriptions) if config.anchor_faces else None
        targets, new = LatentTargets(coder(descriptions), landmarks), True
    assert coder is not None
    if group.rank == 0 and new:
        tensors = {name: x for name, x in {**vars(coder), **vars(targets)}.items() if x is not None}
        write_tensors(
            {name: x.cpu().contiguous() for name, x in tensors.items()}, "latents of the training pictures", own
        )
    return LatentTargets(targets.codes.cpu(), None if targets.landmarks is None else targets.landmarks.cpu())


def _describe(config: TrainConfig, trainer: Trainer) -> Describe:
    if config.anchor_faces:
        return partial(describe_faces, reader=load_face_reader(trainer.device))
    assert isinstance(trainer.nets.d, ProjectedDiscriminator)
    return partial(describe_features, backbone=trainer.nets.d.backbone)


def _read_codes(path: Path, z_dim: int, device: torch.device) -> tuple[LatentCoder, LatentTargets]:
    try:
        found = {name: x.to(device) for name, x in load_file(path).items()}
        coder, targets = (
            LatentCoder(*(found[field.name] for field in fields(LatentCoder))),
            LatentTargets(found["codes"], found.get("landmarks")),
        )
    except (SafetensorError, KeyError, OSError) as error:
        raise UserError(f"{path} is damaged: remove it, and the latents are found anew") from error
    if targets.codes.shape[1] != z_dim:
        raise UserError(f"{path} holds latents of {targets.codes.shape[1]} dimensions, not --z-dim {z_dim}")
    return coder, targets


def _loop(
    config: TrainConfig, trainer: Trainer, data: Pictures, targets: LatentTargets | None
) -> Steps[TrainProgress, None, None]:
    group, chief = trainer.group, trainer.group.rank == 0
    # One copy goes to the loader, which may read ahead; the other says which pictures a batch holds.
    order, items = tee(batches(len(data), config.batch, config.seed, trainer.steps, group.rank, group.size))
    loader = DataLoader(data, batch_sampler=order, num_workers=0 if data.in_memory else config.workers)
    log = _Log(config.out) if chief else None
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
                save_snapshot(config, trainer)
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
            save_snapshot(config, trainer)


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
        try:
            self.lines.write(json.dumps(line) + "\n")
            if self.board is not None:
                for name, value in values.items():
                    self.board.add_scalar(name, value, images)
        except OSError as error:
            raise UserError(f"{self.lines.name} could not be written ({error.strerror})") from error

    def close(self) -> None:
        with suppress(OSError):  # what could not be written was said by then
            self.lines.close()
            if self.board is not None:
                self.board.close()


def snapshot_file(config: TrainConfig, images: int) -> Path:
    """Where the generator goes that has seen `images` pictures."""
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
    save_picture(page, config.out / f"samples-{trainer.images:09d}.png")


def save_checkpoint(config: TrainConfig, trainer: Trainer) -> None:
    """Write all that continuing needs; the previous checkpoint survives whatever goes wrong."""
    with replacing(config.out / "checkpoint.pt") as path:
        try:
            torch.save(trainer.state_dict(), path)
        except RuntimeError as error:  # it says of a full disk only that it is somewhere unexpected
            raise OSError("is the disk full?") from error


def _record(config: TrainConfig) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items()}


def _write_config(config: TrainConfig) -> None:
    with replacing(config.out / "config.json") as path:
        path.write_text(json.dumps(_record(config), indent=1) + "\n")


def _read_checkpoint(config: TrainConfig) -> dict[str, Any] | None:
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
    before = _read_record(record)
    for name, value in _record(config).items():
        if name not in MAY_CHANGE and before.get(name, value) != value:
            flag = name.replace("_", "-")
            raise UserError(
                f"{out} is a run with --{flag} {before[name]}, not {value}: choose another --out, or give the same --{flag}"
            )
    return _read_state(out / "checkpoint.pt") if (out / "checkpoint.pt").exists() else None


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is missing or damaged: choose another folder") from error
    if not isinstance(record, dict):
        raise UserError(f"{path} is no record of a run: choose another folder")
    return record


@contextmanager
def _fitting(path: Path, advice: str = "choose another folder") -> Iterator[None]:
    """What is read from `path` may lack something or have other shapes than the networks."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        about = str(error).splitlines()[-1].strip()
        raise UserError(f"{path} does not fit this configuration or data ({about}): {advice}") from error


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{path} is damaged or not a checkpoint of a run: choose another folder") from error
    return state


def _read_start(path: Path, config: TrainConfig, c_dim: int) -> tuple[StyleGAN2Generator, dict[str, Tensor] | None]:
    """The generator to go on from and, if `path` is a run with the same loss, its discriminator."""
    discriminator = None
    if not path.exists():
        raise UserError(f"there is no run or model at {path} to --grow")
    if (path / "checkpoint.pt").exists():
        state = _read_state(path / "checkpoint.pt")
        before = _read_record(path / "config.json")
        with _fitting(path / "checkpoint.pt"):
            labels = state["ema"].get("mapping.embed.weight", torch.empty(0, 0))  # [w_dim, c_dim]
            small = replace(config, **{k: before[k] for k in (*SHAPE, "resolution")}).generator_config(labels.shape[1])
            g = StyleGAN2Generator(small)
            g.load_state_dict(state["ema"])
        # The projected discriminator sees resized pictures, so it fits every resolution.
        if config.loss == before.get("loss") == "projected":
            discriminator = state["d"]
    else:
        loaded = load(str(path), device="cpu").generator
        if not isinstance(loaded, StyleGAN2Generator):
            raise UserError(f"{path} is of the architecture {loaded.architecture}: only stylegan2 can --grow")
        g = loaded
    wrong = [k for k in SHAPE if getattr(g.config, k) != getattr(config, k)]
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


SHAPE = ("z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max")
"""What a generator keeps when it grows."""
