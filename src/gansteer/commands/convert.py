"""`gansteer convert`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from gansteer.errors import UserError
from gansteer.output import check_writable


@dataclass(frozen=True)
class Convert:
    """Write the generator of any checkpoint that gansteer reads as a safetensors file with its card."""

    source: tyro.conf.Positional[str]
    """The checkpoint: a file, the name of a model, or a hub id."""
    target: tyro.conf.Positional[Path]
    """The file to write, NAME.safetensors."""
    precision: Literal["float32", "float16"] = "float32"
    """How weights are stored; float16 halves the file."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""

    def run(self) -> None:
        if self.target.suffix != ".safetensors":
            raise UserError(f"{self.target}: the file to write ends in .safetensors")
        check_writable(self.target)
        import torch

        from gansteer.checkpoints.files import convert
        from gansteer.checkpoints.registry import resolve

        model = convert(resolve(self.source), self.target, getattr(torch, self.precision), self.network)
        for note in model.notes:
            print(f"note: {note}", file=sys.stderr)
        print(
            f"wrote {self.target}: {model.card.name}, {model.resolution} px, {self.target.stat().st_size / 1e6:.1f} MB"
        )
