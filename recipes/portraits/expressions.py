"""Let w hold the expressions that the mapping network has damped: a run to go on from with --grow.

usage: python expressions.py DATA RUN OUT

DATA is the folder of training pictures, RUN a run with `--anchor-faces`, OUT a new folder for the same run with another
mapping network.

A mapping network gives little room in w to what its loss hardly sees. Where pictures are only drawn again that is the
expression, whose directions get a small part of the variance of w that those of a turned head get. Synthesis then has
next to nothing to draw expressions from, and a weight on eyes and mouth brings them back only slowly. Here the directions
of z that say most about eyes, brows and mouth (by linear regression) are found, and w is made to move along each as it
does, but farther: `w'(z) = w(z) + z Q (k - 1) Q^T M`, for the orthonormal directions Q and the linear part M of z -> w.
The mapping network is then fitted to w' by least squares.
"""

import math
import sys
from copy import deepcopy
from pathlib import Path

import torch
import torch.nn.functional as F
from run_folder import NETWORKS, Run
from torch import Tensor

from gansteer.models.face_reader import SCALARS
from gansteer.models.layers import normalize_second_moment
from gansteer.models.stylegan2.network import Mapping

SHOWN = 0.35
"""Directions of z count from this share of the strongest one's singular value."""
DAMPED, RAISED = 0.01, 0.045
"""Directions with less than the first share of the variance of w get the second, about that of a turned head."""
STEPS, BATCH, RATE = 2500, 512, 0.1


def standard(values: Tensor) -> Tensor:
    return (values - values.mean(dim=0)) / values.std(dim=0)


def lstsq(x: Tensor, y: Tensor) -> Tensor:
    return torch.linalg.lstsq(x, y).solution


def with_constant(values: Tensor) -> Tensor:
    return torch.cat([values, torch.ones(len(values), 1)], dim=1)


def expressions(landmarks: Tensor, scalars: Tensor) -> Tensor:
    """What faces do `[N, 10]`, without what their pose explains, from `landmarks [N, 68, 2]` and the reader's scalars."""
    between = (landmarks[:, 36] - landmarks[:, 45]).norm(dim=1)

    def apart(a: int, b: int) -> Tensor:
        return (landmarks[:, a] - landmarks[:, b]).norm(dim=1) / between

    corners = ((landmarks[:, 48, 1] + landmarks[:, 54, 1]) / 2 - landmarks[:, 57, 1]) / between
    named = [scalars[:, SCALARS.index(name)] for name in ("smile", "mouth_open", "eyes_closed")]
    mouth, eyes, brows = (
        [apart(66, 62), apart(48, 54), corners],
        [apart(37, 41), apart(43, 47)],
        [apart(19, 37), apart(24, 44)],
    )
    found = standard(torch.stack([*mouth, *eyes, *brows, *named], dim=1))
    pose = standard(torch.stack([scalars[:, SCALARS.index(name)] for name in ("yaw", "pitch", "roll")], dim=1))
    explained = with_constant(torch.cat([pose, pose.square(), pose[:, :1] * pose[:, 1:2]], dim=1))
    return standard(found - explained @ lstsq(explained, found))


def farther(z: Tensor, w: Tensor, shown: Tensor) -> Tensor:
    """What is added to w: `[z_dim, w_dim]`, for latents `z [N, z_dim]`, their `w [N, w_dim]` and what faces do."""
    linear = lstsq(with_constant(z), w)[:-1]
    directions, singular, _ = torch.linalg.svd(lstsq(z, shown), full_matrices=False)
    directions = directions[:, singular > SHOWN * singular[0]]
    _, _, turn = torch.linalg.svd((directions.t() @ linear).t(), full_matrices=False)
    directions = directions @ turn.t()  # now they move w at right angles to each other
    share = (directions.t() @ linear).square().sum(dim=1) / w.var(dim=0).sum()
    k = torch.where(share < DAMPED, (RAISED / share).sqrt(), torch.ones_like(share))
    print("shares of the variance of w:", [f"{s:.4f}" for s in share], "move farther by", [f"{f:.1f}" for f in k])
    return directions @ torch.diag(k - 1) @ directions.t() @ linear


def fit(mapping: Mapping, z: Tensor, added: Tensor) -> None:
    """Fit the mapping network to what it says plus the normalised latent times `added`, near `z [N, z_dim]` and between."""
    before = deepcopy(mapping)
    draws = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(mapping.parameters(), lr=RATE, betas=(0.9, 0.99))
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE / 2 * (1 + math.cos(math.pi * step / STEPS))
        x = torch.randn(BATCH, z.shape[1], generator=draws)
        some = torch.randint(len(z), (BATCH // 2,), generator=draws)
        x[: len(some)] = z[some] + 0.1 * x[: len(some)]
        with torch.no_grad():
            wanted = before(x) + normalize_second_moment(x) @ added
        loss = F.mse_loss(mapping(x), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        mapping.w_mean.copy_(mapping(z).mean(dim=0))
    print(f"fitted to {loss.item() / wanted.var(dim=0).mean().item():.1%} of its variance")


def main(data: Path, folder: Path, out: Path) -> None:
    run = Run.read(folder)
    z, scalars = run.latents["codes"], run.attributes(data)[:, : len(SCALARS)]
    shown = expressions(run.latents["landmarks"], scalars)
    out.mkdir(parents=True)
    for network in NETWORKS:
        mapping = run.mapping(network)
        with torch.no_grad():
            added = farther(normalize_second_moment(z), mapping(z), shown)
        fit(mapping, z, added)
        run.put(network, mapping)
    run.write(out)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
