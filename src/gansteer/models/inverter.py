"""The encoder of a generator: a picture to w+, at once.

A frozen EfficientNet-Lite0, which has seen photographs, gives features at four scales; a small head, which alone is
trained, turns them into the rows of w+ (the pyramid of pSp, Richardson et al. 2021, with one head for all rows). That is
the guess. A few passes then look at what it draws and correct it, as ReStyle does (Alaluf et al. 2021, eq. 2:
`w <- w + step(x, G(w))`). The step is no second network's: it is a quasi-Newton step in coordinates in which the distance
is about equally curved all around, for how it curves hardly depends on the picture and is measured beforehand.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gansteer.models.code import Code
from gansteer.models.efficientnet import TAPS, EfficientNetLite0, unit_taps
from gansteer.models.face_reader import resize
from gansteer.models.generator import Generator

CELLS = 4
"""Each scale is brought to 4x4 cells."""
DAMPING = 0.02
"""What is added to every curvature, as a share of the largest."""
SCALING = (0.5, 2.0)
"""Limits of what a pass may find the curvature to be, of what it was taken for."""


@dataclass(frozen=True)
class InverterConfig:
    """The shape of an encoder's head."""

    num_ws: int
    w_dim: int
    size: int = 128
    """Pictures are resized to this."""
    widths: tuple[int, ...] = (32, 40, 64, 96)
    """Channels of the four scales, the finest first."""
    hidden: int = 384
    passes: int = 0
    """Corrections of the guess; files of a time before there were any say nothing."""
    rank: int = 0
    """Directions of w+ along which the curvature is known."""
    pixels: float = 10.0
    """Weight of the pixels' mean squared difference beside the perceptual distance, in corrections."""


class Curvature(nn.Module):
    """How the distance to a picture curves over w+: `2 J^T J` of `Inverter.described`, averaged over pictures."""

    directions: Tensor
    stiffness: Tensor

    def __init__(self, rank: int, width: int) -> None:
        super().__init__()
        self.register_buffer("directions", torch.zeros(rank, width))  # orthonormal, over all rows of w+
        self.register_buffer("stiffness", torch.zeros(rank))  # the curvature along each, falling

    def whitened(self, x: Tensor) -> Tensor:
        """`(H + damping)^(-1/2) x` of each row of `x [B, num_ws * w_dim]`: steps to where all curve alike, and gradients."""
        damping = DAMPING * self.stiffness[0]
        else_, known = damping.rsqrt(), (self.stiffness + damping).rsqrt()
        return else_ * x + (x @ self.directions.t() * (known - else_)) @ self.directions


class InverterHead(nn.Module):
    """Four feature maps to the guess of w+, and what its corrections need; all that is trained and stored."""

    centre: Tensor
    spread: Tensor

    def __init__(self, config: InverterConfig) -> None:
        super().__init__()
        self.config = config
        self.scales = nn.ModuleList()
        for number, (inputs, width) in enumerate(zip(TAPS.values(), config.widths, strict=True)):
            layers: list[nn.Module] = [nn.Conv2d(inputs, width, 1), nn.LeakyReLU(0.2)]
            for _ in range(len(TAPS) - 1 - number):  # down to the size of the coarsest
                layers += [nn.Conv2d(width, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
            self.scales.append(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(CELLS), nn.Flatten()))
        inputs = sum(config.widths) * CELLS**2
        self.body = nn.Sequential(
            nn.LayerNorm(inputs),
            nn.Linear(inputs, config.hidden), nn.LeakyReLU(0.2),
            nn.Linear(config.hidden, config.hidden), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.rows = nn.Linear(config.hidden, config.num_ws * config.w_dim)
        nn.init.zeros_(self.rows.weight)  # the first guess is the mean
        nn.init.zeros_(self.rows.bias)
        self.register_buffer("centre", torch.zeros(config.w_dim))
        self.register_buffer("spread", torch.ones([]))
        self.curvature = Curvature(config.rank, config.num_ws * config.w_dim) if config.passes else None

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """The features of `EfficientNetLite0.taps` to the guess, `w+ [B, num_ws, w_dim]`."""
        found = torch.cat([scale(x) for scale, x in zip(self.scales, taps, strict=True)], dim=1)
        rows = self.rows(self.body(found)).unflatten(1, (self.config.num_ws, self.config.w_dim))
        w: Tensor = self.centre + self.spread * rows
        return w


class Inverter(nn.Module):
    """Pictures to w+."""

    def __init__(self, trunk: EfficientNetLite0, head: InverterHead, generator: Generator) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.generator = generator

    def described(self, small: Tensor, taps: Sequence[Tensor]) -> Tensor:
        """Pictures `[B, 3, size, size]` with their features, as vectors `[B, N]` whose squared distance is the distance.

        That is `feature_distance` and `pixels` times the mean squared difference.
        """
        parts = [y.flatten(1) / math.sqrt(len(taps) * y[0, 0].numel()) for y in unit_taps(taps)]
        return torch.cat([*parts, small.flatten(1) * math.sqrt(self.head.config.pixels / small[0].numel())], dim=1)

    def drawn(self, w: Tensor) -> Tensor:
        """What `w+ [B, num_ws, w_dim]` draws, `described`."""
        small = resize(self.generator.synthesize(Code(w)), self.head.config.size)
        return self.described(small, self.trunk.taps(small))

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """`[B, 3, H, H]` in [-1, 1] to `w+ [B, num_ws, w_dim]`: for each picture the nearest of all passes."""
        small = resize(pictures, self.head.config.size)
        taps = self.trunk.taps(small)
        guess: Tensor = self.head(taps)
        curvature = self.head.curvature
        if curvature is None:
            return guess
        wanted = self.described(small, taps)

        def place(u: Tensor) -> Tensor:
            return guess + curvature.whitened(u).view_as(guess)

        def distance(u: Tensor) -> Tensor:
            return (self.drawn(place(u)) - wanted).square().sum(dim=1)

        return place(descend(distance, torch.zeros_like(guess).flatten(1), self.head.config.passes))


def descend(distance: Callable[[Tensor], Tensor], u: Tensor, passes: int) -> Tensor:
    """Minimise `B` functions from `u [B, n]` on; where each was least, `[B, n]`.

    `distance` gives their values `[B]`, differentiable. This is L-BFGS (Nocedal and Wright 2006, algorithm 7.4), which
    learns on the way how the curvature differs from 1, where it is expected. No line search: a look is all that costs.
    """

    def look(u: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            value = distance(u)
            (g,) = torch.autograd.grad(value.sum(), u)
        return value.detach(), g

    value, g = look(u)
    best, least = u, value
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []  # s, y and rho = 1 / s.y, or 0 where that was not positive
    for _ in range(passes - 1):
        s = -two_loops(g, pairs)
        u, before = u + s, g
        value, g = look(u)
        nearer = value < least
        best, least = torch.where(nearer[:, None], u, best), torch.where(nearer, value, least)
        y = g - before
        curved = (s * y).sum(dim=1, keepdim=True)
        pairs.append((s, y, torch.where(curved > 0, curved, torch.inf).reciprocal()))
    u = u - two_loops(g, pairs)
    with torch.no_grad():  # nobody goes on from there, so its gradient is not needed
        return torch.where((distance(u) < least)[:, None], u, best)


def two_loops(g: Tensor, pairs: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """`H g` of L-BFGS for gradients `g [B, n]`, where H is the inverse Hessian that steps s and changes y speak for."""
    if not pairs:
        return g
    _, y, rho = pairs[-1]
    scale = torch.where(rho > 0, 1 / (rho * y.square().sum(dim=1, keepdim=True)), 1.0).clamp(*SCALING)
    return inverse_hessian(g, pairs, scale)


def inverse_hessian(g: Tensor, pairs: Sequence[tuple[Tensor, Tensor, Tensor]], scale: Tensor | float) -> Tensor:
    """`H g` for gradients `g [B, N]` by the two loops over the pairs (Nocedal and Wright 2006, algorithm 7.4).

    H is the inverse Hessian that `scale` (times the identity, `[B, 1]` or a number) becomes by what steps s and changes of
    the gradient y say; `pairs` are s and y `[B, N]` and rho `[B, 1]`, which is 1 / s.y, or 0 where a pair doesn't count.
    """
    q, shares = g, []
    for s, y, rho in reversed(pairs):
        shares.append(rho * (s * q).sum(dim=1, keepdim=True))
        q = q - shares[-1] * y
    q = q * scale
    for s, y, rho in pairs:
        q = q + s * (shares.pop() - rho * (y * q).sum(dim=1, keepdim=True))
    return q
