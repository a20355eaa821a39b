"""Bounds on JSON against a slow reader that counts."""

import json
import random
from typing import Any

import msgspec
import pytest

from gansteer.json_limits import JsonLimits, TooMuch, value_bound
from gansteer.studio import protocol


def counted(value: Any) -> int:
    """The values in what JSON holds, names of members apart."""
    if isinstance(value, dict):
        return 1 + sum(counted(each) for each in value.values())
    return 1 + sum(counted(each) for each in value) if isinstance(value, list) else 1


def document(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(6 if depth < 5 else 4)
    if kind == 0:
        return rng.choice([0, -1, 0.5, 1e-7, True, None, 2**60])
    if kind < 4:
        return "".join(rng.choice('a",[{}]\\1e300 é') for _ in range(rng.randrange(12)))
    parts = [document(rng, depth + 1) for _ in range(rng.randrange(6))]
    return parts if kind == 4 else {str(i): part for i, part in enumerate(parts)}


def test_the_bound_is_no_less_than_the_values() -> None:
    rng = random.Random(1)
    for _ in range(500):
        value = document(rng)
        assert value_bound(json.dumps(value).encode()) >= counted(value)


@pytest.mark.parametrize(
    "number", ["1e300", "1E+308", "-2.5e-300", "1.7976931348623157e308", "0." + "3" * 30, "9" * 26]
)
def test_slow_numbers_are_counted_outside_texts_only(number: str) -> None:
    limits = JsonLimits(size=1 << 20, values=1 << 20, slow_numbers=5)
    limits.check(f"[{','.join([number] * 5)}]".encode())
    with pytest.raises(TooMuch, match="more than 5 numbers"):
        limits.check(f"[{','.join([number] * 6)}]".encode())
    texts = [number, f'"{number}', f"\\{number}", f'\\"{number}\\'] * 9
    limits.check(json.dumps(texts).encode())
    with pytest.raises(TooMuch):
        limits.check(f"{json.dumps(texts)[:-1]},{','.join([number] * 6)}]".encode())


def test_usual_numbers_are_not_slow() -> None:
    rng = random.Random(2)
    numbers = [rng.uniform(-1, 1) * 10.0 ** rng.randrange(-60, 60) for _ in range(1000)]
    JsonLimits(size=1 << 20, values=2000, slow_numbers=0).check(json.dumps([*numbers, 2**63, True, "e100"]).encode())


def test_whatever_a_message_of_the_page_is_its_reading_is_bounded() -> None:
    """Numbers, lengths and depths at random: all that is read has no more of anything than is granted."""
    rng, refused, read = random.Random(3), 0, 0
    for _ in range(300):
        count = int(10 ** rng.uniform(0, 5))
        text = rng.choice(["1e300", "[]", '"x"', "1", "{}", "0." + "7" * 40])
        inside = rng.choice(
            [f"[{','.join([text] * count)}]", "[" * (count // 500) + "]" * (count // 500), f'"{"y" * count * 9}"']
        )
        message = f'{{"type": "ask", "id": 1, "about": "x", "arguments": {{"a": {inside}}}}}'
        try:
            protocol.decode(message)
        except (TooMuch, msgspec.MsgspecError, RecursionError):
            refused += 1
        else:
            read += 1
            assert len(message) <= protocol.LIMITS.size
            assert counted(json.loads(message)) <= protocol.LIMITS.values
            assert message.count("1e300") + message.count("7" * 40) <= protocol.LIMITS.slow_numbers
    assert min(refused, read) > 50
