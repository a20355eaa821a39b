"""Gather rendered portraits from one or more folders into one folder of training pictures with their labels.

usage: python prepare.py OUT SIZE FOLDER [FOLDER ...]

A FOLDER holds pictures and a labels.jsonl (as recipes/portraits/render writes it), or an `images` folder beside one.
OUT gets PNGs of SIZE px (Lanczos) and a labels.jsonl whose landmarks are in pixels of those. What is there is kept, so
the command can be repeated when more pictures have been rendered. Never give it `heldout` or `pairs`.
"""

import json
import sys
from pathlib import Path

from PIL import Image

from gansteer.output import save_picture


def gather(out: Path, size: int, folders: list[Path]) -> int:
    """Write every picture that has a label; returns how many there are."""
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    for folder in folders:
        pictures = folder / "images" if (folder / "images").is_dir() else folder
        for line in (folder / "labels.jsonl").read_text().splitlines():
            label = json.loads(line)
            target = out / f"{Path(label['file']).stem}.png"
            with Image.open(pictures / label["file"]) as picture:
                scale = size / picture.width
                if not target.exists():
                    save_picture(picture.convert("RGB").resize((size, size), Image.Resampling.LANCZOS), target)
            for key in {"lm", "eyes2d", "pupils"} & label.keys():
                # The renderer counts from the picture's corner, so sizes scale and nothing shifts.
                label[key] = [[round(v * scale, 3) for v in point] for point in label[key]]
            lines.append(json.dumps({**label, "file": target.name}))
    (out / "labels.jsonl").write_text("\n".join(lines) + "\n")
    return len(lines)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    print(gather(Path(sys.argv[1]), int(sys.argv[2]), [Path(f) for f in sys.argv[3:]]), "pictures")
