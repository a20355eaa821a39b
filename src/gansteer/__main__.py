"""`python -m gansteer`, and the command `gansteer`: nothing is imported before Ctrl-C is looked after."""

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType


def _leave(number: int, frame: "FrameType | None") -> None:
    """End at once: whatever is being imported is not to be told of it, some of it answers with pages of its own."""
    os.write(2, b"gansteer: stopped\n")
    os._exit(130)


def run() -> int:
    """Run the command line. Returns the exit code."""
    before = signal.signal(signal.SIGINT, _leave)
    from gansteer.cli import main

    signal.signal(signal.SIGINT, before)
    return main()


if __name__ == "__main__":
    sys.exit(run())
