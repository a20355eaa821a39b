"""How the studio bears people: frames, steps, stopping and memory with several pages at once, against the bare library.

The server runs in its own process on the shipped model; pages without a browser run edits, show every frame and say so.
One page and the bare library take turns of a few seconds, so that whatever else the machine does meets both. Beside the
steps of a second stands what a step costs in seconds of computing, of the thread that steps and of the others: that says
on a busy machine too what the studio adds.

    python benchmarks/studio_load.py --clients 1 4 16 --json load.json --document docs/studio.md
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "studio"), str(ROOT / "tests")]  # where the page without a browser is

from client import Page, Server  # noqa: E402

from gansteer.evaluation.document import fill, table  # noqa: E402

HANDLE, TARGET = (64, 76), (90, 70)
BARE = """
import sys, time
import torch
import gansteer
from gansteer.edits.drag.edit import Drag
from gansteer.edits.registry import start
from gansteer.memory import keep_freed_memory
keep_freed_memory()
model = gansteer.load(sys.argv[1])
scale = model.resolution / 128
drag = Drag([(64 * scale, 76 * scale)], [(90 * scale, 70 * scale)], steps=10**9, patience=10**9, tolerance=0,
            learning_rate=1e-4, method="draggan")
run = start(model.sample(3), drag)
for line in sys.stdin:
    end, steps, begun, work = time.perf_counter() + float(line), 0, time.perf_counter(), time.process_time()
    while time.perf_counter() < end:
        run.step()
        steps += 1
    print(steps / (time.perf_counter() - begun), (time.process_time() - work) / steps, torch.get_num_threads(), flush=True)
"""


THREADS = max(1, (os.cpu_count() or 1) - 1)
"""Of the studio's steps, and so of the bare library's."""


def computed(server: Server) -> dict[str, float]:
    """Seconds of computing that each thread of the server has spent."""
    found = {}
    for thread in Path(f"/proc/{server.pid}/task").iterdir():
        fields = (thread / "stat").read_text().rpartition(")")[2].split()
        found[thread.name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


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
        # So slow that the latent doesn't leave its model within any number of steps that are looked at.
        self.page.start(handles, targets, steps=10**9, patience=10**9, learning_rate=1e-6)
        self._thread.start()

    def begun(self) -> None:
        """Wait for its first step: what is stopped before can't be resumed."""
        while not self.page.progress:
            time.sleep(0.01)

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


def environment() -> dict[str, str]:
    """As many threads for the one as for the other."""
    return {**os.environ, "OMP_NUM_THREADS": str(THREADS)}


UNRECORDED = """
import sys
import torch
from gansteer.cli import main
del torch.jit.trace  # as in a PyTorch that has given its recorder up
sys.exit(main(sys.argv[1:]))
"""


def serve(model: str | None, sessions: str, recorded: bool) -> "tuple[subprocess.Popen[str], Server]":
    begin = ["-m", "gansteer"] if recorded else ["-c", UNRECORDED]
    command = [sys.executable, *begin, "studio", "--port", "0", "--no-open", "--sessions", sessions]
    command += ["--models", model] if model else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None
    return process, Server(process.pid, process.stdout.readline().split()[-1])


class Library:
    """The bare library, in a process of its own."""

    def __init__(self, model: str) -> None:
        command = [sys.executable, "-c", BARE, model]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )

    def turn(self, seconds: float) -> tuple[float, float, int]:
        """Steps a second, seconds of computing a step, and threads."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        rate, cost, threads = self._process.stdout.readline().split()
        return float(rate), float(cost), int(threads)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def studio_turn(server: Server, client: Client, seconds: float) -> tuple[float, float, float, float]:
    """Steps a second, seconds of computing a step, of the thread that steps and of all others, and frames a second."""
    begun, work, step, shown = time.perf_counter(), computed(server), client.step, len(client.page.frames)
    time.sleep(seconds)
    took, steps = time.perf_counter() - begun, client.step - step
    spent = [seconds - work.get(thread, 0.0) for thread, seconds in computed(server).items()]
    stepping, others = max(spent) / max(steps, 1), (sum(spent) - max(spent)) / max(steps, 1)
    return steps / took, stepping, others, (len(client.page.frames) - shown) / took


def stops_of(client: Client, count: int) -> list[float]:
    """Seconds until the edit stops, after it has run for a moment each time."""
    found = []
    for _ in range(count):
        time.sleep(0.15)
        client.page.send("stop")
        found.append(client.wait(False))
        client.page.send("resume")
        client.wait(True)
    return found


def against_the_library(server: Server, name: str, rounds: int, seconds: float, until: float) -> dict[str, Any]:
    """One page and the bare library by turns, each first in every other round; how long a stop takes, in between."""
    library, client = Library(name), Client(server)
    library.turn(1.0)
    client.begin()
    client.begun()
    time.sleep(1.0)
    bare, studio, stops = [], [], []
    for i in range(rounds):
        if bare and time.perf_counter() > until:
            break
        stops += stops_of(client, 4)
        time.sleep(0.2)
        if i % 2:
            studio.append(studio_turn(server, client, seconds))
        client.page.send("stop")
        stops.append(client.wait(False))
        bare.append(library.turn(seconds))
        client.page.send("resume")
        client.wait(True)
        time.sleep(0.2)
        if i % 2 == 0:
            studio.append(studio_turn(server, client, seconds))
    client.end()
    library.close()
    ratios = [there[0] / here[0] for there, here in zip(studio, bare, strict=True)]
    costs = [there[1] / here[1] for there, here in zip(studio, bare, strict=True)]
    return {
        "threads of the bare library": bare[0][2],
        "bare steps/s": statistics.median(turn[0] for turn in bare),
        "studio steps/s": statistics.median(turn[0] for turn in studio),
        "studio / bare, median of pairs": statistics.median(ratios),
        "studio / bare, lowest and highest pair": [min(ratios), max(ratios)],
        "bare ms of computing a step": 1e3 * statistics.median(turn[1] for turn in bare),
        "studio ms of computing a step": 1e3 * statistics.median(turn[1] for turn in studio),
        "studio ms of computing a step, other threads": 1e3 * statistics.median(turn[2] for turn in studio),
        "studio / bare by computing, median of pairs": statistics.median(costs),
        "frames/s": statistics.median(turn[3] for turn in studio),
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
    for client in clients:
        client.begun()
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


def growth(server: Server, steps: int, until: float) -> dict[str, Any]:
    """Memory over many steps of one edit, as far as it comes in time: its second half grows by what never ends."""
    client, marks = Client(server), []
    client.begin()
    for share in (0.1, *(n / 8 for n in range(1, 9))):
        while client.step < share * steps and time.perf_counter() < until:
            if not client.running:
                raise RuntimeError(f"the edit ended at step {client.step}, so memory is not measured over {steps}")
            time.sleep(0.05)
            del client.page.frames[:-1], client.page.progress[:-1]
        marks.append((client.step, server.memory() / 1e6))
        if time.perf_counter() >= until:
            break
    client.end()
    reached = marks[-1][0]
    half = next(mb for step, mb in marks if step >= reached / 2)
    return {
        "steps": [step for step, _ in marks], "MB": [mb for _, mb in marks],
        "MB grown since the first": marks[-1][1] - marks[0][1],
        "MB grown in the second half": marks[-1][1] - half,
    }  # fmt: skip


def document(found: dict[str, dict[str, Any]]) -> str:
    """The tables of docs/studio.md."""
    one, crowds = found["one page against the library"], [each for each in found.values() if "clients" in each]
    compared = table(
        ["one page, by turns with the bare library", "bare", "studio", "studio / bare"],
        [
            ["steps/s", *(f"{one[f'{who} steps/s']:.3g}" for who in ("bare", "studio")),
             f"{one['studio / bare, median of pairs']:.2f} ({' to '.join(f'{v:.2f}' for v in one['studio / bare, lowest and highest pair'])})"],
            ["ms of computing a step, of the thread that steps", *(f"{one[f'{who} ms of computing a step']:.2f}" for who in ("bare", "studio")),
             f"{one['studio / bare by computing, median of pairs']:.2f}"],
        ],
    )  # fmt: skip
    told = (
        f"{one['frames/s']:.1f} frames/s; previews and the rest took {one['studio ms of computing a step, other threads']:.2f} ms "
        f"a step on other threads. Stopping took {one['stop ms, median']:.0f} ms (median of {one['stops']:.0f}, "
        f"the longest {one['stop ms, longest']:.0f}). The bare library had {one['threads of the bare library']} thread(s) of "
        f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}."
    )
    rows = []
    for each in crowds:
        frames, steps = each["frames/s each, lowest, median, highest"], each["steps/s each, lowest, median, highest"]
        rows.append([
            each["clients"], f"{frames[1]:.1f} ({frames[0]:.1f} to {frames[2]:.1f})", f"{steps[1]:.1f} ({steps[0]:.1f} to {steps[2]:.1f})",
            f"{each['steps/s in all']:.3g}", f"{each['stop ms, median']:.0f} ms",
            f"{each['MB a session, open']:.1f} MB", f"{each['MB a session, its edit running']:.1f} MB",
        ])  # fmt: skip
    head = ["pages with an edit running", "frames/s of each", "steps/s of each", "steps/s of all", "stop, median",
            "memory a page, open", "its edit running"]  # fmt: skip
    parts = [compared, told, table(head, rows)] if rows else [compared, told]
    if "growth" in found:
        grown = found["growth"]
        parts.append(
            f"From step {grown['steps'][0]:,} to {grown['steps'][-1]:,} of one edit the process grew by "
            f"{grown['MB grown since the first']:.1f} MB, {grown['MB grown in the second half']:.1f} of them in the second "
            f"half, and had {grown['MB'][-1]:.0f} in the end."
        )
    return "\n\n".join(parts)


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
    parser.add_argument(
        "--minutes", type=float, default=6.0, help="that all may take; what has no time left is left out"
    )
    parser.add_argument("--unrecorded", action="store_true", help="previews as they are where they can't be recorded")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--document", type=Path, help="put the tables into this Markdown file")
    args = parser.parse_args()
    found: dict[str, Any] = {}
    end = time.perf_counter() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as folder:
        process, server = serve(args.models, folder, not args.unrecorded)
        try:
            found["one page against the library"] = against_the_library(
                server, args.model, args.rounds, args.seconds, end
            )
            for count in args.clients:
                if time.perf_counter() < end:
                    found[f"{count} pages at once"] = crowd(server, count, max(args.seconds, 6.0))
            if args.steps and time.perf_counter() < end:
                found["growth"] = growth(server, args.steps, end)
        finally:
            process.terminate()
            process.wait()
    for title, values in found.items():
        print(title)
        for name, value in values.items():
            print(f"    {name}: {shown(value)}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    if args.document:
        fill(args.document, "load", document(found))


if __name__ == "__main__":
    main()
