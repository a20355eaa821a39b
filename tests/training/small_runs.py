"""A few small pictures, and the flags of the smallest run there is."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

TINY = {
    "resolution": 8, "batch": 4, "z_dim": 4, "w_dim": 4, "mapping_layers": 1, "channel_base": 32, "channel_max": 4,
    "loss": "stylegan2", "device": "cpu", "snapshot_images": 1000,
}  # fmt: skip


def save_pictures(folder: Path, count: int = 10, size: int = 8, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(folder / f"{i:02d}.png")
    labels = [[f"{i:02d}.png", i % 3] for i in range(count)]
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    return folder
