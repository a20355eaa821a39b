"""Sheets of a rooms model: 64 samples, none picked, and rooms with one blob moved, removed, restyled.

usage: python sheets.py MODEL SAMPLES.jpg LAYOUTS.jpg
"""

import sys
from pathlib import Path

import gansteer
from gansteer.sheet import sheet
from gansteer.training.layout_sheet import ROWS, layout_sheet

SAMPLES = 64


def main(name: str, samples: Path, layouts: Path) -> None:
    model = gansteer.load(name, device="cpu")
    sheet([model.sample(seed, psi=1.0).image for seed in range(SAMPLES)]).save(samples, quality=92)
    layout_sheet(model.generator, 8, psi=1.0).save(layouts, quality=92)
    print(f"{samples}: seeds 0 to {SAMPLES - 1}; {layouts}: rows {', '.join(ROWS)}; psi 1")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
