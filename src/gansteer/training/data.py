"""Pictures to train on: a folder or a zip, checked before training starts, in an order that depends on the seed alone."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from gansteer.errors import UserError

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
CACHE_BYTES = 4 * 2**30


class Source:
    """The files of a folder or of a zip, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        if path.is_dir():
            found = [p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()]
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                found = [info.filename for info in archive.infolist() if not info.is_dir()]
        else:
            raise UserError(f"{path} is neither a folder nor a zip of pictures")
        self.names = sorted(found)

    def read(self, name: str) -> bytes:
        if self.path.is_dir():
            return (self.path / name).read_bytes()
        if self._zip is None:
            self._zip = zipfile.ZipFile(self.path)
        return self._zip.read(name)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_zip": None}  # an open file does not travel to worker processes


class Pictures(Dataset[tuple[Tensor, int]]):
    """Square pictures reduced to `resolution`: item i is (`uint8 [3, r, r]`, class or 0).

    With `mirror`, the second half of the items are the mirrored copies of the first. Opening reads every picture once:
    one that cannot be read, is not square, differs in size from the first, or is smaller than `resolution` raises a
    UserError that names it.
    """

    def __init__(
        self,
        path: Path,
        resolution: int,
        *,
        mirror: bool = False,
        labels: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        if not path.exists():
            raise UserError(f"there is no folder or zip at {path}")
        self.source = Source(path)
        self.resolution = resolution
        self.mirror = mirror
        self.names = [name for name in self.source.names if Path(name).suffix.lower() in ENDINGS]
        if not self.names:
            raise UserError(f"{path} holds no pictures ({', '.join(sorted(ENDINGS))})")
        self.labels = self._read_labels() if labels else [0] * len(self.names)
        self.c_dim = max(self.labels) + 1 if labels else 0
        self._cache: list[Tensor] | None = None
        self._check(progress, keep=len(self.names) * 3 * resolution**2 <= cache_bytes)

    def _read_labels(self) -> list[int]:
        """NVIDIA's dataset.json: {"labels": [["name.png", class], ...]}."""
        where = f"{self.source.path}/dataset.json"
        if "dataset.json" not in self.source.names:
            raise UserError(f"--conditional needs labels, but there is no {where}")
        try:
            listed = json.loads(self.source.read("dataset.json"))["labels"]
            found = {str(name).replace("\\", "/"): int(label) for name, label in listed}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f'{where} must hold {{"labels": [["picture.png", class], ...]}} with whole numbers'
            ) from error
        missing = [name for name in self.names if name not in found]
        if missing:
            raise UserError(f"{where} has no label for {missing[0]} ({len(missing)} pictures in all)")
        labels = [found[name] for name in self.names]
        if min(labels) < 0:
            raise UserError(f"{where} has a negative class, {min(labels)}")
        return labels

    def _check(self, progress: Callable[[int, int], None], keep: bool) -> None:
        """Decode every picture once, perhaps keep them, and say which ones are wrong."""
        kept: list[Tensor] = []
        sizes: list[tuple[int, int]] = []
        wrong: list[str] = []

        def read(name: str) -> tuple[Tensor, tuple[int, int]] | str:
            try:
                return self._decode(name)
            except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
                return f"{self.source.path / name} cannot be read ({str(error) or type(error).__name__})"

        # A zip is one stream, so only folders are read by several threads.
        with ThreadPoolExecutor(4 if self.source.path.is_dir() else 1) as pool:
            for i, result in enumerate(pool.map(read, self.names)):
                progress(i + 1, len(self.names))
                if isinstance(result, str):
                    wrong.append(result)
                    continue
                picture, size = result
                sizes.append(size)
                if size[0] != size[1]:
                    wrong.append(f"{self.source.path / self.names[i]} is not square ({size[0]} x {size[1]})")
                elif size != sizes[0]:
                    wrong.append(
                        f"{self.source.path / self.names[i]} is {size[0]} px where the first picture is {sizes[0][0]} px"
                    )
                elif size[0] < self.resolution:
                    wrong.append(f"{self.source.path / self.names[i]} is {size[0]} px, below {self.resolution} px")
                elif keep:
                    kept.append(picture)
        if wrong:
            more = f" (and {len(wrong) - 1} more pictures are wrong)" if len(wrong) > 1 else ""
            raise UserError(wrong[0] + more)
        self._cache = kept if keep else None

    def _decode(self, name: str) -> tuple[Tensor, tuple[int, int]]:
        with Image.open(io.BytesIO(self.source.read(name))) as opened:
            picture = opened.convert("RGB")
        size = picture.size
        if size[0] == size[1] and size[0] > self.resolution:
            picture = picture.resize((self.resolution, self.resolution), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous(), size

    @property
    def in_memory(self) -> bool:
        """Whether the decoded pictures are kept, so that nothing is left for worker processes to do."""
        return self._cache is not None

    def __len__(self) -> int:
        return len(self.names) * (2 if self.mirror else 1)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        i = index % len(self.names)
        picture = self._decode(self.names[i])[0] if self._cache is None else self._cache[i]
        return (picture.flip(2) if index >= len(self.names) else picture), self.labels[i]


def batches(items: int, batch: int, seed: int, start: int, rank: int = 0, processes: int = 1) -> Iterator[list[int]]:
    """The items of each step's batch for one process, endlessly, from step `start` on.

    Every epoch is a permutation that depends on (seed, epoch) alone, so step n is the same however one got there.
    """
    epoch, order = -1, torch.empty(0)
    step = start
    while True:
        chosen = []
        for position in range(step * batch + rank, (step + 1) * batch, processes):
            if position // items != epoch:
                epoch = position // items
                order = torch.randperm(items, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
            chosen.append(int(order[position % items]))
        yield chosen
        step += 1
