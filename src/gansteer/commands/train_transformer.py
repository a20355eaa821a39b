"""`gansteer train-transformer`."""

from dataclasses import dataclass
from pathlib import Path

from gansteer.bars import bar
from gansteer.commands.companion import say, train
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
        from gansteer.checkpoints.latent_transformer import TRANSFORMERS, save_transformer
        from gansteer.checkpoints.registry import load
        from gansteer.edits.drag.optical_flow import opencv
        from gansteer.memory import keep_freed_memory
        from gansteer.training.latent_transformer import TransformerTrainer, joined, make_pairs, transformer_layer

        keep_freed_memory()
        opencv()
        model = load(self.model, self.device)
        out = TRANSFORMERS.out(model, self.out)
        layer = transformer_layer(model)
        pairs = []
        with bar("drawing pairs") as report:
            for pair in make_pairs(model, self.pairs, layer, self.seed):
                pairs.append(pair)
                report(len(pairs), self.pairs)
        trainer = TransformerTrainer(model, self, joined(pairs), layer)
        trained = train(trainer, self.steps, lambda now: now.loss, window=100)
        card = {
            "model": model.card.name, "pairs": self.pairs, "steps": trained.steps, "batch": self.batch,
            "error": trained.mean,
        }  # fmt: skip
        save_transformer(trainer.network, model, out, card)
        say(trained, out, f"error {trained.mean:.2f} of predicting nothing")
