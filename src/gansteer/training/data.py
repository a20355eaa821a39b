"""Pictures to train on: a folder or a zip, checked before training starts, in an order that depends on the seed alone."""

import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from gansteer.colours import WHITE, Colour
from gansteer.errors import UserError
from gansteer.pictures import is_theirs, read_photo
from gansteer.training.labels import Classes, read_classes

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
CACHE_BYTES = 4 * 2**30
MAX_FILE = 1 << 28
"""Bytes of one unpacked file of a zip."""
NAMED = 20
"""Names of wrong pictures of a kind that a message lists."""

Crop = Literal["none", "center", "pad"]
"""Pictures as they are; the largest square in their middle; or bars of the background that make them square."""


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
        self.names = sorted(name for name in found if is_theirs(name))

    def read(self, name: str) -> bytes:
        if self.path.is_dir():
            return (self.path / name).read_bytes()
        if self._zip is None:
            self._zip = zipfile.ZipFile(self.path)
        size = self._zip.getinfo(name).file_size
        if size > MAX_FILE:
            raise UserError(f"{self.path / name} unpacks to {size >> 20} MB, more than a picture has")
        return self._zip.read(name)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_zip": None}  # an open file does not travel to worker processes


class Pictures(Dataset[tuple[Tensor, int]]):
    """Square pictures reduced to `resolution`: item i is (`uint8 [3, r, r]`, class or 0).

    With `mirror`, the second half of the items are the mirrored copies of the first; `crop` makes pictures of any shape
    square, and `background` is what shows through transparent ones. Opening reads every picture once, as photos are read:
    those that cannot be read, are not square, differ in size from most, or are smaller than `resolution` are listed in
    one UserError.
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
        crop: Crop = "none",
        background: Colour = WHITE,
    ) -> None:
        if not path.exists():
            raise UserError(f"there is no folder or zip at {path}")
        self.source = Source(path)
        self.resolution = resolution
        self.mirror = mirror
        self.crop = crop
        self.background = background
        self.names = [name for name in self.source.names if Path(name).suffix.lower() in ENDINGS]
        if not self.names:
            raise UserError(f"{path} holds no pictures ({', '.join(sorted(ENDINGS))})")
        classes = Classes([0] * len(self.names))
        if labels:
            classes = read_classes(self.names, self.source.names, self.source.read, str(path))
        self.labels, self.class_names = classes.labels, classes.names
        self.c_dim = max(self.labels) + 1 if labels else 0
        self._cache: list[Tensor] | None = None
        self._check(progress, keep=len(self.names) * 3 * resolution**2 <= cache_bytes)

    def _check(self, progress: Callable[[int, int], None], keep: bool) -> None:
        """Decode every picture once, perhaps keep them, and say which ones are wrong."""
        kept: list[Tensor] = []
        sizes: dict[str, tuple[int, int]] = {}
        unread: list[str] = []

        def read(name: str) -> tuple[Tensor, tuple[int, int]] | str:
            try:
                return self._decode(name)
            except UserError as error:
                return str(error)
            except Exception as error:  # the zip's own checksum, a file taken away meanwhile
                return f"{self.source.path / name} cannot be read ({type(error).__name__})"

        # A zip is one stream, so only folders are read by several threads.
        with ThreadPoolExecutor(4 if self.source.path.is_dir() else 1) as pool:
            for i, result in enumerate(pool.map(read, self.names)):
                progress(i + 1, len(self.names))
                if isinstance(result, str):
                    unread.append(result)
                    continue
                picture, sizes[self.names[i]] = result
                if keep:
                    kept.append(picture)
        wrong = unread + self._misshapen(sizes)
        if wrong:
            raise UserError(
                "; ".join(wrong[:NAMED]) + (f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else "")
            )
        self._cache = kept if keep else None

    def _misshapen(self, sizes: dict[str, tuple[int, int]]) -> list[str]:
        """One sentence for each kind of wrong shape, which lists the pictures of it."""
        square = {name: size for name, size in sizes.items() if size[0] == size[1]}
        most = Counter(square.values()).most_common(1)[0][0][0] if square else 0
        as_they_are = self.crop == "none"
        kinds = {
            "not square": [name for name in sizes if name not in square] if as_they_are else [],
            f"not {most} x {most} as most are": [
                name for name, size in square.items() if as_they_are and most >= self.resolution != size[0] != most
            ],
            f"smaller than {self.resolution} px": [
                name for name, size in (square if as_they_are else sizes).items() if self._side(size) < self.resolution
            ],
        }
        found = []
        for kind, names in kinds.items():
            if not names:
                continue
            listed = ", ".join(f"{name} ({sizes[name][0]} x {sizes[name][1]})" for name in names[:NAMED])
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            hint = (
                ""
                if kind.startswith("smaller")
                else ": make them alike, as gansteer train does with --crop center or --crop pad"
            )
            verb = "is" if len(names) == 1 else "are"
            found.append(
                f"{len(names)} of {len(self.names)} pictures in {self.source.path} {verb} {kind}: {listed}{more}{hint}"
            )
        return found

    def _side(self, size: tuple[int, int]) -> int:
        """Width and height of the square that becomes of a picture of this size."""
        return max(size) if self.crop == "pad" else min(size)

    def _decode(self, name: str) -> tuple[Tensor, tuple[int, int]]:
        """One picture, `uint8 [3, H, W]`, square and reduced to the resolution if it can be; and its size before."""
        where = str(self.source.path / name)
        picture = read_photo(self.source.read(name), where, background=self.background, smallest=1)
        size = picture.size
        if size[0] != size[1] and self.crop != "none":
            side = self._side(size)
            left, top = (size[0] - side) // 2, (size[1] - side) // 2
            if self.crop == "center":
                picture = picture.crop((left, top, left + side, top + side))
            else:
                square = Image.new("RGB", (side, side), self.background)
                square.paste(picture, (-left, -top))
                picture = square
        if picture.width == picture.height and picture.width > self.resolution:
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
