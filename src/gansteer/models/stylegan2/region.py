"""StyleGAN2's features at chosen positions only, exactly, forward and backward.

The synthesis has no spatial normalisation: a feature depends on its receptive field and on nothing else. So we walk
back from the positions asked for, layer by layer, and note which positions of the layer below each needs: a 3x3
convolution needs the neighbours; doubling with the 4-tap blur needs, for output m, the inputs `m // 2 - 1 ... m // 2 + 1`.
A layer's activations are then a table `[M + 1, C]`, one row per needed position and a last row of zeros that stands for
everything beyond the border, and a convolution is: gather rows, multiply by the weights. Overlapping handles share
rows, borders need no special case, and the whole map is simply the case where every position is needed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from gansteer.models.code import Styles
from gansteer.models.generator import NONE_FIXED, FixedStyles
from gansteer.models.layers import LRELU_GAIN, LRELU_SLOPE
from gansteer.models.layout import Layout
from gansteer.models.stylegan2 import doubling
from gansteer.models.stylegan2.network import Synthesis, SynthesisLayer, demodulation
from gansteer.models.stylegan2.region_plan import LayerBack, LayerPlan, UpBack, UpPlan, plan, plan_back
from gansteer.models.stylegan2.winograd import Tiles, Winograd

CHUNK = 512
"""Rows whose neighbours are gathered at a time, so that these stay in the cache; and the most for packed weights."""

MOST = 7 / 8
"""From this share of rows with gradient on, all are taken to have one."""


# --- products with weights that stay ------------------------------------------------------------------------------------


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


class Kernel:
    """One layer's weights, arranged for the products of its forward and backward pass when they are first needed."""

    def __init__(self, layer: SynthesisLayer, style: Tensor | None = None) -> None:
        """With a `style [1, I]` that stays, the weights have it in them, and the demodulation and the activation's gain."""
        self._layer, self._style = layer, style
        self.out_channels, self.in_channels = layer.weight.shape[:2]
        self._tiled: dict[Winograd, Tensor] = {}
        self._tiled_back: dict[Winograd, Tensor] = {}

    def _weight(self) -> Tensor:
        """`[O, I, 3, 3]`."""
        weight = self._layer.weight.detach()
        if self._style is None:
            return weight
        scale = demodulation(self._style, self._layer.energy().detach()) * LRELU_GAIN
        return weight * (scale.t() * self._style)[..., None, None]

    def _matrix(self) -> Tensor:
        if self._layer.up:
            return self._weight().permute(2, 3, 0, 1).reshape(-1, self.in_channels)  # [9 O, I]
        return self._weight().permute(0, 2, 3, 1).reshape(self.out_channels, -1)  # [O, 9 I]

    @cached_property
    def forward(self) -> Product:
        """Nine gathered neighbours `[N, 9 I]` to `[N, O]`; when doubling, `[N, I]` to all taps `[N, 9 O]`."""
        return packed_product(self._matrix())

    @cached_property
    def backward(self) -> Product:
        """The transpose of `forward`."""
        return packed_product(self._matrix().t().contiguous())

    def tiled(self, form: Winograd) -> Tensor:
        """The matrix of each point of Winograd's transform, `[points, I, O]`."""
        if form not in self._tiled:
            self._tiled[form] = form.transform_weights(self._weight().transpose(0, 1))
        return self._tiled[form]

    def tiled_back(self, form: Winograd) -> Tensor:
        """The transposes of `tiled`, `[points, O, I]`."""
        if form not in self._tiled_back:
            self._tiled_back[form] = form.transform_weights(self._weight())
        return self._tiled_back[form]

    @cached_property
    def doubled(self) -> Tensor:
        """The kernels of `doubling.py`, `[25, I, O]`."""
        return doubling.transform_weights(self._weight().transpose(0, 1))


def _by_tiles(x: Tensor, tiles: Tiles, weights: Tensor, more: Tensor | None = None) -> Tensor:
    """The table `x [M_in + 1, I]` to `[M + 1, O]`, by `weights [points, I, O]`; `more` are rows that results may have added."""
    points, _, out = weights.shape
    given = tiles.inputs(x).view(-1, points, x.shape[1]).transpose(0, 1)  # [points, T, I]
    count = given.shape[1] * points
    products = x.new_empty(count if more is None else count + len(more), out)
    if more is not None:
        products[count:] = more
    torch.bmm(given, weights, out=products[:count].view(-1, points, out).transpose(0, 1))
    return tiles.results(products)


def _by_doubling(given: Tensor, kernels: Tensor) -> Tensor:
    """`given [T * POINTS, A]`, each times its own of `kernels [25, A, B]`: `[T * POINTS, B]`."""
    x = given.view(-1, doubling.POINTS, given.shape[1])
    products = x.new_empty(*x.shape[:2], kernels.shape[2])
    kinds, each = kernels.unbind(), zip(x.unbind(dim=1), products.unbind(dim=1), strict=True)
    for point, (of, to) in enumerate(each):
        torch.mm(of, kinds[doubling.kernel_of(point)], out=to)
    return products.flatten(0, 1)


def _convolve(x: Tensor, step: LayerPlan, kernel: Kernel, more: Tensor) -> Tensor:
    """The table `x [M_in + 1, I]` to `[M + 1, O]`: the convolution, plus `more[0]`, plus the noise times `more[1]`."""
    out = kernel.out_channels
    if isinstance(step, UpPlan):  # multiply, then sum up into the doubled and blurred grid
        if step.inputs is None:
            z = kernel.forward(x).view(-1, 3 * out)  # [(M_in + 1) 3 (ky), 3 (kx) O]
        else:
            z = _by_doubling(step.inputs(x), kernel.doubled)  # [T POINTS, O]
        t = step.along_y(z).view(-1, out)
        t[-2:] = more
        return step.along_x(t)
    if isinstance(step.taps, Tiles):
        return _by_tiles(x, step.taps, kernel.tiled(step.taps.form), more)
    y = x.new_empty(len(step.taps) + 1, out)
    for rows, taps in zip(torch.split(y[:-1], CHUNK), torch.split(step.taps, CHUNK), strict=True):
        rows[:] = kernel.forward(x.index_select(0, taps.flatten()).view(len(taps), -1))
    y[:-1].addcmul_(step.noise, more[1:]).add_(more[:1])
    y[-1] = 0
    return y


def _convolve_back(g: Tensor, way: LayerBack, kernel: Kernel) -> Tensor:
    """The transpose: the table `g [N + 1, O]` of the rows with gradient to `[N_below + 1, I]` of those below."""
    out = kernel.out_channels
    if isinstance(way, UpBack):
        if way.inputs is not None:
            z = way.along_y(way.along_x(g))  # [T POINTS, O]
            return way.inputs(_by_doubling(z, kernel.doubled.transpose(1, 2)))
        gt = way.along_x(g).view(-1, 3 * out)  # [N_mid + 1, 3 (kx), O]
        return kernel.backward(way.along_y(gt).view(-1, 9 * out))  # of [N_below + 1, 9 O]
    if isinstance(way.taps, Tiles):
        return _by_tiles(g, way.taps, kernel.tiled_back(way.taps.form))
    gx = g.new_zeros(len(way.below) + 1, kernel.in_channels)
    for rows, taps in zip(torch.split(g[:-1], CHUNK), torch.split(way.taps, CHUNK), strict=True):
        gx.index_add_(0, taps.flatten(), kernel.backward(rows).view(-1, kernel.in_channels))  # [n, 9 I] spread
    gx[-1] = 0
    return gx


def _chosen(table: Tensor, rows: Tensor) -> Tensor:
    """The `rows [N]`, ascending, of a table `[M + 1, C]`; without a copy if they are all."""
    return table[:-1] if len(rows) == len(table) - 1 else table.index_select(0, rows)


class _Pass(torch.autograd.Function):
    """All layers in one node of the graph, so that few passes go over the tables and gradients stay on their rows.

    Per layer, with `a` the activations of the one below, s its style, d its demodulation, n noise, b bias:
    `a' = lrelu(sqrt2 (d conv(s a) + n + b))`, and then `a' m + t` where something modulates positions. Takes every layer's
    d `[1, O]`, then every layer's s `[1, I]`, which gets the gradient by way of d, too: that of
    `d = 1 / sqrt(sum_i s_i^2 E_oi + eps)` is `-d^3 E_oi s_i`. Both are None where the weights hold them. Then every layer's m, and
    every layer's t, `[r r, O]` or None.
    """

    @staticmethod
    def forward(
        ctx: Any, region: "RegionSynthesis", plans: list[LayerPlan], ds: list[Tensor | None], *given: Tensor | None
    ) -> Tensor:
        count = len(region.layers)
        styles, gains, shifts = given[:count], given[count : 2 * count], given[2 * count :]
        modulations = [
            None if gain is None or shift is None else Modulation(gain, shift)
            for gain, shift in zip(gains, shifts, strict=True)
        ]
        tables, results = [region.constant], []
        each = zip(region.kernels, plans, region.added, styles, ds, region.layers, modulations, strict=True)
        for kernel, step, added, style, d, layer, modulation in each:
            if style is None or d is None:
                y = _convolve(tables[-1], step, kernel, added)
            else:
                scale = d * LRELU_GAIN
                y = _convolve(tables[-1] * style, step, kernel, added / scale).mul_(scale)
            F.leaky_relu_(y, LRELU_SLOPE)
            results.append(y if layer.clamp is None else y.clamp_(-layer.clamp, layer.clamp))
            tables.append(results[-1] if modulation is None else modulation.applied(results[-1], step))
        ctx.region, ctx.plans, ctx.ds, ctx.styles, ctx.modulations = region, plans, ds, styles, modulations
        ctx.tables, ctx.results = (
            tables[:-1],
            [x.detach() for x in results],
        )  # not what is returned: that holds this node
        return tables[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        region = ctx.region
        count = len(region.layers)
        gradients: list[Tensor | None] = [None] * (3 * count)
        live = _live(g)
        ways = region.plan_back(ctx.plans, live)
        rows = live.nonzero()[:, 0]
        g = _chosen(g, rows)
        table = g.new_empty(len(rows) + 1, g.shape[1])
        for i, way in reversed(list(enumerate(ways))):
            layer, step, modulation, style, d = (
                of[i] for of in (region.layers, ctx.plans, ctx.modulations, ctx.styles, ctx.ds)
            )
            a = _chosen(ctx.results[i], rows)
            if modulation is not None:
                places = modulation.places(step).index_select(0, rows)
                if modulation.gain.requires_grad or modulation.shift.requires_grad:
                    gradients[count + i] = torch.zeros_like(modulation.gain).index_copy_(0, places, g * a)
                    gradients[2 * count + i] = torch.zeros_like(modulation.shift).index_copy_(0, places, g)
                g = g * modulation.gain.index_select(0, places)
            if layer.clamp is not None:
                g = g.masked_fill(a.abs() >= layer.clamp, 0)
            moves = style is not None and style.requires_grad
            # Times what stands in lrelu, the gradient there is g a: what came out, times the gradient of that.
            total = (g * a).sum(dim=0) if moves else None
            torch.ops.aten.leaky_relu_backward.grad_input(g, a, LRELU_SLOPE, True, grad_input=table[:-1])
            table[-1] = 0
            if total is not None:
                bias, one = region.added[i]
                noise = step.noise.index_select(0, rows)[:, 0]
                beside = noise @ table[:-1] * one + bias * table.sum(dim=0)
                gradients[i] = (beside - total) * d.square() @ region.energies[i] * style
            if style is not None:
                table.mul_(d * LRELU_GAIN)
            table = _convolve_back(table, way, region.kernels[i])
            g, rows = table[:-1], way.below
            if gradients[i] is not None:
                gradients[i] = gradients[i] + (g * _chosen(ctx.tables[i], rows)).sum(dim=0)
            if style is not None and i:
                g.mul_(style)
        return None, None, None, *gradients


def _live(g: Tensor) -> Tensor:
    """Which rows of the gradient `g [M + 1, C]` of a table are not zero, `[M]`; all, if so few are that a copy costs more."""
    live: Tensor = g[:-1].abs().amax(dim=1) > 0
    return torch.ones_like(live) if int(live.sum()) > MOST * len(live) else live


@dataclass(frozen=True)
class Modulation:
    """What multiplies a layer's results, position by position, and what is added to them."""

    gain: Tensor
    """`[r r, C]`, row by row."""
    shift: Tensor
    """`[r r, C]`."""

    def places(self, step: LayerPlan) -> Tensor:
        """The rows `[M]` of the positions that `step` computes."""
        return step.need.flatten().nonzero()[:, 0].to(self.gain.device)

    def applied(self, x: Tensor, step: LayerPlan) -> Tensor:
        """Results `[M + 1, C]` modulated, but for the last row, which stays zero."""
        places = self.places(step)
        shift, gain = self.shift.index_select(0, places), self.gain.index_select(0, places)
        return F.pad(torch.addcmul(shift, x[:-1], gain), (0, 0, 0, 1))


Modulate = Callable[[Layout | None], Mapping[str, Modulation]]
"""What modulates layers, by their names, in a layout or, given none, in that of the edit's start."""


def unmodulated(layout: Layout | None) -> Mapping[str, Modulation]:
    """No layer is modulated, as in a model without layouts."""
    return {}


class RegionSynthesis:
    """A synthesis network that evaluates its layers up to `layer` at chosen positions only.

    Weights are arranged when they are first needed and must not change afterwards; no gradient reaches them, nor the `fixed`
    styles, which then are those of every call. `modulate` tells what modulates which layers.
    """

    def __init__(
        self,
        synthesis: Synthesis,
        layer: str,
        modulate: Modulate = unmodulated,
        fixed: FixedStyles = NONE_FIXED,
    ) -> None:
        self.layers: list[SynthesisLayer] = []
        for each in synthesis.layers():
            self.layers.append(each)
            if each.name == layer:
                break
        self._modulate = modulate
        self._fixed = fixed
        with torch.no_grad():
            self.kernels = [Kernel(each, fixed.get(each.name)) for each in self.layers]
            self.energies = [each.energy().detach() for each in self.layers]
            constant = synthesis.constant.detach().flatten(1).t()
            self.constant = F.pad(constant, (0, 0, 0, 1))  # [16 + 1, C]
            biases = [each.bias.detach() * LRELU_GAIN for each in self.layers]
            self.added = [torch.stack([bias, torch.ones_like(bias)]) for bias in biases]
        self._backs: list[tuple[list[LayerPlan], list[LayerBack]]] = []
        self._plans: list[list[LayerPlan]] = []

    def __call__(self, styles: Styles, need: Tensor, layout: Layout | None = None) -> Tensor:
        """Features at `need [r, r]` (bool, CPU), row by row: `[M + 1, C]`, the last row zero.

        `styles` gives the style `[1, I]` of every layer whose style is not fixed; gradients flow to those that ask for one, and to
        the `layout`.
        """
        each = [None if layer.name in self._fixed else styles[layer.name] for layer in self.layers]
        with torch.no_grad():
            of = zip(each, self.energies, strict=True)
            ds = [None if style is None else demodulation(style, energy) for style, energy in of]
        found = self._modulate(layout)
        ms = [found.get(layer.name) for layer in self.layers]
        gains, shifts = [None if m is None else m.gain for m in ms], [None if m is None else m.shift for m in ms]
        table: Tensor = _Pass.apply(self, self._plan(need), ds, *each, *gains, *shifts)  # type: ignore[no-untyped-call]
        return table

    def _plan(self, need: Tensor) -> list[LayerPlan]:
        """The plan for `need`; the last two are kept, as consecutive steps need nearly the same, and below exactly."""
        steps = plan(self.layers, need.clone(), self._plans)
        self._plans = [*self._plans, steps][-2:]
        return steps

    def plan_back(self, plans: list[LayerPlan], live: Tensor) -> list[LayerBack]:
        """The way of gradients from the rows `live [M]` (bool) of what `plans` compute; the last two are kept, too."""
        need = plans[-1].need
        ways = plan_back(self.layers, plans, torch.zeros_like(need).masked_scatter(need, live.cpu()), self._backs)
        self._backs = [*self._backs, (plans, ways)][-2:]
        return ways
