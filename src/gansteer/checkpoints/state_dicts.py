"""Finds the generators in a file of state dicts: plain dictionaries of tensors by dotted names.

They stand alone or among others (`g_ema`, `state_dict`), and their names may begin with the part of a larger network
that they are (`decoder.` in pSp and e4e) or with what several devices add (`module.`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from gansteer.checkpoints import nvidia, rosinality
from gansteer.checkpoints.archive import Blobs
from gansteer.checkpoints.assemble import ParsedCheckpoint
from gansteer.checkpoints.choosing import named, preferred
from gansteer.checkpoints.names import DICTS
from gansteer.checkpoints.pickle_reader import Name, Record, Refused, shown
from gansteer.checkpoints.unpickle import dictionary, is_tensor
from gansteer.subject import Card

MEANS = ("latent_avg", "mean_latent", "w_avg")
"""What the files call the mean of w that stands beside the weights."""
MAX_DEPTH = 3
MAX_DICTS = 1000
MAX_GENERATORS = 16
GENERATORS = ("g_ema", "g", "G_ema", "G")
"""Keys under which a generator is expected."""

ALONE = "state dict"
"""What a generator is called that is the whole file."""
HEADS = {"rosinality": ("input.input", "style.1.weight"), "nvidia": ("synthesis.b4.const", "mapping.fc0.weight")}
"""Two tensors that every generator of a release has, the first of them once only."""


@dataclass(frozen=True, eq=False)
class StateDict:
    """One generator's tensors, by the release's own names."""

    release: str
    """`rosinality` or `nvidia`."""
    tensors: Mapping[str, object]
    mean: object
    """The mean of w as it stands in the file, or None."""


def dictionaries(value: object, label: str = "", depth: int = 0) -> Iterator[tuple[str, dict[object, object]]]:
    """The dictionary itself and those in it, with the keys that lead to them joined by dots."""
    if not isinstance(value, dict | Record):
        return
    try:
        entries = dictionary(value)
    except Refused:
        return
    yield label, entries
    if depth < MAX_DEPTH:
        for key, inner in entries.items():
            if isinstance(key, str):
                yield from dictionaries(inner, f"{label}.{key}" if label else key, depth + 1)


def generators(root: object) -> dict[str, StateDict]:
    """Every generator in the file by the keys and the beginning of the names that lead to it, such as `g_ema`."""
    found: dict[str, StateDict] = {}
    top = dictionary(root) if isinstance(root, dict) else {}
    for count, (label, entries) in enumerate(dictionaries(root)):
        if count == MAX_DICTS:
            break
        tensors = {name: value for name, value in entries.items() if isinstance(name, str) and is_tensor(value)}
        for release, (head, second) in HEADS.items():
            for name in tensors:
                prefix = name.removesuffix(head)
                # The names end in the head after a dot, or are the head.
                if prefix == name or (prefix and not prefix.endswith(".")) or prefix + second not in tensors:
                    continue
                own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
                places = [entries.get(prefix + mean) for mean in MEANS] + [
                    place.get(mean) for place in (entries, top) for mean in MEANS
                ]
                mean = next((place for place in places if place is not None), None)
                kept = {key: value for key, value in own.items() if key not in ("latent_avg", "mean_latent")}
                if len(found) == MAX_GENERATORS:
                    raise Refused("holds more generators than any checkpoint does")
                found[joined(label, prefix)] = StateDict(release, kept, mean)
    return found


def joined(label: str, prefix: str) -> str:
    """What a person may call the generator: its key, or the part of a larger network that it is."""
    part = ".".join(word for word in prefix.split(".") if word and word != "module")
    return part or label or ALONE


def contents(root: object) -> tuple[str, ...]:
    """What is at the top of the file, for people."""
    if not isinstance(root, dict):
        return ()
    if any(is_tensor(value) for value in root.values()):
        return (ALONE,)
    return tuple(shown(key) for key in list(root)[:20])


def kind(root: object) -> str:
    """The release whose names the file uses, for people."""
    found = generators(root)
    key = preferred(found)
    if key is None:
        return "PyTorch file"
    return nvidia.STATE_DICT if found[key].release == "nvidia" else rosinality.KIND


def find(root: object, blobs: Blobs, name: str, network: str | None = None) -> ParsedCheckpoint:
    """The generator of the file: the one called `network`, else an average before others. `name` is for its card."""
    found = generators(root)
    if network is not None:
        key = named(found or dict.fromkeys(contents(root)), network)
        if key not in found:
            raise Refused(f"holds a network {shown(key)!r} that is no StyleGAN2 generator; {nvidia.SUPPORTED}")
    elif (preference := preferred(found)) is not None:
        key = preference
    else:
        refuse(root)
    chosen = found[key]
    origin = nvidia.STATE_DICT if chosen.release == "nvidia" else rosinality.KIND
    place = f"a {origin}" if key == ALONE else f"the {shown(key)} of a {origin}"
    card = Card(name, description=f"Read from {place}")
    if chosen.release == "nvidia":
        return nvidia.from_state_dict(chosen.tensors, blobs, card)
    return rosinality.convert(chosen.tensors, chosen.mean, blobs, card)


def refuse(root: object) -> NoReturn:
    """Say what a file without a generator holds."""
    if isinstance(root, Record | Name):
        what = shown(root.name if isinstance(root, Record) else str(root), 80)
        raise Refused(f"holds a {what}, no generator's weights; gansteer never runs code from a checkpoint")
    if not isinstance(root, dict):
        raise Refused(f"is no checkpoint of a known release; {nvidia.SUPPORTED}")
    objects = [value for value in root.values() if isinstance(value, Record) and not is_tensor(value)]
    foreign = next((value for value in objects if value.name not in {*DICTS, "argparse.Namespace"}), None)
    held = ", ".join(shown(key) for key in list(root)[:4]) or "nothing"
    beside = f" and a {shown(foreign.name, 60)}; gansteer never runs code from a checkpoint" if foreign else ""
    key = next((key for key in GENERATORS if key in root), None)
    if key is not None:
        raise Refused(f"holds a network under {key!r} that is no StyleGAN2 generator{beside}; {nvidia.SUPPORTED}")
    raise Refused(f"holds no StyleGAN2 generator, only {held}{beside}; {nvidia.SUPPORTED}")
