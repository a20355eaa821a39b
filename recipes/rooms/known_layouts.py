"""Layouts of real rooms without any label, so that a run may draw them again: what stands out from the empty room is a thing.

usage: python known_layouts.py OUT.npz FOLDER [FOLDER ...]

The camera and the shape of the rooms are the same in all pictures, so an empty room is three colours, of ceiling, wall and floor, times
a shading that the median over all pictures gives. Where a picture is far from that there is a thing; each connected region, cut in two
where it has two colours, becomes a blob. A blob's style code is what its crop looks like, z the three colours; both whitened, as
codes are drawn from N(0, 1). OUT holds `pictures [n, 128, 128, 3]`, and for these and their mirrored copies `layouts [2 n, 6, 4]` (x, y and
radius in units of half a picture, 1 for one that is there), `codes [2 n, 6, 16]` and `z [2 n, 16]`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.special import ndtri

BLOBS, SIDE, SMALL, NUMBERS = 6, 128, 64, 16
"""Blobs a layout; the pictures' size; that at which things are sought; numbers of a code."""
FAR = 0.26
"""Difference from the empty room in [-1, 1] RGB from which on a pixel belongs to a thing."""
LEAST, LARGE, SPLIT = 18, 900, 60
"""Pixels of 64 x 64 that a thing has at least; from which on two colours are sought in it; that each part has at least."""
RADIUS = 0.1, 0.36
HELD_OUT = 13, 7
"""Seeds that leave the second number when divided by the first are never used."""

Region = tuple[np.ndarray, np.ndarray]
"""Rows and columns of its pixels."""


def read(folders: Sequence[Path]) -> np.ndarray:
    """All pictures that are not held out, `uint8 [n, 128, 128, 3]`."""
    found: dict[str, np.ndarray] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.[jp][pn]g"))):
        if int(path.stem) % HELD_OUT[0] == HELD_OUT[1] or path.stem in found:
            continue
        with Image.open(path) as image:
            found[path.stem] = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    return np.stack(list(found.values()))


def frequent(values: np.ndarray) -> np.ndarray:
    """The most frequent colour of `[n, pixels, 3]`: `[n, 3]`, the mean of those nearer and nearer to it, from the median on."""
    out = np.median(values, 1)
    for width in (0.25, 0.12, 0.08):
        near = (np.abs(values - out[:, None]).max(-1) < width)[..., None]
        out = (values * near).sum(1) / np.maximum(near.sum(1), 1)
    return out


def empty_rooms(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rooms `[n, 64, 64, 3]` in [0, 1] without their things, and their colours `[n, 9]`.

    Each pixel follows that of the three colours which explains it best over all pictures.
    """
    n = len(x)
    walls = [x[:, 9:16, 14:50].reshape(n, -1, 3), x[:, 16:26, 12:52].reshape(n, -1, 3)]
    wall = frequent(np.concatenate(walls, 1))
    floor, ceiling = frequent(x[:, 52:, 6:58].reshape(n, -1, 3)), frequent(x[:, :3, 10:54].reshape(n, -1, 3))
    best, fit = np.full(x.shape[1:3], np.inf), np.zeros_like(x)
    for colour in (wall, floor, ceiling):
        shading = np.median((x + 0.02) / (colour[:, None, None] + 0.02), 0)
        guess = (colour[:, None, None] + 0.02) * shading - 0.02
        error = np.median(np.abs(x - guess).mean(-1), 0)
        better = error < best
        best, fit = np.where(better, error, best), np.where(better[None, ..., None], guess, fit)
    return fit, np.concatenate([wall, floor, ceiling], 1)


def regions(mask: np.ndarray) -> list[Region]:
    """Connected regions of a bool map, the largest first."""
    labels, count = ndimage.label(mask)
    found = [np.nonzero(labels == k) for k in range(1, count + 1)]
    return sorted(found, key=lambda r: -len(r[0]))


def halves(region: Region, picture: np.ndarray) -> list[Region] | None:
    """A region cut where its colours differ (two means, from its darkest and its brightest pixel); None where they do not."""
    rows, columns = region
    f = np.concatenate([np.stack([columns / 24, rows / 16], 1), 3.0 * picture[rows, columns]], 1)
    brightness = f[:, 2:].sum(1)
    means = np.stack([f[brightness.argmin()], f[brightness.argmax()]])
    for _ in range(10):
        nearest = ((f[:, None] - means[None]) ** 2).sum(-1).argmin(1)
        for j in (0, 1):
            if (nearest == j).any():
                means[j] = f[nearest == j].mean(0)
    parts: list[Region] = []
    for j in (0, 1):
        mask = np.zeros(picture.shape[:2], bool)
        mask[rows[nearest == j], columns[nearest == j]] = True
        parts += regions(mask)[:1]
    if len(parts) < 2 or min(len(part[0]) for part in parts) <= SPLIT:
        return None
    middles = [np.array([part[0].mean(), part[1].mean()]) for part in parts]
    differ = np.abs(means[0, 2:] - means[1, 2:]).max() > 0.75 and np.linalg.norm(middles[0] - middles[1]) > 9
    return parts if differ else None


def things(picture: np.ndarray, empty: np.ndarray) -> list[Region]:
    """The things of a room `[64, 64, 3]` beside the same room without them, both in [-1, 1]; the largest first."""
    far = ndimage.gaussian_filter(np.sqrt(((picture - empty) ** 2).sum(-1)), 0.7) > FAR
    far = ndimage.binary_opening(ndimage.binary_closing(far, np.ones((2, 2))), np.ones((3, 3)))
    left = [region for region in regions(far) if len(region[0]) >= LEAST]
    found: list[Region] = []
    while left and len(found) < 40:
        region = left.pop(0)
        size = len(region[0])
        height, width = (int(np.ptp(axis)) + 1 for axis in region)
        parts = halves(region, picture) if size > LARGE or (size < 0.5 * height * width and size > 150) else None
        if parts is None:
            found.append(region)
        else:
            left += parts
    return sorted(found, key=lambda r: -len(r[0]))


def layout_of(found: Sequence[Region]) -> np.ndarray:
    """`[6, 4]`: a blob on each of the largest things."""
    layout = np.zeros((BLOBS, 4), np.float32)
    for k, (rows, columns) in enumerate(found[:BLOBS]):
        radius = 0.85 * np.sqrt(len(rows) / np.pi) / (SMALL / 2)
        x, y = ((axis.mean() + 0.5) / SMALL * 2 - 1 for axis in (columns, rows))
        layout[k] = x, y, np.clip(radius, *RADIUS), 1
    return layout


def crops_of(picture: np.ndarray, layout: np.ndarray) -> np.ndarray:
    """What is under each blob of a picture `[128, 128, 3]`: `[6, 192]` in [-1, 1], squares of 1.7 radii at 8 px."""
    image, out = Image.fromarray(picture), np.zeros((BLOBS, 192), np.float32)
    for k, (x, y, radius, present) in enumerate(layout):
        if present:
            cx, cy, s = (x + 1) * SIDE / 2, (y + 1) * SIDE / 2, 1.7 * radius * SIDE / 2
            crop = image.crop((int(cx - s), int(cy - s), int(cx + s), int(cy + s)))
            out[k] = np.asarray(crop.resize((8, 8), Image.Resampling.BOX), np.float32).ravel() / 127.5 - 1
    return out


def whitened(x: np.ndarray, numbers: int) -> np.ndarray:
    """`[n, d]` to its first principal components `[n, numbers]`, each of deviation 1."""
    x = x - x.mean(0)
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    out: np.ndarray = x @ vectors[:, ::-1][:, :numbers] / np.sqrt(values[::-1][:numbers])
    return out


def codes_of(crops: np.ndarray, layouts: np.ndarray) -> np.ndarray:
    """Style codes `[n, 6, 16]`, nearly N(0, 1), on the wall and on the floor each by themselves, so that they tell no place."""
    codes = np.random.default_rng(0).standard_normal((*layouts.shape[:2], NUMBERS)).astype(np.float32)
    wall = layouts[..., 1] < -0.1
    for band in (wall, ~wall):
        at = (layouts[..., 3] > 0) & band
        c = whitened(crops[at], NUMBERS)
        normal = ndtri((c.argsort(0).argsort(0) + 0.5) / len(c))
        codes[at] = 0.5 * normal + 0.5 * np.clip(c, -2.5, 2.5)
    return codes


def main(out: Path, folders: Sequence[Path]) -> None:
    pictures = read(folders)
    n = len(pictures)
    small = pictures.reshape(n, SMALL, 2, SMALL, 2, 3).mean((2, 4)).astype(np.float32) / 255
    empty, colours = empty_rooms(small)
    layouts = np.stack([layout_of(things(2 * a - 1, 2 * b - 1)) for a, b in zip(small, empty, strict=True)])
    mirrored = layouts * np.array([-1, 1, 1, 1], np.float32)
    layouts = np.concatenate([layouts, mirrored])
    both = np.concatenate([pictures, pictures[:, :, ::-1]])
    codes = codes_of(np.stack([crops_of(p, b) for p, b in zip(both, layouts, strict=True)]), layouts)
    z = np.clip(whitened(np.concatenate([colours, colours]), NUMBERS), -2.5, 2.5)
    rest = np.random.default_rng(1).standard_normal((2 * n, NUMBERS - z.shape[1]))
    np.savez(out, pictures=pictures, layouts=layouts, codes=codes, z=np.concatenate([z, rest], 1).astype(np.float32))
    print(f"{out}: {n} rooms, {layouts[:n, :, 3].sum() / n:.2f} blobs each")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), [Path(folder) for folder in sys.argv[2:]])
