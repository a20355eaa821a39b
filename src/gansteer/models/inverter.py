"""The encoder of a generator: a picture to its code, at once: w+ and, where the generator has one, the layout.

A frozen EfficientNet-Lite0, which has seen photographs, gives features at four scales; a small head, which alone is
trained, turns them into the rows of w+ (the pyramid of pSp, Richardson et al. 2021, with one head for all rows), and into
places and sizes of a layout's blobs, where all layouts have the same ones. That is the guess. A few passes then look at
what it draws and correct it, as ReStyle does (Alaluf et al. 2021, eq. 2:
`w <- w + step(x, G(w))`). The step is no second network's: it is a quasi-Newton step in coordinates in which the distance
is about equally curved all around, for how it curves hardly depends on the picture and is measured beforehand.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gansteer.models.code import Code
from gansteer.models.efficientnet import TAPS, EfficientNetLite0, unit_taps
from gansteer.models.face_reader import resize
from gansteer.models.generator import Generator
from gansteer.models.layout import Layout

CELLS = 4
"""Each scale is brought to 4x4 cells."""
DAMPING = 0.02
"""What is added to every curvature, as a share of the largest."""
PLACE = 3
"""Numbers that say where a blob is: x, y and the logarithm of its size."""
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
    blobs: int = 0
    """Blobs of the layout whose places are found too: those of the generator's mean layout."""

    @property
    def width(self) -> int:
        """Numbers of a code: those of w+, then those of each blob."""
        return self.num_ws * self.w_dim + self.blobs * PLACE


class Curvature(nn.Module):
    """How the distance to a picture curves over codes: `2 J^T J` of `Inverter.described`, averaged over pictures."""

    directions: Tensor
    stiffness: Tensor

    def __init__(self, rank: int, width: int) -> None:
        super().__init__()
        self.register_buffer("directions", torch.zeros(rank, width))  # orthonormal, over all numbers of a code
        self.register_buffer("stiffness", torch.zeros(rank))  # the curvature along each, falling

    def whitened(self, x: Tensor) -> Tensor:
        """`(H + damping)^(-1/2) x` of each row of `x [B, width]`: steps to where all curve alike, and gradients."""
        damping = DAMPING * self.stiffness[0]
        else_, known = damping.rsqrt(), (self.stiffness + damping).rsqrt()
        return else_ * x + (x @ self.directions.t() * (known - else_)) @ self.directions


class InverterHead(nn.Module):
    """Four feature maps to the guess of the code, and what its corrections need; all that is trained and stored.

    A code is a vector here: the rows of w+, then every blob's place and size, in deviations of the model's law times that
    of w. So a number counts about as much as another, wherever it belongs.
    """

    centre: Tensor
    spread: Tensor
    blob_centre: Tensor
    blob_spread: Tensor

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
        outputs = [self.rows]
        if config.blobs:
            self.layout = nn.Linear(config.hidden, config.blobs * PLACE)
            self.register_buffer("blob_centre", torch.zeros(config.blobs, PLACE))  # x, y in pixels and log pixels
            self.register_buffer("blob_spread", torch.ones(config.blobs, PLACE))
            outputs.append(self.layout)
        for output in outputs:  # the first guess is the mean
            nn.init.zeros_(output.weight)
            nn.init.zeros_(output.bias)
        self.register_buffer("centre", torch.zeros(config.w_dim))
        self.register_buffer("spread", torch.ones([]))
        self.curvature = Curvature(config.rank, config.width) if config.passes else None

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """The features of `EfficientNetLite0.taps` to the guess, as vectors `[B, width]`."""
        found = torch.cat([scale(x) for scale, x in zip(self.scales, taps, strict=True)], dim=1)
        body = self.body(found)
        rows: Tensor = self.rows(body)
        v = self.centre.repeat(self.config.num_ws) + self.spread * rows
        return torch.cat([v, self.spread * self.layout(body)], dim=1) if self.config.blobs else v

    def code(self, v: Tensor, like: Code) -> Code:
        """The codes of vectors `[B, width]`; `like` is the generator's mean code, from which comes what is not found."""
        ws, places = self.parts(v)
        layout = None if like.layout is None else Layout.batch([like.layout] * len(v))
        if layout is not None and self.config.blobs:
            places = self.blob_centre + self.blob_spread * places / self.spread
            layout = replace(layout, centres=places[..., :2], sizes=places[..., 2].exp())
        return Code(ws, layout=layout)

    def parts(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers of vectors `[B, width]`: those of w+ `[B, num_ws, w_dim]` and those of the blobs `[B, blobs, 3]`."""
        config = self.config
        ws, places = v.tensor_split([config.num_ws * config.w_dim], dim=1)
        return ws.reshape(len(v), config.num_ws, config.w_dim), places.reshape(len(v), config.blobs, PLACE)

    def vector(self, code: Code) -> Tensor:
        """The vectors `[B, width]` of the codes of B pictures."""
        ws, layout = code.ws.flatten(1), code.layout
        if layout is None or not self.config.blobs:
            return ws
        places = (layout_places(layout) - self.blob_centre) / self.blob_spread
        return torch.cat([ws, self.spread * places.flatten(1)], dim=1)


def layout_places(layout: Layout) -> Tensor:
    """Where blobs are, `[B, K, 3]`: x and y in pixels and the logarithm of the size in pixels."""
    return torch.cat([layout.centres, layout.sizes.log()[..., None]], dim=2)


class Inverter(nn.Module):
    """Pictures to codes."""

    def __init__(self, trunk: EfficientNetLite0, head: InverterHead, generator: Generator) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.generator = generator
        self._like = generator.mean_code()

    def described(self, small: Tensor, taps: Sequence[Tensor]) -> Tensor:
        """Pictures `[B, 3, size, size]` with their features, as vectors `[B, N]` whose squared distance is the distance.

        That is `feature_distance` and `pixels` times the mean squared difference.
        """
        parts = [y.flatten(1) / math.sqrt(len(taps) * y[0, 0].numel()) for y in unit_taps(taps)]
        return torch.cat([*parts, small.flatten(1) * math.sqrt(self.head.config.pixels / small[0].numel())], dim=1)

    def code(self, v: Tensor) -> Code:
        """The codes of vectors `[B, width]`."""
        return self.head.code(v, self._like)

    def drawn(self, v: Tensor) -> Tensor:
        """What the codes of vectors `[B, width]` draw, `described`."""
        small = resize(self.generator.synthesize(self.code(v)), self.head.config.size)
        return self.described(small, self.trunk.taps(small))

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Code:
        """`[B, 3, H, H]` in [-1, 1] to the codes of B pictures: for each picture the nearest of all passes."""
        small = resize(pictures, self.head.config.size)
        taps = self.trunk.taps(small)
        guess: Tensor = self.head(taps)
        curvature = self.head.curvature
        if curvature is None:
            return self.code(guess)
        wanted = self.described(small, taps)

        def place(u: Tensor) -> Tensor:
            return guess + curvature.whitened(u)

        def distance(u: Tensor) -> Tensor:
            return (self.drawn(place(u)) - wanted).square().sum(dim=1)

        return self.code(place(descend(distance, torch.zeros_like(guess), self.head.config.passes)))


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
