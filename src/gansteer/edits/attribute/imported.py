"""Directions that other programs found: their vectors, with the deviations of this model's own samples as steps."""

from pathlib import Path

import torch
from torch import Tensor

from gansteer.checkpoints.latents import read_array_file
from gansteer.directions import Direction, Space
from gansteer.edits.attribute.fitting import sample
from gansteer.errors import UserError
from gansteer.subject import Model

NAMES = ("boundary", "boundaries", "direction", "directions", "eigvec", "vector", "comp", "normal", "delta")
"""What programs call the array: InterFaceGAN, closed-form factorisation, GANSpace ..."""
SAMPLES = 2000
MOST = 64
"""Directions taken from one file."""


def imported(model: Model, path: Path, name: str, space: Space, label: int | None = None) -> list[Direction]:
    """The directions in a file, in one space of `model`: one vector, several as rows, or one of w+ with equal rows.

    One is called `name`; several `name:1`, `name:2` ... A step is a deviation of the model's own samples, and 0 their mean.
    Raises UserError for a file without a vector of the space's size.
    """
    codes = sample(model, SAMPLES, label=label).codes(space).cpu().double()  # [N, D]
    found = read_array_file(path, "direction", NAMES)
    if not (found.is_floating_point() and bool(found.isfinite().all())):
        raise UserError(f"{path} holds no finite numbers: give a direction's file")
    rows, vectors = laid_out(found.double(), codes.shape[1], model.generator.config.num_ws if space == "w" else 0, path)
    single = len(vectors) == 1
    made = []
    for i, vector in enumerate(vectors, 1):
        length = float(vector.norm())
        if not length:
            raise UserError(f"{path} holds a direction that is zero everywhere")
        unit = vector / length
        along = codes @ unit
        about = {"method": "imported", "file": path.name, "samples": SAMPLES}
        made.append(
            Direction(
                name if single else f"{name}:{i}", space, unit, float(along.std()), -float(along.mean()), rows=rows, about=about,
            )
        )  # fmt: skip
    return made


def laid_out(found: Tensor, size: int, num_ws: int, path: Path) -> tuple[tuple[int, int] | None, list[Tensor]]:
    """The rows of w+ that move (None for all) and the vectors `[size]` of an array of any leading dimensions of 1.

    `num_ws` is 0 outside w. Raises UserError for other shapes, and for w+ whose rows move differently.
    """
    shape = list(found.shape)
    while found.dim() > 2 and found.shape[0] == 1:
        found = found[0]
    if found.dim() == 1:
        found = found[None]
    if found.dim() != 2 or size not in found.shape:
        raise UserError(f"{path} holds an array of shape {shape}; a direction of this space has {size} numbers")
    if found.shape[1] != size:
        found = found.t()  # as the columns of a matrix of eigenvectors
    if num_ws and len(found) == num_ws:
        moved = [i for i in range(num_ws) if bool(found[i].any())]
        if moved and moved == list(range(moved[0], moved[-1] + 1)):
            same = torch.stack([found[i] - found[moved[0]] for i in moved]).abs().max() <= 1e-5 * found.abs().max()
            if bool(same):
                return (None if len(moved) == num_ws else (moved[0], moved[-1])), [found[moved[0]]]
        raise UserError(f"{path} moves each of the {num_ws} rows of w+ in another way, which no direction here does")
    return None, list(found[:MOST])
