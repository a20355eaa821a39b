"""What a larger `portraits` would cost, before it is trained: the shipped model grown in several ways, each beside the shipped one.

    OMP_NUM_THREADS=1 python recipes/portraits/candidates.py --widths 4096:128 8192:128 8192:192 [--resolution 256]

Every candidate is made as `gansteer train --grow portraits --layout hierarchical` makes it, and draws the shipped model's pictures
still. Prints the size of its file in float16 and medians in CPU milliseconds of one thread, models taking turns: of a picture (a
slider is one picture, and what holds other attributes), and of a step of a drag of one point, which follows features of the shipped
model's layer, moving w alone or blobs as well; with --train also pictures a CPU-second
of training.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

import gansteer
from gansteer.checkpoints.native import save_model
from gansteer.edits.drag.config import LayoutMode
from gansteer.edits.drag.edit import Drag
from gansteer.edits.registry import start
from gansteer.memory import keep_freed_memory
from gansteer.subject import Model
from gansteer.training.choice import generator_training
from gansteer.training.config import TrainConfig
from gansteer.training.distributed import ProcessGroup
from gansteer.training.loop import Trainer
from gansteer.training.networks import Networks, build_networks

CPU = torch.device("cpu")


def config_of(resolution: int, base: int, most: int, batch: int) -> TrainConfig:
    return TrainConfig(
        Path("data"), Path("out"), resolution=resolution, channel_base=base, channel_max=most, mapping_layers=8, batch=batch,
        layout="hierarchical", layout_reader=1.0, grow=Path("portraits"),
    )  # fmt: skip


def networks(config: TrainConfig) -> Networks:
    training = generator_training(config)
    shipped = gansteer.load("portraits", device="cpu").generator
    return build_networks(config, training, 0, CPU, training.adopt(shipped, "portraits"))


def megabytes(model: Model) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model(model, path, torch.float16)
        return path.stat().st_size / 1e6


def drag_step(model: Model, layout: LayoutMode = "move+joint") -> Callable[[], object]:
    """A step of a drag of the nose by a tenth of the picture, which is never quite there."""
    size = model.resolution
    edit = Drag([(size // 2, size // 2)], [(0.6 * size + 0.123, 0.5 * size)], method="draggan", layout=layout)
    run = start(model.sample(1, psi=0.7), edit)
    for _ in range(3):
        run.step()
    return run.step


def milliseconds(run: Callable[[], object]) -> float:
    before = time.process_time()
    run()
    return 1000 * (time.process_time() - before)


def train_rate(config: TrainConfig, nets: Networks, steps: int) -> float:
    trainer = Trainer(config, generator_training(config), nets, CPU, ProcessGroup())
    reals = torch.randint(0, 256, (config.batch, 3, config.resolution, config.resolution), dtype=torch.uint8)
    labels = torch.zeros(config.batch, dtype=torch.long)
    trainer.step(reals, labels)
    return config.batch / median(milliseconds(lambda: trainer.step(reals, labels)) / 1000 for _ in range(steps))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", nargs="+", default=["4096:128", "8192:128", "8192:192"], metavar="BASE:MAX")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--train", type=int, default=0, metavar="STEPS")
    parser.add_argument("--batch", type=int, default=16)
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    shipped = gansteer.load("portraits", device="cpu")
    models, built = {"shipped": shipped}, {}
    for width in args.widths:
        base, most = map(int, width.split(":"))
        config = config_of(args.resolution, base, most, args.batch)
        built[width] = config, networks(config)
        models[width] = Model(replace(shipped.card, name=width), built[width][1].ema)
    subjects = {name: model.sample(1, psi=0.7) for name, model in models.items()}
    runs = {
        name: (subjects[name].render, drag_step(model, "fixed"), drag_step(model)) for name, model in models.items()
    }
    times: dict[str, list[list[float]]] = {name: [[], [], []] for name in models}
    with torch.no_grad():
        for subject in subjects.values():
            subject.render()  # warms up
    for _ in range(args.turns):
        for name, ways in runs.items():
            for found, way in zip(times[name], ways, strict=True):
                found.append(milliseconds(way))
    print(f"{'base:max':<10} {'px':>4} {'MB':>5} {'picture, ms':>12} {'step of w, ms':>14} {'and blobs, ms':>14}")
    for name, model in models.items():
        picture, alone, both = (median(found) for found in times[name])
        about = f"{name:<10} {model.resolution:>4} {megabytes(model):>5.1f}"
        print(f"{about} {picture:>12.1f} {alone:>14.1f} {both:>14.1f}", flush=True)
    for name, (config, nets) in built.items() if args.train else ():
        print(f"{name}: {train_rate(config, nets, args.train):.2f} pictures a CPU-second of training", flush=True)


if __name__ == "__main__":
    main()
