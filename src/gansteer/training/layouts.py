"""How generators that are conditioned on layouts are trained, and what they are taught beside the discriminator's lesson."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansteer.checkpoints.registry import load, resolve
from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.models.generator import Generator
from gansteer.models.layout import Layout, splat
from gansteer.models.projected import WIDTH
from gansteer.models.spatial.config import SpatialConfig
from gansteer.models.spatial.generator import SpatialGenerator, conditioned, grown, widened
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.training.alignment import alignment_loss, target_maps
from gansteer.training.batch import DrawnBatch, Report, TrainingCode
from gansteer.training.codes import LatentTargets
from gansteer.training.composition import Composition
from gansteer.training.config import TrainConfig, law_fields
from gansteer.training.distributed import StepRandom
from gansteer.training.equivariance import Equivariance
from gansteer.training.generators import QUIET, StyleGAN2Training, class_count, follow_mean, step_latents
from gansteer.training.objectives import DiscriminatorNetwork
from gansteer.training.terms import AuxiliaryTerm

COARSE_ROWS = 5
"""Rows of w+ that drive nothing beyond 16 px."""
READ_NUMBERS = 4
"""Numbers of each blob's style code, and of z, that the reader reads."""
READER_WIDTH = 96
READER_RATE = 1e-3
"""Learning rate of the reader."""
PLACES, STYLES = 2.0, 3.0
"""Weights of the errors in places and in style codes beside that in z."""
APART, RADIUS_HIGH = 8, 0.18
"""The law of independent blobs in training: the farthest of eight places each, and none wider than real things are. Blobs that
overlap draw a thing together, which then stays when one of them goes."""
LAYOUTS = 0x1A707
"""What the seed of a step's layouts differs by from that of its other random numbers."""


def spatial_config(config: TrainConfig, c_dim: int = 0) -> SpatialConfig:
    """The shape of a run's generator and the law of its layouts."""
    shape = config.generator_config(c_dim)
    rows = min(COARSE_ROWS, shape.num_ws) if config.blobs_alone else 0
    try:
        return SpatialConfig(
            **vars(shape), **law_fields(config.layout), encoding=config.encoding, noise=config.layout_noise, mean_rows=rows,
            apart=APART, radius_high=RADIUS_HIGH,
        )  # fmt: skip
    except ValueError as error:
        raise UserError(str(error)) from error


class SpatialTraining(StyleGAN2Training):
    """SpatialGAN as `TrainConfig` describes it."""

    def build(self, c_dim: int) -> SpatialGenerator:
        g = SpatialGenerator(spatial_config(self.config, c_dim))
        with torch.no_grad():
            for weight in g.colour_weights():
                weight.mul_(QUIET)
        return g

    def restore(self, record: Mapping[str, Any], state: dict[str, Tensor]) -> SpatialGenerator:
        self._check_law(law_fields(record.get("layout", "none"))["law"], str(record["out"]))
        g = SpatialGenerator(spatial_config(self._before(record, "encoding"), class_count(state)))
        g.load_state_dict(state)
        return g

    def adopt(self, found: Generator, name: str) -> SpatialGenerator:
        """A spatial generator as it is; a StyleGAN2 with encodings that begin as the identity."""
        if isinstance(found, SpatialGenerator):
            if found.config.encoding != self.config.encoding:
                raise UserError(f"{name} has --encoding {found.config.encoding}: give the same to go on from it")
            self._check_law(found.config.law, name)
            found.follow_law(replace(found.config, **law_fields(self.config.layout)))
            return found
        if not isinstance(found, StyleGAN2Generator):
            raise UserError(f"{name} is of the architecture {found.architecture}: --layout cannot --grow from it")
        if not self.config.layout_noise:
            raise UserError(f"{name} has noise maps: a run from it must not have --no-layout-noise")
        return conditioned(found, replace(spatial_config(self.config), **vars(found.config)))

    def _check_law(self, law: str, name: str) -> None:
        """What a run starts from keeps its kind of law; --layout may give other numbers of it. Raises UserError."""
        if law == "none":
            raise UserError(
                f"the run {name} has no layout: --grow from one of its snapshots, to which --layout adds one"
            )
        if law != law_fields(self.config.layout)["law"]:
            raise UserError(f"{name} has --layout {law}: give the same to go on from it")

    def widen(self, small: StyleGAN2Generator) -> SpatialGenerator:
        assert isinstance(small, SpatialGenerator)
        return self._widened(widened, small)

    def grow(self, small: StyleGAN2Generator) -> SpatialGenerator:
        assert isinstance(small, SpatialGenerator)
        return grown(small)

    def sample(self, g: StyleGAN2Generator, random: StepRandom, labels: Tensor | None) -> Code:
        return replace(super().sample(g, random, labels), layout=step_layouts(g, random))

    def sample_training(
        self, g: StyleGAN2Generator, random: StepRandom, labels: Tensor | None, targets: LatentTargets | None
    ) -> Code:
        z = step_latents(g, random, targets)
        ws = g.map(z, labels)
        follow_mean(g, ws, random)
        if self.config.blobs_alone:
            assert isinstance(g, SpatialGenerator)
            g.level_rows()
        alone = random.uniform(0, 1, 1, 1) < self.config.blobs_alone  # [B, 1, 1]
        coarse = torch.arange(g.config.num_ws, device=ws.device)[:, None] < COARSE_ROWS  # [num_ws, 1]
        ws = torch.where(alone & coarse, g.mean_w(), ws)
        return TrainingCode(ws, layout=known_first(step_layouts(g, random), targets), z=z)


def known_first(layouts: Layout, targets: LatentTargets | None) -> Layout:
    """A step's layouts, with those of known pictures in the place of the first. Both are of as many blobs."""
    if targets is None or targets.layout is None:
        return layouts
    known = targets.layout.to(layouts.sizes.device, layouts.sizes.dtype)
    return Layout.batch([known, layouts[slice(len(targets), None)]])


def step_layouts(g: Generator, random: StepRandom) -> Layout:
    """This process's share of the layouts of a step's pictures."""
    assert isinstance(g, SpatialGenerator)
    layouts = g.sample_layout(random.batch, torch.Generator().manual_seed(random.generator.initial_seed() ^ LAYOUTS))
    return layouts[slice(random.group.rank, None, random.group.size)]


class Alignment(AuxiliaryTerm):
    """The alignment loss: the discriminator's attention should be where the heatmaps are."""

    name = "alignment"

    def __init__(self, weight: float, ramp: int, sign: float) -> None:
        """The weight is reached after `ramp` pictures; `sign` as in `alignment_loss`."""
        self.weight, self.ramp, self.sign = weight, ramp, sign

    def loss(self, drawn: DrawnBatch, discriminator: DiscriminatorNetwork, report: Report) -> Tensor:
        assert drawn.code.layout is not None
        size = drawn.pictures.shape[-1]
        logits, maps = discriminator.attended(drawn.features, drawn.real.labels)
        targets = torch.stack(target_maps(drawn.code.layout, size, size), dim=1)  # [B, 3, size, size]
        moved = drawn.seen.transform.maps(targets).unbind(dim=1)
        report["alignment"] = found = alignment_loss(logits, maps, moved, self.sign)
        return self.weight * min(1.0, drawn.real.images / max(self.ramp, 1)) * found


class ReaderNetwork(nn.Module):
    """Frozen features of a picture, and its colours, to the map of blobs, to that of their style codes, and to z."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels + 3, READER_WIDTH, 1)
        self.second = nn.Conv2d(READER_WIDTH, READER_WIDTH, 3, padding=1)
        self.maps = nn.Conv2d(READER_WIDTH, READ_NUMBERS + 1, 1)
        self.z = nn.Linear(2 * READER_WIDTH, READ_NUMBERS)

    def forward(self, features: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, channels, s, s]` and `[B, 3, r, r]` to `[sum_k H_k s_k, sum_k H_k]` `[B, 5, s, s]`, and to z `[B, 4]`."""
        colours = F.interpolate(pictures, size=features.shape[-2:], mode="area")
        x = torch.cat([features / features.detach().std(), 2 * colours], dim=1)
        x = F.leaky_relu(self.second(F.leaky_relu(self.first(x), 0.2)), 0.2)
        return self.maps(x), self.z(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))


class LayoutReader(AuxiliaryTerm):
    """A small network that learns to read the layout from the drawn picture, which the generator makes readable.

    Not in the papers: where alignment asks that the discriminator look at the blobs, this asks that each blob, its style and
    z be seen, as InfoGAN does (Chen et al. 2016). It looks at the frozen features of the projected discriminator.
    """

    name = "layout_reader"
    network: ReaderNetwork

    def __init__(self, weight: float, channels: int, device: torch.device) -> None:
        self.weight = weight
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = ReaderNetwork(channels).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=READER_RATE, betas=(0.5, 0.99))

    def loss(self, drawn: DrawnBatch, discriminator: DiscriminatorNetwork, report: Report) -> Tensor:
        code = drawn.code
        assert isinstance(code, TrainingCode)
        assert code.layout is not None
        assert code.z is not None
        maps, z = self.network(drawn.features[1], drawn.seen.pictures)
        true = splat(code.layout, code.layout.styles[..., :READ_NUMBERS], maps.shape[-1], drawn.pictures.shape[-1])
        true = drawn.seen.transform.maps(true)
        styles = (maps[:, :-1] - true[:, :-1]).square().mean() / true[:, :-1].square().mean().clamp(min=1e-6)
        report["reader/styles"] = styles
        report["reader/places"] = places = (maps[:, -1] - true[:, -1].clamp(max=1)).abs().mean()
        report["reader/z"] = about = (z - code.z[:, :READ_NUMBERS]).square().mean()
        total: Tensor = PLACES * places + STYLES * styles + about
        return self.weight * total


def layout_terms(config: TrainConfig, device: torch.device) -> list[AuxiliaryTerm]:
    """What the generator of a run with layouts is taught beside the discriminator's lesson."""
    terms: list[AuxiliaryTerm] = []
    if config.alignment:
        sign = 1.0 if config.alignment_sign == "published" else -1.0
        terms.append(Alignment(config.alignment, config.alignment_ramp, sign))
    if config.layout_reader:
        terms.append(LayoutReader(config.layout_reader, WIDTH, device))
    if config.composition:
        terms.append(Composition(config.composition))
    if config.equivariance:
        assert config.grow is not None
        teacher = load(str(resolve(config.grow)), str(device), network=config.network)
        terms.append(Equivariance(config.equivariance, teacher))
    return terms
