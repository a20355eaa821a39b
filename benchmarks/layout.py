"""What a layout costs: drawing with it beside the same StyleGAN2 without, the preview of a blob that is being moved, and a
step of a drag that moves w and blobs together, by the region engine and by whole maps.

Both sides have the same convolutions, one thread, and take turns in one process; times are CPU-seconds, ratios medians over
the turns.

    OMP_NUM_THREADS=1 python benchmarks/layout.py [--resolution 128] [--base 3072] [--repeats 15] [--json out.json]
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.features import Engine
from gansteer.edits.registry import start
from gansteer.models.code import Code
from gansteer.models.spatial.config import SpatialConfig
from gansteer.models.spatial.generator import SpatialGenerator
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.subject import Card, Model


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def conditioned_on_blobs(shape: GeneratorConfig, encoding: str) -> SpatialGenerator:
    """A generator of this shape with random weights that takes a layout."""
    return SpatialGenerator(SpatialConfig(**vars(shape), encoding=encoding)).eval().requires_grad_(False)


def compare(encoding: str, shape: GeneratorConfig, repeats: int) -> dict[str, float]:
    """Seconds of a picture with and without layout, their ratio, and seconds of a picture whose blob has just moved."""
    torch.manual_seed(0)
    plain = StyleGAN2Generator(shape).eval().requires_grad_(False)
    spatial = conditioned_on_blobs(shape, encoding)
    code = spatial.sample_code(torch.Generator().manual_seed(0))
    assert code.layout is not None
    without, with_layout, moved = [], [], []
    for turn in range(repeats + 2):
        step = code.layout.moved(0, 0.5 * turn, 0.25 * turn)
        without.append(seconds(lambda: plain.synthesize(Code(code.ws))))
        with_layout.append(seconds(lambda: spatial.synthesize(code)))
        moved.append(seconds(lambda step=step: spatial.synthesize(Code(code.ws, layout=step))))
    ratios = [a / b for a, b in zip(with_layout[2:], without[2:], strict=True)]
    return {
        "plain_seconds": median(without[2:]), "layout_seconds": median(with_layout[2:]), "ratio": median(ratios),
        "moved_blob_seconds": median(moved[2:]),
    }  # fmt: skip


def joint_steps(shape: GeneratorConfig, repeats: int) -> dict[str, float]:
    """Seconds of a joint step of one drag without a mask by both engines, and how many times as long whole maps take."""
    torch.manual_seed(0)
    spatial = conditioned_on_blobs(shape, "local")
    subject = Model(Card(name="random"), spatial).sample(0)
    middle, aim = spatial.config.resolution / 2, spatial.config.resolution / 4
    engines: tuple[Engine, ...] = ("region", "dense")
    runs = [
        start(
            subject,
            Drag([(middle, middle)], [(aim, middle)], layout="joint", engine=engine, method="draggan", steps=999),
        )
        for engine in engines
    ]
    times = [[seconds(run.step) for run in runs] for _ in range(repeats + 2)][2:]
    region, dense = (median(each) for each in zip(*times, strict=True))
    return {"region_seconds": region, "dense_seconds": dense, "ratio": median(d / r for r, d in times)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--base", type=int, default=3072)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    shape = GeneratorConfig(
        args.resolution, z_dim=16, w_dim=128, channel_base=args.base, channel_max=128, mapping_layers=2
    )
    found = {}
    with torch.no_grad():
        for encoding in ("local", "published"):
            found[encoding] = compare(encoding, shape, args.repeats)
            print(encoding, {name: round(value, 4) for name, value in found[encoding].items()})
    found["joint step"] = joint_steps(shape, args.repeats)
    print("joint step", {name: round(value, 4) for name, value in found["joint step"].items()})
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
