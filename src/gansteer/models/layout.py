"""Layouts: the blobs that a person moves, and the heatmaps that a generator is conditioned on (Wang et al. 2022, 2024).

A blob is a round place in the picture with a style of its own. Its heatmap is `H(x) = exp(-|x - c|^2 / sigma)`, with x, c and
sqrt(sigma) in units of half a picture, as the papers count; everything else counts in pixels, as a person does.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

SIGMA_MIN = 1e-6
"""The heatmap of a blob of size 0 is that of one with this sigma: nothing, but for a pixel that it hits."""
NO_PARENT = -1
PREFIX = "layout."


@dataclass(frozen=True)
class Blob:
    """One blob of a layout, as numbers that fit into JSON."""

    x: float
    """Centre in picture pixels, to the right; the centre of the left-most pixels is 0."""
    y: float
    """Centre in picture pixels, down."""
    size: float
    """Distance from the centre, in pixels, at which the heatmap has fallen to one half."""
    style: tuple[float, ...]
    """The blob's own style code: as many numbers as the model's `blob_dim`."""
    present: float = 1.0
    """The height of the heatmap: 1 for a blob that is there, 0 for one that is not."""
    level: int = 0
    """0 for a blob that all layers see; of a hierarchy, 1 for the coarsest level, then 2 and 3."""
    parent: int | None = None
    """The index of the blob that takes this one along when it moves."""


@dataclass(frozen=True, eq=False)
class Layout:
    """The blobs of one picture; or, with a leading dimension B everywhere, of several pictures with K blobs each."""

    centres: Tensor
    """`[K, 2]`: (x, y) in picture pixels."""
    sizes: Tensor
    """`[K]`: distance from the centre, in pixels, at which the heatmap has fallen to one half."""
    styles: Tensor
    """`[K, blob_dim]`: each blob's own style code."""
    present: Tensor
    """`[K]`: the height of each heatmap, 1 for a blob that is there and 0 for one that is not."""
    levels: Tensor
    """`[K]`, whole numbers: 0 for a blob that all layers see, else its level in a hierarchy."""
    parents: Tensor
    """`[K]`, whole numbers: the index of the blob that takes this one along, or -1."""

    def __len__(self) -> int:
        """How many blobs each picture has, absent ones among them."""
        return self.sizes.shape[-1]

    def __getitem__(self, which: int | slice | list[int]) -> "Layout":
        """One of several pictures' layouts, or some of them."""
        return Layout(*(getattr(self, field.name)[which] for field in fields(self)))

    @property
    def batched(self) -> "Layout":
        """The same with a leading dimension B."""
        return self if self.sizes.dim() == 2 else Layout(*(getattr(self, field.name)[None] for field in fields(self)))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Layout":
        """The same on another device and, if given, with its real numbers in another type."""
        centres, sizes, styles, present = (
            x.to(device, dtype) for x in (self.centres, self.sizes, self.styles, self.present)
        )
        return Layout(centres, sizes, styles, present, self.levels.to(device), self.parents.to(device))

    @staticmethod
    def batch(layouts: Sequence["Layout"]) -> "Layout":
        """Layouts, of one picture or of several each, to that of all their pictures; absent blobs make up the numbers."""
        count = max(len(layout) for layout in layouts)
        padded = [layout.batched._padded(count) for layout in layouts]
        return Layout(*(torch.cat([getattr(layout, field.name) for layout in padded]) for field in fields(Layout)))

    def _padded(self, count: int) -> "Layout":
        more = count - len(self)
        if not more:
            return self

        def longer(x: Tensor, value: float) -> Tensor:
            return torch.cat([x, x.new_full((len(x), more, *x.shape[2:]), value)], dim=1)

        fill = {"sizes": 1.0, "parents": float(NO_PARENT)}
        return Layout(*(longer(getattr(self, f.name), fill.get(f.name, 0.0)) for f in fields(self)))

    def lerp(self, other: "Layout", t: float) -> "Layout":
        """`(1 - t) self + t other`, blob by blob. One that only one of them has grows or fades where it is.

        Both must be layouts of as many pictures.
        """
        first, second = self.batched, other.batched
        a, b = first._with_absent(second), second._with_absent(first)
        names = ("centres", "sizes", "styles", "present")
        mixed = replace(b, **{name: torch.lerp(getattr(a, name), getattr(b, name), t) for name in names})
        return mixed if self.sizes.dim() == 2 else mixed[0]

    def _with_absent(self, other: "Layout") -> "Layout":
        """As many blobs as the other has: those that are missing as absent copies of the other's."""
        more = Layout(*(getattr(other, field.name)[:, len(self) :] for field in fields(Layout)))
        more = replace(more, present=torch.zeros_like(more.present))
        return Layout(*(torch.cat([getattr(x, field.name) for x in (self, more)], dim=1) for field in fields(Layout)))

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name, as files keep it: `layout.centres` and so on."""
        return {PREFIX + field.name: getattr(self, field.name) for field in fields(self)}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> "Layout | None":
        """The layout among the tensors of a file; None if it holds none. Raises ValueError if it is damaged."""
        names = [PREFIX + field.name for field in fields(Layout)]
        if not any(name.startswith(PREFIX) for name in tensors):
            return None
        missing = [name for name in names if name not in tensors]
        if missing:
            raise ValueError(f"no layout: it lacks {missing[0]}")
        layout = Layout(*(tensors[name] for name in names))
        layout.check()
        return layout

    def check(self, blob_dim: int | None = None) -> None:
        """Raise ValueError unless all parts are of one number of blobs, finite, and of styles of `blob_dim` numbers."""
        shape = self.sizes.shape
        for name, x in (("centres", self.centres[..., 0]), ("styles", self.styles[..., 0] if self.styles.shape[-1] else self.sizes),
                        ("present", self.present), ("levels", self.levels), ("parents", self.parents)):  # fmt: skip
            if x.shape != shape:
                raise ValueError(f"a layout's {name} must be of {list(shape)} blobs, not {list(x.shape)}")
        if blob_dim is not None and self.styles.shape[-1] != blob_dim:
            raise ValueError(f"a blob's style has {blob_dim} numbers in this model, not {self.styles.shape[-1]}")
        if not all(x.isfinite().all() for x in (self.centres, self.sizes, self.styles, self.present)):
            raise ValueError("a layout's numbers must be finite")
        if self.sizes.numel() and float(self.sizes.detach().min()) < 0:
            raise ValueError("a blob's size must not be negative")
        if self.parents.numel() and not bool(((self.parents >= NO_PARENT) & (self.parents < len(self))).all()):
            raise ValueError("a blob's parent must be a blob of the same layout")

    # --- one picture's blobs, as a person changes them ---

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The blobs of one picture, as numbers."""
        parts = zip(
            self.centres.tolist(), self.sizes.tolist(), self.styles.tolist(), self.present.tolist(), self.levels.tolist(),
            self.parents.tolist(), strict=True,
        )  # fmt: skip
        return tuple(Blob(x, y, r, tuple(s), a, level, None if p < 0 else p) for (x, y), r, s, a, level, p in parts)

    @staticmethod
    def of(blobs: Sequence[Blob], blob_dim: int, dtype: torch.dtype = torch.float32) -> "Layout":
        """The layout of one picture with these blobs; `blob_dim` is needed where there are none."""
        return Layout(
            torch.tensor([[b.x, b.y] for b in blobs], dtype=dtype).view(-1, 2),
            torch.tensor([b.size for b in blobs], dtype=dtype),
            torch.tensor([b.style for b in blobs], dtype=dtype).view(-1, blob_dim),
            torch.tensor([b.present for b in blobs], dtype=dtype),
            torch.tensor([b.level for b in blobs], dtype=torch.long),
            torch.tensor([NO_PARENT if b.parent is None else b.parent for b in blobs], dtype=torch.long),
        )

    def family(self, blob: int) -> Tensor:
        """`[K]`, true for the blob and for all that it takes along when it moves."""
        found = torch.zeros(len(self), dtype=torch.bool, device=self.sizes.device)
        found[blob] = True
        parents = self.parents.clamp(min=0)
        for _ in range(len(self)):
            found = found | ((self.parents >= 0) & found[parents])
        return found

    def moved(self, blob: int, dx: float | Tensor, dy: float | Tensor) -> "Layout":
        """One blob moved by (dx, dy) pixels, its children with it."""
        step = torch.stack([torch.as_tensor(d, dtype=self.centres.dtype, device=self.centres.device) for d in (dx, dy)])
        return replace(self, centres=self.centres + self.family(blob)[:, None] * step)

    def resized(self, blob: int, size: float) -> "Layout":
        """One blob of another size, in pixels."""
        return replace(self, sizes=_put(self.sizes, blob, size))

    def restyled(self, blob: int, style: Tensor) -> "Layout":
        """One blob with another style code `[blob_dim]`."""
        here = (torch.arange(len(self), device=self.styles.device) == blob)[:, None]
        return replace(self, styles=torch.where(here, style.to(self.styles), self.styles))

    def shown(self, blob: int, present: bool | float = True) -> "Layout":
        """One blob made present or absent. An absent one keeps its place, its size and its style."""
        return replace(self, present=_put(self.present, blob, float(present)))

    def added(self, blob: Blob) -> "Layout":
        """One blob more, with the highest index."""
        new = Layout.of([blob], self.styles.shape[-1]).to(self.sizes.device, self.sizes.dtype)
        return Layout(*(torch.cat([getattr(self, field.name), getattr(new, field.name)]) for field in fields(self)))


def _put(x: Tensor, index: int, value: float) -> Tensor:
    here = torch.arange(len(x), device=x.device) == index
    return torch.where(here, torch.as_tensor(value, dtype=x.dtype, device=x.device), x)


def sigma(sizes: Tensor, resolution: int) -> Tensor:
    """Sizes in pixels to the sigma of heatmaps in units of half a picture: `(2 size / resolution)^2 / ln 2`."""
    return (sizes * (2 / resolution)).square() / math.log(2)


def halves(pixels: Tensor, resolution: int) -> Tensor:
    """Places in picture pixels to units of half a picture, -1 the left or upper border and 1 the right or lower one."""
    return (2 * pixels + 1) / resolution - 1


def pixels(halves: Tensor, resolution: int) -> Tensor:
    """Places in units of half a picture to picture pixels."""
    return ((halves + 1) * resolution - 1) / 2


def profiles(layout: Layout, size: int, resolution: int) -> tuple[Tensor, Tensor]:
    """A heatmap is the product of a profile along y, which has its height, and one along x: `[B, K, size]` each.

    A cell of a map smaller than the picture holds the mean over its pixels: the papers draw maps as large as the picture
    and reduce them.
    """
    layout = layout.batched
    drawn = max(size, resolution)
    cells = torch.arange(drawn, dtype=layout.centres.dtype, device=layout.centres.device)
    at, centres = halves(cells, drawn), halves(layout.centres, resolution)
    s = sigma(layout.sizes, resolution).clamp(min=SIGMA_MIN)[..., None]
    x, y = (torch.exp(-(at - centres[..., i, None]).square() / s) for i in (0, 1))  # [B, K, drawn]
    if drawn > size:
        x, y = (p.view(*p.shape[:2], size, drawn // size).mean(dim=-1) for p in (x, y))
    return y * layout.present[..., None], x


def heatmaps(layout: Layout, size: int, resolution: int | None = None) -> Tensor:
    """`H_k(x) = exp(-|x - c_k|^2 / sigma_k)` times the blob's height: `[B, K, size, size]`, differentiable.

    `resolution` is the size of the picture that the layout counts in, by default `size`.
    """
    y, x = profiles(layout, size, resolution or size)
    return y[..., :, None] * x[..., None, :]


def splat(layout: Layout, values: Tensor, size: int, resolution: int | None = None) -> Tensor:
    """`sum_k H_k v_k` and, as the last channel, `sum_k H_k`: `values [B, K, C]` to `[B, C + 1, size, size]`."""
    y, x = profiles(layout, size, resolution or size)
    values = torch.cat([values, values.new_ones(*values.shape[:-1], 1)], dim=-1)
    rows = (values[..., None] * y[:, :, None]).permute(0, 2, 3, 1)  # [B, C + 1, size, K]
    maps: Tensor = rows.flatten(1, 2) @ x  # [B, (C + 1) size, size]
    return maps.view(maps.shape[0], values.shape[-1], size, size)
