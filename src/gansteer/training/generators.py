"""Which generators can be trained: how each is built, grown and given codes. Nothing else in training names one.

Another architecture is one more class here and one line in `choice.generator_training`. One that is conditioned on more than
latents draws the rest from the same random numbers, after what the class below draws, and returns it in the code: auxiliary
terms find it there, and the augmentation's transform beside it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.models.generator import Generator
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator, grown
from gansteer.models.stylegan2.widening import widened
from gansteer.training.codes import LatentTargets
from gansteer.training.config import TrainConfig
from gansteer.training.distributed import StepRandom

G = TypeVar("G", bound=Generator)
S = TypeVar("S", bound=StyleGAN2Generator)

WIDTHS = ("channel_base", "channel_max")
"""The fields of `TrainConfig`, also of the generator's `config`, that may grow when a generator does."""

W_MEAN_DECAY = 0.995
TARGET_NOISE = 0.1
"""Standard deviation of what is added to a known picture's latent, so that its neighbourhood draws it too."""


QUIET = 0.2
"""What fresh toRGBs are scaled by, so that the first pictures lie in [-1, 1] and not far beyond.

Features see little of a colour beyond white, and augmentation hides the rest: from N(0, 1) weights a projected
discriminator takes tens of thousands of images to teach the range alone.
"""


class GeneratorTraining(ABC, Generic[G]):
    """How generators of one architecture are trained."""

    kept: tuple[str, ...]
    """The fields of `TrainConfig`, also of the generator's `config`, that stay as they are when a generator grows."""

    @abstractmethod
    def build(self, c_dim: int) -> G:
        """A fresh generator with weights from torch's global generator, for `c_dim` classes (0 for none)."""

    @abstractmethod
    def restore(self, record: Mapping[str, Any], state: dict[str, Tensor]) -> G:
        """The generator with the weights `state` of a run whose `config.json` is `record`."""

    @abstractmethod
    def adopt(self, found: Generator, name: str) -> G:
        """A generator that was opened under a name, to go on from. Raises UserError if it is of another architecture."""

    @abstractmethod
    def widen(self, small: G) -> G:
        """A generator of the configuration's widths that draws what the small one draws; the same one if it has them.

        Raises UserError if it would have to be narrower.
        """

    @abstractmethod
    def grow(self, small: G) -> G:
        """A generator of twice the resolution that draws at first what the small one draws."""

    @abstractmethod
    def discriminator_shape(self, g: G) -> GeneratorConfig:
        """The configuration whose widths, classes and resolution a discriminator from scratch has."""

    @abstractmethod
    def parameter_groups(self, g: G) -> tuple[Iterable[nn.Parameter], ...]:
        """Parameters of the synthesis, of the noise's strengths and of the mapping network, which learn at their own rates."""

    @abstractmethod
    def sample(self, g: G, random: StepRandom, labels: Tensor | None) -> Code:
        """The code of new pictures, one w for all rows of each; `labels [B or more, c_dim]` are one-hot."""

    @abstractmethod
    def sample_training(self, g: G, random: StepRandom, labels: Tensor | None, targets: LatentTargets | None) -> Code:
        """The code of the pictures that a step draws; the mean of w follows them.

        The first k come from `targets` of k known pictures, if there are some, whose latents have the distribution that the
        others are drawn from. Styles are mixed in a share of the steps, those of `targets` never.
        """


def class_count(state: Mapping[str, Tensor]) -> int:
    """How many classes the generator with this state was conditioned on."""
    labels = state.get("mapping.embed.weight", torch.empty(0, 0))  # [w_dim, c_dim]
    return labels.shape[1]


class StyleGAN2Training(GeneratorTraining[StyleGAN2Generator]):
    """StyleGAN2 as `TrainConfig` describes it."""

    kept = ("z_dim", "w_dim", "mapping_layers")

    def __init__(self, config: TrainConfig) -> None:
        self.config = config

    def build(self, c_dim: int) -> StyleGAN2Generator:
        g = StyleGAN2Generator(self.config.generator_config(c_dim))
        with torch.no_grad():
            for weight in g.colour_weights():
                weight.mul_(QUIET)
        return g

    def restore(self, record: Mapping[str, Any], state: dict[str, Tensor]) -> StyleGAN2Generator:
        g = StyleGAN2Generator(self._before(record).generator_config(class_count(state)))
        g.load_state_dict(state)
        return g

    def _before(self, record: Mapping[str, Any], *more: str) -> TrainConfig:
        """The configuration with the generator's shape, and what `more` names, as a run recorded them."""
        return replace(self.config, **{name: record[name] for name in (*self.kept, *WIDTHS, "resolution", *more)})

    def adopt(self, found: Generator, name: str) -> StyleGAN2Generator:
        if not isinstance(found, StyleGAN2Generator) or found.architecture != StyleGAN2Generator.architecture:
            raise UserError(
                f"{name} is of the architecture {found.architecture}: a run of stylegan2 cannot --grow from it"
            )
        return found

    def widen(self, small: StyleGAN2Generator) -> StyleGAN2Generator:
        return self._widened(widened, small)

    def _widened(self, way: Callable[[S, int, int], S], small: S) -> S:
        """What `way` makes of a generator for the configuration's widths."""
        base, most = self.config.channel_base, self.config.channel_max
        if (small.config.channel_base, small.config.channel_max) == (base, most):
            return small
        try:
            return way(small, base, most)
        except ValueError as error:
            least = f"--channel-base {small.config.channel_base} --channel-max {small.config.channel_max}"
            raise UserError(
                f"with --channel-base {base} --channel-max {most}, {error}: give at least {least} to go on from it"
            ) from error

    def grow(self, small: StyleGAN2Generator) -> StyleGAN2Generator:
        return grown(small)

    def discriminator_shape(self, g: StyleGAN2Generator) -> GeneratorConfig:
        return g.config

    def parameter_groups(self, g: StyleGAN2Generator) -> tuple[Iterable[nn.Parameter], ...]:
        noise = g.noise_strengths()
        others = [p for p in g.synthesis.parameters() if all(p is not strength for strength in noise)]
        return others, noise, g.mapping.parameters()

    def sample(self, g: StyleGAN2Generator, random: StepRandom, labels: Tensor | None) -> Code:
        z = random.normal(g.config.z_dim)
        return Code(g.map(z, None if labels is None else labels[: len(z)]))

    def sample_training(
        self, g: StyleGAN2Generator, random: StepRandom, labels: Tensor | None, targets: LatentTargets | None
    ) -> Code:
        known = 0 if targets is None else len(targets)
        z = step_latents(g, random, targets)
        ws = g.map(z, labels)
        follow_mean(g, ws, random)
        other = random.normal(g.config.z_dim)
        chance, place = random.coin()
        if chance < self.config.style_mixing:
            row = 1 + int(place * (g.config.num_ws - 1))
            mixed = torch.cat([ws[:, :row], g.map(other, labels)[:, row:]], dim=1)
            ws = torch.cat([ws[:known], mixed[known:]])
        return Code(ws)


def step_latents(g: StyleGAN2Generator, random: StepRandom, targets: LatentTargets | None) -> Tensor:
    """A step's latents `[b, z_dim]`: near those of `targets` for the first pictures, new ones for the others."""
    z = random.normal(g.config.z_dim)
    if targets is None:
        return z
    near = (targets.codes + TARGET_NOISE * z[: len(targets)]) / math.sqrt(1 + TARGET_NOISE**2)
    return torch.cat([near, z[len(targets) :]])


@torch.no_grad()
def follow_mean(g: StyleGAN2Generator, ws: Tensor, random: StepRandom) -> None:
    """Take the generator's mean of w a little towards that of `ws [B, num_ws, w_dim]`, over all processes."""
    batch_mean = random.group.mean(ws[:, 0].detach().mean(dim=0))
    g.mapping.w_mean.copy_(batch_mean.lerp(g.mapping.w_mean, W_MEAN_DECAY))
