"""How long a slider takes to show a new picture, and an intervention to end, on one core.

usage: python benchmarks/attributes.py [MODEL] [REPEATS] [OUT.json]

Both seconds by the clock and seconds of the one core are told; on a machine that does something else, the latter are what
it would take alone, and they decide.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import gansteer
from gansteer.edits.attribute.edit import sliders
from gansteer.edits.intervention.parts import part_of
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


def main(name: str, repeats: int, out: Path | None) -> int:
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

    failed, rows = 0, []
    for what, work, times, most in (
        ("the values of all sliders", lambda i: sliders(subject), repeats, SLIDER),
        ("a slider with two held attributes, to the new picture", slider, repeats, SLIDER),
        ("an intervention, to the picture", intervention(None), max(3, repeats // 10), INTERVENTION),
        ("the same of 200 channels", intervention(200), max(3, repeats // 10), INTERVENTION),
    ):
        core, clock = timed(work, times)
        failed += core > most
        rows.append({"what": what, "core": core, "clock": clock, "most": most})
        print(f"{what:<54} {1e3 * core:7.1f} ms of a core, {1e3 * clock:7.1f} by the clock   (at most {1e3 * most:g})")
    if out is not None:
        out.write_text(json.dumps({"model": model.card.name, "repeats": repeats, "rows": rows}, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    model, repeats, out, *_ = [*sys.argv[1:], *["portraits", "30", ""][len(sys.argv) - 1 :]]
    sys.exit(main(model, int(repeats), Path(out) if out else None))
