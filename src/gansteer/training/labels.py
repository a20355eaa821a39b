"""The class of every training picture: from NVIDIA's dataset.json, or from a folder for each class."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from gansteer.errors import UserError

FILE = "dataset.json"
SHARD = re.compile(r"\d{5}")
"""The folders into which NVIDIA's tool divides a data set whose classes it did not write down."""


@dataclass(frozen=True)
class Classes:
    """The classes of the pictures of a data set."""

    labels: list[int]
    """Of each picture, from 0 on."""
    names: tuple[str, ...] = ()
    """Of class 0, 1 ..., where the data tell: those of their folders."""


def read_classes(names: Sequence[str], files: Sequence[str], read: Callable[[str], bytes], where: str) -> Classes:
    """The class of each picture in `names`, out of all the `files` of a folder or zip called `where`.

    Raises UserError for labels that are no classes, and for pictures without one.
    """
    found = [name for name in files if PurePosixPath(name).name == FILE]
    best = min(found, key=lambda name: name.count("/"), default=None)
    if best is None:
        return of_folders(names, where)
    return Classes(of_file(names, best, read(best), f"{where}/{best}"))


def of_folders(names: Sequence[str], where: str) -> Classes:
    """Each folder at the first level below that of all is a class, in the order of their names."""
    parts = [PurePosixPath(name).parts for name in names]
    depth = 0
    while all(len(part) > depth + 1 and part[depth] == parts[0][depth] for part in parts):
        depth += 1
    classes = sorted({part[depth] for part in parts if len(part) > depth + 1})
    loose = [name for name, part in zip(names, parts, strict=True) if len(part) <= depth + 1]
    if len(classes) < 2 or all(SHARD.fullmatch(name) for name in classes):
        raise UserError(
            f"--conditional needs labels: put a {FILE} into {where}, or the pictures of each class into a folder"
        )
    if loose:
        raise UserError(f"{where}/{loose[0]} is in no class's folder ({', '.join(classes[:6])})")
    return Classes([classes.index(part[depth]) for part in parts], tuple(classes))


def of_file(names: Sequence[str], file: str, data: bytes, where: str) -> list[int]:
    """The classes in a dataset.json: `{"labels": [["picture.png", class], ...]}`, whole numbers or one-hot lists."""
    must = f'{where} must hold {{"labels": [["picture.png", class], ...]}}'
    try:
        text = data.decode("utf-8-sig")
        listed = json.loads(text)["labels"]
        pairs = [(str(name).replace("\\", "/"), label) for name, label in listed]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{must} with whole numbers") from error
    found: dict[str, int] = {}
    lengths = set()
    for name, label in pairs:
        kind = as_class(label)
        if kind is None:
            raise UserError(
                f"{where}, line {line_of(text, name)}: the label of {name} is {shown(label)}; a class is a whole number "
                "from 0, or a list of one 1 and zeros"
            )
        found[name] = kind
        lengths.add(len(label) if isinstance(label, list) else 0)
    if len(lengths) > 1:
        raise UserError(f"{where} has labels of different kinds or lengths: write a whole number for each picture")
    beside = PurePosixPath(file).parent.as_posix()
    prefix = "" if beside == "." else f"{beside}/"
    labels = [found.get(name, found.get(name.removeprefix(prefix))) for name in names]
    missing = [name for name, label in zip(names, labels, strict=True) if label is None]
    if missing:
        raise UserError(f"{where} has no label for {missing[0]} ({len(missing)} pictures in all)")
    return [label for label in labels if label is not None]


def as_class(label: object) -> int | None:
    """The class that a label names, or None for anything but a whole number from 0 or a one-hot list."""
    if isinstance(label, list):
        ones = [i for i, value in enumerate(label) if value == 1 and not isinstance(value, bool)]
        zeros = sum(1 for value in label if value == 0 and not isinstance(value, bool))
        return ones[0] if len(ones) == 1 and zeros == len(label) - 1 else None
    if isinstance(label, bool) or not isinstance(label, int | float) or label < 0 or label != label // 1:
        return None
    return int(label) if label < 1 << 31 else None


def shown(label: object) -> str:
    """A label for a message, in one short line."""
    text = json.dumps(label)
    return text if len(text) <= 40 else f"{text[:37]}..."


def line_of(text: str, name: str) -> int:
    """The line of the JSON on which a name stands, from 1; that of its start if it is written in another way."""
    at = max(text.find(json.dumps(name)), text.find(json.dumps(name.replace("/", "\\"))))
    return text.count("\n", 0, max(at, 0)) + 1
