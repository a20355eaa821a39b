"""Messages that no page sends: numbers and lengths that nobody types, and fields that are odd now and then."""

import base64
import json
import random
from typing import Any

from gansteer.studio.protocol import LIMITS

RARE = ["sample", "start", "resume", "leave"]
TYPES = ["stop", "undo", "redo", "go", "interpolate", "ask", "shown"]


def odd(rng: random.Random, depth: int = 0) -> Any:
    """Any JSON value."""
    kind = rng.randrange(9 if depth < 3 else 7)
    if kind < 3:
        return rng.choice([0, 1, -1, 2**31, 2**63, 2**70, 1e308, -0.0, 0.5, True, None])
    if kind < 5:
        return rng.choice(["", "a", "drag", "../../etc/passwd", "\x00", "é" * 50, "💥", "9" * 400])
    if kind < 7:
        return rng.randrange(-5, 70)
    if kind == 7:
        return [odd(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(["shape", "packed", "bits", "kind", "x"]): odd(rng, depth + 1) for _ in range(rng.randrange(3))}


def drag(rng: random.Random) -> dict[str, Any]:
    """A drag, mostly of the right form."""

    def points() -> Any:
        return [[rng.uniform(-5, 70), rng.uniform(-5, 70)] for _ in range(rng.choice([0, 1, 1, 1, 2]))]

    made: dict[str, Any] = {"kind": "drag", "handles": points(), "targets": points(), "steps": rng.randrange(4)}
    if rng.random() < 0.3:
        side = rng.choice([64, 64, 32, 0, 10**6])
        bits = base64.b64encode(rng.randbytes(rng.choice([512, 512, 128, 0]))).decode()
        made["mask"] = {"shape": [side, side], rng.choice(["packed", "bits"]): bits}
    fields = [
        "method",
        "tracker",
        "rows",
        "r1",
        "learning_rate",
        "layer",
        "space",
        "engine",
        "pull",
        "nonsense",
        "kind",
    ]
    if rng.random() < 0.5:
        made[rng.choice(fields)] = odd(rng)
    return made


def garbage(rng: random.Random) -> str:
    """One of the schema's messages, with values that are odd now and then."""
    node = rng.choice([1, 1, 2, 3, 5, 99, -1])
    kind = rng.choice(RARE if rng.random() < 0.02 else TYPES)
    fields: dict[str, Any] = {  # type: ignore[assignment]
        "sample": {"seed": rng.choice([0, 1, 7, 2**32 - 1, 2**32, -1]), "psi": rng.choice([0.7, 1, 0, 99.0])},
        "start": {"edit": drag(rng), **({"node": node} if rng.random() < 0.5 else {})},
        "go": {"node": node},
        "interpolate": {"a": node, "b": 1, "t": rng.choice([0.5, 0, 1, 2]), "keep": rng.random() < 0.1},
        "ask": {
            "id": rng.randrange(9),
            "about": rng.choice(["directions", "region", "x"]),
            "arguments": {"a": odd(rng)},
        },
        "shown": {"frame": rng.randrange(100)},
    }.get(kind, {})
    if rng.random() < 0.015 and fields:
        fields[rng.choice(list(fields))] = odd(rng)
    if rng.random() < 0.005:
        fields[rng.choice(["extra", "node", "type"])] = odd(rng)
    text = json.dumps({"type": kind, **fields})
    return text[: rng.randrange(len(text))] if rng.random() < 0.005 else text


def number(rng: random.Random) -> str:
    """A number as JSON has it: short, huge, tiny, long, or none at all."""
    digits = rng.choice([3, 17, 25, 26, 40, 400])
    long = f"{rng.getrandbits(int(3.33 * digits)):0{digits}d}"[:digits]
    usual = ["0", "-1", "64.5", "1e300", "-1E+308", "1e-400", "1e999", "0e1000000", "NaN"]
    return rng.choice([*usual, f"1{long}", f"0.{long}", f"-{long}e12"])


def value(rng: random.Random, most: int) -> str:
    """A value with up to `most` numbers in it, flat, nested, or as a long text."""
    count = rng.choice([0, 1, 2, 5, 63, 64, 65, most])
    one = number(rng)
    numbers = [one if rng.random() < 0.8 else number(rng) for _ in range(count)]
    return rng.choice(
        [
            f"[{','.join(numbers)}]",
            f"[{','.join(f'[{n},{n}]' for n in numbers)}]",
            "{" + ",".join(f'"{i}": {n}' for i, n in enumerate(numbers)) + "}",
            "[" * count + one + "]" * count,
            json.dumps("1e300," * count),
            one,
        ]
    )


def numbers(rng: random.Random) -> str:
    """One of the schema's messages, with odd numbers and lengths in it."""
    most = rng.choice([3, 10, 100]) if rng.random() < 0.99 else LIMITS.values
    n, v = number(rng), value(rng, most)
    return rng.choice(
        [
            f'{{"type": "sample", "seed": {n}, "psi": {number(rng)}}}',
            f'{{"type": "go", "node": {n}}}',
            f'{{"type": "interpolate", "a": 1, "b": 1, "t": {n}}}',
            f'{{"type": "start", "edit": {{"kind": "drag", "handles": {v}, "targets": {v}, "steps": {n}}}}}',
            f'{{"type": "start", "edit": {{"kind": "drag", "handles": [[1, 2]], "targets": [[{n}, 3]], "r1": {n}}}}}',
            f'{{"type": "start", "edit": {{"kind": "attribute", "change": {v}}}}}',
            f'{{"type": "mix", "seed": {n}, "psi": 0.7}}',
            f'{{"type": "ask", "id": 1, "about": "region", "arguments": {{"point": {v}}}}}',
            f'{{"type": "ask", "id": {n}, "about": {json.dumps("x" * most)}}}',
        ]
    )
