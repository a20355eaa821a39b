"""The training step and its state. Nothing here prints or writes; `training.run` does."""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gansteer.models.code import Code
from gansteer.training.augmentations import AUGMENTATIONS
from gansteer.training.batch import DrawnBatch, RealBatch, Report
from gansteer.training.choice import auxiliary_terms
from gansteer.training.codes import LatentTargets
from gansteer.training.config import TrainConfig
from gansteer.training.distributed import ProcessGroup, StepRandom
from gansteer.training.generators import GeneratorTraining
from gansteer.training.networks import Networks, load_discriminator
from gansteer.training.objectives import OBJECTIVES, augmentation_of
from gansteer.training.phases import schedule_of
from gansteer.training.regularisers import PathLength
from gansteer.training.terms import AuxiliaryTerm

EMA_RAMP = 0.05
NOISE_RATE = 0.1
"""How much slower the strengths of the noise learn. One step of Adam after quiet ones is ten times its rate: enough to
take a small strength to the other sign, which draws the same grain, and the average of both draws none."""
STEP, PATHS, PAIRED = 0, 1, 2
"""What random numbers of a step are for: the step itself, path lengths, and augmenting pictures and their targets alike."""


def adam(groups: Sequence[Iterable[nn.Parameter]], lr: float, intervals: Sequence[int]) -> torch.optim.Adam:
    """Adam with StyleGAN2's correction for regularisers, each of which adds one step in every `interval` of them."""
    c = math.prod(interval / (interval + 1) for interval in intervals)
    trained = [{"params": [p for p in group if p.requires_grad]} for group in groups]
    return torch.optim.Adam(trained, lr=lr * c, betas=(0.0, 0.99**c), eps=1e-8)


class Trainer:
    """Everything a run is made of. `step` shows one batch; `state_dict` is all that continuing needs."""

    def __init__(
        self,
        config: TrainConfig,
        training: GeneratorTraining[Any],
        nets: Networks,
        device: torch.device,
        group: ProcessGroup,
        *,
        terms: Sequence[AuxiliaryTerm] | None = None,
        ramp: bool = True,
    ) -> None:
        """`terms` are by default those that the configuration asks for.

        With `ramp` the average is short at first, as it begins with a generator that has all to learn.
        """
        self.config = config
        self.training = training
        self.nets = nets
        self.device = device
        self.group = group
        self.ramp = ramp
        self.objective = OBJECTIVES[config.loss]
        self.augmentation = AUGMENTATIONS[augmentation_of(config)](config, device, group)
        self.schedule = schedule_of(config)
        self.terms = auxiliary_terms(config, device) if terms is None else list(terms)
        self.d_regularisers = [build(config) for build in self.objective.regularisers]
        self.path_length = PathLength(config.path_length, device)
        self.g_regularisers = [self.path_length] if config.path_length else []
        self.judging = [p for p in nets.d.parameters() if p.requires_grad]
        """What the discriminator learns, which is not all of a projected one."""
        g_groups = training.parameter_groups(nets.g)
        self.g_opt = adam(g_groups, config.g_lr, [r.interval for r in self.g_regularisers])
        self.d_opt = adam([self.judging], config.d_lr, [r.interval for r in self.d_regularisers])
        self.steps = 0

    @property
    def images(self) -> int:
        """Real pictures shown so far."""
        return self.steps * self.config.batch

    def step(self, reals: Tensor, labels: Tensor, targets: LatentTargets | None = None) -> Report:
        """Show one batch, this process's share: `reals uint8 [b, 3, r, r]`, `labels [b]` and what is known of them.

        Returns losses of this share, still on the device. With `targets`, the first latents draw the first real pictures
        again, the rest new ones.
        """
        c_dim = self.nets.g.config.c_dim
        batch = RealBatch(
            pictures=reals.to(self.device, torch.float32) / 127.5 - 1,
            labels=torch.eye(c_dim, device=self.device)[labels.to(self.device)] if c_dim else None,
            targets=targets,
            images=self.images,
            random=self.random(STEP, self.config.batch),
        )
        report = self.schedule.phase(self.images).step(self, batch)
        self.steps += 1
        self._average()
        return {name: value.detach().clone() for name, value in report.items()}

    def random(self, purpose: int, batch: int) -> StepRandom:
        """This step's random numbers for one of the purposes and a global batch."""
        return StepRandom(self.config.seed, self.steps, purpose, batch, self.group, self.device)

    # --- what phases are made of ---------------------------------------------------------------------------------------------

    def pace_generator(self, lr: float | None = None, beta1: float | None = None, mapping_rate: float = 1.0) -> None:
        """The generator's rate and momentum in this step (by default those of the run), and how much faster the mapping learns."""
        defaults = self.g_opt.defaults
        lr, (first, second) = defaults["lr"] if lr is None else lr, defaults["betas"]
        for group, rate in zip(self.g_opt.param_groups, (1.0, NOISE_RATE, mapping_rate), strict=True):
            group["lr"], group["betas"] = lr * rate, (first if beta1 is None else beta1, second)

    def draw(self, batch: RealBatch, targets: LatentTargets | None) -> tuple[Code, Tensor]:
        """A code and its pictures `[b, 3, r, r]`, of which the first have the latents `targets`."""
        known = None if targets is None else targets.to(self.device)
        code = self.training.sample_training(self.nets.g, batch.random, batch.labels, known)
        return code, self.nets.g.synthesize(code, noise=batch.random.noise)

    def draw_beside(self, batch: RealBatch) -> DrawnBatch:
        """Pictures drawn beside real ones, and the features of both.

        They serve the discriminator's step and then the generator's, so each step draws only once.
        """
        anchored = round(len(batch.pictures) * self.config.anchor)
        targets = None if batch.targets is None else batch.targets[:anchored]
        code, pictures = self.draw(batch, targets)
        # Both are changed alike where one draws the other again.
        alike = [self.random(PAIRED, self.config.batch) for _ in range(2)] if targets else [batch.random] * 2
        seen = self.augmentation(pictures, alike[0])
        features = self.nets.d.features(seen.pictures)
        with torch.no_grad():
            real_seen = self.augmentation(batch.pictures, alike[1])
            real_features = self.nets.d.features(real_seen.pictures)
        redraw = partial(self.nets.g.synthesize, noise=batch.random.noise)
        return DrawnBatch(batch, code, pictures, seen, features, real_seen, real_features, targets, redraw)

    def teach_discriminator(self, drawn: DrawnBatch) -> tuple[Report, Tensor]:
        """Train the discriminator for a step; returns what it then tells the generator, a scalar loss, with the report."""
        d, labels = self.nets.d, drawn.real.labels
        self._judging_learns(True)
        real = d.judge(drawn.real_features, labels)
        fake = d.judge([f.detach() for f in drawn.features], labels)
        loss = self.objective.discriminator_loss(real, fake)
        self._update([self.d_opt], loss)
        report = {"loss/d": loss, "logits/real": real.mean(), "logits/fake": fake.mean()}
        for regulariser in self.d_regularisers:
            if self.steps % regulariser.interval == 0:
                penalty = regulariser.penalty(d, drawn.real_seen.pictures, labels)
                self._update([self.d_opt], penalty * regulariser.interval)
                report[regulariser.name] = penalty
        self._judging_learns(False)
        report["loss/g"] = self.objective.generator_loss(
            lambda features: d.judge(features, labels), drawn.features, drawn.real_features
        )
        self.augmentation.adapt(real.detach(), self.steps)
        return report, report["loss/g"]

    def auxiliary(self, drawn: DrawnBatch) -> tuple[Report, Tensor]:
        """The sum of the auxiliary terms, with their report."""
        report: Report = {}
        total = drawn.pictures.new_zeros([])
        for term in self.terms:
            total = total + term.loss(drawn, self.nets.d, report)
        return report, total

    def update_generator(self, loss: Tensor) -> None:
        """One step of the generator, and of the terms' own networks, against a loss."""
        self._update([self.g_opt, *(term.optimizer for term in self.terms if term.optimizer is not None)], loss)

    def regularise_generator(self, batch: RealBatch) -> Report:
        """The generator's own regularisers, in the steps in which it is their turn."""
        report: Report = {}
        for regulariser in self.g_regularisers:
            if self.steps % regulariser.interval == 0:
                random = self.random(PATHS, max(self.config.batch // 2, self.group.size))
                penalty = regulariser.penalty(self.training, self.nets.g, random, batch.labels)
                self._update([self.g_opt], penalty * regulariser.interval)
                report[regulariser.name] = penalty
        return report

    def _judging_learns(self, learns: bool) -> None:
        for p in self.judging:
            p.requires_grad_(learns)

    def _update(self, optimizers: Sequence[torch.optim.Optimizer], loss: Tensor) -> None:
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            self.group.average_gradients([p for group in optimizer.param_groups for p in group["params"]])
            optimizer.step()

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

    # --- the state -----------------------------------------------------------------------------------------------------------

    def is_finite(self) -> bool:
        """Whether every parameter is a number, so that the state is worth keeping."""
        networks = [self.nets.g, self.nets.d, *(term.network for term in self.terms if term.network is not None)]
        return bool(torch.stack([p.detach().isfinite().all() for net in networks for p in net.parameters()]).all())

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and strings only, so that it can be read back without running anything."""
        d = {k: v for k, v in self.nets.d.state_dict().items() if not k.startswith("backbone.")}
        state = {
            "steps": self.steps, "g": self.nets.g.state_dict(), "ema": self.nets.ema.state_dict(), "d": d,
            "g_opt": self.g_opt.state_dict(), "d_opt": self.d_opt.state_dict(), "p": self.augmentation.p,
            "signs": self.augmentation.signs, "mean_length": self.path_length.mean_length, "ramp": self.ramp,
        }  # fmt: skip
        learnt = {term.name: term.state_dict() for term in self.terms if term.network is not None}
        return {**state, "terms": learnt} if learnt else state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`. Raises KeyError, ValueError or RuntimeError for one that does not fit."""
        self.steps = int(state["steps"])
        self.ramp = bool(state.get("ramp", True))  # runs of a time before it could be left out don't say
        self.nets.g.load_state_dict(state["g"])
        self.nets.ema.load_state_dict(state["ema"])
        self.load_discriminator(state["d"])
        self.g_opt.load_state_dict(state["g_opt"])
        self.d_opt.load_state_dict(state["d_opt"])
        self.augmentation.p.copy_(state["p"])
        self.augmentation.signs.copy_(state["signs"])
        self.path_length.mean_length.copy_(state["mean_length"])
        for term in self.terms:
            if term.network is not None:
                term.load_state_dict(state["terms"][term.name])

    def load_discriminator(self, state: dict[str, Tensor]) -> None:
        """A discriminator's weights, without the frozen backbone, which is not saved."""
        load_discriminator(self.nets.d, state)
