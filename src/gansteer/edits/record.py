"""A drag as JSON: what was asked, what happened, and enough to run it again bit for bit."""

import base64
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansteer.edits import start
from gansteer.edits.drag import Drag, PointRun
from gansteer.edits.run import Progress
from gansteer.errors import UserError
from gansteer.subject import Model, Subject

FORMAT = 1


def drag_to_json(edit: Drag) -> dict[str, Any]:
    """The fields of `edit` that JSON can hold; the mask as packed bits."""
    packed: dict[str, Any] = {field.name: getattr(edit, field.name) for field in fields(edit)}
    if edit.mask is not None:
        bits = zlib.compress(np.packbits(edit.mask.numpy()).tobytes())
        packed["mask"] = {"shape": list(edit.mask.shape), "bits": base64.b64encode(bits).decode()}
    return packed


def drag_from_json(packed: Mapping[str, Any]) -> Drag:
    """The edit of `drag_to_json`. Raises UserError for unknown fields and values that make no edit."""
    known = {field.name for field in fields(Drag)}
    unknown = sorted(set(packed) - known)
    if unknown:
        raise UserError(f"a drag has no field {unknown[0]!r}; its fields are {', '.join(sorted(known))}")
    try:
        arguments = dict(packed)
        if arguments.get("mask") is not None:
            height, width = arguments["mask"]["shape"]
            bits = np.frombuffer(zlib.decompress(base64.b64decode(arguments["mask"]["bits"])), np.uint8)
            mask = np.unpackbits(bits, count=height * width).reshape(height, width)
            arguments["mask"] = torch.from_numpy(mask.astype(bool))
        return Drag(**arguments)
    except UserError:
        raise
    except (TypeError, ValueError, KeyError, zlib.error) as error:
        raise UserError(f"this is no drag: {error}") from error


def tensor_to_json(x: Tensor) -> dict[str, Any]:
    """Any tensor, bit for bit."""
    array = x.detach().cpu().contiguous().numpy()
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "data": base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode(),
    }


def tensor_from_json(packed: Mapping[str, Any]) -> Tensor:
    """The tensor of `tensor_to_json`."""
    kind = np.dtype(packed["dtype"]).newbyteorder("<")
    array = np.frombuffer(base64.b64decode(packed["data"]), kind).reshape(packed["shape"])
    return torch.from_numpy(array.astype(kind.newbyteorder("=")))


def digest(*tensors: Tensor) -> str:
    """SHA-256 of the tensors' bytes."""
    sha = hashlib.sha256()
    for x in tensors:
        sha.update(x.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()


def weights_digest(model: Model) -> str:
    """SHA-256 of a model's weights, in the order of their names."""
    return digest(*(x for _, x in sorted(model.generator.state_dict().items())))


def _version() -> str:
    try:
        return version("gansteer")
    except PackageNotFoundError:  # run from the source tree
        return "unknown"


def record(
    run: PointRun, progresses: Sequence[Progress] = (), source: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The record of `run`; `progresses` are its steps, `source` says where the subject came from (a seed, a photo)."""
    result = run.subject
    return {
        "format": FORMAT,
        "made_with": {
            "gansteer": _version(),
            "torch": torch.__version__,
            "device": str(run.start.model.device),
            "threads": torch.get_num_threads(),
        },
        "model": {"name": run.start.model.card.name, "weights": weights_digest(run.start.model)},
        "source": dict(source or {}),
        "start": {
            "w": tensor_to_json(run.start.w),
            "offsets": {name: tensor_to_json(offset) for name, offset in run.start.offsets.items()},
        },
        "edits": [{"edit": drag_to_json(edit), "pictures": count} for edit, count in run.history],
        "ended": run.ended,
        "steps": [
            {"step": p.step, "loss": p.loss, "points": p.points, "distances": p.distances} for p in progresses
        ],
        "result": {
            "points": run.progress.points if run.progress else None,
            "distances": run.progress.distances if run.progress else None,
            "w": digest(result.w),
        },
    }  # fmt: skip


def replay(recorded: Mapping[str, Any], model: Model) -> PointRun:
    """Run a record again, as far as it went.

    Raises UserError if the record is damaged, another model's, or does not come out the same, which happens on another
    machine, device, number of threads or version of PyTorch.
    """
    try:
        if recorded["format"] != FORMAT:
            raise UserError(f"this record has format {recorded['format']}; this gansteer reads {FORMAT}: update it")
        w = tensor_from_json(recorded["start"]["w"]).to(model.device)
        offsets = {name: tensor_from_json(x).to(model.device) for name, x in recorded["start"]["offsets"].items()}
        edits = [(drag_from_json(entry["edit"]), int(entry["pictures"])) for entry in recorded["edits"]]
        weights, expected, made_with = recorded["model"]["weights"], recorded["result"]["w"], recorded["made_with"]
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError("this is no record of a drag: give the file that --json wrote") from error
    if weights != weights_digest(model):
        raise UserError(f"this record was made with other weights, of {recorded['model']['name']!r}: give that model")
    run: PointRun | None = None
    for edit, pictures in edits:
        if run is None:
            run = start(Subject(model, w, offsets), edit)
        else:
            run.revise(edit)
        for _ in range(pictures):
            run.step()
    if run is None or digest(run.subject.w) != expected:
        raise UserError(
            f"the drag came out otherwise than recorded: it was made with {made_with}, run it under the same"
        )
    return run
