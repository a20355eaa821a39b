"""StyleGAN2's features at chosen positions only, exactly, forward and backward.

The synthesis has no spatial normalisation: a feature depends on its receptive field and on nothing else. So we walk
back from the positions asked for, layer by layer, and note which positions of the layer below each needs: a 3x3
convolution needs the neighbours; doubling with the 4-tap blur needs, for output m, the inputs `m // 2 - 1 ... m // 2 + 1`.
A layer's activations are then a table `[M + 1, C]`, one row per needed position and a last row of zeros that stands for
everything beyond the border, and a convolution is: gather rows, multiply by the weights. Overlapping handles share
rows, borders need no special case, and the whole map is simply the case where every position is needed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from gansteer.edits.winograd import (
    TILE,
    transform_inputs,
    transform_inputs_back,
    transform_results,
    transform_results_back,
    transform_weights,
)
from gansteer.models.layers import BLUR_TAPS, leaky_relu
from gansteer.models.stylegan2 import Styles, Synthesis, SynthesisLayer, demodulation

CHUNK = 512
"""Rows multiplied at a time: small enough that the gathered patches stay in the cache."""

TILES = 256
"""Tiles of Winograd's form that are worked on at a time, for the same reason."""

FEW = 256
"""Below so many positions Winograd's tiles do not pay: they need four times the weights."""

TILES_COST = 1.2
"""What a multiplication costs in Winograd's form, its transforms included."""

_BLUR = tuple(2 * tap / sum(BLUR_TAPS) for tap in BLUR_TAPS)  # one axis of the blur with gain 4 = 2 x 2

_UP = tuple(
    tuple(((m - 1 + t - k) // 2, k, _BLUR[t]) for t in range(4) for k in range(3) if (m - 1 + t - k) % 2 == 0)
    for m in range(2)
)
"""Doubling one axis: output 2a + parity is the sum over these six (di, k, weight) of weight * z[a + di, k],
where z[i, k] is input i times tap k of the kernel."""


# --- which positions are needed, and where their inputs stand in the table below ---------------------------------------


def _dilate(need: Tensor, axis: int) -> Tensor:
    """`need [h, w]` bool, grown by one position both ways along `axis`."""
    grown = need.clone()
    n = need.shape[axis]
    grown.narrow(axis, 1, n - 1).logical_or_(need.narrow(axis, 0, n - 1))
    grown.narrow(axis, 0, n - 1).logical_or_(need.narrow(axis, 1, n - 1))
    return grown


def _halve(need: Tensor, axis: int) -> Tensor:
    """`need [..., 2n, ...]` bool: whether either position of each pair is needed."""
    pairs = (*need.shape[:axis], need.shape[axis] // 2, 2, *need.shape[axis + 1 :])
    return need.view(pairs).any(dim=axis + 1)


def _number(need: Tensor, pad: tuple[int, int]) -> Tensor:
    """Row of every needed position `[h + 2 pad_y, w + 2 pad_x]`; the zero row, whose number is their count, elsewhere."""
    count = int(need.sum())
    rows = torch.full(need.shape, count, dtype=torch.long)
    rows[need] = torch.arange(count)
    return F.pad(rows, (pad[1], pad[1], pad[0], pad[0]), value=count)


@dataclass(frozen=True)
class Gather:
    """The weighted sums of table rows that one step takes: `index [N, K]`, `weight [N, K]`."""

    index: Tensor
    weight: Tensor

    def __call__(self, table: Tensor) -> Tensor:
        """`table [R, C]` to `[N, C]`."""
        return F.embedding_bag(self.index, table, mode="sum", per_sample_weights=self.weight)


@dataclass(frozen=True)
class ConvPlan:
    """Where a 3x3 convolution finds its inputs."""

    need: Tensor
    """Positions of the result, `[r, r]` bool."""
    taps: Tensor
    """`[M, 9]` rows of the table below."""
    noise: Tensor
    """`[M, 1]`, strength applied."""
    tiles: Tensor | None
    """`[36, T]` rows of the table below for Winograd's tiles; None where too little is needed for it to pay."""
    results: Tensor | None
    """`[M]` where the result stands among the `[16 * T]` of the tiles."""


@dataclass(frozen=True)
class UpPlan:
    """Where a doubling convolution finds its inputs: first along y, then along x, and the transposes of both."""

    need: Tensor
    noise: Tensor
    along_y: Gather
    along_x: Gather
    back_x: Gather
    back_y: Gather


LayerPlan = ConvPlan | UpPlan


def _plan_conv(need: Tensor, below: Tensor, noise: Tensor) -> ConvPlan:
    rows = _number(below, (1, 1))
    y, x = need.nonzero(as_tuple=True)
    offset = torch.arange(3)
    taps = rows[y[:, None, None] + offset[:, None], x[:, None, None] + offset]  # [M, 3, 3]
    return ConvPlan(need, taps.flatten(1), noise, *_plan_tiles(need, below, len(y)))


def _plan_tiles(need: Tensor, below: Tensor, count: int) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """The tiles that hold the `count` needed positions, unless gathering their nine neighbours is the cheaper way."""
    if count < FEW:
        return None, None
    held = _halve(_halve(_halve(_halve(need, 0), 1), 0), 1)  # [r / 4, r / 4]
    tile_y, tile_x = held.nonzero(as_tuple=True)
    if len(tile_y) * 36 * TILES_COST > count * 9:
        return None, None
    rows = _number(below, (1, 1))
    six = torch.arange(6)
    y, x = TILE * tile_y[:, None, None] + six[:, None], TILE * tile_x[:, None, None] + six
    numbers = _number(held, (0, 0))
    y_out, x_out = need.nonzero(as_tuple=True)
    within = (y_out % TILE) * TILE + x_out % TILE
    results = within * len(tile_y) + numbers[y_out // TILE, x_out // TILE]
    return rows[y, x].flatten(1).t().contiguous(), results


def _up_gather(m: Tensor, other: Tensor, rows: Tensor, axis: int, dtype: torch.dtype) -> Gather:
    """Doubling along one axis: for outputs `m` at `other` on the other axis, six rows of `rows` (padded by 1) times 3."""
    six = torch.tensor(_UP, dtype=torch.float64)[m % 2]  # [N, 6, 3]: di, k, weight
    i = m[:, None] // 2 + six[..., 0].long() + 1
    row = rows[i, other[:, None]] if axis == 0 else rows[other[:, None], i]
    return Gather(row * 3 + six[..., 1].long(), six[..., 2].to(dtype).contiguous())


def _down_gather(i: Tensor, other: Tensor, rows: Tensor, axis: int, dtype: torch.dtype) -> Gather:
    """The transpose: input `i` times tap k reached the outputs `2i + k + 1 - t`, `rows` (padded by 2) of them."""
    m = 2 * i[:, None, None] + torch.arange(3)[:, None] + 1 - torch.arange(4) + 2  # [N, 3, 4]
    column = other[:, None, None]
    row = rows[m, column] if axis == 0 else rows[column, m]
    return Gather(row.flatten(0, 1), torch.tensor(_BLUR, dtype=dtype).repeat(row.shape[0] * 3, 1))


def _plan_up(need: Tensor, middle: Tensor, below: Tensor, noise: Tensor) -> UpPlan:
    """`need [2h, 2w]`, `middle [2h, w]` after doubling along y, `below [h, w]`."""
    dtype = noise.dtype
    y, x = need.nonzero(as_tuple=True)
    mid_y, mid_x = middle.nonzero(as_tuple=True)
    in_y, in_x = below.nonzero(as_tuple=True)
    return UpPlan(
        need,
        noise,
        along_y=_up_gather(mid_y, mid_x, _number(below, (1, 0)), 0, dtype),
        along_x=_up_gather(x, y, _number(middle, (0, 1)), 1, dtype),
        back_x=_down_gather(mid_x, mid_y, _number(need, (0, 2)), 1, dtype),
        back_y=_down_gather(in_y, in_x, _number(middle, (2, 0)), 0, dtype),
    )


def plan(layers: list[SynthesisLayer], need: Tensor, known: Sequence[list[LayerPlan]] = ()) -> list[LayerPlan]:
    """The plan of every layer, the first first, that computes the last at `need [r, r]` (bool, on the CPU).

    `known` are plans of the same layers: from where one of them needs the same, it is taken over.
    """
    plans: list[LayerPlan] = []
    for number, layer in reversed(list(enumerate(layers))):
        for other in known:
            if torch.equal(other[number].need, need):
                return [*other[: number + 1], *plans[::-1]]
        noise = (layer.noise_fixed[need.to(layer.noise_fixed.device)] * layer.noise_strength).detach().cpu()[:, None]
        if layer.up:
            middle = _dilate(_halve(need, 1), 1)
            below = _dilate(_halve(middle, 0), 0)
            plans.append(_plan_up(need, middle, below, noise))
        else:
            below = _dilate(_dilate(need, 0), 1)
            if layer is layers[0]:
                below = torch.ones_like(below)  # the learned constant, all of it
            plans.append(_plan_conv(need, below, noise))
        need = below
    return plans[::-1]


# --- products with weights that are packed once -------------------------------------------------------------------------


Product = Callable[[Tensor], Tensor]


def packed_product(weight: Tensor) -> Product:
    """`x [N, I] -> x @ weight.T [N, O]` for a `weight [O, I]` that stays.

    On a CPU in float32 the weight is packed once into oneDNN's blocked layout: with few rows, packing it at every call
    costs more than the product. Elsewhere, or where this PyTorch lacks the operators, an ordinary product.
    """
    if weight.device.type == "cpu" and weight.dtype == torch.float32 and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        ops = torch.ops.mkldnn
        try:
            packed = ops._reorder_linear_weight(weight, CHUNK)
            ops._linear_pointwise(weight[:1] * 0, packed, None, "none", [], "")
        except (AttributeError, RuntimeError):
            pass
        else:
            return lambda x: ops._linear_pointwise(x, packed, None, "none", [], "")
    return lambda x: F.linear(x, weight)


def _live(g: Tensor) -> Tensor:
    """Numbers of the rows of `g [N, C]` that are not all zero: the loss looks at far fewer positions than tracking."""
    return g.abs().amax(dim=1).nonzero()[:, 0]


class _Conv(torch.autograd.Function):
    """Gather the nine neighbours, multiply: `x [M_in + 1, I]` to `[M, O]`. By Winograd's tiles where they pay."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: ConvPlan, kernel: "Kernel") -> Tensor:
        ctx.step, ctx.kernel, ctx.shape = step, kernel, x.shape
        if step.tiles is not None and step.results is not None:
            return _by_tiles(x, step.tiles, step.results, kernel)
        parts = [
            kernel.forward(x.index_select(0, taps.flatten()).view(len(taps), -1))
            for taps in torch.split(step.taps, CHUNK)
        ]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        step, kernel = ctx.step, ctx.kernel
        gx = g.new_zeros(ctx.shape)
        live = _live(g)
        if step.tiles is not None and step.tiles.numel() * TILES_COST < len(live) * 9:
            return _back_by_tiles(g, step.tiles, step.results, kernel, gx), None, None
        for rows in torch.split(live, CHUNK):
            spread = kernel.backward(g.index_select(0, rows))  # [n, 9 I]
            gx.index_add_(0, step.taps.index_select(0, rows).flatten(), spread.view(-1, ctx.shape[1]))
        return gx, None, None


def _by_tiles(x: Tensor, tiles: Tensor, results: Tensor, kernel: "Kernel") -> Tensor:
    """`x [M_in + 1, I]` to `[M, O]`."""
    y = x.new_empty(16, tiles.shape[1], kernel.out_channels)
    for start in range(0, tiles.shape[1], TILES):
        some = tiles[:, start : start + TILES]
        d = x.index_select(0, some.flatten()).view(*some.shape, -1)  # [36, t, I]
        v = transform_inputs(d)
        m = torch.stack([product(part) for product, part in zip(kernel.tile_forward, v, strict=True)])
        y[:, start : start + TILES] = transform_results(m)
    return y.flatten(0, 1).index_select(0, results)


def _back_by_tiles(g: Tensor, tiles: Tensor, results: Tensor, kernel: "Kernel", gx: Tensor) -> Tensor:
    """`g [M, O]` added into `gx [M_in + 1, I]`."""
    count = tiles.shape[1]
    gy = g.new_zeros(16 * count, g.shape[1]).index_copy_(0, results, g).view(16, count, -1)
    for start in range(0, count, TILES):
        gm = transform_results_back(gy[:, start : start + TILES].contiguous())  # [36, t, O]
        gv = torch.stack([product(part) for product, part in zip(kernel.tile_backward, gm, strict=True)])
        gx.index_add_(0, tiles[:, start : start + TILES].flatten(), transform_inputs_back(gv).flatten(0, 1))
    return gx


class _Up(torch.autograd.Function):
    """Multiply by the nine taps, then sum them up into the doubled and blurred grid: `x [M_in + 1, I]` to `[M, O]`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: UpPlan, kernel: "Kernel") -> Tensor:
        ctx.step, ctx.kernel, ctx.rows = step, kernel, len(x)
        out = kernel.out_channels
        parts = [kernel.forward(rows) for rows in torch.split(x, CHUNK)]
        z = torch.cat(parts) if len(parts) > 1 else parts[0]  # [M_in + 1, 3 (ky), 3 (kx), O]
        t = F.pad(step.along_y(z.view(-1, 3 * out)), (0, 0, 0, 1))  # [M_mid + 1, 3 (kx), O]
        return step.along_x(t.view(-1, out))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        out = ctx.kernel.out_channels
        gt = ctx.step.back_x(F.pad(g, (0, 0, 0, 1))).view(-1, 3 * out)
        gz = ctx.step.back_y(F.pad(gt, (0, 0, 0, 1))).view(-1, 9 * out)  # [M_in, 9 O]
        gx = g.new_zeros(ctx.rows, ctx.kernel.in_channels)
        for rows in torch.split(_live(gz), CHUNK):
            gx.index_copy_(0, rows, ctx.kernel.backward(gz.index_select(0, rows)))
        return gx, None, None


class Kernel:
    """One layer's weights, packed for the products of its forward and backward pass when they are first needed."""

    def __init__(self, layer: SynthesisLayer) -> None:
        self._weight = layer.weight.detach()  # [O, I, 3, 3]
        self._up = layer.up
        self.out_channels, self.in_channels = self._weight.shape[:2]

    def _matrix(self) -> Tensor:
        if self._up:
            return self._weight.permute(2, 3, 0, 1).reshape(-1, self.in_channels)  # [9 O, I]
        return self._weight.permute(0, 2, 3, 1).reshape(self.out_channels, -1)  # [O, 9 I]

    @cached_property
    def forward(self) -> Product:
        """Nine gathered neighbours `[N, 9 I]` to `[N, O]`; when doubling, `[N, I]` to all taps `[N, 9 O]`."""
        return packed_product(self._matrix())

    @cached_property
    def backward(self) -> Product:
        """The transpose of `forward`."""
        return packed_product(self._matrix().t().contiguous())

    @cached_property
    def tile_forward(self) -> list[Product]:
        """Per point of Winograd's transform, `[T, I]` to `[T, O]`."""
        return [packed_product(weight.contiguous()) for weight in transform_weights(self._weight)]

    @cached_property
    def tile_backward(self) -> list[Product]:
        """The transposes of `tile_forward`."""
        return [packed_product(weight.t().contiguous()) for weight in transform_weights(self._weight)]


class RegionSynthesis:
    """A synthesis network that evaluates its layers up to `layer` at chosen positions only.

    Weights are packed at construction and must not change afterwards; no gradient reaches them.
    """

    def __init__(self, synthesis: Synthesis, layer: str) -> None:
        self.layers: list[SynthesisLayer] = []
        for each in synthesis.layers():
            self.layers.append(each)
            if each.name == layer:
                break
        with torch.no_grad():
            self.kernels = [Kernel(each) for each in self.layers]
            self.energies = [each.energy().detach() for each in self.layers]
            constant = synthesis.constant.detach().flatten(1).t()  # [16, C]
            self.constant = F.pad(constant, (0, 0, 0, 1))
        self._plans: list[list[LayerPlan]] = []
        self._constant: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(self, styles: Styles, need: Tensor) -> Tensor:
        """Features at `need [r, r]` (bool, CPU), row by row: `[M + 1, C]`, the last row zero.

        `styles` gives every layer's style `[1, I]`; gradients flow to those that ask for one.
        """
        x = self.constant
        for layer, kernel, energy, step in zip(self.layers, self.kernels, self.energies, self._plan(need), strict=True):
            style = styles[layer.name]
            x = x * style
            convolve = _Conv if isinstance(step, ConvPlan) else _Up
            x = convolve.apply(x, step, kernel)  # type: ignore[no-untyped-call]
            x = torch.addcmul(step.noise + layer.bias.detach(), x, self._demodulation(layer.name, style, energy))
            x = F.pad(leaky_relu(x, layer.clamp), (0, 0, 0, 1))
        return x

    def _demodulation(self, name: str, style: Tensor, energy: Tensor) -> Tensor:
        """Computed once for the styles that are constants of the edit."""
        if style.requires_grad:
            return demodulation(style, energy)
        if name not in self._constant or self._constant[name][0] is not style:
            self._constant[name] = style, demodulation(style, energy)
        return self._constant[name][1]

    def _plan(self, need: Tensor) -> list[LayerPlan]:
        """The plan for `need`; the last two are kept, as consecutive steps need nearly the same, and below exactly."""
        steps = plan(self.layers, need.clone(), self._plans)
        self._plans = [*(known for known in self._plans if known[-1] is not steps[-1]), steps][-2:]
        return steps
