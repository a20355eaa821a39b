"""`gansteer train-encoder`."""

from dataclasses import dataclass
from pathlib import Path

from gansteer.bars import bar
from gansteer.commands.starting import open_model
from gansteer.errors import UserError
from gansteer.output import check_writable
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
        from gansteer.checkpoints.inverter import own_folder, save_inverter
        from gansteer.training.inverter import InverterTrainer

        model = open_model(self.model, self.device, self.network)
        out = self.out
        if out is None:
            own_folder().mkdir(parents=True, exist_ok=True)
            out = own_folder() / f"{model.digest[:16]}.safetensors"
        if out.suffix != ".safetensors":
            raise UserError(f"{out}: the file to write ends in .safetensors")
        check_writable(out)
        trainer = InverterTrainer(model, self, self.data, self.begin)
        psnr, step, stopped = 0.0, 0, False
        with bar("training") as report:
            try:
                for now in trainer:
                    psnr += (now.psnr - psnr) / min(now.step, 50)
                    step = now.step
                    report(step, self.steps)
            except KeyboardInterrupt:
                stopped = True
        if not step:
            raise KeyboardInterrupt("stopped before the first step: nothing was written")
        with bar("looking at the curvature") as report:
            try:
                if not stopped:
                    trainer.see_curvature(report)
            except KeyboardInterrupt:  # the guess is learnt; it does without corrections
                stopped = True
        card = {
            "model": model.card.name,
            "steps": step,
            "batch": self.batch,
            "passes": trainer.head.config.passes,
            "data": "its own pictures" + ("" if self.data is None else " and real ones"),
            "psnr": psnr,
        }
        save_inverter(trainer.head, model, out, card)
        line = f"wrote {out}: {step} steps, {psnr:.1f} dB on the last pictures before corrections, {out.stat().st_size / 1e6:.1f} MB"
        if stopped:
            again = "" if not self.passes else f"; its guess has no corrections yet: train on with --begin {out}"
            raise KeyboardInterrupt(f"stopped; {line}{again}")
        print(line)
