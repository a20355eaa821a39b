"""`gansteer train-encoder`."""

from dataclasses import dataclass, fields
from pathlib import Path

from gansteer.commands.progress import bar
from gansteer.errors import UserError
from gansteer.output import check_writable


@dataclass(frozen=True)
class TrainEncoder:
    """Train a model's encoder, which makes the first guess when a photo is brought in."""

    model: str
    """Name of a model, a checkpoint's file, or a hub id."""
    data: Path | None = None
    """Folder or zip of real pictures cut like the model's; without, only its own pictures are learnt from."""
    out: Path | None = None
    """The file to write (.safetensors); by default where it is found for this model from now on."""
    steps: int = 2000
    batch: int = 8
    learning_rate: float = 1e-3
    pixels: float = 10.0
    """Weight of the pixels' difference beside the perceptual one."""
    latent: float = 0.3
    """Weight of the error in w, for the model's own pictures."""
    flat: float = 0.01
    """Weight of the pull of all rows of w+ towards each other."""
    seed: int = 0
    device: str = "auto"

    def run(self) -> None:
        from gansteer.checkpoints.inverter import own_folder, save_inverter
        from gansteer.checkpoints.registry import load
        from gansteer.memory import keep_freed_memory
        from gansteer.training.inverter import InverterTrainer, InverterTraining

        keep_freed_memory()
        training = InverterTraining(**{f.name: getattr(self, f.name) for f in fields(InverterTraining)})
        model = load(self.model, self.device)
        out = self.out
        if out is None:
            own_folder().mkdir(parents=True, exist_ok=True)
            out = own_folder() / f"{model.digest[:16]}.safetensors"
        if out.suffix != ".safetensors":
            raise UserError(f"{out}: the file to write ends in .safetensors")
        check_writable(out)
        trainer = InverterTrainer(model, training, self.data)
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
        card = {
            "model": model.card.name,
            "steps": step,
            "batch": self.batch,
            "data": "its own pictures" + ("" if self.data is None else " and real ones"),
            "psnr": psnr,
        }
        save_inverter(trainer.head, model, out, card)
        line = f"wrote {out}: {step} steps, {psnr:.1f} dB on the last pictures, {out.stat().st_size / 1e6:.1f} MB"
        if stopped:
            raise KeyboardInterrupt(f"stopped; {line}")
        print(line)
