"""How soon the studio's first picture is there, in a real browser, and what the page fetches for it.

Each round opens a new tab of a running studio with the shipped model and waits for the whole picture. The least of the
rounds says most: what else the machine does can only add to it.

    python benchmarks/studio_opening.py --rounds 5
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "studio"), str(ROOT / "tests")]  # where the person at the page is

from browser import HOW, chromium, find  # noqa: E402
from client import Nursery, studio  # noqa: E402
from visitor import Visitor  # noqa: E402

WEIGHTS = ROOT / "src" / "gansteer" / "weights" / "portraits.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    path, nursery, seconds = find(), Nursery(), []
    if path is None:
        sys.exit(HOW)
    with tempfile.TemporaryDirectory() as sessions, tempfile.TemporaryDirectory() as models, chromium(path) as browser:
        (Path(models) / WEIGHTS.name).symlink_to(WEIGHTS)
        with studio(nursery, Path(sessions), Path(models)) as server:
            for _ in range(rounds):
                begun = time.perf_counter()
                with Visitor(browser, server) as visitor:  # which waits for the picture
                    seconds.append(time.perf_counter() - begun)
                    sizes = visitor.js("performance.getEntriesByType('resource').map((file) => file.transferSize)")
    nursery.close()
    print(f"the first picture after {min(seconds):.2f} s (least of {rounds}; most {max(seconds):.2f} s)")
    print(f"{len(sizes)} files, {sum(sizes) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
