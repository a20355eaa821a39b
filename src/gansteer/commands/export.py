"""`gansteer export`."""

import sys
from dataclasses import dataclass
from pathlib import Path

from gansteer.commands.starting import open_start
from gansteer.errors import UserError
from gansteer.output import check_writable


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write the latent of a subject, w+, for other programs."""

    subject: Path
    """A .steer file, or a latent in another format."""
    out: Path
    """The file to write: .npz (as projector.py does), .npy, .pt (as PTI does) or .safetensors (with style offsets)."""
    model: str | None = None
    """The model, if it is none of those that come with gansteer."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""

    def run(self) -> None:
        if self.out.suffix not in (".npz", ".npy", ".pt", ".safetensors"):
            raise UserError(f"{self.out}: a latent's file ends in .npz, .npy, .pt or .safetensors")
        check_writable(self.out)
        from gansteer.checkpoints.latents import save_latent

        model, subject = open_start(self.model, self.subject, "cpu", self.network)
        assert subject is not None
        save_latent(subject, self.out)
        rest = len(subject.code.tensors()) > 1 and self.out.suffix != ".safetensors"
        lost = ["the rest of its code, such as changes of styles"] if rest else []
        lost += ["the weights tuned for its photo"] if subject.tuning is not None else []
        if lost:
            print(f"note: {self.out} holds w+ alone, without {' and '.join(lost)}", file=sys.stderr)
        rows, size = subject.code.ws.shape
        print(f"wrote {self.out}: w+ [1, {rows}, {size}] of {model.card.name}")
