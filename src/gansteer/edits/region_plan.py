"""Which positions of every layer a region of the features needs, and where their inputs stand in the table below.

Forward, the walk goes from the positions asked for down to the learned constant (`plan`). Backward, it starts from those
positions among them whose features have a gradient, which are far fewer: motion supervision looks at a disc where
tracking looks at a square (`plan_back`). A table is `[M + 1, C]`, one row per position in row-major order and a last row
of zeros that stands for everything beyond the border.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.edits.winograd import F2, F4, Winograd
from gansteer.models.layers import BLUR_TAPS, LRELU_GAIN
from gansteer.models.stylegan2 import SynthesisLayer

FORMS = (F2, F4)
"""Winograd's forms that a layer may take."""

LOADING = 50
"""What it costs to fetch the weights of one product and to begin, in rows multiplied by them."""

TRANSFORMS = 200
"""What it costs to gather a value of a tile and to transform it twice, in multiplications."""

_BLUR = tuple(2 * tap / sum(BLUR_TAPS) for tap in BLUR_TAPS)  # one axis of the blur with gain 4 = 2 x 2

_UP = tuple(
    tuple(((m - 1 + t - k) // 2, k, _BLUR[t]) for t in range(4) for k in range(3) if (m - 1 + t - k) % 2 == 0)
    for m in range(2)
)
"""Doubling one axis: output 2a + parity is the sum over these six (di, k, weight) of weight * z[a + di, k],
where z[i, k] is input i times tap k of the kernel."""


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
class Tiles:
    """Where Winograd's tiles stand."""

    form: Winograd
    rows: Tensor
    """`[points, T]` rows of the table below."""
    results: Tensor
    """`[M]` where the result stands among the `[tile * tile * T]` of the tiles."""


@dataclass(frozen=True)
class ConvPlan:
    """Where a 3x3 convolution finds its inputs."""

    need: Tensor
    """Positions of the result, `[r, r]` bool."""
    taps: Tensor
    """`[M, 9]` rows of the table below."""
    noise: Tensor
    """`[M, 1]`, strength and the gain of the activation applied."""
    inputs: int
    """Positions of the table below."""
    rows: Tensor
    """`[r + 2, r + 2]` row of the table below of every position, and of those beyond the border."""
    tiles: Tiles | None
    """None where gathering nine neighbours is the cheaper way."""


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


def _plan_conv(need: Tensor, below: Tensor, noise: Tensor, channels: int) -> ConvPlan:
    rows = _number(below, (1, 1))
    y, x = need.nonzero(as_tuple=True)
    offset = torch.arange(3)
    taps = rows[y[:, None, None] + offset[:, None], x[:, None, None] + offset]  # [M, 3, 3]
    return ConvPlan(need, taps.flatten(1), noise, int(below.sum()), rows, _plan_tiles(need, rows, channels))


def _plan_tiles(need: Tensor, rows: Tensor, channels: int) -> Tiles | None:
    """The tiles that hold the positions needed, in the form that costs least; None if that is none."""
    y_out, x_out = need.nonzero(as_tuple=True)
    least, best = 9.0 * (len(y_out) + LOADING), None
    for form in FORMS:
        held = need.view(len(need) // form.tile, form.tile, -1, form.tile).any(dim=3).any(dim=1)  # [r / tile, r / tile]
        points = form.side**2
        cost = points * (int(held.sum()) * (1 + TRANSFORMS / channels) + LOADING)
        if cost < least:
            least, best = cost, (form, held)
    if best is None:
        return None
    form, held = best
    tile = form.tile
    tile_y, tile_x = held.nonzero(as_tuple=True)
    side = torch.arange(form.side)
    y, x = tile * tile_y[:, None, None] + side[:, None], tile * tile_x[:, None, None] + side
    numbers = _number(held, (0, 0))[y_out // tile, x_out // tile]
    within = (y_out % tile) * tile + x_out % tile
    return Tiles(form, rows[y, x].flatten(1).t().contiguous(), within * len(tile_y) + numbers)


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
        noise = layer.noise_fixed[need.to(layer.noise_fixed.device)] * (layer.noise_strength * LRELU_GAIN)
        noise = noise.detach().cpu()[:, None]
        if layer.up:
            middle = _dilate(_halve(need, 1), 1)
            below = _dilate(_halve(middle, 0), 0)
            plans.append(_plan_up(need, middle, below, noise))
        else:
            below = _dilate(_dilate(need, 0), 1)
            if layer is layers[0]:
                below = torch.ones_like(below)  # the learned constant, all of it
            plans.append(_plan_conv(need, below, noise, layer.out_channels))
        need = below
    return plans[::-1]


# --- the same walk for gradients ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ConvBack:
    """Where the gradient of a 3x3 convolution goes; tables of gradients hold the rows that have one, then a zero row."""

    rows: Tensor
    """`[N]` rows of the result with gradient."""
    taps: Tensor
    """`[9 N]` rows of the gradient's table below; its last for what lies beyond the border."""
    below: Tensor
    """`[N_below]` rows of the table below with gradient."""
    tiles: Tiles | None
    """As of the plan, for the rows with gradient only and of the gradient's table below."""


@dataclass(frozen=True)
class UpBack:
    """Where the gradient of a doubling convolution goes: along x, then along y."""

    rows: Tensor
    along_x: Gather
    along_y: Gather
    below: Tensor


LayerBack = ConvBack | UpBack


def _renumber(rows: Tensor, count: int) -> Tensor:
    """Row in the gradient's table of each row `[count + 1]`; the zero row, whose number is `len(rows)`, for the others."""
    numbers = torch.full([count + 1], len(rows))
    numbers[rows] = torch.arange(len(rows))
    return numbers


def _narrow(gather: Gather, numbers: Tensor, live: int) -> tuple[Gather, Tensor]:
    """Three sums (the taps along an axis) per row of the result: those of the rows that gather any gradient, and which."""
    index = numbers[gather.index.view(-1, 12)]
    rows = (index < live).any(dim=1).nonzero()[:, 0]
    weight = gather.weight[:1].expand(3 * len(rows), -1)  # the same in every row
    return Gather(index.index_select(0, rows).view(-1, 4), weight.contiguous()), rows


def plan_back(layers: Sequence[SynthesisLayer], plans: Sequence[LayerPlan], live: Tensor) -> list[LayerBack]:
    """For gradients at the rows `live [N]` of the last layer's result: the way of every layer, the last layer first."""
    ways: list[LayerBack] = []
    for layer, step in zip(reversed(layers), reversed(plans), strict=True):
        numbers = _renumber(live, len(step.noise))
        if isinstance(step, ConvPlan):
            taps = step.taps.index_select(0, live).flatten()
            seen = torch.zeros(step.inputs + 1, dtype=torch.bool)
            seen[taps] = True
            below = seen[:-1].nonzero()[:, 0]
            to_below = _renumber(below, step.inputs)
            held = torch.zeros_like(step.need)
            held.view(-1)[step.need.view(-1).nonzero()[live, 0]] = True
            tiles = _plan_tiles(held, to_below[step.rows], layer.out_channels)
            ways.append(ConvBack(live, to_below[taps], below, tiles))
        else:
            along_x, middle = _narrow(step.back_x, numbers, len(live))
            numbers = _renumber(middle, len(step.back_x.index) // 3)
            along_y, below = _narrow(step.back_y, numbers, len(middle))
            ways.append(UpBack(live, along_x, along_y, below))
        live = below
    return ways
