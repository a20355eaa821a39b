"""Previews that leave the interpreter alone.

A picture is some two hundred operations, and each of them takes the interpreter for a moment: drawn in Python beside a
running edit, it holds every step up. So the way from w+ to the picture is recorded once and carried out as one call that
doesn't need the interpreter. It is the same arithmetic, and with what never changes worked out beforehand a quarter less.
"""

import warnings
from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from gansteer.models.code import OFFSETS, Code
from gansteer.models.generator import Generator
from gansteer.studio.workers import RenderWorker
from gansteer.subject import Model, Subject

Recorded = Callable[[Tensor, Tensor], Tensor]
"""w+ `[num_ws, w_dim]` and the offsets of all styles, one after the other `[sum of C_in]`, to the picture `[3, H, W]`."""


class _Way(nn.Module):
    """What is recorded."""

    def __init__(self, generator: Generator, resolution: int) -> None:
        super().__init__()
        self.generator, self.resolution = generator, resolution
        self.widths = _widths(generator)

    def forward(self, w: Tensor, offset: Tensor) -> Tensor:
        """As `Recorded`."""
        parts = dict(zip(self.widths, torch.split(offset, list(self.widths.values())), strict=True))
        return self.generator.synthesize(Code.from_tensors({"w": w, **parts}), resolution=self.resolution)[0]


def _widths(generator: Generator) -> dict[str, int]:
    """The names, among a code's tensors, of the offsets that there can be, to their sizes."""
    return {OFFSETS + layer.name: layer.style_dim for layer in generator.layers}


def record(generator: Generator, resolution: int) -> Recorded:
    """The way of a generator's pictures. Raises AttributeError or RuntimeError where this PyTorch can't record it."""
    w = generator.mean_code().tensors()["w"]
    nothing = w.new_zeros(sum(_widths(generator).values()))
    # PyTorch means to give up its recorder, and has none yet that runs by itself without a compiler.
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        way = torch.jit.trace(_Way(generator, resolution).eval(), (w, nothing), check_trace=False)  # type: ignore[no-untyped-call]
        recorded: Recorded = torch.jit.freeze(way)
        for _ in range(2):  # it is prepared in the first two calls
            recorded(w, nothing)
    return recorded


class Previews(RenderWorker):
    """The thread that draws previews so: what else is to be drawn may take seconds."""

    def __init__(self) -> None:
        self._recorded: WeakKeyDictionary[Model, dict[int, Recorded]] = WeakKeyDictionary()
        """For as long as the models are there."""
        self._possible = True
        super().__init__("previews")

    def fits(self, subject: Subject) -> bool:
        """Whether `render` draws it beside whatever else runs: on a CPU, with the model's own weights. On any thread."""
        model = subject.model
        plain = subject.tuning is None and model.generator.capabilities.fixed_operations
        return self._possible and plain and model.device.type == "cpu"

    def prepare(self, model: Model, resolution: int) -> None:
        """See to it that the way to that size is recorded, which takes as long as some tens of pictures, once."""
        known = self._recorded.setdefault(model, {})
        if resolution in known or not self._possible:
            return
        try:
            known[resolution] = record(model.generator, resolution)
        except (AttributeError, RuntimeError):
            self._possible = False

    def render(self, subject: Subject, resolution: int) -> Tensor:
        """The picture as of `Subject.render`, bit for bit. On this thread only."""
        model = subject.model
        self.prepare(model, resolution)
        recorded = self._recorded[model].get(resolution)
        if recorded is None:
            return subject.render(resolution)
        parts = subject.code.tensors()
        w = parts["w"]
        offsets = [
            parts[name] if name in parts else w.new_zeros(width) for name, width in _widths(model.generator).items()
        ]
        with torch.no_grad():
            return recorded(w, torch.cat(offsets))
