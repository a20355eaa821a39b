"""What gansteer writes, in a folder: pictures, records, sessions, journals, checkpoints. Two such folders are compared.

    PYTHONPATH=/path/to/one/src   python recipes/earlier/write.py out/one
    PYTHONPATH=/path/to/other/src python recipes/earlier/write.py out/other
    python recipes/earlier/compare.py out/one out/other

Everything goes through the command line and the studio's socket, as a person's work does, so that the same script runs
with any version whose source tree PYTHONPATH names. On one machine, two versions that draw and write the same give the
same bytes, but for the time that a step took (`compare.py`).

With `--only studio,drag` only these parts are written; `train` comes first, since it makes the model of most others.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from studio import in_the_studio

PHOTO = Path(__file__).parents[2] / "tests" / "data" / "portraits" / "h00006.jpg"
CROP = "64,64,120,5"
TINY = {
    "resolution": 32, "batch": 4, "z-dim": 8, "w-dim": 8, "mapping-layers": 2, "channel-base": 256, "channel-max": 8,
    "device": "cpu", "snapshot-images": 1000,
}  # fmt: skip


def gansteer(out: Path, *words: object, text: str | None = None) -> None:
    """Run a command in the folder `out`; what it prints goes to the file `text`, if it is given."""
    command = [sys.executable, "-m", "gansteer", *map(str, words)]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"gansteer {' '.join(map(str, words))} ended with {done.returncode}:\n{done.stderr}")
    if text is not None:
        (out / text).write_text(done.stdout)


def flags(**values: object) -> list[object]:
    """`{"z-dim": 8}` as words of the shell."""
    return [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", value)]


def train(out: Path) -> None:
    """Training runs of some steps, one of them continued; the model `tiny.safetensors` that other parts use."""
    rng = np.random.default_rng(0)
    (out / "pictures").mkdir()
    for i in range(10):
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        coarse.resize((32, 32), Image.Resampling.BICUBIC).save(out / "pictures" / f"{i:02d}.png")
    plain = flags(data="pictures", **TINY)
    rough = flags(loss="stylegan2", path_length=2, g_lr=0.02, ema_images=10)
    gansteer(out, "train", *plain, *rough, *flags(out="tiny", images=24))
    gansteer(out, "train", *plain, *rough, *flags(out="tiny", images=40))
    gansteer(out, "train", *plain, *flags(out="projected", images=8, loss="projected"), "--mirror")
    anchored = flags(loss="projected", anchor=0.5, anchor_images=8)
    gansteer(out, "train", *plain, *anchored, *flags(out="anchored", images=16))
    grown = {**TINY, "resolution": 64}
    for i in range(10):
        path = out / "pictures" / f"{i:02d}.png"
        Image.open(path).resize((64, 64), Image.Resampling.BICUBIC).save(path)
    finer = flags(grow="tiny", discriminator_images=8, loss="stylegan2", augment="diffaugment", out="grown", images=16)
    gansteer(out, "train", *flags(data="pictures", **grown), *finer)
    shutil.rmtree(out / "pictures")
    for folder in ("tiny", "projected", "anchored", "grown"):  # logs and checkpoints say how long it took
        for path in (out / folder).iterdir():
            if not path.name.startswith(("snapshot-", "samples-", "codes.")):
                path.unlink()
    shutil.copy(out / "tiny" / "snapshot-000000040.safetensors", out / "tiny.safetensors")


def checkpoints(out: Path) -> None:
    """Our own format, written anew."""
    (out / "checkpoints").mkdir()
    for precision in ("float32", "float16"):
        gansteer(
            out, "convert", "tiny.safetensors", f"checkpoints/{precision}.safetensors", *flags(precision=precision)
        )
    gansteer(out, "info", "tiny.safetensors", text="checkpoints/info.txt")
    encoder = flags(
        model="tiny.safetensors", steps=3, batch=2, passes=2, looks=16, out="checkpoints/encoder.safetensors"
    )
    gansteer(out, "train-encoder", *encoder, "--device", "cpu")
    gansteer(out, "evaluate", "smoothness", *flags(model="tiny.safetensors", paths=2, steps=10, json="smoothness.json"))
    gansteer(out, "evaluate", "tracking", *flags(model="portraits", moves=3, json="tracking.json"))


def seeds(out: Path) -> None:
    """Pictures of seeds."""
    (out / "seeds").mkdir()
    gansteer(out, "sample", *flags(model="portraits", seeds="0-7", out="seeds"))
    gansteer(out, "sample", *flags(model="portraits", seeds="20-23", psi=1, out="seeds/sheet.webp"))
    gansteer(out, "sample", *flags(model="tiny.safetensors", seeds="0-3", psi=1, out="seeds/tiny.png"))


POINT = "64,76:72,76"
PUBLISHED = {"method": "draggan"}
"""What 0.1.0 did unless it was told otherwise."""
DRAGS: dict[str, dict[str, Any]] = {
    "draggan": {},
    "two-points": {"points": [POINT, "40,60:40,55"], "tracker": "nearest-l2"},
    "masked": {"mask": "mask.png", "tracker": "confident", "lambda_mask": 2.0},
    "exact-mask": {"mask": "mask.png", "exact_mask": True, "steps": 4},
    "priors": {"pull": 0.1, "manifold": 0.05, "space": "w"},
    "metric": {"metric": "model", "reach": 10.0, "learning_rate": 1e-2},
    "gauss-newton": {"method": "gauss-newton", "steps": 5},
    "gauss-newton-masked": {"method": "gauss-newton", "steps": 4, "mask": "mask.png"},
    "freedrag": {"method": "freedrag"},
    "freedrag-masked": {"method": "freedrag", "mask": "mask.png"},
}
"""Jobs of `gansteer drag`: name to fields."""


def drag(out: Path) -> None:
    """Drags by all methods with their records and films, of both models; a record carried out again."""
    (out / "drag").mkdir()
    mask = np.zeros((128, 128), np.uint8)
    mask[40:110, 30:100] = 255
    Image.fromarray(mask).save(out / "mask.png")
    usual = {"points": [POINT], "seed": 3, "steps": 8, "learning_rate": 5e-3}
    jobs = [{"name": name, **usual, **PUBLISHED, **fields} for name, fields in DRAGS.items()]
    (out / "jobs.jsonl").write_text("\n".join(map(json.dumps, jobs)))
    gansteer(out, "drag", *flags(model="portraits", jobs="jobs.jsonl", out="drag", film="x.webp"))
    gansteer(out, "drag", *flags(model="portraits", replay="drag/masked.json", out="drag/masked-again.png"))
    layer = {"layer": "b16.conv1", "rows": 4, "steps": 10, "learning_rate": 2e-2, "points": ["12,12:20,15"]}
    names = ("draggan", "gauss-newton", "freedrag")
    small = [{"name": f"tiny-{name}", "seed": 1, "psi": 1.0, **layer, **PUBLISHED, "method": name} for name in names]
    (out / "jobs.jsonl").write_text("\n".join(map(json.dumps, small)))
    gansteer(out, "drag", *flags(model="tiny.safetensors", jobs="jobs.jsonl", out="drag", film="x.gif"))


EDITS: dict[str, list[object]] = {
    "smile.steer": flags(set="smile=+2", hold="age,gender"),
    "two.png": flags(set="smile=+1,age=-1", layers="0-5"),
    "absolute.png": [*flags(set="smile=1.5", space="w"), "--absolute"],
    "styles.steer": flags(set="smile=+2", hold="age", space="s"),
    "seed.png": flags(set="yaw=+1", space="z"),
    "mouth.steer": flags(set="smile=+2", region="mouth"),
    "painted.png": flags(set="age=+2", region="mask.png", channels=200, hold="smile"),
    "alike.png": flags(set="smile=+2", region="64,90"),
}
"""What `gansteer edit` writes to its flags."""


def edit(out: Path) -> None:
    """Attributes and interventions; and a drag of what they made."""
    (out / "edit").mkdir()
    for name, words in EDITS.items():
        gansteer(out, "edit", *flags(model="portraits", seed=7, out=f"edit/{name}"), *words, text=f"edit/{name}.txt")
    for name in ("smile", "styles", "mouth"):
        gansteer(out, "sample", *flags(subject=f"edit/{name}.steer", out=f"edit/{name}.png"))
    further = flags(
        subject="edit/mouth.steer",
        point=POINT,
        steps=5,
        learning_rate=5e-3,
        **PUBLISHED,
        out="edit/further.png",
        json="edit/further.json",
    )
    gansteer(out, "drag", *further)
    back = flags(subject="edit/smile.steer", set="smile=-2", hold="age,gender", out="edit/back.steer")
    gansteer(out, "edit", *back)
    liked = flags(liked="0-9", disliked="10-19", attribute="liking", out="edit/liking.safetensors")
    gansteer(out, "directions", "fit", *flags(model="tiny.safetensors"), *liked)
    turned = flags(
        model="tiny.safetensors", directions="edit/liking.safetensors", set="liking=+1.5", out="edit/liked.steer"
    )
    gansteer(out, "edit", *turned)
    Image.fromarray(np.tri(32, 32, 8, np.uint8) * 255).save(out / "small-mask.png")
    both = flags(liked="0-9", disliked="10-19", attribute="liking", space="w", out="edit/both.safetensors")
    gansteer(out, "directions", "fit", *flags(model="tiny.safetensors"), *both, "--space", "s")
    within = flags(
        model="tiny.safetensors", directions="edit/both.safetensors", set="liking=+1.5", out="edit/within.steer"
    )
    gansteer(out, "edit", *within, *flags(region="small-mask.png"))
    gansteer(out, "directions", "list", *flags(model="portraits"), text="edit/directions.txt")


INVERSIONS: dict[str, list[object]] = {
    "light": flags(projection=4, tuning="light", tuning_steps=3, film="invert/light.webp", paste="invert/paste.png"),
    "none": flags(projection=4, tuning="none", space="w", start="mean"),
    "full": flags(projection=2, tuning="full", tuning_steps=2, noise=1e5),
}
"""The first steps of inversions: name to flags."""


def invert(out: Path) -> None:
    """A photo brought in, and dragged with its own weights."""
    (out / "invert").mkdir()
    for name, words in INVERSIONS.items():
        files = flags(model="portraits", crop=CROP, out=f"invert/{name}.steer", picture=f"invert/{name}.png")
        gansteer(out, "invert", PHOTO, *files, *words)
    few = flags(projection=6, tuning="light", tuning_steps=4, picture="invert/tiny.png", out="invert/tiny.steer")
    gansteer(out, "invert", PHOTO, "--whole", *flags(model="tiny.safetensors"), *few)
    further = flags(
        subject="invert/light.steer",
        point=POINT,
        steps=4,
        learning_rate=5e-3,
        **PUBLISHED,
        out="invert/drag.png",
        json="invert/drag.json",
    )
    gansteer(out, "drag", *further)


PARTS: dict[str, Callable[[Path], None]] = {
    "train": train, "checkpoints": checkpoints, "seeds": seeds, "drag": drag, "edit": edit, "invert": invert,
    "studio": in_the_studio,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument("--only", help=f"some of {','.join(PARTS)}")
    words = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive", MKL_NUM_THREADS="1")
    if "PYTHONPATH" in os.environ:  # commands run in another folder
        os.environ["PYTHONPATH"] = os.pathsep.join(
            str(Path(each).resolve()) for each in os.environ["PYTHONPATH"].split(os.pathsep) if each
        )
    words.out.mkdir(parents=True, exist_ok=True)
    for name, part in PARTS.items():
        if words.only is None or name in words.only.split(","):
            print(f"{name} ...", flush=True)
            part(words.out.resolve())


if __name__ == "__main__":
    main()
