"""What an intervention optimises: `Ds = (1 - lambda) Ds_z + lambda Ds_n`, what that does to pictures, and how good it is.

For several pictures of one generator at once: with hundreds to change, a core does half as many again in the same time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.edits.intervention.lbfgs import LBFGS
from gansteer.models.code import Code, Styles
from gansteer.models.generator import Generator, LayerSpec

PROBES, WIDEST = 8, 30.0
"""Random pictures that the curvature is taken along, and by how much the reaches of channels may differ from their median."""
COARSE_STEPS, FINE_STEPS = 2, 14
"""Steps after which the next finer block begins to move: the coarse ones, and those at a quarter and half of the size."""
MIN_DECREASE, WINDOW = 5e-3, 8
"""The optimisation ends when the last `WINDOW` steps took less than this share off the loss."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """What lambda mixes in `B` pictures of one generator, with `C` channels in the order of `Generator.styled`."""

    generator: Generator
    code: Code
    """The pictures'."""
    styles: Tensor
    """`[B, C]`: the pictures' own."""
    realistic: Tensor
    """`[B, C]`: Ds_z."""
    precise: Tensor
    """`[B, C]`: Ds_n, which knows the first S channels, those of the convolutions; 0 for the toRGBs."""
    moving: Tensor
    """`[B, C]`: 1 for the channels that may move."""
    scale: Tensor
    """`[B, S]`: deviation of every channel that the boundary knows."""
    towards: Tensor
    """`[B, S]`: the boundary's unit normal, in deviations."""
    inside: Tensor
    """`[B, H, W]`: M, 1 where the picture is to change."""
    lambda_inside: float
    lambda_attr: float
    lambda_norm: float

    @staticmethod
    def joined(mixtures: "Sequence[Mixture]") -> "Mixture":
        """All pictures of several mixtures of one generator and the same lambdas."""
        first = mixtures[0]

        def all_of(name: str) -> Tensor:
            return torch.cat([getattr(mixture, name) for mixture in mixtures])

        return replace(
            first, code=Code.batch([mixture.code for mixture in mixtures]), styles=all_of("styles"), realistic=all_of("realistic"), precise=all_of("precise"),
            moving=all_of("moving"), scale=all_of("scale"), towards=all_of("towards"), inside=all_of("inside"),
        )  # fmt: skip

    def change(self, mix: Tensor) -> Tensor:
        """Ds `[B, C]` of lambda `[B, C]`."""
        return self.moving * ((1 - mix) * self.realistic + mix * self.precise)

    def parts(self, change: Tensor) -> Styles:
        """A change of all styles `[..., C]` by layer."""
        sizes = {layer.name: layer.style_dim for layer in self.generator.styled}
        return dict(zip(sizes, torch.split(change, list(sizes.values()), dim=-1), strict=True))

    def picture(self, change: Tensor, resolution: int | None = None) -> Tensor:
        """The pictures `[B, 3, r, r]` with their styles changed by `[B, C]`; `resolution` as in `Generator.synthesize`."""
        return self.generator.synthesize(self.code, resolution=resolution, styles=self.parts(self.styles + change))

    def wanted(self, resolution: int) -> "Wanted":
        """What the pictures are to look like at a resolution up to their own."""
        with torch.no_grad():
            before = self.picture(torch.zeros_like(self.realistic), resolution)
            goal = self.picture(self.realistic, resolution)
        return Wanted.of(before, goal, F.adaptive_avg_pool2d(self.inside, resolution), self.lambda_inside)

    def loss(self, mix: Tensor, wanted: "Wanted") -> Tensor:
        """Outside as before, inside as in w, along the attribute's normal, `[B]`; see `Wanted`."""
        change = self.change(mix)
        pixels = wanted.loss(self.picture(change, wanted.target.shape[-1]))
        relative = change[:, : self.scale.shape[1]] / self.scale
        cosine = (relative * self.towards).sum(dim=1) / (relative.square().sum(dim=1) + 1e-16).sqrt()
        norm = (mix.square().sum(dim=1) + 1e-16).sqrt()
        return pixels + self.lambda_attr * (1 - cosine) + self.lambda_norm * norm

    def reaches(self) -> Tensor:
        """How far each lambda moves when its u does, `[B, C]`: the inverse root of the loss's curvature along it.

        Channels differ a thousandfold in what they do to the picture, and so L-BFGS would take three times the steps. The
        curvature is the diagonal of Gauss and Newton's matrix at the beginning, estimated along random signs as in
        `channel_energy`.
        """
        weight = self.wanted(self.inside.shape[-1]).weight.sqrt()
        still = self.change(torch.full_like(self.realistic, 0.5))
        code = torch.zeros_like(still).requires_grad_()
        picture = self.picture(still + code)
        rng = torch.Generator().manual_seed(0)
        curvature = torch.zeros_like(still)
        for probe in range(PROBES):
            signs = (torch.randint(0, 2, picture.shape[1:], generator=rng) * 2 - 1).to(picture)
            seen = (picture * signs * weight).sum()
            (gradient,) = torch.autograd.grad(seen, code, retain_graph=probe + 1 < PROBES)
            curvature += (gradient * (self.precise - self.realistic)).square() / PROBES
        reach = (curvature + 1e-4 * curvature.mean(dim=1, keepdim=True)).rsqrt()
        return (reach / reach.median(dim=1, keepdim=True).values).clamp(1 / WIDEST, WIDEST)


@dataclass(frozen=True, eq=False)
class Wanted:
    """What `B` pictures are to look like: as before outside a region, as after the edit in w inside."""

    target: Tensor
    """`[B, 3, r, r]`."""
    weight: Tensor
    """`[B, 1, r, r]`: what a squared difference counts for at every pixel."""

    @staticmethod
    def of(before: Tensor, goal: Tensor, inside: Tensor, lambda_inside: float) -> "Wanted":
        """Of I_0 and I_w `[B, 3, r, r]` and M `[B, r, r]`, which may lie between 0 and 1:

        `|(1-M)(I - I_0)|^2 / |(1-M)(I_w - I_0)|^2 + lambda_inside |M (I - I_w)|^2 / |M (I_w - I_0)|^2`.

        The first term is L_pix of the paper, in units of what the edit in w leaks, so that weights carry over to any
        resolution, region and strength. The second, which keeps the attribute's change, is ours. Where M is neither 0 nor
        1, both pull, and their sum is one square around a mean of I_0 and I_w.
        """
        m, change = inside[:, None], goal - before
        least = 1e-12 * before[0].numel()
        outward, inward = (
            part / (change.square() * part).sum(dim=(1, 2, 3), keepdim=True).clamp_min(least) for part in (1 - m, m)
        )
        inward = lambda_inside * inward
        weight = outward + inward
        return Wanted(before + change * (inward / weight.clamp_min(torch.finfo(weight.dtype).tiny)), weight)

    def loss(self, picture: Tensor) -> Tensor:
        """How far the pictures `[B, 3, r, r]` are from that, `[B]`."""
        return ((picture - self.target).square() * self.weight).sum(dim=(1, 2, 3))


class Mixing:
    """The optimisation of lambda: `step()` until `ended`."""

    def __init__(self, mixture: Mixture, steps: int) -> None:
        """Takes at most `steps` steps."""
        self.mixture = mixture
        self.steps = steps
        self.taken = 0
        self._reach = mixture.reaches()
        self._resolutions = each_channel(mixture.generator, lambda layer: layer.frame.inner).to(self._reach)
        self._schedule = schedule(mixture.generator)
        self._stage = (0, 0)
        self._wanted = mixture.wanted(self._schedule[0][1])
        self._optimizer = LBFGS(torch.zeros_like(self._reach))  # of u, with lambda = 1/2 + reach u
        self._losses: list[Tensor] = []
        """Of the last stage."""

    @property
    def change(self) -> Tensor:
        """Ds so far, `[B, C]`."""
        return self.mixture.change(0.5 + self._reach * self._optimizer.x)

    @property
    def ended(self) -> bool:
        """Whether the steps are taken, or the losses fall no longer."""
        if self.taken >= self.steps:
            return True
        if self._stage != self._schedule[-1] or len(self._losses) <= WINDOW:
            return False
        return bool((self._losses[-1] > (1 - MIN_DECREASE) * self._losses[-1 - WINDOW]).all())

    def step(self) -> Tensor:
        """One evaluation; returns the least loss of each so far, `[B]`."""
        stage = self._schedule[min(self.taken, len(self._schedule) - 1)]
        if stage != self._stage:
            if stage[1] != self._stage[1]:
                self._wanted = self.mixture.wanted(stage[1])
            self._stage, self._losses = stage, []
            self._optimizer.restart()
        code = self._optimizer.trial.requires_grad_()
        loss = self.mixture.loss(0.5 + self._reach * code, self._wanted)
        (gradient,) = torch.autograd.grad(loss.sum(), code)
        self._optimizer.tell(loss.detach(), gradient * (self._resolutions <= stage[0]))
        self.taken += 1
        self._losses.append(self._optimizer.loss)
        return self._optimizer.loss


def schedule(generator: Generator) -> list[tuple[int, int]]:
    """For each step up to which size of map the channels move, and at which resolution the picture is looked at.

    The last goes on. From coarse to fine, as the paper does. Most of what must stay can be seen at a quarter of the size,
    where a step costs a third, if the generator draws such previews.
    """
    last, previews = generator.config.resolution, generator.capabilities.preview_sizes
    sizes = sorted({layer.frame.inner for layer in generator.layers})
    stages = []
    for r in sizes[:-1]:
        seen = next((size for size in previews if size >= max(r, last // 4)), last)
        stages += [(r, seen)] * (COARSE_STEPS if r * 4 < sizes[-1] else FINE_STEPS)
    return [*stages, (sizes[-1], last)]


def each_channel(generator: Generator, value: Callable[[LayerSpec], float]) -> Tensor:
    """A number of every layer for each of its channels, `[C]`, in the order of `Generator.styled`."""
    return torch.cat([torch.full((layer.style_dim,), float(value(layer))) for layer in generator.styled])
