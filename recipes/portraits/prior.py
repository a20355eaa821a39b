"""Draw new latents where the pictures' own are: a run to go on from with --grow.

usage: python prior.py DATA RUN OUT

DATA is the folder of training pictures, RUN a run with `--anchor-faces`, OUT a new folder for the same run with another
mapping network, of 8 layers, and other latents.

Each component of the pictures' latents is normal and uncorrelated with the others, but together they are far from it:
the nearest of their kind is nearer than among as many normal ones, as what can be said of a face depends on each other
in ways that no correlation tells. So new pictures come from places where the generator has seen none: their heads turn
less, hardly one is bald, and few are as dark or as light as the pictures' are. Here a flow is fitted that takes the prior
to the latents (flow matching, Lipman et al. 2023, with straight paths): the velocity v that is least in

    E |v((1 - t) x_0 + t x_1, t) - (x_1 - x_0)|^2,   t uniform in [0, 1],

integrated from t = 0 to 1. Of the prior x_0 and the latents x_1 those belong together that are alike in what directions
edit (optimal transport between batches, Tong et al. 2023, with a heavy weight on these directions of z). So a latent's
attributes stay where the flow takes it, and a hyperplane still parts them; with pairs drawn at random it does not.

The mapping network is then fitted to the old network's w of where the flow leads, and the pictures' latents to their old
w, so that synthesis need not change at all.
"""

import math
import sys
from copy import deepcopy
from pathlib import Path

import torch
import torch.nn.functional as F
from run_folder import NETWORKS, Run
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from gansteer.edits.attribute.portrait_scores import LIGHTNESS
from gansteer.models.face_reader import HAIR_COLORS, HAIR_LENGTHS, HAIR_STYLES, SCALARS
from gansteer.models.layers import normalize_second_moment
from gansteer.models.stylegan2.network import Mapping

ALIKE = 100.0
"""Weight of a difference along the directions of attributes, beside that of all others, where pairs are found."""
BATCHES, PAIRED = 12, 4096
WIDTH, BLOCKS, DROPOUT = 384, 3, 0.1
FLOW_STEPS, FLOW_RATE = 2500, 1e-3
HALVES = 12
"""Steps of the midpoint rule in which the flow is followed."""
LAYERS, POOL, RATE = 8, 150_000, 1.0
"""Of the new mapping network, and latents of the prior that it is fitted to."""
SQUARED_STEPS, SPREAD_STEPS = 9000, 14_500
"""Squares alone leave out what is hard to fit, and draw a tenth less variety; then w's distribution counts as well."""
SPREAD = 0.5
"""Weight of that distribution's difference beside the squares'."""
CODE_STEPS, CODE_RATE, STAY = 150, 0.02, 0.05
"""Of the latents' own fit, and the weight of their squared way."""
BATCH = 512


class Velocity(nn.Module):
    """`v(x, t)` for `x [N, d]` and `t [N, 1]`: a residual network that is told sines of t."""

    waves: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("waves", 2 ** torch.linspace(0, 5, 16) * math.pi / 2)
        self.first = nn.Linear(size + 1 + 2 * len(self.waves), WIDTH)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Dropout(DROPOUT), nn.Linear(WIDTH, WIDTH)
            )
            for _ in range(BLOCKS)
        )
        self.last = nn.Linear(WIDTH, size)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        x = self.first(torch.cat([x, t, (t * self.waves).sin(), (t * self.waves).cos()], dim=1))
        for block in self.blocks:
            x = x + block(x)
        out: Tensor = self.last(x)
        return out


def prior(count: int, size: int, draws: torch.Generator) -> Tensor:
    """Latents `[count, size]` as the mapping network sees them."""
    return normalize_second_moment(torch.randn(count, size, generator=draws))


def paced(optimizer: torch.optim.Optimizer, rate: float, step: int, steps: int) -> None:
    """A cosine from `rate` to 0, after a short rise."""
    optimizer.param_groups[0]["lr"] = rate * min(1, step / 200) * (1 + math.cos(math.pi * step / steps)) / 2


def attribute_directions(codes: Tensor, attributes: Tensor) -> Tensor:
    """Orthonormal `[z_dim, k]`: where in z the attributes of pictures are told apart, from what the reader said of them."""
    scalars, gender, color, style = attributes.split([len(SCALARS), 1, len(HAIR_COLORS), len(HAIR_STYLES)], dim=1)
    kept = [i for i, name in enumerate(SCALARS) if name != "roll"]
    length = style @ torch.tensor(HAIR_LENGTHS)[:, None]
    x = torch.cat([scalars[:, kept], gender, color @ torch.tensor(LIGHTNESS)[:, None], length], dim=1)
    x = (x - x.mean(dim=0)) / x.std(dim=0)
    return torch.linalg.qr(torch.linalg.lstsq(codes, x).solution).Q


def pairs(codes: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Latents of the prior and of pictures `[M, z_dim]` that belong together."""
    draws, found = torch.Generator().manual_seed(1), []

    def seen(x: Tensor) -> Tensor:
        return x + (math.sqrt(1 + ALIKE) - 1) * (x @ directions) @ directions.t()

    for _ in range(BATCHES):
        some = codes[torch.randperm(len(codes), generator=draws)[:PAIRED]]
        new = prior(len(some), codes.shape[1], draws)
        i, j = linear_sum_assignment(torch.cdist(seen(new), seen(some)).square().numpy())
        found.append((new[i], some[j]))
    return torch.cat([new for new, _ in found]), torch.cat([some for _, some in found])


def fit_flow(new: Tensor, known: Tensor) -> Velocity:
    """The velocity between latents of the prior and known ones, `[M, d]` each, that belong together."""
    v, draws = Velocity(known.shape[1]), torch.Generator().manual_seed(2)
    average = deepcopy(v).eval()
    optimizer = torch.optim.AdamW(v.parameters(), weight_decay=0.01)
    for step in range(FLOW_STEPS):
        paced(optimizer, FLOW_RATE, step, FLOW_STEPS)
        some = torch.randint(len(known), (BATCH,), generator=draws)
        x0, x1, t = new[some], known[some], torch.rand(BATCH, 1, generator=draws)
        loss = (v((1 - t) * x0 + t * x1, t) - (x1 - x0)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for mean, p in zip(average.parameters(), v.parameters(), strict=True):
                mean.lerp_(p, 0.005 if step > FLOW_STEPS // 8 else 0.05)
    print(f"flow: {loss.item():.3f}, of {(known - new).square().mean().item():.3f} without one", flush=True)
    return average


@torch.no_grad()
def follow(v: Velocity, x: Tensor, *, back: bool = False) -> Tensor:
    """Where the flow takes `x [N, d]`, or came from."""
    h = (-1 if back else 1) / HALVES
    found = []
    for part in x.split(4096):
        t = part.new_full((len(part), 1), 1.0 if back else 0.0)
        for _ in range(HALVES):
            middle = part + h / 2 * v(part, t)
            part, t = part + h * v(middle, t + h / 2), t + h
        found.append(part)
    return torch.cat(found)


def whitening(w: Tensor) -> Tensor:
    """`[w_dim, w_dim]`, under which weak directions of `w [N, w_dim]` count as well, the weakest less."""
    axes, spread, _ = torch.linalg.svd((w - w.mean(dim=0)).t() / math.sqrt(len(w)), full_matrices=False)
    return axes / (spread + 0.1 * spread[0])


def energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """Between the distributions that `x [N, d]` and `y [N, d]` are from (Szekely and Rizzo 2013); unbiased."""
    others = len(x) * (len(x) - 1)
    return 2 * torch.cdist(x, y).mean() - (torch.cdist(x, x).sum() + torch.cdist(y, y).sum()) / others


def fit_mapping(mapping: Mapping, z: Tensor, w: Tensor, known: Tensor, known_w: Tensor) -> None:
    """Fit it to the pairs of `z [N, z_dim]` and `w [N, w_dim]`, a quarter of each batch from the known ones."""
    draws, quarter = torch.Generator().manual_seed(3), BATCH // 4
    variance, white = w.var(dim=0).mean(), whitening(w[:20_000])
    for steps, rate, spread in ((SQUARED_STEPS, RATE, 0.0), (SPREAD_STEPS, RATE / 2, SPREAD)):
        optimizer = torch.optim.Adam(mapping.parameters(), betas=(0.9, 0.99))
        for step in range(steps):
            paced(optimizer, rate, step, steps)
            some = torch.randint(len(z), (BATCH - quarter,), generator=draws)
            own = torch.randint(len(known), (quarter,), generator=draws)
            found = mapping(torch.cat([z[some], known[own]]))
            loss = F.mse_loss(found, torch.cat([w[some], known_w[own]])) / variance
            if spread:
                others = w[torch.randint(len(w), (len(some),), generator=draws)]
                loss = loss + spread * energy_distance(found[: len(some)] @ white, others @ white)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        mapping.w_mean.copy_(mapping(z[:16384]).mean(dim=0))


def fit_codes(mapping: Mapping, known: Tensor, known_w: Tensor) -> Tensor:
    """The latents `[N, z_dim]` near `known` whose w are nearest to the known ones."""
    z, variance = known.clone().requires_grad_(), known_w.var(dim=0).mean()
    optimizer = torch.optim.Adam([z])
    for step in range(CODE_STEPS):
        optimizer.param_groups[0]["lr"] = CODE_RATE * (1 + math.cos(math.pi * step / CODE_STEPS)) / 2
        loss = F.mse_loss(mapping(z), known_w) / variance + STAY * F.mse_loss(z, known)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return z.detach()


def main(data: Path, folder: Path, out: Path) -> None:
    run = Run.read(folder)
    config, codes, before = run.config, run.latents["codes"], run.mapping("ema").requires_grad_(False)
    known_w, attributes = before(codes), run.attributes(data)
    out.mkdir(parents=True)

    torch.manual_seed(0)
    v = fit_flow(*pairs(codes, attribute_directions(codes, attributes)))
    z = prior(POOL, config.z_dim, torch.Generator().manual_seed(4))
    w, known = before(follow(v, z)), follow(v, codes, back=True)
    run.record["mapping_layers"] = LAYERS
    after = Mapping(run.config.generator_config(0))
    fit_mapping(after, z, w, known, known_w)
    known = fit_codes(after, known, known_w)
    unseen = prior(4096, config.z_dim, torch.Generator().manual_seed(5))
    with torch.no_grad():
        for what, x, y in (("new", unseen, before(follow(v, unseen))), ("known", known, known_w)):
            print(
                f"w of {what} latents: {F.mse_loss(after(x), y) / y.var(dim=0).mean():.1%} of its variance is not "
                f"fitted, and it varies {after(x).var(dim=0).sum() / y.var(dim=0).sum():.0%} as much"
            )

    for network in NETWORKS:
        run.put(network, after)
    # Without the coder, whose latents these no longer are.
    run.latents = {"codes": known, "landmarks": run.latents["landmarks"]}
    run.write(out)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
