"""The quality of every snapshot of one or more runs, in the order of the images seen.

usage: python curve.py DATA OUT.jsonl RUN [RUN ...] [--samples N] [--every IMAGES]

DATA is the folder of training pictures. RUNs follow each other: each was grown from the one before, so its images are
counted on from there. A line: run, resolution, images, frechet (N samples, psi 1, against all pictures at the run's
resolution), floor (half of the pictures against the other half). Snapshots that OUT.jsonl has already are skipped, and
so are those nearer than IMAGES to the one before, except a run's last.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

import gansteer
from gansteer.evaluation.features import extract, extractor
from gansteer.evaluation.quality import frechet_distance
from gansteer.evaluation.samples import draw, from_levels
from gansteer.training.data import Pictures


def real_features(data: Path, resolution: int) -> Tensor:
    """`[N, 1280]`, in random order."""
    pictures = Pictures(data, resolution)
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0)).tolist()
    batches = (from_levels(torch.stack([pictures[i][0] for i in order[k : k + 32]])) for k in range(0, len(order), 32))
    return extract(batches, extractor("efficientnet-lite0", torch.device("cpu")), lambda done: None)


def spaced(paths: list[Path], every: int) -> list[tuple[int, Path]]:
    """The snapshots of a run at least `every` images apart, and the last: (images, path)."""
    kept: list[tuple[int, Path]] = []
    for path in paths:
        at = int(path.stem.split("-")[1])
        if path == paths[-1] or not kept or at - kept[-1][0] >= every:
            kept.append((at, path))
    return kept


def main(data: Path, out: Path, runs: list[Path], samples: int, every: int) -> None:
    done = {(p["run"], p["at"]) for p in map(json.loads, out.read_text().splitlines())} if out.exists() else set()
    network = extractor("efficientnet-lite0", torch.device("cpu"))
    reals: dict[int, Tensor] = {}
    before = 0
    for run in runs:
        at = 0
        for at, path in spaced(sorted(run.glob("snapshot-*.safetensors")), every):
            if (run.name, at) in done:
                continue
            model = gansteer.load(str(path), device="cpu")
            if model.resolution not in reals:
                reals[model.resolution] = real_features(data, model.resolution)
            real = reals[model.resolution]
            fake = extract(draw(model, samples), network, lambda done: None)
            half = len(real) // 2
            line = {
                "run": run.name, "at": at, "resolution": model.resolution, "images": before + at, "samples": samples,
                "frechet": frechet_distance(fake, real), "floor": frechet_distance(real[:half], real[half:]),
            }  # fmt: skip
            print(json.dumps(line), flush=True)
            with out.open("a") as file:
                file.write(json.dumps(line) + "\n")
        before += at


if __name__ == "__main__":
    words = argparse.ArgumentParser(usage=__doc__)
    words.add_argument("data", type=Path)
    words.add_argument("out", type=Path)
    words.add_argument("runs", type=Path, nargs="+")
    words.add_argument("--samples", type=int, default=2000)
    words.add_argument("--every", type=int, default=0)
    main(**vars(words.parse_args()))
