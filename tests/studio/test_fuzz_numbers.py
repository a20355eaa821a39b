"""Messages with numbers and lengths that nobody types: each is answered, or ends its connection, for a bounded amount of work.

Work is counted, in what it costs to read a text: bytes, values, and numbers that take the reader hundreds of times as long as
others. The counts are made anew here, by Python's own reader.
"""

import json
import random
import re
from pathlib import Path

import msgspec
from client import Nursery, Page, studio
from websockets.exceptions import ConnectionClosed

from gansteer.json_limits import TooMuch
from gansteer.studio.protocol import LIMITS, decode

MESSAGES, SENT = 10_000, 150
SLOW = re.compile(r"[eE][+-]?0*[1-9]\d{2}|[\d.]{26}")
"""A number with an exponent of three digits, or with 26 digits: what `json_limits.py` says is slow."""
REPLIES = 12
"""Messages that one message may be answered with: a state or two, frames, progress, a fault."""


def number(rng: random.Random) -> str:
    """A number as JSON has it: short, huge, tiny, long, or none at all."""
    long = "".join(rng.choices("0123456789", k=rng.choice([3, 17, 25, 26, 40, 400])))
    return rng.choice(
        [
            "0",
            "-1",
            "64.5",
            "1e300",
            "-1E+308",
            "1e-400",
            "1e999",
            "0e1000000",
            f"1{long}",
            f"0.{long}",
            f"-{long}e12",
            "NaN",
        ]
    )


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


def message(rng: random.Random) -> str:
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


def texts(count: int) -> list[str]:
    rng = random.Random(22)
    return [message(rng) for _ in range(count)]


def counted(text: str) -> tuple[int, int, int]:
    """Bytes, values and slow numbers of a JSON text. Raises ValueError or RecursionError if it is none that Python reads."""
    slow = 0

    def read(literal: str) -> float:
        nonlocal slow
        slow += SLOW.search(literal) is not None
        return 0.0

    def values(one: object) -> int:
        if isinstance(one, dict):
            return 1 + sum(1 + values(each) for each in one.values())
        return 1 + sum(map(values, one)) if isinstance(one, list) else 1

    whole = json.loads(text, parse_float=read, parse_int=read)
    return len(text.encode()), values(whole), slow


def test_what_is_read_costs_no_more_than_is_granted() -> None:
    read, refused = 0, 0
    for text in texts(MESSAGES):
        try:
            decode(text)
        except TooMuch:
            refused += 1
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        else:
            size, values, slow = counted(text)
            assert size <= LIMITS.size
            assert values <= 2 * LIMITS.values  # a member is counted with its name here
            assert slow <= LIMITS.slow_numbers, text[:200]
            read += 1
    assert read > MESSAGES / 10
    assert refused > MESSAGES / 100


def test_each_is_answered_or_ends_its_connection(nursery: Nursery, models: Path, tmp_path: Path) -> None:
    with studio(nursery, tmp_path, models) as server:
        page = Page(server)
        page.settled()
        codes: list[int | None] = []
        for i, text in enumerate(texts(SENT), 100):
            page.faults.clear()
            heard = 0
            try:
                page.socket.send(text)
                page.send("ask", id=i, about=f"nothing {i}")
                while not any(f"nothing {i}" in fault for fault in page.faults):
                    page.hear()
                    heard += 1
                    assert heard <= REPLIES, text[:200]
            except ConnectionClosed as end:
                codes.append(end.rcvd and end.rcvd.code)
                page.close()
                page = Page(server, session=page.key)
        assert 0 < len(codes) < SENT
        assert set(codes) == {1008}
        page.send("stop")
        page.settled()
        assert server.alive
