"""The training step and its state. Nothing here prints or writes; `training.run` does."""

import math
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gansteer.models.code import Code
from gansteer.models.discriminator import Discriminator
from gansteer.models.projected import ProjectedDiscriminator
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.training import losses
from gansteer.training.augment import ada, diffaugment
from gansteer.training.codes import LatentTargets, expressive_parts
from gansteer.training.config import TrainConfig
from gansteer.training.distributed import ProcessGroup, StepRandom

D_REG_INTERVAL = 16
G_REG_INTERVAL = 4
W_MEAN_DECAY = 0.995
EMA_RAMP = 0.05
ADA_INTERVAL = 4
ADA_IMAGES = 500_000
"""Pictures in which the augmentation strength can go from 0 to 1."""
CODE_NOISE = 0.1
"""Standard deviation of what is added to a known picture's latent, so that its neighbourhood draws it too."""
ANCHOR_PIXELS = 12.0
"""Weight of the pixels' difference beside that of the features, of which one is worth more."""
ANCHOR_PARTS = 9.0
"""Weight of the difference in eyes and mouth beside that of the features: they keep their expressions, and no more."""
RECONSTRUCTION_PARTS = 3.0
"""The same beside that of the pixels, while pictures are only drawn again."""
RECONSTRUCTION_MOMENTUM = 0.9
"""Adam's first moment while pictures are only drawn again: a fit, not a contest, so momentum helps."""
RECONSTRUCTION_MAPPING_RATE = 30.0
"""How much faster the mapping network learns meanwhile: at 1/100 of the rate it would stay as it was initialised."""
NOISE_RATE = 0.1
"""How much slower the strengths of the noise learn. One step of Adam after quiet ones is ten times its rate: enough to
take a small strength to the other sign, which draws the same grain, and the average of both draws none."""


@dataclass
class Networks:
    """The generator that trains, its average, and the discriminator."""

    g: StyleGAN2Generator
    ema: StyleGAN2Generator
    d: Discriminator | ProjectedDiscriminator


def adam(groups: list[Iterable[nn.Parameter]], lr: float, interval: int | None) -> torch.optim.Adam:
    """Adam with StyleGAN2's correction for a regulariser that adds one step in every `interval`."""
    c = 1.0 if interval is None else interval / (interval + 1)
    trained = [{"params": [p for p in group if p.requires_grad]} for group in groups]
    return torch.optim.Adam(trained, lr=lr * c, betas=(0.0, 0.99**c), eps=1e-8)


class Trainer:
    """Everything a run is made of. `step` shows one batch; `state_dict` is all that continuing needs."""

    def __init__(
        self, config: TrainConfig, nets: Networks, device: torch.device, group: ProcessGroup, ramp: bool = True
    ) -> None:
        """With `ramp` the average is short at first, as it begins with a generator that has all to learn."""
        self.config = config
        self.ramp = ramp
        self.nets = nets
        self.device = device
        self.group = group
        self.logistic = config.loss == "stylegan2"
        noise = nets.g.noise_strengths()
        others = [p for p in nets.g.synthesis.parameters() if all(p is not strength for strength in noise)]
        self.g_opt = adam(
            [others, noise, nets.g.mapping.parameters()], config.g_lr, G_REG_INTERVAL if config.path_length else None
        )
        self.d_opt = adam([nets.d.parameters()], config.d_lr, D_REG_INTERVAL if self.logistic else None)
        self.adversarial_defaults = dict(self.g_opt.defaults)
        """Adam's settings for the generator outside the reconstruction phase."""
        self.steps = 0
        self.p = torch.zeros([], device=device)
        """Strength of ADA: probability of each operation."""
        self.signs = torch.zeros(2, device=device)
        """Sum and number of sign(D(real)) since the strength was last changed."""
        self.mean_length = torch.zeros([], device=device)

    @property
    def images(self) -> int:
        """Real pictures shown so far."""
        return self.steps * self.config.batch

    def step(self, reals: Tensor, labels: Tensor, targets: LatentTargets | None = None) -> dict[str, Tensor]:
        """Show one batch, this process's share: `reals uint8 [b, 3, r, r]`, `labels [b]` and what is known of them.

        Returns losses of this share, still on the device.

        The same drawn pictures serve the discriminator's step and then the generator's, so each step draws only once.
        With `targets`, the first latents draw the first real pictures again, the rest new ones.
        """
        config, nets = self.config, self.nets
        weight = self._adversarial_weight
        random = StepRandom(config.seed, self.steps, 0, config.batch, self.group, self.device)
        x = reals.to(self.device, torch.float32) / 127.5 - 1
        c_dim = nets.g.config.c_dim
        c = torch.eye(c_dim, device=self.device)[labels.to(self.device)] if c_dim else None
        self._pace(reconstructing=weight == 0)
        if weight == 0:
            assert targets is not None
            return self._reconstruct(x, c, targets, random)

        learning = self.images >= config.discriminator_images
        anchored = 0 if targets is None else round(len(reals) * config.anchor)
        for_fakes, for_reals = self._augmenting(random, anchored)
        with torch.set_grad_enabled(learning):
            ws = self._map(nets.g, random, c, None if targets is None else targets.codes[:anchored].to(self.device))
            fakes = nets.g.synthesize(Code(ws), noise=random.noise)
            fake_features = nets.d.features(self._augment(fakes, for_fakes))
        with torch.no_grad():
            real_augmented = self._augment(x, for_reals)
            real_features = nets.d.features(real_augmented)

        report: dict[str, Tensor] = {}
        g_loss = fakes.new_zeros([])
        if targets is not None:
            report["anchor/pixels"] = losses.pyramid_distance(fakes[:anchored], x[:anchored])
            report["anchor/features"] = losses.feature_distance(
                [f[:anchored] for f in fake_features], [f[:anchored] for f in real_features]
            )
            distance = report["anchor/features"] + ANCHOR_PIXELS * report["anchor/pixels"]
            if targets.landmarks is not None:
                report["anchor/parts"] = self._parts(fakes[:anchored], x[:anchored], targets.landmarks[:anchored])
                distance = distance + ANCHOR_PARTS * report["anchor/parts"]
            g_loss = config.anchor_weight * distance
        g_loss = g_loss + weight * self._adversarial(report, real_features, fake_features, real_augmented, c)
        if learning:
            self._update(self.g_opt, g_loss)
            if config.path_length and self.steps % G_REG_INTERVAL == 0:
                report["loss/path_length"] = self._path_length(c)
        self.steps += 1
        self._average()
        report["augment/p"] = self.p
        return {name: value.detach().clone() for name, value in report.items()}

    def _reconstruct(
        self, x: Tensor, c: Tensor | None, targets: LatentTargets, random: StepRandom
    ) -> dict[str, Tensor]:
        """Draw known pictures `x` again and nothing else. It asks neither for features nor for the discriminator."""
        ws = self._map(self.nets.g, random, c, targets.codes.to(self.device))
        fakes = self.nets.g.synthesize(Code(ws), noise=random.noise)
        report = {"anchor/pixels": losses.pyramid_distance(fakes, x)}
        loss = report["anchor/pixels"]
        if targets.landmarks is not None:
            report["anchor/parts"] = self._parts(fakes, x, targets.landmarks)
            loss = loss + RECONSTRUCTION_PARTS * report["anchor/parts"]
        self._update(self.g_opt, loss)
        self.steps += 1
        self._average()
        return {name: value.detach().clone() for name, value in report.items()}

    def _parts(self, fakes: Tensor, x: Tensor, landmarks: Tensor) -> Tensor:
        """How far eyes and mouth are from those of the known pictures."""
        return losses.part_distance(fakes, x, expressive_parts(landmarks.to(self.device), x.shape[-1]))

    def _pace(self, reconstructing: bool) -> None:
        """The generator's rates and momentum for this step."""
        lr, (beta1, beta2) = self.adversarial_defaults["lr"], self.adversarial_defaults["betas"]
        if reconstructing:
            lr, beta1 = self.config.anchor_lr, RECONSTRUCTION_MOMENTUM
        rates = (1.0, NOISE_RATE, RECONSTRUCTION_MAPPING_RATE if reconstructing else 1.0)
        for group, rate in zip(self.g_opt.param_groups, rates, strict=True):
            group["lr"], group["betas"] = lr * rate, (beta1, beta2)

    @property
    def _adversarial_weight(self) -> float:
        """How much of the discriminator's lesson the generator takes: 0 while it only draws known pictures again."""
        config = self.config
        if not config.anchor or not config.anchor_images:
            return 1.0
        return min(1.0, max(0.0, (self.images - config.anchor_images) / (config.anchor_images / 2)))

    def _augmenting(self, random: StepRandom, anchored: int) -> tuple[StepRandom, StepRandom]:
        """The random numbers that change drawn and real pictures: the same for both where one draws the other again."""
        if not anchored:
            return random, random
        config = self.config
        first, second = (
            StepRandom(config.seed, self.steps, 2, config.batch, self.group, self.device) for _ in range(2)
        )
        return first, second

    def _adversarial(
        self, report: dict[str, Tensor], real_features: list[Tensor], fake_features: list[Tensor],
        real_augmented: Tensor, c: Tensor | None,
    ) -> Tensor:  # fmt: skip
        """Train the discriminator for a step and return what it then tells the generator."""
        config, nets = self.config, self.nets
        nets.d.requires_grad_(True)
        self._freeze_projection()
        real_logits = nets.d.judge(real_features, c)
        fake_logits = nets.d.judge([f.detach() for f in fake_features], c)
        d_loss = (losses.discriminator_logistic if self.logistic else losses.discriminator_hinge)(
            real_logits, fake_logits
        )
        self._update(self.d_opt, d_loss)
        report |= {"loss/d": d_loss, "logits/real": real_logits.mean(), "logits/fake": fake_logits.mean()}

        if self.logistic and self.steps % D_REG_INTERVAL == 0:
            # With respect to the augmented pictures, which are what the discriminator sees.
            x_r1 = real_augmented.detach().requires_grad_(True)
            penalty = losses.r1(nets.d(x_r1, c), x_r1, config.gamma)
            self._update(self.d_opt, penalty * D_REG_INTERVAL)
            report["loss/r1"] = penalty

        nets.d.requires_grad_(False)
        g_loss = (losses.generator_logistic if self.logistic else losses.generator_hinge)(
            nets.d.judge(fake_features, c)
        )
        report["loss/g"] = g_loss
        self._adapt(real_logits.detach())
        return g_loss

    def _map(self, g: StyleGAN2Generator, random: StepRandom, c: Tensor | None, codes: Tensor | None = None) -> Tensor:
        """New w+ `[b, num_ws, w_dim]`, mixed at a random row in a share of the steps; follows the mean of w.

        The first rows come from `codes [k, z_dim]`, which have the distribution that the others are drawn from, and
        are not mixed.
        """
        z = random.normal(g.config.z_dim)
        if codes is not None:
            k = len(codes)
            near = (codes + CODE_NOISE * z[:k]) / math.sqrt(1 + CODE_NOISE**2)
            z = torch.cat([near, z[k:]])
        ws = g.map(z, c)
        batch_mean = self.group.mean(ws[:, 0].detach().mean(dim=0))
        g.mapping.w_mean.copy_(batch_mean.lerp(g.mapping.w_mean, W_MEAN_DECAY))
        other = random.normal(g.config.z_dim)
        chance, place = random.coin()
        if chance < self.config.style_mixing:
            row = 1 + int(place * (g.config.num_ws - 1))
            mixed = torch.cat([ws[:, :row], g.map(other, c)[:, row:]], dim=1)
            ws = mixed if codes is None else torch.cat([ws[: len(codes)], mixed[len(codes) :]])
        return ws

    def _augment(self, x: Tensor, random: StepRandom) -> Tensor:
        if self.config.augmentation == "diffaugment":
            return diffaugment(x, random, self.config.augment_colour)
        return ada(x, self.p, random) if self.config.augmentation == "ada" else x

    def _freeze_projection(self) -> None:
        if isinstance(self.nets.d, ProjectedDiscriminator):
            self.nets.d.mix_channels.requires_grad_(False)
            self.nets.d.mix_levels.requires_grad_(False)

    def _update(self, optimizer: torch.optim.Adam, loss: Tensor) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.group.average_gradients(parameters)
        optimizer.step()

    def _path_length(self, c: Tensor | None) -> Tensor:
        """Path length regularisation on half a batch (Karras et al. 2020, eq. 4)."""
        config, g = self.config, self.nets.g
        random = StepRandom(
            config.seed, self.steps, 1, max(config.batch // 2, self.group.size), self.group, self.device
        )
        z = random.normal(g.config.z_dim)
        ws = g.map(z, None if c is None else c[: len(z)])
        pictures = g.synthesize(Code(ws), noise=random.noise)
        lengths = losses.path_lengths(pictures, ws, random.normal(*pictures.shape[1:]))
        # Shares may differ in size by one, so the mean over processes is that of sums.
        share = self.group.size / random.batch
        self.mean_length.lerp_(self.group.mean(lengths.detach().sum() * share), 0.01)
        penalty = (lengths - self.mean_length).square().sum() * share * config.path_length
        self._update(self.g_opt, penalty * G_REG_INTERVAL)
        return penalty

    def _adapt(self, real_logits: Tensor) -> None:
        """Every 4 steps, more augmentation if the discriminator is too sure of the reals, else less."""
        if self.config.augmentation != "ada":
            return
        self.signs[0] += real_logits.sign().sum()
        self.signs[1] += real_logits.numel()
        if self.steps % ADA_INTERVAL == ADA_INTERVAL - 1:
            total = self.group.mean(self.signs)
            direction = (total[0] / total[1] - self.config.ada_target).sign()
            self.p.add_(direction * self.config.batch * ADA_INTERVAL / ADA_IMAGES).clamp_(0, 1)
            self.signs.zero_()

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged generator towards the one that trains; with the ramp its half-life is short at first."""
        half_life = self.config.ema_half_life
        if self.ramp:
            half_life = min(half_life, self.images * EMA_RAMP)
        beta = 0.5 ** (self.config.batch / half_life)
        for average, value in zip(self.nets.ema.parameters(), self.nets.g.parameters(), strict=True):
            average.lerp_(value, 1 - beta)
        for kept, buffer in zip(self.nets.ema.buffers(), self.nets.g.buffers(), strict=True):
            kept.copy_(buffer)

    def is_finite(self) -> bool:
        """Whether every parameter is a number, so that the state is worth keeping."""
        parameters = [*self.nets.g.parameters(), *self.nets.d.parameters()]
        return bool(torch.stack([p.detach().isfinite().all() for p in parameters]).all())

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and strings only, so that it can be read back without running anything."""
        d = {k: v for k, v in self.nets.d.state_dict().items() if not k.startswith("backbone.")}
        return {
            "steps": self.steps, "g": self.nets.g.state_dict(), "ema": self.nets.ema.state_dict(), "d": d,
            "g_opt": self.g_opt.state_dict(), "d_opt": self.d_opt.state_dict(),
            "p": self.p, "signs": self.signs, "mean_length": self.mean_length, "ramp": self.ramp,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = int(state["steps"])
        self.ramp = bool(state.get("ramp", True))  # runs of a time before it could be left out don't say
        self.nets.g.load_state_dict(state["g"])
        self.nets.ema.load_state_dict(state["ema"])
        self.load_discriminator(state["d"])
        self.g_opt.load_state_dict(state["g_opt"])
        self.d_opt.load_state_dict(state["d_opt"])
        self.p.copy_(state["p"])
        self.signs.copy_(state["signs"])
        self.mean_length.copy_(state["mean_length"])

    def load_discriminator(self, state: dict[str, Tensor]) -> None:
        """A discriminator's weights, without the frozen backbone, which is not saved."""
        missing, unexpected = self.nets.d.load_state_dict(state, strict=False)
        wrong = [name for name in missing if not name.startswith("backbone.")] + unexpected
        if wrong:
            raise ValueError(f"the discriminator does not fit: {wrong[0]}")


def quiet(g: StyleGAN2Generator, gain: float = 0.2) -> None:
    """Scale the fresh toRGBs down, so that the first pictures lie in [-1, 1] and not far beyond.

    Features see little of a colour beyond white, and augmentation hides the rest: from N(0, 1) weights a projected
    discriminator takes tens of thousands of images to teach the range alone.
    """
    with torch.no_grad():
        for weight in g.colour_weights():
            weight.mul_(gain)


def build_networks(
    config: TrainConfig, c_dim: int, backbone: Any, device: torch.device, start: StyleGAN2Generator | None = None
) -> Networks:
    """Fresh networks from the seed, or with the generator `start` (of the same or half the resolution) to go on from."""
    from gansteer.models.stylegan2.generator import grown

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if start is None:
            g = StyleGAN2Generator(config.generator_config(c_dim))
            quiet(g)
        else:
            g = start if start.config.resolution == config.resolution else grown(start)
        d: Discriminator | ProjectedDiscriminator
        if config.loss == "stylegan2":
            d = Discriminator(g.config)
        else:
            d = ProjectedDiscriminator(backbone)
    g = g.to(device).train().requires_grad_(True)
    return Networks(g, deepcopy(g).eval().requires_grad_(False), d.to(device).train())
