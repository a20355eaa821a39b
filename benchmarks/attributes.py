"""How long a slider takes to show a new picture, and an intervention to end, on one core.

usage: python benchmarks/attributes.py [MODEL] [REPEATS]

Both seconds by the clock and seconds of the one core are told; on a machine that does something else, the latter are what
it would take alone, and they decide.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch

import gansteer
from gansteer.edits.attribute import sliders
from gansteer.edits.parts import part_of
from gansteer.memory import keep_freed_memory

SLIDER, INTERVENTION = 0.1, 10.0
"""Seconds that these may take."""


def timed(work: Callable[[int], object], repeats: int) -> tuple[float, float]:
    """Median seconds of the core and of the clock; the first run, which warms up, doesn't count."""
    core, clock = [], []
    for i in range(repeats + 1):
        start, before = time.perf_counter(), time.process_time()
        work(i)
        clock.append(time.perf_counter() - start)
        core.append(time.process_time() - before)
    return statistics.median(core[1:]), statistics.median(clock[1:])


def main(name: str, repeats: int) -> int:
    torch.set_num_threads(1)
    keep_freed_memory()
    model = gansteer.load(name, "cpu")
    subject = model.sample(3)
    mouth = part_of(subject, "mouth")

    def slider(i: int) -> object:
        edit = gansteer.Attribute({"smile": 0.1 * i + 0.1}, hold=("age", "gender"))
        return gansteer.start(subject, edit).step().subject.image

    def intervention(channels: int | None) -> Callable[[int], object]:
        def run(i: int) -> object:
            edit = gansteer.Intervention({"smile": 1.0 + 0.2 * i}, mouth, channels=channels)
            *_, last = gansteer.start(subject, edit)
            return last.subject.image

        return run

    failed = 0
    for what, work, times, most in (
        ("all sliders' values", lambda i: sliders(subject), repeats, SLIDER),
        ("slider, two held, to picture", slider, repeats, SLIDER),
        ("intervention", intervention(None), max(3, repeats // 10), INTERVENTION),
        ("intervention, 200 channels", intervention(200), max(3, repeats // 10), INTERVENTION),
    ):
        core, clock = timed(work, times)
        failed += core > most
        print(f"{what:<30} {1e3 * core:7.1f} ms of a core, {1e3 * clock:7.1f} by the clock   (at most {1e3 * most:g})")
    return 1 if failed else 0


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(main(arguments[0] if arguments else "portraits", int(arguments[1]) if len(arguments) > 1 else 30))
