"""Reads and writes directions: a safetensors file that says in its header which weights they belong to."""

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from gansteer.checkpoints.native import write_tensors
from gansteer.directions import Direction, Directions
from gansteer.errors import UserError
from gansteer.subject import Model

FORMAT = 1
KIND = "directions"
SCALE = "scale."
"""Before the name of a space: the scale of its coordinates, which all its directions share."""


def shipped_directions() -> list[Path]:
    """The files that come with gansteer; in a folder of their own, since they are no models."""
    return sorted(Path(str(resources.files("gansteer") / "weights" / "directions")).glob("*.safetensors"))


def own_directions(model: Model) -> Directions:
    """The directions that come with gansteer for these weights; none if there are none."""
    for path in shipped_directions():
        if _header(path)["weights"] == model.digest:
            return load_directions(path)
    return Directions(model.card.name, model.digest, ())


def directions_for(model: Model, path: Path | None = None) -> Directions:
    """The model's own directions and those of the file `path`, which win where both have a name.

    Raises UserError if the file is damaged or belongs to other weights.
    """
    own = own_directions(model)
    if path is None:
        return own
    found = load_directions(path)
    found.check(model)
    return own.joined(found)


def save_directions(directions: Directions, path: Path) -> None:
    """Write the directions; the file appears complete or not at all. Raises UserError."""
    tensors: dict[str, Tensor] = {}
    entries = []
    for i, entry in enumerate(directions.entries):
        tensors[f"vector.{i}"] = entry.vector.float()
        if entry.level is not None:
            tensors[f"level.{i}"] = entry.level.float()
        if entry.scale is not None:
            tensors[f"{SCALE}{i}"] = entry.scale.float()
        entries.append(
            {
                "name": entry.name, "space": entry.space, "std": entry.std, "intercept": entry.intercept,
                "rows": entry.rows, "about": dict(entry.about),
            }
        )  # fmt: skip
    about = {
        "format": FORMAT, "kind": KIND, "model": directions.model, "weights": directions.digest, "entries": entries,
    }  # fmt: skip
    write_tensors(tensors, json.dumps(about), path)


def load_directions(path: Path) -> Directions:
    """The directions of a file. Raises UserError if there is none, or if it holds something else."""
    about = _header(path)
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        entries = tuple(_entry(i, entry, tensors) for i, entry in enumerate(about["entries"]))
        return Directions(str(about["model"]), str(about["weights"]), entries)
    except UserError:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: fit the directions again") from error


def _entry(i: int, entry: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Direction:
    if entry["space"] not in ("z", "w", "s"):
        raise ValueError(entry["space"])
    rows = entry["rows"]
    return Direction(
        str(entry["name"]),
        entry["space"],
        tensors[f"vector.{i}"],
        float(entry["std"]),
        float(entry["intercept"]),
        scale=tensors.get(f"{SCALE}{i}"),
        level=tensors.get(f"level.{i}"),
        rows=None if rows is None else (int(rows[0]), int(rows[1])),
        about=dict(entry["about"]),
    )


def _header(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["gansteer"])
        if about["kind"] != KIND:
            raise UserError(f"{path} holds a {about['kind']}, no directions: give what `gansteer directions fit` wrote")
        if about["format"] != FORMAT:
            raise UserError(f"{path} is of a newer format than this gansteer reads: update gansteer")
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} holds no directions: give what `gansteer directions fit` wrote") from error
    return dict(about)
