"""Turn checkpoints of a rooms run into the shipped model: float16, with a card that says how it was made.

usage: python ship.py OUT.safetensors IMAGES CHECKPOINT.pt [CHECKPOINT.pt ...]

Of several checkpoints the weights are the mean. IMAGES is how many real pictures all stages have shown. What was measured of the model is in docs/layout.md.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from weights import load_run

from gansteer.checkpoints.native import save_model
from gansteer.edits.arrangement.differences import gain_of
from gansteer.subject import Card, Model

LIMITS = (
    "rendered rooms of one shape, seen from one side, with few pieces of furniture: no photographs of real rooms",
    "very little training, about three hours on one core: soft pictures of few colours; things are recognisable by place, size and "
    "outline rather than by detail",
    "blobs are not tied to kinds of things: what a blob draws depends on its place, its size and its style",
    "measured with a small reader of rooms, whose mistakes count as the model's",
)


def main(out: Path, images: int, checkpoints: list[Path]) -> None:
    generator = load_run(*checkpoints)
    card = Card(
        name="rooms",
        domain=f"rendered furnished rooms, {generator.config.resolution} px",
        licence="CC0 (weights and training pictures)",
        description="SpatialGAN with the local encoding on rendered rooms: up to six blobs, each with a place, a size and a style of "
        "its own, arrange what is drawn. Grown from 32 and 64 px. No labels were used.",
        training={
            "data": "rooms rendered from public-domain furniture by recipes/rooms, with mirrored copies",
            "images": images,
            "loss": "projected",
            "spread": True,
            "batch": 16,
            "g_lr": 2e-3,
            "law": "the farthest of 8 places each, radii up to 0.18 widths; of 2 and 0.225 in the first 56,704 images",
            "augment_colour": 0.3,
            "alignment": 0.0,
            "layout_reader": 1.0,
            "blobs_alone": 0.7,
            "weights": "the mean of the averages after 63,280 and after 71,248 images",
            "recipe": "recipes/rooms/README.md",
        },
        limits=LIMITS,
    )
    gain = gain_of(Model(card, generator))
    save_model(Model(replace(card, metrics={"layout_gain": round(gain, 3)}), generator), out, torch.float16)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB after {images} images")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]), [Path(path) for path in sys.argv[3:]])
