"""Pictures a second of training, and what another memory layout of the networks changes in that.

Each side is a whole trainer of the same run from the same seed: `as it is` as `gansteer train` builds it, the others with
their networks changed before the first step. They take turns in one process on one thread, every step timed in CPU-seconds;
a side's rate is that of its median step, and its ratio the median over the turns. Steps that regularise take longer, and all
sides take them in the same turns.

With `--curve`, both sides also train on the pictures of a folder for so many pictures each, and the reports are printed
beside each other: whether they train alike.

    OMP_NUM_THREADS=1 python benchmarks/training.py --resolutions 64 128 --steps 8 --json out.json
    OMP_NUM_THREADS=1 python benchmarks/training.py --curve 10000 --data FOLDER --resolutions 32
"""

import argparse
import json
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Literal, get_args

import torch
from torch import Tensor

from gansteer.memory import keep_freed_memory
from gansteer.training.choice import generator_training
from gansteer.training.config import TrainConfig
from gansteer.training.data import Pictures, batches
from gansteer.training.distributed import ProcessGroup
from gansteer.training.loop import Trainer
from gansteer.training.networks import Networks, build_networks

CPU = torch.device("cpu")
Loss = Literal["projected", "stylegan2"]


def plain(nets: Networks) -> None:
    """Leave the networks as they are."""


def channels_last(nets: Networks) -> None:
    """Weights of convolutions, and so all activations, with the channels of a pixel next to each other."""
    for net in (nets.g, nets.ema, nets.d):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def channels_last_discriminator(nets: Networks) -> None:
    """The same for the discriminator and the frozen network it stands on alone."""
    nets.d.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def contiguous(nets: Networks) -> None:
    """The networks with each channel's pixels next to each other, whatever they are built with."""
    for net in (nets.g, nets.ema, nets.d):
        net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


SIDES: dict[str, Callable[[Networks], None]] = {
    "as it is": plain,
    "contiguous": contiguous,
    "channels-last": channels_last,
    "channels-last D": channels_last_discriminator,
}


def config_of(loss: Loss, resolution: int, batch: int, data: Path = Path("data")) -> TrainConfig:
    return TrainConfig(
        data, Path("out"), resolution=resolution, loss=loss, batch=batch, channel_base=4096, channel_max=128
    )


def trainer_of(config: TrainConfig, side: str) -> Trainer:
    training = generator_training(config)
    nets = build_networks(config, training, 0, CPU)
    SIDES[side](nets)
    return Trainer(config, training, nets, CPU, ProcessGroup())


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def compare(loss: Loss, resolution: int, batch: int, steps: int, sides: list[str]) -> list[dict[str, object]]:
    """One row a side: pictures a CPU-second, and how many times the first side's."""
    config = config_of(loss, resolution, batch)
    trainers = [trainer_of(config, side) for side in sides]
    rng = torch.Generator().manual_seed(0)
    reals = torch.randint(0, 256, (batch, 3, resolution, resolution), dtype=torch.uint8, generator=rng)
    labels = torch.zeros(batch, dtype=torch.long)
    for trainer in trainers:
        trainer.step(reals, labels)  # warms up
    turns = [[seconds(lambda t=t: t.step(reals, labels)) for t in trainers] for _ in range(steps)]  # type: ignore[misc]
    return [
        {
            "loss": loss,
            "resolution": resolution,
            "batch": batch,
            "side": side,
            "pictures_a_second": batch / median(turn[i] for turn in turns),
            "ratio": median(turn[0] / turn[i] for turn in turns),
        }
        for i, side in enumerate(sides)
    ]


def curve(config: TrainConfig, data: Pictures, images: int, side: str, each: int = 50) -> list[dict[str, float]]:
    """Means of the reports over every `each` steps of a run from its seed."""
    trainer = trainer_of(config, side)
    reports: list[dict[str, Tensor]] = []
    rows: list[dict[str, float]] = []
    for items in islice(batches(len(data), config.batch, config.seed, 0), images // config.batch):
        shown = [data[i] for i in items]
        reals, labels = torch.stack([x for x, _ in shown]), torch.tensor([label for _, label in shown])
        reports.append(trainer.step(reals, labels))
        if len(reports) == each:
            names = set.intersection(*(set(r) for r in reports))
            means = {name: float(torch.stack([r[name] for r in reports]).mean()) for name in sorted(names)}
            rows.append({"images": trainer.images, **means})
            reports = []
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--resolutions", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--losses", nargs="+", choices=get_args(Loss), default=list(get_args(Loss)))
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=["as it is", "channels-last"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8, help="steps of each side that are timed")
    parser.add_argument("--curve", type=int, default=0, metavar="IMAGES", help="pictures that each side trains on")
    parser.add_argument("--data", type=Path, help="folder of pictures for --curve")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    if args.curve and args.data is None:
        parser.error("--curve trains on pictures: give their folder with --data")
    torch.set_num_threads(1)
    keep_freed_memory()
    report: dict[str, list[object]] = {"speed": [], "curves": []}
    print(f"{'loss':<10} {'px':>4} {'side':<16} {'pictures/s':>10} {'ratio':>6}   (one thread, batch {args.batch})")
    for loss in args.losses:
        for resolution in args.resolutions:
            for row in compare(loss, resolution, args.batch, args.steps, args.sides):
                report["speed"].append(row)
                print(
                    f"{loss:<10} {resolution:>4} {row['side']:<16} {row['pictures_a_second']:>10.2f} {row['ratio']:>6.2f}",
                    flush=True,
                )
            if args.curve:
                config = config_of(loss, resolution, args.batch, args.data)
                data = Pictures(args.data, resolution)
                for side in args.sides:
                    rows = curve(config, data, args.curve, side)
                    report["curves"].append({"loss": loss, "resolution": resolution, "side": side, "reports": rows})
                    for found in rows:
                        values = "  ".join(f"{name} {value:8.3f}" for name, value in found.items())
                        print(f"{loss:<10} {resolution:>4} {side:<16} {values}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
