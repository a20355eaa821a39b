"""Waiting for something to happen, on a machine of any speed."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 600.0
"""Seconds after which a test gives up what it waits for: so many that only what never happens takes as long.

No test asks how long something took, nor how much happened in a time; this is all that tests know of clocks.
"""


LONGEST = 0.1
"""Seconds between two looks at most. The first are soon after each other; whoever waits long must not keep busy what it waits for."""


def until(happened: Callable[[], Any], what: Callable[[], object] = lambda: "it never happened") -> None:
    """Wait until it is so; `what` tells, if it never is, how things stand."""
    end, pause = time.monotonic() + PATIENCE, 0.005
    while not happened():
        assert time.monotonic() < end, what()
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST)
