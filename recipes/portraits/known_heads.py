"""Find the latents and layouts from which a generator with layouts draws known heads, which stand anywhere in their pictures.

usage: python known_heads.py DATA TEACHER MODEL OUT

DATA is the folder of training pictures, OUT a new folder, which gets `codes.safetensors`: put it into the folder of the run that
MODEL, a snapshot with a hierarchical layout, is of, and runs with `--layout hierarchical --anchor` that grow from it draw the known
heads again. TEACHER is a generator of heads in the middle, with an encoder that knows curvatures: the one that MODEL's run began
with, so that both have about the same mapping network.

A known head is cut as the teacher has its own, by landmarks; its latent is the one whose w is nearest to the encoder's guess
(latents.py). Its layout is one of the law's: a head's size follows its blobs' sizes, log by log, which is measured first, and the
layout is taken whose sizes fit. Then all its blobs are moved and scaled together until the head that MODEL draws is where the known
one is, and as large.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from latents import nearest_latents
from run_folder import CPU
from torch import Tensor

from gansteer.checkpoints.inverter import find_inverter
from gansteer.checkpoints.native import write_tensors
from gansteer.checkpoints.readers import FACES
from gansteer.checkpoints.registry import load
from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.models.face_reader import FaceReader, resize
from gansteer.models.layout import Layout
from gansteer.models.spatial.generator import SpatialGenerator
from gansteer.training.codes import LatentTargets
from gansteer.training.data import Pictures

BATCH = 16
POOL = 1024
"""Layouts of the law, of which those are taken whose sizes fit."""
NEAREST = 16
"""So many of the nearest are taken in turn, so that alike heads do not all have the same."""
MEASURED, EACH = 32, 4
"""Latents, and layouts of each, by which is measured how a head's size follows its blobs'."""
OWN = 256
"""Heads of the teacher from which is seen where it has them."""
MOVES = 3
"""Looks at where heads are and how large, after each of which the blobs are moved, and scaled within these limits."""
RESIZED = (0.8, 1.25)


def place_and_size(landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """The mean `[N, 2]` of `landmarks [N, 68, 2]` and their root mean square distance from it, `[N]`."""
    place = landmarks.mean(dim=1)
    return place, (landmarks - place[:, None]).square().sum(dim=2).mean(dim=1).sqrt()


def cut(pictures: Tensor, place: Tensor, size: Tensor, to_place: Tensor, to_size: float) -> Tensor:
    """`pictures [B, 3, R, R]` moved and scaled so that heads at `place [B, 2]` of `size [B]` (pixels) get to the given ones.

    Beyond the border they go on as they end.
    """
    half = pictures.shape[-1] / 2
    scale = size / to_size
    shift = (place + 0.5) / half - 1 - scale[:, None] * ((to_place + 0.5) / half - 1)
    theta = torch.zeros(len(pictures), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = shift
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def by_batches(count: int, of: Callable[[slice], Tensor]) -> Tensor:
    """What `of` gives for every batch of `count` items, joined."""
    with torch.no_grad():
        return torch.cat([of(slice(start, min(start + BATCH, count))) for start in range(0, count, BATCH)])


def heads_of(generator: SpatialGenerator, z: Tensor, layout: Layout, reader: FaceReader) -> tuple[Tensor, Tensor]:
    """Where the heads are that `z [N, z_dim]` draw in these layouts, `[N, 2]`, and how large, `[N]`."""

    def landmarks(part: slice) -> Tensor:
        picture = generator.synthesize(Code(generator.map(z[part]), layout=layout[part])).clamp(-1, 1)
        return reader.read(picture).landmarks

    return place_and_size(by_batches(len(z), landmarks))


def blob_sizes(layout: Layout) -> Tensor:
    """What a head's size follows, `[N, 2]`: the logarithms of the first blob's size and, in the mean, of the others'."""
    sizes = layout.sizes.log()
    return torch.stack([sizes[:, 0], sizes[:, 1:].mean(dim=1)], dim=1)


def size_slopes(generator: SpatialGenerator, pool: Layout, reader: FaceReader) -> Tensor:
    """`[2]`: by how much the logarithm of a head's size rises with each of `blob_sizes`, the latent being the same."""
    z = generator.sample_z(MEASURED, torch.Generator().manual_seed(1)).repeat(EACH, 1)
    layout = pool[slice(0, MEASURED * EACH)]
    _, size = heads_of(generator, z, layout, reader)
    x, y = (v.double().view(EACH, MEASURED, -1) for v in (blob_sizes(layout), size.log()))
    x, y = (v - v.mean(dim=0) for v in (x, y))
    return torch.linalg.lstsq(x.flatten(0, 1), y.flatten(0, 1)).solution[:, 0].to(size)


def law_pool(generator: SpatialGenerator, count: int) -> Layout:
    """Layouts of the law, each drawn by itself: what a batch has in common differs too."""
    rng = torch.Generator().manual_seed(0)
    return Layout.batch([generator.sample_layout(1, rng) for _ in range(count)])


def find_layouts(generator: SpatialGenerator, z: Tensor, landmarks: Tensor, reader: FaceReader) -> Layout:
    """Layouts in which `z [N, z_dim]` draw heads where `landmarks [N, 68, 2]` (pixels) are, and about as large."""
    pool = law_pool(generator, max(POOL, MEASURED * EACH))
    slopes = size_slopes(generator, pool, reader)
    place, size = place_and_size(landmarks)
    sizes = blob_sizes(pool) @ slopes  # [POOL]
    middle = sizes.mean()
    first = pool[[int((sizes - middle).abs().argmin())] * len(z)]
    at, drawn = heads_of(generator, z, first, reader)
    wanted = blob_sizes(first) @ slopes + (size / drawn).log()
    near = (wanted[:, None] - sizes).abs().topk(NEAREST, largest=False).indices
    layout = pool[near[torch.arange(len(z)), torch.arange(len(z)) % NEAREST].tolist()]
    layout = replace(layout, centres=layout.centres + (first.centres - layout.centres)[:, :1] + (place - at)[:, None])
    for _ in range(MOVES):
        at, drawn = heads_of(generator, z, layout, reader)
        print(
            f"heads are {(place - at).norm(dim=1).median():.2f} px off (median), sizes by {(size / drawn).log().abs().median():.1%}"
        )
        more = (size / drawn) ** (1 / slopes.sum())
        layout = replace(
            layout, centres=layout.centres + (place - at)[:, None], sizes=layout.sizes * more.clamp(*RESIZED)[:, None]
        )
    return layout


def main(data: Path, teacher_name: str, name: str, out: Path) -> None:
    teacher, generator, reader = load(teacher_name, device="cpu"), load(name, device="cpu").generator, FACES.load(CPU)
    inverter = find_inverter(teacher)
    if inverter is None or inverter.head.curvature is None:
        raise UserError(
            f"{teacher_name} has no encoder that knows curvatures: run gansteer train-encoder --model {teacher_name}"
        )
    if not isinstance(generator, SpatialGenerator) or generator.config.law != "hierarchical":
        raise UserError(f"{name} has no hierarchical layout: take a snapshot of a run with --layout hierarchical")
    pictures = Pictures(data, generator.config.resolution, mirror=True)
    out.mkdir(parents=True)

    def some(part: slice) -> Tensor:
        return torch.stack([pictures[i][0] for i in range(part.start, part.stop)]).float() / 127.5 - 1

    landmarks = by_batches(len(pictures), lambda part: reader.read(some(part)).landmarks)
    place, size = place_and_size(landmarks)

    def own(part: slice) -> Tensor:
        heads = torch.stack([teacher.sample(seed).render() for seed in range(part.start, part.stop)])
        return reader.read(heads.clamp(-1, 1)).landmarks

    middle, usual = place_and_size(by_batches(OWN, own))

    def guess(part: slice) -> Tensor:
        head = cut(some(part), place[part], size[part], middle.mean(dim=0), float(usual.mean()))
        taps = inverter.trunk.taps(resize(head, inverter.head.config.size))
        return inverter.code(inverter.head(taps)).ws

    z = nearest_latents(teacher.generator, by_batches(len(pictures), guess), inverter.head.curvature)
    print(
        f"latents of {len(z)} heads; each number varies by {z.var(dim=0).min():.2f} to {z.var(dim=0).max():.2f}",
        flush=True,
    )
    layout = find_layouts(generator, z, landmarks, reader)
    shares = (landmarks + 0.5) / generator.config.resolution
    tensors = LatentTargets(z, shares, layout).tensors()
    write_tensors(
        {key: x.contiguous() for key, x in tensors.items()}, "latents of known heads", out / "codes.safetensors"
    )


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]))
