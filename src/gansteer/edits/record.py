"""Edits as JSON, and the record of a run: what was asked, what happened, and enough to run it again bit for bit."""

import base64
import hashlib
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from gansteer.edits.api import Edit, Progress, Run
from gansteer.edits.registry import KINDS, edit_class, kind_of, start
from gansteer.errors import UserError
from gansteer.models.code import Code, flat, nested
from gansteer.models.tuning import Tuning
from gansteer.subject import Model, Subject

FORMAT = 1
MOST = 1 << 26
"""Elements that a tensor in JSON may have."""
DTYPES = ("float16", "float32", "float64", "uint8", "int32", "int64")


def edit_to_json(edit: Edit, pack: Callable[[Tensor], Any] | None = None) -> dict[str, Any]:
    """All fields of `edit` as JSON can hold them, and its `kind`. `pack` says what becomes of tensors.

    Also those that are at their default, which another release may change.
    """
    values = {field.name: getattr(edit, field.name) for field in fields(edit_class(kind_of(edit))) if field.init}
    return {"kind": kind_of(edit), **msgspec.to_builtins(values, enc_hook=pack or tensor_to_json)}


def stored_edit(packed: Mapping[str, Any], unpack: Callable[[Any], Tensor] | None = None) -> Any:
    """The edit of a file, which may be of an earlier release: what that left out is as it was then. Raises UserError."""
    kind = packed.get("kind")
    return edit_from_json(edit_class(kind).from_earlier(packed) if kind in KINDS else packed, unpack)


def edit_from_json(packed: Mapping[str, Any], unpack: Callable[[Any], Tensor] | None = None) -> Any:
    """The edit of `edit_to_json`; every field's type is checked, so that it may come from anywhere. Raises UserError."""
    arguments = dict(packed)
    kind = arguments.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise UserError(f"there is no edit {kind!r}; there are {', '.join(KINDS)}")
    known = {field.name for field in fields(edit_class(kind)) if field.init}
    for name in arguments:
        if name not in known:
            raise UserError(f"{kind} has no field {name!r}; its fields are {', '.join(sorted(known))}")

    def tensor(wanted: type, value: Any) -> Any:
        if wanted is not Tensor:
            raise NotImplementedError(f"{kind} has a field of type {wanted}")
        return (unpack or tensor_from_json)(value)

    try:
        return msgspec.convert(arguments, edit_class(kind), dec_hook=tensor, str_keys=True)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise UserError(f"this is no {kind}: {error}") from error


def tensor_to_json(x: Tensor, compressed: bool = True) -> dict[str, Any]:
    """Any tensor, bit for bit; one of truth values as packed bits, `compressed` or as they are."""
    array = x.detach().cpu().contiguous().numpy()
    if x.dtype == torch.bool:
        bits = np.packbits(array).tobytes()
        name, data = ("bits", zlib.compress(bits)) if compressed else ("packed", bits)
        return {"shape": list(array.shape), name: base64.b64encode(data).decode()}
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "data": base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode(),
    }


def tensor_from_json(packed: Any) -> Tensor:
    """The tensor of `tensor_to_json`. Bits may also be `packed` without compression. ValueError for anything else."""
    try:
        shape = tuple(int(size) for size in packed["shape"])
        count = math.prod(shape)
        if not (all(size >= 0 for size in shape) and count <= MOST):
            raise ValueError(f"a tensor cannot be {list(shape)}")
        if "dtype" in packed:
            if packed["dtype"] not in DTYPES:
                raise ValueError(f"a tensor here is one of {', '.join(DTYPES)}")
            kind = np.dtype(packed["dtype"]).newbyteorder("<")
            array = np.frombuffer(base64.b64decode(packed["data"], validate=True), kind).reshape(shape)
            return torch.from_numpy(array.astype(kind.newbyteorder("=")))
        data = base64.b64decode(packed["bits" if "bits" in packed else "packed"], validate=True)
        if "bits" in packed:
            data = zlib.decompressobj().decompress(data, count // 8 + 1)
        bits = np.frombuffer(data, np.uint8)
        if len(bits) != (count + 7) // 8:
            raise ValueError(f"{len(bits)} bytes are not the bits of {list(shape)}")
        return torch.from_numpy(np.unpackbits(bits, count=count).reshape(shape).astype(bool))
    except (TypeError, KeyError, OverflowError, zlib.error) as error:
        raise ValueError(f"no tensor: {error!r}") from error


def digest(*tensors: Tensor) -> str:
    """SHA-256 of the tensors' bytes."""
    sha = hashlib.sha256()
    for x in tensors:
        sha.update(x.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()


def _version() -> str:
    try:
        return version("gansteer")
    except PackageNotFoundError:  # run from the source tree
        return "unknown"


def record(run: Run, progresses: Sequence[Progress] = (), source: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The record of `run`, of any kind; `progresses` are its steps, `source` says where the subject came from.

    A source is a seed or a file's name, as JSON can hold it.
    """
    start, result, last = run.start, run.subject, run.progress
    return {
        "format": FORMAT,
        "made_with": {
            "gansteer": _version(),
            "torch": torch.__version__,
            "device": str(start.model.device),
            "threads": torch.get_num_threads(),
        },
        "model": {"name": start.model.card.name, "weights": start.model.digest},
        "source": dict(source or {}),
        "start": {
            **nested({name: tensor_to_json(x) for name, x in start.code.tensors().items()}),
            "tuning": start.tuning and {name: tensor_to_json(change) for name, change in start.tuning.changes.items()},
        },
        "edits": [{"edit": edit_to_json(edit), "pictures": count} for edit, count in run.history],
        "ended": run.stop_reason,
        "steps": [_step(progress) for progress in progresses],
        "result": {
            "points": last.points if last else None,
            "distances": last.distances if last else None,
            **_digests(start, result),
        },
    }  # fmt: skip


def _step(progress: Progress) -> dict[str, Any]:
    found = {"step": progress.step, "loss": progress.loss, "points": progress.points, "distances": progress.distances}
    return {**found, "metrics": dict(progress.metrics)} if progress.metrics else found


def _digests(start: Subject, result: Subject) -> dict[str, str]:
    """Of what the edit may have changed: w always, as in the first records; the rest where it is another than before."""
    before, after = nested(start.code.tensors()), nested(result.code.tensors())
    found = {"w": digest(after.pop("w"))}
    for group, parts in after.items():
        known = before.get(group, {})
        if parts.keys() != known.keys() or any(x is not known[name] for name, x in parts.items()):
            found[group] = digest(*(x for _, x in sorted(parts.items())))
    if result.tuning is not start.tuning and result.tuning is not None:
        found["tuning"] = digest(*(x for _, x in sorted(result.tuning.changes.items())))
    return found


def replay(recorded: Mapping[str, Any], model: Model) -> Run:
    """Run a record again, as far as it went.

    Raises UserError if the record is damaged, another model's, or does not come out the same, which happens on another
    machine, device, number of threads or version of PyTorch or gansteer.
    """
    try:
        if recorded["format"] != FORMAT:
            raise UserError(f"this record has format {recorded['format']}; this gansteer reads {FORMAT}: update it")
        start_at = {name: recorded["start"][name] for name in recorded["start"] if name != "tuning"}
        code = Code.from_tensors({name: tensor_from_json(x) for name, x in flat(start_at).items()}).to(model.device)
        changes = {n: tensor_from_json(x).to(model.device) for n, x in (recorded["start"].get("tuning") or {}).items()}
        # The first records were of drags only, and did not say so.
        edits = [
            (stored_edit({"kind": "drag", **entry["edit"]}), int(entry["pictures"])) for entry in recorded["edits"]
        ]
        weights, expected, made_with = recorded["model"]["weights"], recorded["result"], recorded["made_with"]
        wanted = {name: str(value) for name, value in expected.items() if name not in ("points", "distances")}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError("this is no record of an edit: give the file that --json wrote") from error
    if weights != model.digest and weights != model.digest_in(model.generator.dtype):  # which earlier releases wrote
        raise UserError(f"this record was made with other weights, of {recorded['model']['name']!r}: give that model")
    try:
        model.generator.check(code)
        tuning = Tuning(model.generator, changes) if changes else None
    except ValueError as error:
        raise UserError(f"this record is damaged: {error}") from error
    run = _again(Subject(model, code, tuning), edits)
    found = _digests(run.start, run.subject)
    if any(found.get(name) != value for name, value in wanted.items()):
        raise UserError(
            f"the edit came out otherwise than recorded: it was made with {made_with}, run it under the same"
        )
    return run


def _again(subject: Subject, edits: Sequence[tuple[Edit, int]]) -> Run:
    """The run after all edits, each for as many pictures as it says. Raises UserError for a kind that can't be revised."""
    if not edits:
        raise UserError("this record holds no edit: give the file that --json wrote")
    run: Run | None = None
    for edit, pictures in edits:
        if run is None:
            run = start(subject, edit)
        else:
            run.revise(edit)
        for _ in range(pictures):
            run.step()
    assert run is not None
    return run
