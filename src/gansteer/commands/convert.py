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
    """Write the generator of any checkpoint that gansteer reads as a safetensors file with its card, or as ONNX."""

    source: tyro.conf.Positional[str]
    """The checkpoint: a file, the name of a model, or a hub id."""
    target: tyro.conf.Positional[Path]
    """The file to write: NAME.safetensors; or NAME.onnx, which draws w+ (and a layout), and needs the extra `onnx`."""
    precision: Literal["float32", "float16"] = "float32"
    """How weights are stored; float16 halves the file."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""

    def run(self) -> None:
        if self.target.suffix not in (".safetensors", ".onnx"):
            raise UserError(f"{self.target}: the file to write ends in .safetensors or .onnx")
        if self.target.suffix == ".onnx" and self.precision != "float32":
            raise UserError("--precision belongs to .safetensors: ONNX files are float32")
        check_writable(self.target)
        if self.target.suffix == ".onnx":
            self._to_onnx()
            return
        import torch

        from gansteer.checkpoints.files import convert
        from gansteer.checkpoints.registry import resolve

        model = convert(resolve(self.source), self.target, getattr(torch, self.precision), self.network)
        for note in model.notes:
            print(f"note: {note}", file=sys.stderr)
        print(
            f"wrote {self.target}: {model.card.name}, {model.resolution} px, {self.target.stat().st_size / 1e6:.1f} MB"
        )

    def _to_onnx(self) -> None:
        from gansteer.checkpoints.onnx_file import save_onnx
        from gansteer.commands.starting import open_model

        model = open_model(self.source, "cpu", self.network)
        difference = save_onnx(model, self.target)
        size = f"{self.target.stat().st_size / 1e6:.1f} MB"
        print(
            f"wrote {self.target}: {model.card.name}, {model.resolution} px, {size}; its pictures differ from ours by "
            f"{difference:.1g} at most, of values from -1 to 1"
        )
