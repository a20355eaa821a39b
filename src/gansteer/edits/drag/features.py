"""The feature map that dragging looks at: computed where it is needed, sampled at any point of the picture."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.errors import UserError
from gansteer.models.code import Code, Styles
from gansteer.models.generator import FeatureFrame, Generator, LayerSpec
from gansteer.models.layout import Layout

Engine = Literal["auto", "region", "dense"]

JOINED = "+"
"""Between the names of several layers."""
FEW = 20_000
"""Points whose cells are remembered: a handle looks at the same ones for several steps, and more than once in each."""


def _axis_cells(x: Tensor, size: int, frame: FeatureFrame) -> tuple[Tensor, Tensor]:
    """Along one axis, the cells (and their weights) whose mean is the picture's feature at pixel `x [N]`: `[N, k]`.

    The map is read as if it had been resized to `size` pixels (bilinear, half-pixel centres, clamped at the border) and
    then sampled between pixels: pixel j lies at `u = frame.places(j)`, and a point between two pixels takes from both. Those four cells are at most three different ones (k), and two if all pixels are whole.
    """
    r = frame.size
    x = x.clamp(0, size - 1)
    near = x.floor()
    share = x - near
    pixels = torch.stack([near, (near + 1).clamp(max=size - 1)], dim=1)  # [N, 2]
    u = frame.places(pixels, size).clamp(0, r - 1)
    cell = u.floor().clamp(max=r - 2)
    right = (u - cell) * torch.stack([1 - share, share], dim=1)
    left = (1 - (u - cell)) * torch.stack([1 - share, share], dim=1)
    first = cell[:, 0]
    moved = cell[:, 1] - first  # 0 or 1
    weight = torch.stack(
        [
            left[:, 0] + left[:, 1] * (1 - moved),
            right[:, 0] + left[:, 1] * moved + right[:, 1] * (1 - moved),
            right[:, 1] * moved,
        ],
        dim=1,
    )
    index = (first[:, None] + torch.arange(3)).clamp(max=r - 1).long()
    used = weight.any(dim=0)
    return index[:, used], weight[:, used]


@dataclass(frozen=True)
class Grid:
    """How the picture lies on a feature map, and which cells of the map a point of the picture looks at."""

    size: int
    """Width and height of the picture in pixels."""
    frame: FeatureFrame

    @classmethod
    def of(cls, generator: Generator, layer: str) -> "Grid":
        """That of the features after `layer`, or the finest of several joined by +. Raises UserError if the model has no such layer."""
        frames = {each.name: each.frame for each in generator.convolutions}
        for name in layer.split(JOINED):
            if name not in frames:
                raise UserError(f"this model has no layer {name!r}; choose one of {', '.join(frames)}")
        finest = max((frames[name] for name in layer.split(JOINED)), key=lambda frame: frame.inner)
        return cls(generator.config.resolution, finest)

    @property
    def r(self) -> int:
        """Cells along each side of the map."""
        return self.frame.size

    @property
    def cell(self) -> float:
        """Pixels along each side of a cell."""
        return self.frame.cell(self.size)

    def centres(self) -> Tensor:
        """Where in the picture the middle of each cell is, `[r * r, 2]` (x, y) in pixels, row by row."""
        middle = (torch.arange(self.r, dtype=torch.float64) - self.frame.margin + 0.5) * self.cell - 0.5
        y, x = torch.meshgrid(middle, middle, indexing="ij")
        return torch.stack([x, y], dim=-1).view(-1, 2)

    def cells(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """`points [N, 2]` (x, y) in pixels, float64 on the CPU, to their cells (row-major) and weights `[N, k]`, k <= 9."""
        if 0 < len(points) <= FEW and points.dtype == torch.float64:
            index, weight = _few_cells(self, points.numpy().tobytes())
            return index.clone(), weight.clone()  # what is remembered stays as it is
        return self._cells(points)

    def _cells(self, points: Tensor) -> tuple[Tensor, Tensor]:
        index, weight = _axis_cells(points.t().flatten(), self.size, self.frame)
        (column, row), (across, down) = index.view(2, len(points), -1), weight.view(2, len(points), -1)
        index = row[:, :, None] * self.r + column[:, None, :]
        return index.flatten(1), (down[:, :, None] * across[:, None, :]).flatten(1)

    def cells_around(self, points: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
        """As `cells`, for the squares around `points [n, 2]`, `reach [K]` pixels along each axis: `[n, K * K, k]`, row-major.

        Few numbers are worked out, along the axes; a square has them in all combinations.
        """
        pixels = (points[:, :, None] + reach).flatten()
        index, weight = _axis_cells(pixels, self.size, self.frame)
        shape = (len(points), 2, len(reach), -1)
        (column, row), (across, down) = index.view(shape).unbind(dim=1), weight.view(shape).unbind(dim=1)  # [n, K, k]
        index = row[:, :, None, :, None] * self.r + column[:, None, :, None, :]  # [n, K, K, k, k]
        weight = down[:, :, None, :, None] * across[:, None, :, None, :]
        return index.flatten(3).flatten(1, 2), weight.flatten(3).flatten(1, 2)

    def need(self, points: Tensor) -> Tensor:
        """The cells `[r, r]` (bool) that `points [..., 2]` look at."""
        index, weight = self.cells(points.reshape(-1, 2))
        need = torch.zeros(self.r * self.r, dtype=torch.bool)
        need[index[weight != 0]] = True
        return need.view(self.r, self.r)

    def need_around(self, points: Tensor, reach: Tensor) -> Tensor:
        """The cells `[r, r]` (bool) that the squares around `points [n, 2]` look at, `reach [K]` pixels along each axis."""
        pixels = (points[:, :, None] + reach).clamp(0, self.size - 1)  # [n, 2, K]
        index, weight = _axis_cells(pixels.flatten(), self.size, self.frame)
        seen = torch.zeros(points.numel(), self.r)
        seen.scatter_add_(1, index.view(len(seen), -1), weight.view(len(seen), -1).to(seen))
        across, down = seen.view(-1, 2, self.r).unbind(dim=1)  # [n, r]
        return down.t() @ across > 0


@lru_cache(maxsize=16)
def _few_cells(grid: Grid, points: bytes) -> tuple[Tensor, Tensor]:
    """`Grid.cells` of the float64 numbers of `points`; the same tensors at every call, which nobody else gets."""
    return grid._cells(torch.frombuffer(bytearray(points), dtype=torch.float64).view(-1, 2))


@dataclass(frozen=True)
class Features:
    """A feature map of which some cells, or all, are known."""

    grid: Grid
    table: Tensor
    """`[M + 1, C]`: the known cells in row-major order, then a row of zeros."""
    known: Tensor
    """`[r, r]` bool, on the CPU."""
    rows: Tensor
    """`[r * r]` row of the table of each cell; M where it is not known."""

    @classmethod
    def of(cls, grid: Grid, table: Tensor, known: Tensor) -> "Features":
        """From the table `[M + 1, C]` of the cells `known [r, r]`."""
        flat = known.flatten()
        rows = torch.where(flat, flat.cumsum(0) - 1, int(flat.sum()))
        return cls(grid, table, known, rows)

    def detach(self) -> "Features":
        """The same values without gradient."""
        return Features(self.grid, self.table.detach(), self.known, self.rows)

    def covers(self, need: Tensor) -> bool:
        """Whether all of `need [r, r]` is known."""
        return not bool((need & ~self.known).any())

    def sample(self, points: Tensor) -> Tensor:
        """F at `points [..., 2]` (x, y) in pixels: `[..., C]`. Their cells must be known."""
        index, weight = self.grid.cells(points.reshape(-1, 2))
        return self.blend(index, weight).view(*points.shape[:-1], -1)

    def blend(self, index: Tensor, weight: Tensor) -> Tensor:
        """The weighted sums `[..., C]` of the cells `index [..., k]` (row-major), `weight [..., k]`."""
        rows = self.rows[index].to(self.table.device).flatten(0, -2)
        weight = weight.to(self.table).view(rows.shape)
        sampled = F.embedding_bag(rows, self.table, mode="sum", per_sample_weights=weight)
        return sampled.view(*index.shape[:-1], -1)

    def at(self, cells: Tensor) -> Tensor:
        """The cells `[r, r]` (bool) as rows `[N, C]`, in row-major order."""
        return self.table.index_select(0, self.rows[cells.flatten()].to(self.table.device))

    def map(self) -> Tensor:
        """The whole map `[C, r, r]`; every cell must be known."""
        return self.table[:-1].t().reshape(-1, self.grid.r, self.grid.r)

    def picture_map(self) -> Tensor:
        """The part of the map that the picture covers; every cell must be known."""
        return self.grid.frame.crop(self.map())


class Extractor:
    """w+ rows that move to features of one layer. Everything that does not change during an edit is computed once."""

    def __init__(self, generator: Generator, code: Code, rows: int, layer: str, engine: Engine) -> None:
        """`code` is the start; the first `rows` rows of its w+ move. Raises UserError if there is no such layer.

        Several layers, joined by +, are computed whole, and laid one upon the other at the finest one's cells.
        """
        self.grid = Grid.of(generator, layer)
        self._names = layer.split(JOINED)
        self._grids = [Grid.of(generator, name) for name in self._names]
        last = max(generator.convolutions.index(generator.layer(name)) for name in self._names)
        self._layers = generator.convolutions[: last + 1]
        self._maps = {each.name: generator.style_map(each.name) for each in self._layers}
        self._generator, self._code = generator, code
        with torch.no_grad():
            self._fixed = {each.name: self._style(each, code.ws) for each in self._layers if each.latent_index >= rows}
        # Gathering rows beats whole convolutions by far on a CPU; other devices prefer the dense form.
        device = code.ws.device.type
        if engine == "region" and device != "cpu":
            raise UserError(f'engine "region" is for the CPU: choose "dense" or "auto" on {device}')
        local = engine != "dense" and device == "cpu" and len(self._names) == 1
        self._region = generator.local_features(layer, code, self._fixed) if local else None
        if engine == "region" and len(self._names) > 1:
            raise UserError('several layers are computed whole: choose the engine "dense" or "auto"')
        if engine == "region" and self._region is None:
            raise UserError('this model can only be dragged with the dense engine: choose "dense" or "auto"')
        self.passes = 0
        """Forward passes made, and backward passes through what they gave."""

    def _style(self, layer: LayerSpec, ws: Tensor) -> Tensor:
        """The layer's style `[1, style_dim]` for the rows `ws [n, w_dim]`, with the offset that it has."""
        style = self._maps[layer.name](ws[None, layer.latent_index])
        offset = self._code.style_offsets.get(layer.name)
        return style if offset is None else style + offset

    def styles(self, rows: Tensor) -> Styles:
        """`rows [n, w_dim]`, the moving rows of w+, to the styles of all layers up to the one asked for."""
        styles = dict(self._fixed)
        for each in self._layers:
            if each.name not in styles:
                styles[each.name] = self._style(each, rows)
        return styles

    def __call__(self, rows: Tensor, need: Tensor, layout: Layout | None = None) -> Features:
        """Features at the cells `need [r, r]` (bool, CPU) at least, differentiable in `rows`.

        A `layout` stands for the start's, and they are differentiable in it too.
        """
        styles = self.styles(rows)
        if self._region is not None:
            table, known = self._region(styles, need, layout), need
        else:
            code = self._code if layout is None else replace(self._code, layout=layout)
            found = self._generator.features(code, self._names, styles=styles)
            maps = zip(self._names, self._grids, strict=True)
            laid = [self._laid(found[name][0], grid) for name, grid in maps]  # each [r * r, C]
            whole = laid[0] if len(laid) == 1 else torch.cat(laid, dim=1)
            table, known = F.pad(whole, (0, 0, 0, 1)), torch.ones_like(need)
        self.passes += 1
        if table.requires_grad:
            table.register_hook(self._passed_back)  # type: ignore[no-untyped-call]
        return Features.of(self.grid, table, known)

    def _laid(self, whole: Tensor, grid: Grid) -> Tensor:
        """The map `whole [C, r', r']` of `grid` at this one's cells, `[r * r, C]`."""
        rows = whole.flatten(1).t()
        if grid == self.grid:
            return rows
        known = torch.ones(grid.r, grid.r, dtype=torch.bool)
        return Features.of(grid, F.pad(rows, (0, 0, 0, 1)), known).sample(self.grid.centres())

    def _passed_back(self, _: Tensor) -> None:
        self.passes += 1


@dataclass(frozen=True)
class View:
    """What a tracker may look at: the features, and the picture if it insists."""

    features: Features
    picture: Callable[[], Tensor]
    """Renders `[3, H, W]` in [-1, 1]; as dear as a whole forward pass."""


def default_layer(generator: Generator) -> str:
    """The layer to follow: the last at half the picture's resolution below 256 px, at 128 px (the paper's sixth) above."""
    most = min(max(generator.config.resolution // 2, 4), 128)
    layers = generator.last_of_each_size()
    return next((each.name for each in reversed(layers) if each.frame.inner <= most), layers[0].name)
