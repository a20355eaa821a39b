"""An inversion being carried out, stage by stage; it can be left after any step."""

import math
from dataclasses import replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from gansteer.checkpoints.inverter import find_inverter
from gansteer.edits.api import Progress, SteppedRun
from gansteer.edits.inversion.edit import Inversion
from gansteer.edits.inversion.layout import first_layout
from gansteer.edits.inversion.perceptual import comparison
from gansteer.edits.inversion.pivotal import PivotalTuning
from gansteer.edits.inversion.projection import Projection, mean_subject
from gansteer.errors import UserError
from gansteer.models.inverter import Inverter
from gansteer.models.layers import as_channels
from gansteer.subject import Subject

StageName = Literal["first guess", "projection", "tuning"]
PSNR = "psnr"
"""The metric of a step: decibels, of its picture (within [-1, 1]) against the photo; 20 is rough, 30 hard to tell apart at 128 px."""


class Stage(Protocol):
    """A part of an inversion."""

    taken: int
    steps: int

    def draw(self) -> Tensor: ...
    def held(self, picture: Tensor) -> Tensor: ...
    def advance(self, loss: Tensor) -> None: ...
    def subject(self) -> Subject: ...


class InversionRun(SteppedRun[Inversion]):
    """Iterate, or call `step()` until it ends."""

    def __init__(self, subject: Subject, edit: Inversion) -> None:
        """Raises UserError if the picture does not fit the subject's model."""
        edit.check(subject)
        super().__init__(subject, edit)
        like = subject.model.generator.mean_w()
        colours = edit.picture.to(like).permute(2, 0, 1)[None] / 127.5 - 1  # [1, 3, R, R]
        target = as_channels(colours, subject.model.generator.config.img_channels)  # [1, 3 or 1, R, R]
        self._target = target
        encoder = self._encoder()
        self._compare = comparison(edit.perceptual, like, None if encoder is None else encoder.trunk)
        self._distance = self._compare(target)
        guess, guessed = self._guess(encoder, target)
        layout = guess.code.layout
        if layout is not None and edit.start != "present":
            layout = first_layout(subject.model, target, layout, edit.seed)
            guess = replace(guess, code=replace(guess.code, layout=layout))
        self._stage: Stage = Projection(guess, edit, explore=not guessed)
        self._before = 0

    def _encoder(self) -> Inverter | None:
        """The model's encoder, if the first guess is its. Raises UserError if it should be and there is none."""
        model, start = self.start.model, self.edit.start
        encoder = find_inverter(model) if start in ("auto", "encoder") else None
        if encoder is None and start == "encoder":
            raise UserError(f"{model.card.name} has no encoder: run gansteer train-encoder, or start from the mean")
        return encoder

    def _guess(self, encoder: Inverter | None, target: Tensor) -> tuple[Subject, bool]:
        """The first guess, and whether it is better than the mean."""
        model = self.start.model
        if self.edit.start == "present":
            return Subject(model, replace(self.start.code, style_offsets={})), True
        if encoder is None:
            return mean_subject(model), False
        with torch.no_grad():
            return Subject(model, encoder(target)[0]), True

    def _step(self) -> Progress:
        """Look at the present picture and, unless that ends the run, take one step."""
        stage = self._stage
        picture = stage.draw()
        loss = self._loss(picture)
        now = self._found(float(loss.detach()), picture.detach())
        if now.stop_reason is None and stage.taken < stage.steps:
            stage.advance(loss)
        elif (
            now.stop_reason is None
            and isinstance(stage, Projection)
            and self.edit.tuning != "none"
            and self.edit.tuning_steps
        ):
            self._before = stage.taken
            self._stage = PivotalTuning(stage.subject(), self.edit, self._compare)
            self._stage.advance(self._loss(self._stage.draw()))
        elif now.stop_reason is None:
            now = replace(now, stop_reason=f"reconstructed to {now.metrics[PSNR]:.1f} dB")
        return now

    def _loss(self, picture: Tensor) -> Tensor:
        pixels = self.edit.pixels * (picture - self._target).square().mean()
        return self._distance(picture).sum() + pixels + self._stage.held(picture)

    def _found(self, loss: float, picture: Tensor) -> Progress:
        """The progress of the present picture or, if it is none any more, the last one's with an end."""
        if not math.isfinite(loss):
            if self.progress is None:
                raise UserError("the first guess is no picture: start from the mean")
            return replace(
                self.progress, stop_reason="the reconstruction blew up: lower the rates (the last picture is kept)"
            )
        stage = self._stage
        name: StageName = (
            "tuning" if isinstance(stage, PivotalTuning) else "projection" if stage.taken else "first guess"
        )
        psnr = float(peak_signal(picture, self._target))
        return Progress(self._before + stage.taken, loss, stage.subject(), metrics={PSNR: psnr}, stage=name)


def peak_signal(pictures: Tensor, target: Tensor) -> Tensor:
    """PSNR `10 log10(2^2 / MSE)` in decibels `[B]`, of pictures `[B, 3, H, W]` within [-1, 1]."""
    error = (pictures.clamp(-1, 1) - target).square().flatten(1).mean(dim=1)
    return 10 * torch.log10(4 / error.clamp_min(1e-12))
