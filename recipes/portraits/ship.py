"""Turn a snapshot into the shipped model: float16, with a card that says how it was made and what was measured.

usage: python ship.py SNAPSHOT REPORTS BEFORE OUT.safetensors

REPORTS is a folder with what `gansteer evaluate quality|faces|smoothness|tracking --json` wrote, a file each, named
quality.json, faces.json, smoothness.json, tracking.json; those that are missing are left out of the card. BEFORE is how
many images the runs that the snapshot's run was grown from have seen.
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
    "little training: softer than its training pictures, with unequal eyes and smeared teeth",
)


def main(snapshot: Path, reports: Path, before: int, out: Path) -> None:
    model = gansteer.load(str(snapshot), device="cpu")
    images = before + int(snapshot.stem.split("-")[1])
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
        description="StyleGAN2 trained on rendered portraits of synthetic people, with a projected discriminator; known pictures are drawn again beside new ones. Grown from 64 px.",
        training={
            "data": "portraits rendered from public-domain parts by recipes/portraits/render, with mirrored copies",
            "images": images,
            **{
                key: config[key]
                for key in (
                    "loss",
                    "batch",
                    "g_lr",
                    "d_lr",
                    "anchor",
                    "anchor_faces",
                    "anchor_weight",
                    "augment_colour",
                )
            },
        },
        drag_layer="b32.conv1",  # docs/drag.md has the comparison
        metrics=metrics,
        limits=LIMITS,
    )
    save_model(Model(card, model.generator), out, torch.float16)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB after {images} images")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    snapshot, reports, before, out = sys.argv[1:]
    main(Path(snapshot), Path(reports), int(before), Path(out))
