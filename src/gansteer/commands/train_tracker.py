"""`gansteer train-tracker`."""

from dataclasses import dataclass
from pathlib import Path

from gansteer.commands.companion import collected, say, train
from gansteer.commands.starting import open_model
from gansteer.training.config import TrackerTraining


@dataclass(frozen=True, kw_only=True)
class TrainTracker(TrackerTraining):
    """Train a network that follows points in a model's pictures, for `gansteer drag --tracker learned-flow` or `learned-points`."""

    model: str
    """Name of a model, a checkpoint's file, or a hub id."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""
    out: Path | None = None
    """The file to write (.safetensors); by default where it is found for this model from now on."""
    begin: Path | None = None
    """Go on with the network of this file, which was trained before, instead of a random one."""
    device: str = "auto"

    def run(self) -> None:
        import torch

        from gansteer.checkpoints.trackers import TRACKERS, read_tracker, save_tracker
        from gansteer.training.trackers import TrackerTrainer, draw_pictures

        model = open_model(self.model, self.device, self.network)
        out = TRACKERS[self.kind].out(model, self.out)
        begin = None if self.begin is None else read_tracker(self.kind, self.begin)
        pictures = collected("drawing pictures", draw_pictures(model, self.pictures, self.seed), self.pictures)
        trainer = TrackerTrainer(self, torch.stack(pictures), begin)
        trained = train(trainer, self.steps, lambda now: now.error, window=100)
        card = {
            "model": model.card.name, "pictures": self.pictures, "steps": trained.steps, "batch": self.batch,
            "error": trained.mean, "data": "its own pictures, warped in known ways", "licence": model.card.licence,
        }  # fmt: skip
        save_tracker(trainer.network, model, out, card)
        say(trained, out, f"{trained.mean:.2f} px from where warps take the points")
