"""The encoder of a generator: a picture to w+, at once.

A frozen EfficientNet-Lite0, which has seen photographs, gives features at four scales; a small head, which alone is
trained, turns them into the rows of w+ (the pyramid of pSp, Richardson et al. 2021, with one head for all rows). That is
the guess. Then a few passes look at what the guess draws and correct it (ReStyle, Alaluf et al. 2021, eq. 2):
`w <- w + C(x, G(w))`. The corrector is told not only how the two pictures differ but also the gradient of their distance by
w, which says exactly what the generator can do about it (the learned gradient scheme of Adler and Oktem 2017, eq. 9).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gansteer.models.efficientnet import TAPS, EfficientNetLite0, feature_distance, unit_taps
from gansteer.models.face_reader import resize
from gansteer.models.stylegan2 import Generator

CELLS = 4
"""Each scale is brought to 4x4 cells."""
STEP = 0.1
"""Corrections are counted in this share of the deviation of the model's own w."""


@dataclass(frozen=True)
class InverterConfig:
    """The shape of an encoder's head."""

    num_ws: int
    w_dim: int
    size: int = 128
    """Pictures are resized to this."""
    widths: tuple[int, ...] = (32, 40, 64, 96)
    """Channels of the guess's four scales, the finest first."""
    hidden: int = 384
    passes: int = 0
    """Corrections of the guess; files of a time before there were any say nothing."""
    corrector_widths: tuple[int, ...] = (16, 24, 32, 48)
    corrector_hidden: int = 256
    pixels: float = 10.0
    """Weight of the pixels' mean squared difference beside the perceptual distance, where the corrector needs one."""


@dataclass(frozen=True, eq=False)
class Look:
    """What a corrector sees of the present w+."""

    w: Tensor
    """`[B, num_ws, w_dim]`."""
    step: Tensor
    """How it came from the one before: w less that, 0 for a guess."""
    taps: list[Tensor]
    """`unit_taps` of the picture that it draws."""
    distance: Tensor
    """`[B]`, of that picture from the wanted one."""
    error: Tensor
    """`[B]`, mean squared difference of the pixels: a part of it."""
    gradient: Tensor
    """Of the distance by w+ `[B, num_ws, w_dim]`."""

    def split(self, sizes: list[int]) -> "list[Look]":
        """Into parts of so many pictures."""
        first = (torch.split(x, sizes) for x in (self.w, self.step))
        taps = zip(*(torch.split(x, sizes) for x in self.taps), strict=True)
        rest = (torch.split(x, sizes) for x in (self.distance, self.error, self.gradient))
        return [Look(w, v, list(t), *r) for w, v, t, *r in zip(*first, taps, *rest, strict=True)]


class Pyramid(nn.Sequential):
    """Feature maps of one scale to `[B, width * CELLS^2]`."""

    def __init__(self, inputs: int, width: int, halvings: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(inputs, width, 1), nn.LeakyReLU(0.2)]
        for _ in range(halvings):  # down to the size of the coarsest
            layers += [nn.Conv2d(width, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(CELLS), nn.Flatten())


def pyramids(widths: tuple[int, ...], times: int) -> nn.ModuleList:
    """One for each tap, of `times` its channels."""
    inputs = zip(TAPS.values(), widths, strict=True)
    return nn.ModuleList(Pyramid(times * i, width, len(TAPS) - 1 - n) for n, (i, width) in enumerate(inputs))


class Corrector(nn.Module):
    """A step from the present w+ towards the one that draws the picture.

    Along the principal axes of the model's own w, each row's gradient is divided by what it usually is there. So divided
    it makes a useful step by itself, of preconditioned descent with momentum; the network learns what is better still.
    """

    axes: Tensor
    centre: Tensor
    spread: Tensor
    log_usual: Tensor

    def __init__(self, config: InverterConfig) -> None:
        super().__init__()
        rows, width, hidden = config.num_ws, config.w_dim, config.corrector_hidden
        self.scales = pyramids(config.corrector_widths, 2)
        seen = sum(config.corrector_widths) * CELLS**2
        self.norm = nn.LayerNorm(seen)
        self.enter = nn.Linear(seen + rows * width + width, hidden)
        self.body = nn.Sequential(
            nn.LeakyReLU(0.2), nn.Linear(hidden, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, hidden)
        )
        self.leave = nn.Linear(hidden, rows * width)
        nn.init.zeros_(self.leave.weight)  # the first steps are descent alone
        nn.init.zeros_(self.leave.bias)
        self.descent = nn.Parameter(torch.full([rows, width], 0.6))
        self.momentum = nn.Parameter(torch.full([rows, width], 0.5))
        self.register_buffer("axes", torch.eye(width))
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("spread", torch.ones([]))
        # Log of the root mean square of gradients by w+ along the axes, [rows, width]: a float16 would lose the thing itself.
        self.register_buffer("log_usual", torch.zeros(rows, width))

    def forward(self, wanted: list[Tensor], look: Look) -> Tensor:
        """`wanted` are `unit_taps` of the picture; what is to be added to `look.w`."""
        pairs = zip(self.scales, wanted, look.taps, strict=True)
        seen = self.norm(torch.cat([scale(torch.cat([x, x - y], dim=1)) for scale, x, y in pairs], dim=1))
        slope = look.gradient @ self.axes * (-self.log_usual).exp()  # [B, rows, width]
        place = (look.w.mean(dim=1) - self.centre) @ self.axes / self.spread
        hidden = self.enter(torch.cat([seen, slope.flatten(1), place], dim=1))
        # Around the body the way from slope to step is linear: it can learn how the rows depend on each other.
        better = self.leave(hidden + self.body(hidden)).unflatten(1, slope.shape[1:])
        step: Tensor = self.momentum * (look.step @ self.axes) + STEP * self.spread * (better - self.descent * slope)
        return step @ self.axes.t()


class InverterHead(nn.Module):
    """Four feature maps to the guess of w+, and its corrector; what is trained and stored."""

    centre: Tensor
    spread: Tensor

    def __init__(self, config: InverterConfig) -> None:
        super().__init__()
        self.config = config
        self.scales = pyramids(config.widths, 1)
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
        self.corrector = Corrector(config) if config.passes else None

    def forward(self, taps: list[Tensor]) -> Tensor:
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

    def look(self, w: Tensor, step: Tensor, small: Tensor, wanted: list[Tensor]) -> Look:
        """What `w+ [B, num_ws, w_dim]` draws beside the picture `small [B, 3, size, size]`, whose unit taps are `wanted`.

        `step` is how w came from the one before.
        """
        with torch.enable_grad():
            leaf = w.detach().requires_grad_()
            drawn = resize(self.generator.synthesize(leaf), self.head.config.size)
            taps = unit_taps(self.trunk.taps(drawn))
            error = (drawn - small).square().mean(dim=(1, 2, 3))
            distance = feature_distance(taps, wanted) + self.head.config.pixels * error
            (gradient,) = torch.autograd.grad(distance.sum(), leaf)
        return Look(
            leaf.detach(), step.detach(), [x.detach() for x in taps], distance.detach(), error.detach(), gradient
        )

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """`[B, 3, H, H]` in [-1, 1] to `w+ [B, num_ws, w_dim]`: for each picture the nearest of all passes."""
        small = resize(pictures, self.head.config.size)
        taps = self.trunk.taps(small)
        w: Tensor = self.head(taps)
        best = w
        if self.head.corrector is None:
            return best
        wanted = unit_taps(taps)
        nearest = w.new_full([len(w)], float("inf"))
        step = torch.zeros_like(w)
        for number in range(self.head.config.passes + 1):
            look = self.look(w, step, small, wanted)
            nearer = look.distance < nearest
            nearest = torch.where(nearer, look.distance, nearest)
            best = torch.where(nearer[:, None, None], w, best)
            if number < self.head.config.passes:
                step = self.head.corrector(wanted, look)
                w = w + step
        return best
