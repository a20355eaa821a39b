"""Seeds as people write them, and the range of psi."""

import math
import re

from gansteer.errors import UserError

MAX_SEED = 2**32 - 1
MAX_SEEDS = 100_000
MAX_PSI = 2.0


def parse_seeds(text: str) -> list[int]:
    """The seeds that a text such as `0-15,20` names, in that order. Raises UserError for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part, re.ASCII)
        if match is None:
            raise UserError(f"--seeds {text}: {part!r} is no seed; write seeds like 7, 0-15 or 0-15,20")
        first, last = match[1], match[2] or match[1]
        # The length comes first: Python refuses to read a number of thousands of digits.
        if max(len(first), len(last)) > 10 or max(int(first), int(last)) > MAX_SEED:
            raise UserError(f"--seeds {text[:40]}: a seed is from 0 to {MAX_SEED}")
        low, high = int(first), int(last)
        if low > high:
            raise UserError(f"--seeds {text}: the range {part} runs backwards; write {high}-{low}")
        if len(seeds) + high - low + 1 > MAX_SEEDS:
            raise UserError(f"--seeds {text}: that is more than {MAX_SEEDS} pictures at once; give fewer seeds")
        seeds.extend(range(low, high + 1))
    return seeds


def check_psi(psi: float) -> None:
    """Raise UserError unless `psi` is a number that gives pictures."""
    if not (math.isfinite(psi) and abs(psi) <= MAX_PSI):
        raise UserError(f"--psi is from {-MAX_PSI:g} to {MAX_PSI:g} (0 is the mean picture, 1 as trained), not {psi}")
