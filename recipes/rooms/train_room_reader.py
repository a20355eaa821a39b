"""Train the room reader on rooms with exact maps and write it, with its held-out accuracy, where it is shipped from.

    python recipes/rooms/train_room_reader.py --train rooms/labels.jsonl more/labels.jsonl \\
        --heldout rooms/heldout.jsonl --out src/gansteer/weights/readers/room_reader.safetensors

Seeds that leave 7 when divided by 13 are left out of what is learnt, wherever they are.
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from room_data import Rooms, augment, load, to_float
from torch import Tensor

from gansteer.checkpoints.readers import ROOMS
from gansteer.models.face_reader import resize
from gansteer.models.room_reader import KINDS, SIZE, RoomReader


def kind_weights(kinds: Tensor) -> Tensor:
    """`[14]`: what a pixel of each kind counts for, the fourth root of how rare it is, 1 on average over pixels."""
    share = torch.bincount(kinds.flatten().long(), minlength=len(KINDS)).float() / kinds.numel()
    weight = share.clamp(min=1e-5) ** -0.25
    return weight / (weight * share).sum()


def train(network: RoomReader, data: Rooms, steps: int, batch: int, rate: float, minutes: float, seed: int) -> int:
    """Adam, one-cycle learning rate, cross-entropy of every pixel; stops early at `minutes`. Returns the steps done."""
    rng = torch.Generator().manual_seed(seed)
    weights = kind_weights(data.kinds)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    order, begin, total = torch.empty(0, dtype=torch.long), time.monotonic(), 0.0
    network.train()
    for step in range(1, steps + 1):
        if len(order) < batch:
            order = torch.randperm(len(data), generator=rng)
        pick, order = order[:batch], order[batch:]
        pictures, kinds = augment(data[pick], rng)
        loss = F.cross_entropy(network(pictures.contiguous(memory_format=torch.channels_last)), kinds, weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        total += float(loss.detach())
        if step % 50 == 0:
            passed = (time.monotonic() - begin) / 60
            print(f"step {step}: loss {total / 50:.4f}, {passed:.1f} minutes", flush=True)
            total = 0.0
            if passed > minutes:
                return step
    return steps


def confusion(network: RoomReader, data: Rooms, size: int = SIZE) -> Tensor:
    """`[14, 14]` pixels of each true kind (rows) by the kind read (columns), from pictures seen through `size` px."""
    found = torch.zeros(len(KINDS) ** 2, dtype=torch.long)
    for i in range(0, len(data), 32):
        part = data[torch.arange(i, min(i + 32, len(data)))]
        read = network.segment(resize(to_float(part.pictures), size))
        found += torch.bincount((part.kinds.long() * len(KINDS) + read).flatten(), minlength=len(found))
    return found.view(len(KINDS), len(KINDS))


def accuracy(table: Tensor) -> dict[str, object]:
    """Pixel accuracy and mean intersection over union of a confusion table; `iou` for each kind."""
    hits = table.diag().double()
    iou = hits / (table.sum(dim=0) + table.sum(dim=1) - hits).clamp(min=1)
    return {
        "pixel_accuracy": round(float(hits.sum() / table.sum()), 4),
        "mean_iou": round(float(iou.mean()), 4),
        "iou": {kind: round(float(value), 3) for kind, value in zip(KINDS, iou, strict=True)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="label files to learn from")
    parser.add_argument("--heldout", type=Path, required=True, help="label file to measure on, never learnt from")
    parser.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--minutes", type=float, default=60, help="stop after this time even if steps are left")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    data = load(args.train)
    data = data[~data.heldout]
    heldout = load([args.heldout])
    print(f"{len(data)} rooms to learn from, {len(heldout)} held out", flush=True)
    network = RoomReader().to(memory_format=torch.channels_last)
    done = train(network, data, args.steps, args.batch, args.rate, args.minutes, args.seed)
    card: dict[str, object] = {
        "name": "room_reader",
        "domain": "rendered rooms",
        "licence": "MIT (trained on CC0 pictures)",
        "description": "Which of 13 kinds of thing, or background, each pixel of a rendered room shows, at 128 px.",
        "training": {"pictures": len(data), "seen": done * args.batch, "seed": args.seed},
        "limits": ["Made for the rooms data and generators trained on it; not for photographs."],
    }
    ROOMS.save(network, args.out, card)
    network = ROOMS.load(path=args.out)  # what is shipped is measured: float16, read back
    card["heldout"] = {
        "pictures": len(heldout),
        **accuracy(confusion(network, heldout)),
        "through_64_px": accuracy(confusion(network, heldout, 64)),
        "background_share": round(float((heldout.kinds == 0).double().mean()), 4),
    }
    ROOMS.save(network, args.out, card)
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
