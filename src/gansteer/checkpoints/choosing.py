"""Which of the networks in a file is meant."""

from collections.abc import Mapping
from typing import TypeVar

from gansteer.checkpoints.pickle_reader import Refused, shown

Network = TypeVar("Network")

AVERAGED = ("G_ema", "g_ema", "Gs")
"""What the releases call the generator whose weights are averages over training; each name stands for the others too."""


def named(networks: Mapping[str, Network], wanted: str) -> str:
    """The key of the network that a person calls `wanted`. Raises Refused if there is none."""
    names = AVERAGED if wanted in AVERAGED else (wanted,)
    for name in (wanted, *names):
        for key in networks:
            if key == name or key.lower() == name.lower():
                return key
    held = ", ".join(shown(key) for key in list(networks)[:8]) or "none"
    raise Refused(f"holds no network {shown(wanted)!r}: give --network one of its own ({held})")


def preferred(generators: Mapping[str, Network]) -> str | None:
    """The key of the generator that is meant when nobody says which: an average before others, else the first."""
    averaged = [key for key in generators if key in AVERAGED] + [key for key in generators if "ema" in key.lower()]
    return next(iter([*averaged, *(key for key in generators if key in ("G", "g")), *generators]), None)
