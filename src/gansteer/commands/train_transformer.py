"""`gansteer train-transformer`."""

from dataclasses import dataclass
from pathlib import Path

from gansteer.bars import bar
from gansteer.errors import UserError
from gansteer.output import check_writable
from gansteer.training.config import TransformerTraining


@dataclass(frozen=True, kw_only=True)
class TrainTransformer(TransformerTraining):
    """Train a model's latent transformer, for `gansteer drag --method transformer`, on the model's own pictures."""

    model: str
    """Name of a model, a checkpoint's file, or a hub id."""
    out: Path | None = None
    """The file to write (.safetensors); by default where it is found for this model from now on."""
    device: str = "auto"

    def run(self) -> None:
        from gansteer.checkpoints.latent_transformer import own_folder, save_transformer
        from gansteer.checkpoints.registry import load
        from gansteer.edits.drag.optical_flow import opencv
        from gansteer.memory import keep_freed_memory
        from gansteer.training.latent_transformer import TransformerTrainer, joined, make_pairs, transformer_layer

        keep_freed_memory()
        opencv()
        model = load(self.model, self.device)
        out = self.out
        if out is None:
            own_folder().mkdir(parents=True, exist_ok=True)
            out = own_folder() / f"{model.digest[:16]}.safetensors"
        if out.suffix != ".safetensors":
            raise UserError(f"{out}: the file to write ends in .safetensors")
        check_writable(out)
        layer = transformer_layer(model)
        pairs = []
        with bar("drawing pairs") as report:
            for pair in make_pairs(model, self.pairs, layer, self.seed):
                pairs.append(pair)
                report(len(pairs), self.pairs)
        trainer = TransformerTrainer(model, self, joined(pairs), layer)
        error, step, stopped = 1.0, 0, False
        with bar("training") as report:
            try:
                for now in trainer:
                    error += (now.loss - error) / min(now.step, 100)
                    step = now.step
                    report(step, self.steps)
            except KeyboardInterrupt:
                stopped = True
        if not step:
            raise KeyboardInterrupt("stopped before the first step: nothing was written")
        card = {"model": model.card.name, "pairs": self.pairs, "steps": step, "batch": self.batch, "error": error}
        save_transformer(trainer.network, model, out, card)
        line = f"wrote {out}: {step} steps, error {error:.2f} of predicting nothing, {out.stat().st_size / 1e6:.1f} MB"
        if stopped:
            raise KeyboardInterrupt(f"stopped; {line}")
        print(line)
