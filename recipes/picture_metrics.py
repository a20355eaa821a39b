"""Measure how much the pictures of the shipped models change with their latents, so that no first drag waits for it.

usage: python picture_metrics.py src/gansteer/weights/metrics [MODEL ...]

Again whenever their weights change.
"""

import sys
from pathlib import Path

from gansteer.checkpoints.picture_metric import save_slopes
from gansteer.checkpoints.registry import load
from gansteer.edits.drag.picture_metric import slopes

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for name in sys.argv[2:] or ("portraits", "rooms"):
        model = load(name, "cpu")
        found = slopes(model)
        save_slopes(found, model, Path(sys.argv[1]) / f"{name}.safetensors")
        size = found.abs()
        print(f"{name}: {len(found)} directions, from {float(size[size > 0].min()):.2g} to {float(size.max()):.2g}")
