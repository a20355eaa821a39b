"""`gansteer train-transformer`."""

from dataclasses import dataclass
from pathlib import Path

from gansteer.commands.companion import collected, say, train
from gansteer.commands.starting import open_model
from gansteer.training.config import TransformerTraining


@dataclass(frozen=True, kw_only=True)
class TrainTransformer(TransformerTraining):
    """Train a model's latent transformer, for `gansteer drag --method transformer`, on the model's own pictures."""

    model: str
    """Name of a model, a checkpoint's file, or a hub id."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""
    out: Path | None = None
    """The file to write (.safetensors); by default where it is found for this model from now on."""
    device: str = "auto"

    def run(self) -> None:
        from gansteer.checkpoints.latent_transformer import TRANSFORMERS, save_transformer
        from gansteer.edits.drag.optical_flow import opencv
        from gansteer.training.latent_transformer import TransformerTrainer, joined, make_pairs, transformer_layer

        opencv()
        model = open_model(self.model, self.device, self.network)
        out = TRANSFORMERS.out(model, self.out)
        layer = transformer_layer(model)
        pairs = collected("drawing pairs", make_pairs(model, self.pairs, layer, self.seed), self.pairs)
        trainer = TransformerTrainer(model, self, joined(pairs), layer)
        trained = train(trainer, self.steps, lambda now: now.loss, window=100)
        card = {
            "model": model.card.name, "pairs": self.pairs, "steps": trained.steps, "batch": self.batch,
            "error": trained.mean, "data": "its own pictures, and optical flow between them", "licence": model.card.licence,
        }  # fmt: skip
        save_transformer(trainer.network, model, out, card)
        say(trained, out, f"error {trained.mean:.2f} of predicting nothing")
