"""`gansteer train-encoder`."""

from dataclasses import dataclass, replace
from pathlib import Path

from gansteer.bars import bar
from gansteer.commands.companion import say, train
from gansteer.commands.starting import open_model
from gansteer.training.config import InverterTraining


@dataclass(frozen=True, kw_only=True)
class TrainEncoder(InverterTraining):
    """Train a model's encoder, which makes the first guess when a photo is brought in."""

    model: str
    """Name of a model, a checkpoint's file, or a hub id."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""
    data: Path | None = None
    """Folder or zip of real pictures cut like the model's; without, only its own pictures are learnt from."""
    begin: Path | None = None
    """An encoder's file to begin with, of this model or of one of the same shape."""
    out: Path | None = None
    """The file to write (.safetensors); by default where it is found for this model from now on."""
    device: str = "auto"

    def run(self) -> None:
        from gansteer.checkpoints.inverter import ENCODERS, save_inverter
        from gansteer.training.inverter import InverterTrainer

        model = open_model(self.model, self.device, self.network)
        out = ENCODERS.out(model, self.out)
        trainer = InverterTrainer(model, self, self.data, self.begin)
        trained = train(trainer, self.steps, lambda now: now.psnr, window=50)
        with bar("looking at the curvature") as report:
            try:
                if not trained.stopped:
                    trainer.see_curvature(report)
            except KeyboardInterrupt:  # the guess is learnt; it does without corrections
                trained = replace(trained, stopped=True)
        card = {
            "model": model.card.name,
            "steps": trained.steps,
            "batch": self.batch,
            "passes": trainer.head.config.passes,
            "data": "its own pictures" + ("" if self.data is None else " and real ones"),
            "psnr": trained.mean,
        }
        save_inverter(trainer.head, model, out, card)
        again = "" if not self.passes else f"; its guess has no corrections yet: train on with --begin {out}"
        say(trained, out, f"{trained.mean:.1f} dB on the last pictures before corrections", again)
