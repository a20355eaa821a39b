"""Labelled rooms: pictures with the kind of every pixel, and the augmentation of a batch."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gansteer.models.face_reader import resize
from gansteer.models.room_reader import BACKGROUND, KINDS, SIZE

HELDOUT_DIVISOR, HELDOUT_REST = 13, 7
"""A seed that leaves 7 when divided by 13 is never learnt from."""


@dataclass(frozen=True, eq=False)
class Rooms:
    """`N` pictures with what every pixel of them shows."""

    pictures: Tensor
    """uint8 `[N, 3, 128, 128]`."""
    kinds: Tensor
    """uint8 `[N, 128, 128]`: index into `KINDS`."""
    seeds: Tensor
    """int64 `[N]`: the renderer's seeds."""

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: Tensor) -> "Rooms":
        return Rooms(self.pictures[index], self.kinds[index], self.seeds[index])

    @property
    def heldout(self) -> Tensor:
        """bool `[N]`: which of them are never to be learnt from."""
        return self.seeds % HELDOUT_DIVISOR == HELDOUT_REST


def kinds_of(ids: np.ndarray, things: list[dict]) -> np.ndarray:
    """A map of things' ids, uint8 `[H, W]`, to one of their kinds."""
    table = np.full(256, BACKGROUND, np.uint8)
    for thing in things:
        table[thing["id"]] = KINDS.index(thing["kind"])
    return table[ids]


def load(folders: list[Path]) -> Rooms:
    """The rooms of these label files (`labels.jsonl`, `heldout.jsonl`) and their maps.

    Maps are in `labels_maps.npz` beside `labels.jsonl`, or, as the renderer leaves them, in a PNG beside each picture.
    """
    pictures, kinds, seeds = [], [], []
    for labels in folders:
        lines = [json.loads(line) for line in labels.read_text().splitlines()]
        packed = labels.with_name(f"{labels.stem}_maps.npz")
        maps: dict[str, np.ndarray] = {}
        if packed.exists():
            with np.load(packed) as file:
                maps = dict(zip(file["files"].tolist(), file["maps"], strict=True))
        folder = next(f for f in (labels.with_suffix(""), labels.parent / "images", labels.parent) if f.is_dir())
        for line in lines:
            path = folder / line["file"]
            ids = maps[line["file"]] if maps else np.array(Image.open(path.with_name(f"{path.stem}_map.png")))
            kinds.append(torch.from_numpy(kinds_of(ids, line["things"])))
            with Image.open(path) as image:
                small = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
            pictures.append(torch.from_numpy(np.array(small)).permute(2, 0, 1))
            seeds.append(line["seed"])
    return Rooms(torch.stack(pictures), torch.stack(kinds), torch.tensor(seeds))


def to_float(pictures: Tensor) -> Tensor:
    """uint8 0..255 to float in [-1, 1]."""
    return pictures.float() / 127.5 - 1


def augment(batch: Rooms, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures `[B, 3, 128, 128]` in [-1, 1] and kinds `[B, 128, 128]`, each picture moved and degraded at random.

    Half are mirrored; all are scaled by 0.85 to 1.2 and shifted by up to 8 px; light and colour change; two thirds are
    softened (through 40 to 112 px, as a generator at 64 px or one that is not done would draw); noise is added.
    """
    count = len(batch)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=rng) * (high - low) + low

    pictures, kinds = to_float(batch.pictures), batch.kinds[:, None].float()
    mirror = (uniform(0, 1) < 0.5)[:, None, None, None]
    pictures, kinds = (torch.where(mirror, x.flip(3), x) for x in (pictures, kinds))
    zoom, shift = uniform(-0.16, 0.18).exp(), uniform(-8, 8, 2) * 2 / SIZE
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / zoom
    theta[:, :, 2] = shift
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    pictures = F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)
    kinds = F.grid_sample(kinds, grid, mode="nearest", padding_mode="reflection", align_corners=False)

    size = int(torch.randint(40, 112, (), generator=rng))
    soft = resize(resize(pictures, size), SIZE)
    pictures = torch.where(uniform(0, 1, 1, 1, 1) < 0.67, soft, pictures)
    gain = uniform(0.8, 1.2, 1, 1, 1) * uniform(0.9, 1.1, 3, 1, 1)
    pictures = (pictures + 1) * gain - 1 + uniform(-0.12, 0.12, 1, 1, 1)
    noise = torch.randn(pictures.shape, generator=rng) * uniform(0, 0.08, 1, 1, 1)
    return (pictures + noise).clamp(-1, 1), kinds[:, 0].long()
