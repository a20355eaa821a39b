"""Which positions of every layer a region of the features needs, and where their inputs stand in the table below.

Forward, the walk goes from the positions asked for down to the learned constant (`plan`). Backward, it starts from those
positions among them whose features have a gradient, which are far fewer: motion supervision looks at a disc where
tracking looks at a square (`plan_back`). Steps that need the same of a layer share its plan and all plans below it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gansteer.models.layers import BLUR_TAPS, LRELU_GAIN
from gansteer.models.stylegan2 import doubling
from gansteer.models.stylegan2.network import SynthesisLayer
from gansteer.models.stylegan2.tables import Gather, halve, number
from gansteer.models.stylegan2.winograd import F2, F4, Tiles, Winograd, held_tiles, plan_tiles, plan_tiles_back

FORMS = (F2, F4)
"""Winograd's forms that a layer may take."""

LOADING = 40
"""What it costs to fetch the weights of one product and to begin, in rows multiplied by them."""

TRANSFORMS = 10
"""What a term of Winograd's transforms costs, in multiplications."""

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


def _middle(need: Tensor) -> Tensor:
    """What a doubling layer needs after the first of its axes: `need [2h, 2w]` to `[2h, w]`."""
    return _dilate(halve(need, 1), 1)


def _below(layer: SynthesisLayer, need: Tensor) -> Tensor:
    """The inputs of `layer` that its results at `need [r, r]` look at, `[r or r / 2, r or r / 2]`."""
    if layer.up:
        return _dilate(halve(_middle(need), 0), 0)
    return _dilate(_dilate(need, 0), 1)


@dataclass(frozen=True)
class ConvPlan:
    """Where a 3x3 convolution finds its inputs."""

    need: Tensor
    """Positions of the result, `[r, r]` bool."""
    noise: Tensor
    """`[M, 1]`, strength and the gain of the activation applied."""
    taps: Tensor | Tiles
    """`[M, 9]` rows of the table below, or Winograd's tiles where they cost less than gathering nine neighbours."""


@dataclass(frozen=True)
class UpPlan:
    """Where a doubling convolution finds its inputs, and brings its products: first along y, then along x."""

    need: Tensor
    noise: Tensor
    along_y: Gather
    along_x: Gather
    inputs: Gather | None = None
    """Of `doubling.py`'s products, where they cost less than all inputs times the nine taps."""


LayerPlan = ConvPlan | UpPlan


def _cheapest(need: Tensor, channels: int) -> tuple[Winograd, Tensor] | None:
    """The form and the tiles that compute the positions needed at the least cost; None if there is a cheaper way."""
    least, best = 9.0 * (int(need.sum()) + LOADING), None
    for form in FORMS:
        held = held_tiles(form, need)
        cost = form.side**2 * (int(held.sum()) * (1 + TRANSFORMS * form.terms / channels) + LOADING)
        if cost < least:
            least, best = cost, (form, held)
    return best


def doubling_pays(need: Tensor, inputs: int, channels: int) -> bool:
    """Whether a doubling convolution to `need [2h, 2w]` costs less by `doubling.py` than as its `inputs` times nine taps."""
    tiles = int(doubling.held(need)[1].sum())
    cost = doubling.POINTS * (tiles * (1 + TRANSFORMS * doubling.TERMS / channels) + LOADING)
    return cost < 9.0 * (inputs + LOADING)


def _taps(need: Tensor, rows: Tensor) -> Tensor:
    """`[M, 9]` the neighbours of every position needed, in `rows [r + 2, r + 2]` of the table below."""
    width = rows.shape[1]
    y, x = need.nonzero(as_tuple=True)
    offset = torch.arange(3)
    return rows.view(-1)[(y * width + x)[:, None] + (offset[:, None] * width + offset).flatten()]


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


def plan(layers: list[SynthesisLayer], need: Tensor, known: Sequence[list[LayerPlan]] = ()) -> list[LayerPlan]:
    """The plan of every layer, the first first, that computes the last at `need [r, r]` (bool, on the CPU).

    `known` are plans of the same layers: from where one of them needs the same, it is taken over.
    """
    plans: list[LayerPlan] = []
    for at, layer in reversed(list(enumerate(layers))):
        for other in known:
            if torch.equal(other[at].need, need):
                return [*other[: at + 1], *plans[::-1]]
        noise = layer.noise_fixed[need.to(layer.noise_fixed.device)] * (layer.noise_strength * LRELU_GAIN)
        noise = noise.detach().cpu()[:, None]
        # The learned constant is a table of all its positions.
        below = _below(layer, need) if at else torch.ones_like(need)
        plans.append(
            _plan_up(need, below, noise, layer.out_channels) if layer.up else _plan_conv(layer, need, below, noise)
        )
        need = below
    return plans[::-1]


def _plan_conv(layer: SynthesisLayer, need: Tensor, below: Tensor, noise: Tensor) -> ConvPlan:
    rows = number(below, (1, 1))
    best = _cheapest(need, layer.out_channels)
    return ConvPlan(need, noise, plan_tiles(*best, need, rows, noise) if best else _taps(need, rows))


def _plan_up(need: Tensor, below: Tensor, noise: Tensor, channels: int) -> UpPlan:
    """`need [2h, 2w]`, `below [h, w]`."""
    middle, dtype = _middle(need), noise.dtype
    if doubling_pays(need, int(below.sum()), channels):
        along_y, along_x = doubling.plan_outputs(need, noise)
        return UpPlan(need, noise, along_y, along_x, doubling.plan_inputs(doubling.held(need)[1], number(below), dtype))
    y, x = need.nonzero(as_tuple=True)
    along_x = _up_gather(x, y, number(middle, (0, 1)), 1, dtype)
    y, x = middle.nonzero(as_tuple=True)
    along_y = _up_gather(y, x, number(below, (1, 0)), 0, dtype)
    # After the rows of `middle`, three columns each, one of zeros, and one whose last two are what every result has added.
    after = 3 * (int(middle.sum()) + 2) - 2
    return UpPlan(need, noise, along_y.and_zeros(2), along_x.plus(after, noise).and_zeros())


# --- the same walk for gradients ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ConvBack:
    """Where the gradient of a 3x3 convolution goes; tables of gradients hold the rows that have one, then a zero row."""

    live: Tensor
    """The positions of the result with gradient, `[r, r]` bool."""
    below: Tensor
    """`[N_below]` rows of the table below with gradient."""
    taps: Tensor | Tiles
    """`[N, 9]` rows of the gradient's table below, or the tiles as of the plan."""


@dataclass(frozen=True)
class UpBack:
    """Where the gradient of a doubling convolution goes: along x, then along y."""

    live: Tensor
    below: Tensor
    along_x: Gather
    along_y: Gather
    inputs: Gather | None = None


LayerBack = ConvBack | UpBack


def plan_back(
    layers: Sequence[SynthesisLayer],
    plans: Sequence[LayerPlan],
    live: Tensor,
    known: Sequence[tuple[list[LayerPlan], list[LayerBack]]] = (),
) -> list[LayerBack]:
    """For gradients at `live [r, r]` of the last layer's result: the way of every layer, the first layer first.

    `known` are plans and their ways: from where one of them goes the same, it is taken over.
    """
    ways: list[LayerBack] = []
    for at, layer in reversed(list(enumerate(layers))):
        for others, way in known:
            if others[at] is plans[at] and torch.equal(way[at].live, live):
                return [*way[: at + 1], *ways[::-1]]
        below = _below(layer, live)
        known_below = plans[at - 1].need if at else torch.ones_like(below)
        rows, dtype = below[known_below].nonzero()[:, 0], plans[at].noise.dtype
        ways.append(
            _up_back(layer, live, below, rows, dtype) if layer.up else _conv_back(layer, live, below, rows, dtype)
        )
        live = below
    return ways[::-1]


def _conv_back(layer: SynthesisLayer, live: Tensor, below: Tensor, rows: Tensor, dtype: torch.dtype) -> ConvBack:
    best = _cheapest(live, layer.out_channels)
    way = plan_tiles_back(*best, live, below, dtype) if best else _taps(live, number(below, (1, 1)))
    return ConvBack(live, rows, way)


def _up_back(layer: SynthesisLayer, live: Tensor, below: Tensor, rows: Tensor, dtype: torch.dtype) -> UpBack:
    """`live [2h, 2w]`, `below [h, w]`."""
    if doubling_pays(live, int(below.sum()), layer.out_channels):
        return UpBack(live, rows, *doubling.plan_back(live, below, dtype))
    middle = _middle(live)
    y, x = middle.nonzero(as_tuple=True)
    along_x = _down_gather(x, y, number(live, (0, 2)), 1, dtype).and_zeros(3)
    y, x = below.nonzero(as_tuple=True)
    return UpBack(live, rows, along_x, _down_gather(y, x, number(middle, (2, 0)), 0, dtype).and_zeros(3))
