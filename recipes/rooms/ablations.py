"""Small networks that differ in one thing each: what the encoding, the alignment loss, the reader and the blobs do.

usage: python ablations.py ROOMS OUT PICTURES [NAME ...]

ROOMS is the folder of the data, OUT one for the runs (a run that is there goes on), PICTURES how many real pictures each shows, at
32 px; with names only those. Prints the table of all that are done, and puts it into docs/layout.md if that is here. A picture
takes less than 0.1 s of a core, and measuring a network a minute or two.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from gansteer.checkpoints.readers import ROOMS
from gansteer.checkpoints.registry import load
from gansteer.evaluation.document import fill, table
from gansteer.evaluation.layout import Record, examine
from gansteer.evaluation.layout_networks import MISSING, Distances, measured_run, read_things
from gansteer.evaluation.layout_report import Row, rows
from gansteer.evaluation.layout_scene import SubjectScene
from gansteer.training.config import TrainConfig
from gansteer.training.run import train
from gansteer.training.trained import read_trained

RESOLUTION = 32
SCENES, SAMPLES = 60, 320
BASE: dict[str, object] = {
    "resolution": RESOLUTION, "z_dim": 16, "channel_base": 3072, "batch": 16, "augment_colour": 0.3, "mirror": True, "layout": "objects:6",
    "layout_noise": False, "blobs_alone": 0.7, "spread": True, "d_lr": 1e-3, "ema_images": 1000, "alignment": 0.0, "feature_size": 64, "snapshot_images": 10**9,
}  # fmt: skip
"""What all have in common: the training of `rooms`, with neither of the terms that speak of blobs."""
ROWS: dict[str, dict[str, object]] = {
    "neither term": {},
    "alignment": {"alignment": 1.0},
    "reader": {"layout_reader": 1.0},
    "reader, composition": {"layout_reader": 1.0, "composition": 3.0},
    "no encoding": {"encoding": "none"},
    "published encoding, alignment": {"encoding": "published", "alignment": 1.0},
    "alignment, sign reversed": {"alignment": 1.0, "alignment_sign": "reversed"},
    "without layout": {"layout": "none", "layout_noise": True, "blobs_alone": 0.0},
    "reader, 3 blobs": {"layout_reader": 1.0, "layout": "objects:3"},
    "reader, 10 blobs": {"layout_reader": 1.0, "layout": "objects:10"},
    "published encoding, neither": {"encoding": "published"},
}
"""Each with what it has of its own."""
SHOWN = {
    "slope": "displacement slope by difference",
    "R2": "displacement r2 by difference",
    "within 10 %": "displacement within 10 % of the width by difference",
    "outside/inside": "move: change outside over inside",
    "restyle": "restyle: change inside over outside",
    "gone": "thing gone without its blob",
    "added": "thing appears where a blob is added",
}
"""Columns, and the measures that they show."""


def config_of(name: str, data: Path, out: Path, images: int) -> TrainConfig:
    """The run of a row."""
    folder = out / name.replace(", ", "-").replace(" ", "-")
    return TrainConfig(data=data / "images", out=folder, images=images, **{**BASE, **ROWS[name]})  # type: ignore[arg-type]


def measured(name: str, config: TrainConfig, rooms: Path, distances: Distances) -> dict[str, object]:
    """What the finished run of a row draws, and what its discriminator says."""
    run = read_trained(config.out, distances.device)
    things = read_things(rooms / "heldout", RESOLUTION, SAMPLES)
    network = measured_run(name, run, distances.real(RESOLUTION), things, SAMPLES, 0, lambda *_: None)
    found: tuple[Row, ...] = ()
    if config.layout != "none":
        model, reader = load(str(max(config.out.glob("snapshot-*.safetensors"))), "cpu"), ROOMS.load()
        records: list[Record] = [
            examine(SubjectScene(model.sample(seed, 1.0)), reader.segment, seed) for seed in range(5000, 5000 + SCENES)
        ]
        found = rows(records)
    distance = distances.of(name, run.generator)
    return {"network": asdict(network), "frechet": asdict(distance), "rows": [asdict(row) for row in found]}


def table_of(found: dict[str, dict]) -> str:
    """A row for each network that was measured."""

    def cell(interval: dict | None) -> str:
        return (
            MISSING
            if interval is None
            else f"{interval['value']:.2f} ({interval['low']:.2f} to {interval['high']:.2f})"
        )

    lines = []
    for name, one in found.items():
        by_name = {row["name"]: row["value"] for row in one["rows"]}
        network = one["network"]
        sides = [network[key] for key in ("disequilibrium", "attention_on_things", "attention_on_blobs")]
        shown = [by_name.get(measure) for measure in SHOWN.values()]
        lines.append([name, *(cell(x) for x in (*shown, *sides)), f"{one['frechet']['value']:.1f}"])
    head = ["", *SHOWN, "disequilibrium", "attention, things", "attention, blobs", "Frechet distance"]
    first = next(iter(found.values()))
    about = (
        f"{RESOLUTION} px, {first['network']['images']:,} pictures shown to each, {SCENES} scenes, {SAMPLES:,} samples; the floor of the "
        f"Frechet distance is {first['frechet']['floor']:.1f}.\n\n"
    )
    return about + table(head, lines)


def main(rooms: Path, out: Path, images: int, names: list[str]) -> None:
    out.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    distances = Distances(rooms / "images", SAMPLES, 0, torch.device("cpu"), lambda *_: None)
    for name in names or list(ROWS):
        config = config_of(name, rooms, out, images)
        path = out / f"{config.out.name}-{images}.json"
        if not path.exists():
            for progress in train(config):
                print(f"\r{name}: {progress.images}", end="", flush=True)
            path.write_text(json.dumps(measured(name, config, rooms, distances)))
    done = {name: out / f"{config_of(name, rooms, out, images).out.name}-{images}.json" for name in ROWS}
    found = {name: json.loads(path.read_text()) for name, path in done.items() if path.exists()}
    print("\n" + table_of(found))
    page = Path("docs/layout.md")
    if page.exists():
        fill(page, "layout-ablations", table_of(found))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
