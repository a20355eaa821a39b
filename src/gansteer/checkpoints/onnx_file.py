"""A generator as an ONNX file, for programs that run without Python: a code in, pictures out.

Inputs are the tensors of a code (`Code.tensors`) that take part in the picture, each with a leading dimension B: `w`
`[B, num_ws, w_dim]` and, for a generator with a layout of K blobs, `layout.centres` `[B, K, 2]` in pixels, `layout.sizes`,
`layout.present` and `layout.levels` `[B, K]` and `layout.styles` `[B, K, blob_dim]`. The output is `picture`
`[B, channels, R, R]`, nominally in [-1, 1]. B and K are free. The model's own noise maps are part of the file.
"""

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.models.generator import Generator
from gansteer.models.layout import PREFIX, Layout
from gansteer.output import replacing
from gansteer.subject import Model

TOLERANCE = 1e-4
"""How far a picture may be from ours, of values in [-1, 1]: a hundredth of one of 256 levels."""
MISSING = "ONNX files need the extra: run pip install 'gansteer[onnx]'"
OUTPUT = "picture"


def save_onnx(model: Model, target: Path) -> float:
    """Write the generator to `target`, and draw a picture with it. Returns by how much that differs from ours, at most.

    Raises UserError if the packages for it are missing, if the generator can't be written so, and if the picture differs by
    more than `TOLERANCE`; there is no file then.
    """
    try:
        import onnx_ir
        import onnxruntime
        import onnxscript  # noqa: F401  # what PyTorch writes it with
    except ImportError as error:
        raise UserError(MISSING) from error
    sample = tensors_of(model, [1, 2, 3])
    with _quietly():
        program = _exported(model.generator, sample)
    graph = program.model.graph
    unused = [value for value in graph.inputs if not value.uses()]
    for value in unused:
        graph.inputs.remove(value)
    program.model.metadata_props["gansteer"] = json.dumps({"card": asdict(model.card), "weights": model.digest})
    with replacing(target) as path:
        onnx_ir.save(program.model, path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        wanted = {value.name for value in session.get_inputs()}
        other = tensors_of(model, [4, 5])
        (drawn,) = session.run([OUTPUT], {name: x.numpy() for name, x in other.items() if name in wanted})
        with torch.no_grad():
            ours = model.generator.synthesize(as_code(other))
        difference = float((torch.from_numpy(drawn) - ours).abs().max())
        if not difference <= TOLERANCE:
            raise UserError(
                f"{model.card.name} draws other pictures as ONNX (by {difference:.1g}): nothing was written"
            )
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    return difference


def tensors_of(model: Model, seeds: list[int]) -> dict[str, Tensor]:
    """The codes of some seeds, as the file takes them."""
    label = 0 if model.generator.config.c_dim else None
    return Code.batch([model.sample(seed, label=label).code for seed in seeds]).tensors()


def as_code(tensors: Mapping[str, Tensor]) -> Code:
    """The code of its tensors, unchecked: an ONNX file can't look at values."""
    parts = {name.removeprefix(PREFIX): x for name, x in tensors.items() if name.startswith(PREFIX)}
    return Code(tensors["w"], layout=Layout(**parts) if parts else None)


class Drawing(nn.Module):
    """The tensors of a code, in the order of `names`, to pictures."""

    def __init__(self, generator: Generator, names: list[str]) -> None:
        super().__init__()
        self.generator, self.names = generator, names

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.generator.synthesize(as_code(dict(zip(self.names, tensors, strict=True))))


def _exported(generator: Generator, sample: Mapping[str, Tensor]) -> Any:
    """PyTorch's ONNX program of the generator. Raises UserError where it can't make one."""
    batch, blobs = torch.export.Dim("B", min=1, max=2**16), torch.export.Dim("K", min=1, max=2**12)
    shapes = tuple({0: batch, 1: blobs} if name.startswith(PREFIX) else {0: batch} for name in sample)
    names = list(sample)
    try:
        with torch.no_grad():
            return torch.onnx.export(
                Drawing(generator, names).eval(), tuple(sample.values()), dynamo=True, verbose=False,
                input_names=names, output_names=[OUTPUT], dynamic_shapes=(shapes,),
            )  # fmt: skip
    except Exception as error:  # of many kinds
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise UserError(f"this generator can't be written as ONNX: {lines[-1] if lines else error}") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what the exporter says of itself: that torchvision is missing, that its own calls are deprecated."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
