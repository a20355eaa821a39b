"""Train the face reader on labelled portraits and write it, with its held-out accuracy, where it is shipped from.

    python recipes/portraits/train_face_reader.py --train portraits/labels.jsonl more/labels.jsonl \\
        --heldout portraits/heldout.jsonl --pairs portraits/pairs.jsonl \\
        --out src/gansteer/weights/readers/face_reader.safetensors

Pictures of `heldout.jsonl` are in `heldout/` (else `images/`, else beside it). Ten minutes of one core.
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from face_data import Labelled, augment, load, to_float
from torch import Tensor

from gansteer.checkpoints.readers import FACES
from gansteer.models.face_reader import GRID, SCALARS, SIZE, FaceReader, Readings

YEARS = 62
"""Years from age 0 to age 1."""


def landmark_loss(raw: Readings, points: Tensor) -> Tensor:
    """Distance of the points (smooth L1, in cells) plus cross-entropy of the heat maps with a Gaussian, sigma 1 cell.

    The first is what counts; the second gives a gradient everywhere from the first step on. Points outside of the
    picture count for nothing.
    """
    inside = ((points >= 0) & (points <= SIZE - 1)).all(dim=2).float()  # [B, 68]
    cell = SIZE / GRID
    near = F.smooth_l1_loss(raw.points / cell, points / cell, beta=0.25, reduction="none").sum(dim=2)
    place = (points + 0.5) / cell - 0.5
    cells = torch.arange(GRID, dtype=points.dtype)
    x, y = (torch.exp(-0.5 * (cells - place[..., axis, None]) ** 2) for axis in (0, 1))  # [B, 68, 32]
    bump = (y[..., :, None] * x[..., None, :]).flatten(2)
    bump = bump / bump.sum(dim=2, keepdim=True).clamp(min=1e-6)
    spread = -(bump * raw.heat.flatten(2).log_softmax(dim=2)).sum(dim=2)
    return ((near + 0.1 * spread) * inside).sum() / inside.sum()


def attribute_loss(raw: Readings, batch: Labelled, scalars: Tensor) -> Tensor:
    """Squares of the standardised numbers, cross-entropies of gender (a mixture: soft target) and hair.

    Squares rather than distances, since closed eyes and open mouths are rare: a distance is content with the median.
    """
    return (
        F.mse_loss(raw.scalars, scalars)
        + 0.3 * F.binary_cross_entropy_with_logits(raw.gender, batch.gender)
        + 0.2 * F.cross_entropy(raw.hair_color, batch.hair_color, ignore_index=-1)
        + 0.2 * F.cross_entropy(raw.hair_style, batch.hair_style)
    )


def train(network: FaceReader, data: Labelled, steps: int, batch: int, rate: float, seed: int) -> None:
    """AdamW with a linear warm-up and a half cosine, in bfloat16 where that is faster than float32."""
    rng = torch.Generator().manual_seed(seed)
    network.mean.copy_(data.scalars.mean(dim=0))
    network.std.copy_(data.scalars.std(dim=0))
    network.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.05, div_factor=10)
    order = torch.empty(0, dtype=torch.long)
    start = time.process_time()
    for step in range(steps):
        if len(order) < batch:
            order = torch.randperm(len(data), generator=rng)
        chosen, order = data[order[:batch]], order[batch:]
        pictures, points, scalars = augment(chosen, rng)
        with torch.autocast("cpu", torch.bfloat16):
            raw = network(pictures.to(memory_format=torch.channels_last))
        near = landmark_loss(raw, points)
        said = attribute_loss(raw, chosen, (scalars - network.mean) / network.std)
        optimizer.zero_grad(set_to_none=True)
        (near + said).backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            spent = time.process_time() - start
            print(f"step {step + 1}  landmarks {near:.3f}  attributes {said:.3f}  {spent:.0f} cpu-s", flush=True)


def read_all(network: FaceReader, data: Labelled) -> dict[str, Tensor]:
    """What the network reads in all pictures, by the names of `Faces`."""
    with torch.no_grad():
        found = [vars(network.read(to_float(part))) for part in data.pictures.split(64)]
    return {name: torch.cat([each[name] for each in found]) for name in found[0]}


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def accuracy(network: FaceReader, data: Labelled, constant: Labelled) -> dict[str, float]:
    """Figures on held-out pictures. `constant` are the training pictures, whose mean landmarks are the guess to beat."""
    read = read_all(network, data)
    error = (read["landmarks"] - data.points).norm(dim=2)  # [N, 68]
    guess = (constant.points.mean(dim=0) - data.points).norm(dim=2)
    share = 100 / data.between_eyes[:, None]
    known = data.hair_color >= 0
    figures = {
        "pictures": len(data),
        "landmarks_px128": float(error.mean()),
        "landmarks_percent": float((error * share).mean()),
        "landmarks_percent_jaw": float((error * share)[:, :17].mean()),
        "landmarks_percent_inner": float((error * share)[:, 17:].mean()),
        "landmarks_percent_mean_face": float((guess * share).mean()),
        "gender_accuracy": float(((read["gender"] > 0.5) == (data.gender > 0.5)).float().mean()),
        "hair_color_accuracy": float((read["hair_color"].argmax(1) == data.hair_color)[known].float().mean()),
        "hair_style_accuracy": float((read["hair_style"].argmax(1) == data.hair_style).float().mean()),
    }
    for i, name in enumerate(SCALARS):
        figures[f"{name}_r"] = correlation(read[name], data.scalars[:, i])
        figures[f"{name}_error"] = float((read[name] - data.scalars[:, i]).abs().mean())
    figures["age_error_years"] = figures.pop("age_error") * YEARS
    return figures


def differences(network: FaceReader, data: Labelled) -> dict[str, float]:
    """Figures on `pairs`: base, turned and jaw of each person in turn. Does what changed, and only that, show?"""
    read = read_all(network, data)
    yaw, mouth = SCALARS.index("yaw"), SCALARS.index("mouth_open")

    def change(values: Tensor, which: int) -> Tensor:
        return values[which::3] - values[::3]

    true_yaw, found_yaw = change(data.scalars[:, yaw], 1), change(read["yaw"], 1)
    true_jaw, found_jaw = change(data.scalars[:, mouth], 2), change(read["mouth_open"], 2)
    motion = {which: change(read["landmarks"], which) - change(data.points, which) for which in (1, 2)}
    return {
        "people": len(data) // 3,
        "turned_yaw_true": float(true_yaw.mean()),
        "turned_yaw_found": float(found_yaw.mean()),
        "turned_yaw_error": float((found_yaw - true_yaw).abs().mean()),
        "turned_mouth_found": float(change(read["mouth_open"], 1).mean()),
        "turned_motion_error_px128": float(motion[1].norm(dim=2).mean()),
        "jaw_mouth_true": float(true_jaw.mean()),
        "jaw_mouth_found": float(found_jaw.mean()),
        "jaw_mouth_error": float((found_jaw - true_jaw).abs().mean()),
        "jaw_yaw_found": float(change(read["yaw"], 2).mean()),
        "jaw_motion_error_px128": float(motion[2].norm(dim=2).mean()),
    }


def rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="label files to learn from")
    parser.add_argument("--heldout", type=Path, required=True, help="label file to measure on, never learnt from")
    parser.add_argument("--pairs", type=Path, help="label file of people rendered three times, to measure differences")
    parser.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--steps", type=int, default=2800)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    data = load(args.train)
    print(f"{len(data)} pictures to learn from", flush=True)
    heldout = load([args.heldout])
    network = FaceReader()
    train(network, data, args.steps, args.batch, args.rate, args.seed)
    card = {
        "name": "face_reader",
        "domain": "rendered portraits",
        "licence": "MIT (trained on CC0 pictures)",
        "description": "68 landmarks and attributes of the portraits data's synthetic people, from 128 px pictures.",
        "training": {"pictures": len(data), "seen": args.steps * args.batch, "seed": args.seed, "real_people": 0},
        "limits": [
            "Made for the portraits data and generators trained on it, centred like them; not for photographs.",
            "Beards and glasses do not occur in the data; points hidden by hair are guessed.",
        ],
    }
    FACES.save(network, args.out, card)
    network = FACES.load(path=args.out)  # what is shipped is measured: float16, read back
    card["heldout"] = rounded(accuracy(network, heldout, data))
    if args.pairs:
        card["pairs"] = rounded(differences(network, load([args.pairs])))
    FACES.save(network, args.out, card)
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
