"""Scores that people bring along: an ONNX file, or a CSV file of labels for seeds."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansteer.errors import UserError
from gansteer.models.layers import as_channels

Scorer = Callable[[Tensor], Mapping[str, Tensor]]


def onnx_scorer(name: str, path: Path) -> Scorer:
    """A network in an ONNX file as a scorer of one attribute.

    It takes pictures `float32 [B, 3, H, H]` in [-1, 1], RGB, of the size that it states (resized to it with
    antialiasing) or of any, and gives one number for each: `[B]` or `[B, 1]`. Raises UserError for anything else.
    """
    from gansteer.models.face_reader import resize

    try:
        import onnxruntime
    except ImportError as error:
        raise UserError("ONNX files need the package onnxruntime: pip install 'gansteer[onnx]'") from error
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UserError(f"{path} cannot be read as ONNX: {str(error).splitlines()[0][:200]}") from error
    inputs = session.get_inputs()
    shape = inputs[0].shape
    if len(inputs) != 1 or len(shape) != 4:
        raise UserError(f"{path} must take pictures [B, 3, H, H] and nothing else, not {[i.shape for i in inputs]}")
    size, most = shape[2], shape[0] if isinstance(shape[0], int) else None

    def score(pictures: Tensor) -> dict[str, Tensor]:
        given = as_channels(pictures.detach().float(), 3)
        small = resize(given, size) if isinstance(size, int) else given
        try:
            parts = [
                session.run(None, {inputs[0].name: part.cpu().numpy()})[0]
                for part in torch.split(small, most or len(small))
            ]
            found = np.concatenate([np.asarray(part).reshape(len(part), -1) for part in parts])
        except Exception as error:
            raise UserError(f"{path} does not take these pictures: {str(error).splitlines()[0][:200]}") from error
        if found.shape != (len(pictures), 1):
            raise UserError(f"{path} must give one number for each picture, not {list(found.shape[1:])}")
        return {name: torch.from_numpy(found[:, 0])}

    return score


def read_labels(path: Path) -> tuple[list[int], list[float]]:
    """Seeds and their labels (1 or 0) or scores, from lines `seed,label`; a first line of titles is passed over."""
    seeds: list[int] = []
    labels: list[float] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.reader(file), 1):
                if not row or (number == 1 and not row[0].strip().isdigit()):
                    continue
                try:
                    seed, label = row
                    seeds.append(int(seed))
                    labels.append(float(label))
                except ValueError as error:
                    raise UserError(f"{path}, line {number}: write seed,label such as 17,1") from error
                if not np.isfinite(labels[-1]):
                    raise UserError(f"{path}, line {number}: a label is a finite number")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not seeds:
        raise UserError(f"{path} holds no labels: write a line seed,label for each picture")
    return seeds, labels


def function_scorer(name: str, where: str) -> Scorer:
    """The function that `where` (MODULE:FUNCTION, as Python finds modules here) names, as a scorer of one attribute.

    It takes pictures `float32 [B, 3, H, H]` in [-1, 1] and returns `[B]`. Raises UserError if there is none, or if it
    returns something else.
    """
    import sys
    from importlib import import_module

    module, _, function = where.partition(":")
    if not function:
        raise UserError(f"--function {where}: write MODULE:FUNCTION, such as my_scores:redness")
    if "" not in sys.path:
        sys.path.insert(0, "")  # where the person is, as for `python -m`
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise UserError(f"--function {where} cannot be found: {error}") from error

    def score(pictures: Tensor) -> dict[str, Tensor]:
        scores = torch.as_tensor(found(as_channels(pictures, 3)))
        if tuple(scores.shape) != (len(pictures),):
            raise UserError(f"{where} must return one number for each picture, not {list(scores.shape)}")
        return {name: scores}

    return score
