"""Find the latents from which a generator draws the training pictures: what its run knew, when only the file is left.

usage: python latents.py DATA MODEL OUT [PASSES]

DATA is the folder of training pictures, MODEL a generator of portraits that an encoder was trained for (`portraits`, the
shipped one), OUT a new folder. It gets `codes.safetensors`, as a run with `--mirror --anchor-faces` has it: put it into the
folder of a run with the same pictures, and runs with `--anchor` that go on from that one draw known pictures from there.

The encoder's first guess is in w+, where each row is free. Of the latents of z, that one is sought whose w is nearest to
the guess, as the picture sees it: with the curvature H of the picture's distance over w+, which is measured with the
encoder and hardly depends on the picture,

    z = argmin (W(z) - w+)^T H (W(z) - w+),   W(z) the mapping network's w in every row.

That takes no picture at all. PASSES (2) quasi-Newton steps on the distance itself follow.
"""

import math
import sys
from pathlib import Path

import torch
from run_folder import CPU
from safetensors.torch import save_file
from torch import Tensor
from torch.func import jacrev, vmap

from gansteer.checkpoints.inverter import find_inverter
from gansteer.checkpoints.readers import FACES
from gansteer.checkpoints.registry import load
from gansteer.errors import UserError
from gansteer.models.face_reader import resize
from gansteer.models.inverter import DAMPING, Curvature, Inverter, descend
from gansteer.models.layers import normalize_second_moment
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.training.codes import describe_faces, described, face_landmarks
from gansteer.training.data import Pictures

PASSES = 2
POOL = 100_000
"""Latents of the prior among which the nearest are sought first."""
FIT_STEPS, FIT_RATE = 200, 0.05
NORMAL = 0.1
"""Weight of a latent's length, as the mapping network does not see it."""
SAMPLES = 256
BATCH = 16


def shared_curvature(curvature: Curvature, rows: int) -> tuple[Tensor, Tensor]:
    """`J^T [rows * w_dim, k]` and `[w_dim, k]`: how the picture changes with w+, and with one w for all rows."""
    roots = curvature.directions.t() * (curvature.stiffness / 2).sqrt()  # the curvature is 2 J^T J
    return roots, roots.unflatten(0, (rows, -1)).sum(dim=0)


def length(z: Tensor) -> Tensor:
    """`[B]`: how far the length of `z [B, z_dim]` is from the prior's."""
    return (z.square().mean(dim=1) - 1).square()


def nearest_latents(generator: StyleGAN2Generator, guess: Tensor, curvature: Curvature) -> Tensor:
    """The latents `[N, z_dim]` whose w, in every row, is nearest to `guess [N, num_ws, w_dim]` under the curvature."""
    mapping, z_dim = generator.mapping, generator.config.z_dim
    everywhere, shared = shared_curvature(curvature, guess.shape[1])
    wanted = guess.flatten(1) @ everywhere  # [N, k]
    with torch.no_grad():
        pool = torch.randn(POOL, z_dim, generator=torch.Generator().manual_seed(0))
        known = torch.cat([mapping(some) @ shared for some in pool.split(8192)])
        start = pool[torch.cat([torch.cdist(some, known).argmin(dim=1) for some in wanted.split(256)])]
    z = normalize_second_moment(start).requires_grad_()
    optimizer = torch.optim.Adam([z])
    for step in range(FIT_STEPS):
        optimizer.param_groups[0]["lr"] = FIT_RATE * (1 + math.cos(math.pi * step / FIT_STEPS)) / 2
        loss = ((mapping(z) @ shared - wanted).square().sum(dim=1) + NORMAL * length(z)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return normalize_second_moment(z.detach())


def latent_whitening(generator: StyleGAN2Generator, curvature: Curvature) -> Tensor:
    """`H^(-1/2) [z_dim, z_dim]` of the distance over z: steps of the same length in it change pictures alike."""
    draws = torch.Generator().manual_seed(1)
    z = normalize_second_moment(torch.randn(SAMPLES, generator.config.z_dim, generator=draws))
    turns = vmap(jacrev(lambda one: generator.mapping(one[None])[0]))(z)  # [SAMPLES, w_dim, z_dim]
    moved = shared_curvature(curvature, generator.config.num_ws)[1].t() @ turns
    stiffness, axes = torch.linalg.eigh((moved.transpose(1, 2) @ moved).mean(dim=0))
    return axes * (2 * stiffness + 2 * DAMPING * stiffness[-1]).rsqrt() @ axes.t()


def draw_nearer(inverter: Inverter, z: Tensor, pictures: Tensor, white: Tensor, passes: int) -> tuple[Tensor, Tensor]:
    """Latents near `z [B, z_dim]` that draw `pictures [B, 3, H, H]` better, and the distances `[B]` then."""
    small = resize(pictures, inverter.head.config.size)
    wanted = inverter.described(small, inverter.trunk.taps(small))

    def drawn(z: Tensor) -> Tensor:
        w = inverter.generator.mapping(z).repeat(1, inverter.generator.config.num_ws)
        return (inverter.drawn(w) - wanted).square().sum(dim=1)

    def distance(u: Tensor) -> Tensor:
        return drawn(z + u @ white) + NORMAL * length(z + u @ white)

    if passes:
        z = normalize_second_moment(z + descend(distance, torch.zeros_like(z), passes) @ white)
    with torch.no_grad():
        return z, drawn(z)


def main(data: Path, name: str, out: Path, passes: int) -> None:
    model = load(name, device="cpu")
    inverter = find_inverter(model)
    if inverter is None or inverter.head.curvature is None:
        raise UserError(f"{name} has no encoder that knows curvatures: run gansteer train-encoder --model {name}")
    generator, curvature = model.generator.float().requires_grad_(False), inverter.head.curvature
    pictures, reader = Pictures(data, generator.config.resolution, mirror=True), FACES.load(CPU)
    out.mkdir(parents=True)

    def some(start: int) -> Tensor:
        items = range(start, min(start + BATCH, len(pictures)))
        return torch.stack([pictures[i][0] for i in items]).float() / 127.5 - 1

    def guess(x: Tensor) -> list[Tensor]:
        return [inverter.code(inverter.head(inverter.trunk.taps(resize(x, inverter.head.config.size)))).ws]

    (guesses,) = described(pictures, guess, CPU)
    z, distances = nearest_latents(generator, guesses, curvature), torch.zeros(len(pictures))
    white = latent_whitening(generator, curvature)
    for start in range(0, len(pictures), BATCH):
        part = slice(start, start + BATCH)
        z[part], distances[part] = draw_nearer(inverter, z[part], some(start), white, passes)
        if start % (64 * BATCH) == 0:
            done = distances[: start + BATCH]
            print(f"{len(done)} of {len(pictures)} pictures: distance {done.mean():.3f}", flush=True)
    print(f"distance {distances.mean():.3f}; each of z varies by {z.var(dim=0).min():.2f} to {z.var(dim=0).max():.2f}")

    descriptions = described(pictures, lambda x: describe_faces(x, reader), CPU)
    # Without a coder: a run with these would give pictures that are added later latents of another kind.
    found = {"codes": z.contiguous(), "landmarks": face_landmarks(descriptions).contiguous()}
    save_file(found, out / "codes.safetensors")


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) == 5 else PASSES)
