"""Turn a snapshot into the shipped model: float16, with a card that says how it was made and what was measured.

usage: python ship.py SNAPSHOT REPORTS CURVE.jsonl OUT.safetensors

REPORTS is a folder with what `gansteer evaluate quality|faces|smoothness|tracking --json` wrote, a file each, named
quality.json, faces.json, smoothness.json, tracking.json; those that are missing are left out of the card.
"""

import json
import sys
from pathlib import Path

import torch

import gansteer
from gansteer.checkpoints.native import save_model
from gansteer.subject import Card, Model

LIMITS = (
    "rendered heads of synthetic people: it does not draw, and cannot represent, photographs of real people",
    "no beards, no glasses, few hair styles, plain backgrounds: its training pictures have none",
    "eyes, teeth and strands of hair are soft",
)


def main(snapshot: Path, reports: Path, curve: Path, out: Path) -> None:
    model = gansteer.load(str(snapshot), device="cpu")
    last = [p for p in map(json.loads, curve.read_text().splitlines()) if p["run"] == snapshot.parent.name]
    at = int(snapshot.stem.split("-")[1])
    images = last[-1]["images"] - last[-1]["at"] + at
    config = json.loads((snapshot.parent / "config.json").read_text())
    metrics = {
        name: json.loads((reports / f"{name}.json").read_text())
        for name in ("quality", "faces", "smoothness", "tracking")
        if (reports / f"{name}.json").exists()
    }
    for report in metrics.values():
        report.pop("data", None)  # a path on the machine that measured
    card = Card(
        name="portraits",
        domain="rendered human heads, 128 px",
        licence="MIT (weights); CC0 (training pictures)",
        description="StyleGAN2 trained on rendered portraits of synthetic people, with a projected discriminator; grown from 64 px.",
        training={
            "data": "portraits rendered from public-domain parts by recipes/portraits/render, with mirrored copies",
            "images": images,
            **{key: config[key] for key in ("loss", "batch", "g_lr", "d_lr", "style_mixing", "augment_colour")},
        },
        metrics=metrics,
        limits=LIMITS,
    )
    save_model(Model(card, model.generator), out, torch.float16)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB after {images} images")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
