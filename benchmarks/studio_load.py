"""How the studio bears people: frames, steps, stopping and memory with several pages at once, against the bare library.

The server runs in its own process on the shipped model; pages without a browser run edits, show every frame and say so.
One page and the bare library take turns of a few seconds, so that whatever else the machine does meets both.

    python benchmarks/studio_load.py --clients 1 4 16 --json load.json
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "studio"))  # where the page without a browser is

from client import Page, Server  # noqa: E402

HANDLE, TARGET = (64, 76), (90, 70)
BARE = """
import sys, time
import gansteer
from gansteer.edits import Drag, start
from gansteer.memory import keep_freed_memory
keep_freed_memory()
model = gansteer.load(sys.argv[1])
scale = model.resolution / 128
drag = Drag([(64 * scale, 76 * scale)], [(90 * scale, 70 * scale)], steps=10**9, patience=10**9, tolerance=0,
            learning_rate=1e-4)
run = start(model.sample(3), drag)
for line in sys.stdin:
    end, steps, begun = time.perf_counter() + float(line), 0, time.perf_counter()
    while time.perf_counter() < end:
        run.step()
        steps += 1
    print(steps / (time.perf_counter() - begun), flush=True)
"""


class Client:
    """A page that runs an edit, reading on a thread of its own."""

    def __init__(self, server: Server) -> None:
        self.page = Page(server)
        self.page.settled()
        self._over = False
        self._thread = threading.Thread(target=self._read, daemon=True)

    def begin(self) -> None:
        """Start the edit."""
        scale = self.page.state["resolution"] / 128
        handles, targets = ([[x * scale, y * scale]] for x, y in (HANDLE, TARGET))
        self.page.start(handles, targets, steps=10**9, patience=10**9)
        self._thread.start()

    def _read(self) -> None:
        while not self._over:
            try:
                self.page.hear(0.2)
            except TimeoutError:
                continue

    @property
    def step(self) -> int:
        """The last step that was told of."""
        return int(self.page.progress[-1]["trace"]["step"]) if self.page.progress else 0

    @property
    def running(self) -> bool:
        """Whether the page knows of a running edit."""
        return self.page.state["run"] is not None

    def wait(self, running: bool) -> float:
        """Seconds until the edit runs, or until it does not."""
        begun = time.perf_counter()
        while self.running is not running:
            time.sleep(0.0005)
        return time.perf_counter() - begun

    def end(self) -> None:
        """Stop and hang up."""
        self.page.send("stop")
        self.wait(False)
        self._over = True
        self._thread.join()
        self.page.close()


def serve(model: str | None, sessions: str) -> "tuple[subprocess.Popen[str], Server]":
    command = [sys.executable, "-m", "gansteer", "studio", "--port", "0", "--no-open", "--sessions", sessions]
    command += ["--models", model] if model else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Server(process.pid, process.stdout.readline().split()[-1])


def against_the_library(server: Server, name: str, rounds: int, seconds: float) -> dict[str, Any]:
    """One page and the bare library by turns: steps a second of each, frames a second, waiting for the stop."""
    bare = subprocess.Popen(
        [sys.executable, "-c", BARE, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert bare.stdin is not None
    assert bare.stdout is not None

    def library(seconds: float) -> float:
        bare.stdin.write(f"{seconds}\n")
        bare.stdin.flush()
        return float(bare.stdout.readline())

    library(1.0)
    client = Client(server)
    client.begin()
    time.sleep(1.0)
    studio_rates, bare_rates, frames, stops = [], [], [], []
    for _ in range(rounds):
        client.page.send("stop")
        stops.append(client.wait(False))
        bare_rates.append(library(seconds))
        client.page.send("resume")
        client.wait(True)
        time.sleep(0.2)
        begun, step, shown = time.perf_counter(), client.step, len(client.page.frames)
        time.sleep(seconds)
        took = time.perf_counter() - begun
        studio_rates.append((client.step - step) / took)
        frames.append((len(client.page.frames) - shown) / took)
        for _ in range(3):
            client.page.send("stop")
            stops.append(client.wait(False))
            client.page.send("resume")
            client.wait(True)
            time.sleep(0.15)
    client.end()
    bare.stdin.close()
    bare.wait()
    ratios = [a / b for a, b in zip(studio_rates, bare_rates, strict=True)]
    return {
        "bare steps/s": statistics.median(bare_rates),
        "studio steps/s": statistics.median(studio_rates),
        "studio / bare, median of pairs": statistics.median(ratios),
        "studio / bare, lowest and highest pair": [min(ratios), max(ratios)],
        "frames/s": statistics.median(frames),
        "stop ms, median": 1e3 * statistics.median(stops),
        "stop ms, longest": 1e3 * max(stops),
        "stops": len(stops),
    }


def crowd(server: Server, count: int, seconds: float) -> dict[str, Any]:
    """`count` pages at once."""
    before = server.memory()
    clients = [Client(server) for _ in range(count)]
    opened = server.memory()
    for client in clients:
        client.begin()
    time.sleep(2.0)
    begun = time.perf_counter()
    steps, shown = [client.step for client in clients], [len(client.page.frames) for client in clients]
    time.sleep(seconds)
    took = time.perf_counter() - begun
    rates = [(client.step - step) / took for client, step in zip(clients, steps, strict=True)]
    frames = [(len(client.page.frames) - n) / took for client, n in zip(clients, shown, strict=True)]
    running, stops = server.memory(), []
    for client in clients[:4]:
        client.page.send("stop")
        stops.append(client.wait(False))
    for client in clients:
        client.end()
    return {
        "clients": count,
        "frames/s each, lowest, median, highest": [min(frames), statistics.median(frames), max(frames)],
        "steps/s each, lowest, median, highest": [min(rates), statistics.median(rates), max(rates)],
        "steps/s in all": sum(rates),
        "stop ms, median": 1e3 * statistics.median(stops),
        "MB a session, open": (opened - before) / count / 1e6,
        "MB a session, its edit running": (running - before) / count / 1e6,
    }


def growth(server: Server, steps: int) -> dict[str, Any]:
    """Memory over many steps of one edit."""
    client = Client(server)
    client.begin()
    marks, memory = [steps // 10, steps], []
    for mark in marks:
        while client.step < mark:
            time.sleep(0.02)
            del client.page.frames[:-1], client.page.progress[:-1]
        memory.append(server.memory())
    client.end()
    return {"steps": marks, "MB": [m / 1e6 for m in memory], "MB grown": (memory[1] - memory[0]) / 1e6}


def shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "[" + ", ".join(map(shown, value)) + "]" if isinstance(value, list) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="portraits", help="what the bare library loads; the studio's first model")
    parser.add_argument("--models", help="a folder of checkpoints for the studio, as of gansteer studio")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    parser.add_argument("--steps", type=int, default=10_000, help="to look for growth over; 0 leaves it out")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        process, server = serve(args.models, folder)
        try:
            found["one page against the library"] = against_the_library(server, args.model, args.rounds, args.seconds)
            for count in args.clients:
                found[f"{count} pages at once"] = crowd(server, count, max(args.seconds, 6.0))
            if args.steps:
                found["growth"] = growth(server, args.steps)
        finally:
            process.terminate()
            process.wait()
    for title, values in found.items():
        print(title)
        for name, value in values.items():
            print(f"    {name}: {shown(value)}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
