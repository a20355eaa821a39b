"""Compare two folders of `write.py`, byte by byte; prints every difference and ends with 1 if there is one.

    python recipes/earlier/compare.py out/one out/other

All that is left out is `seconds` in sessions and journals: the time that every step took.
"""

import json
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec


def journal_records(data: bytes) -> Iterator[bytes]:
    """The whole records of a journal, each with its head: length and CRC-32 of what follows."""
    place = 0
    while place + 12 <= len(data):
        length, check = struct.unpack_from("<QI", data, place)
        record = data[place : place + 12 + length]
        if zlib.crc32(record[12:]) != check:
            return
        yield record
        place += len(record)


def timeless(value: Any) -> Any:
    """JSON without what steps took."""
    if isinstance(value, dict):
        return {key: 0 if key == "seconds" else timeless(part) for key, part in value.items()}
    return [timeless(part) for part in value] if isinstance(value, list) else value


def comparable(path: Path, data: bytes) -> bytes:
    """The bytes of a file in which the time that steps took is 0."""
    if data.startswith(b"PK") and path.suffix == ".steer":
        with zipfile.ZipFile(BytesIO(data)) as archive:
            parts = [(info.filename, info.date_time, archive.read(info)) for info in archive.infolist()]
        tree = [
            (name, date, timeless(json.loads(part)) if name.endswith(".json") else part) for name, date, part in parts
        ]
        return repr(tree).encode()
    if path.suffix == ".steps":
        return repr([timeless(msgspec.msgpack.decode(record[12:])) for record in journal_records(data)]).encode()
    if path.suffix in (".safetensors", ".latent"):  # the order of its metadata changes from process to process
        (length,) = struct.unpack_from("<Q", data)
        head = json.loads(data[8 : 8 + length])
        return json.dumps(head, sort_keys=True).encode() + data[8 + length :]
    if b"stEr" in data:  # a PNG with settings
        place = data.index(b"stEr")
        (length,) = struct.unpack_from(">I", data, place - 4)
        inside = comparable(Path("x.steer"), data[place + 4 : place + 4 + length])
        return data[: place - 4] + inside + data[place + 8 + length :]
    return data


def compare(a: Path, b: Path) -> int:
    """Print every difference between two folders; how many there are."""
    ours, theirs = ({p.relative_to(top) for top_ in (top,) for p in top_.rglob("*") if p.is_file()} for top in (a, b))
    differences = [f"only in {a}: {name}" for name in sorted(ours - theirs)]
    differences += [f"only in {b}: {name}" for name in sorted(theirs - ours)]
    for name in sorted(ours & theirs):
        one, two = (comparable(name, (top / name).read_bytes()) for top in (a, b))
        if one != two:
            first = next((i for i, (x, y) in enumerate(zip(one, two, strict=False)) if x != y), min(len(one), len(two)))
            near = slice(max(0, first - 40), first + 40)
            differences.append(
                f"{name}: {len(one)} and {len(two)} bytes, from byte {first}: {one[near]!r} {two[near]!r}"
            )
    print("\n".join(differences) or f"all {len(ours)} files are the same, but for the seconds that steps took")
    return len(differences)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(min(1, compare(Path(sys.argv[1]), Path(sys.argv[2]))))
