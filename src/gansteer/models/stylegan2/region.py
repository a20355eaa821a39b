"""StyleGAN2's features at chosen positions only, exactly, forward and backward.

The synthesis has no spatial normalisation: a feature depends on its receptive field and on nothing else. So we walk
back from the positions asked for, layer by layer, and note which positions of the layer below each needs: a 3x3
convolution needs the neighbours; doubling with the 4-tap blur needs, for output m, the inputs `m // 2 - 1 ... m // 2 + 1`.
A layer's activations are then a table `[M + 1, C]`, one row per needed position and a last row of zeros that stands for
everything beyond the border, and a convolution is: gather rows, multiply by the weights. Overlapping handles share
rows, borders need no special case, and the whole map is simply the case where every position is needed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from gansteer.models.code import Styles
from gansteer.models.layers import LRELU_GAIN, LRELU_SLOPE
from gansteer.models.stylegan2.network import Synthesis, SynthesisLayer, demodulation
from gansteer.models.stylegan2.region_plan import LayerBack, LayerPlan, UpBack, UpPlan, plan, plan_back
from gansteer.models.stylegan2.winograd import Tiles, Winograd

CHUNK = 512
"""Rows multiplied at a time: small enough that the gathered patches stay in the cache."""


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


def _by_tiles(x: Tensor, tiles: Tiles, products: Sequence[Product]) -> Tensor:
    """`x [M_in + 1, I]` to `[M, O]`."""
    points = tiles.inputs(x).chunk(len(products))  # each [T, I]
    return tiles.results(torch.cat([_in_chunks(*of) for of in zip(products, points, strict=True)]))


def _in_chunks(product: Product, x: Tensor) -> Tensor:
    if x.shape[0] <= CHUNK:
        return product(x)
    return torch.cat([product(rows) for rows in torch.split(x, CHUNK)])


def _scaled(x: Tensor, factor: Tensor) -> Tensor:
    """`x [N, C]` times `factor [1, C]`, and a row of zeros: `[N + 1, C]`."""
    table = x.new_empty(x.shape[0] + 1, x.shape[1])
    torch.mul(x, factor, out=table[:-1])
    table[-1] = 0
    return table


def _convolve(x: Tensor, step: LayerPlan, kernel: "Kernel") -> Tensor:
    """`x [M_in + 1, I]` to `[M, O]`."""
    out = kernel.out_channels
    if isinstance(step, UpPlan):  # multiply by the nine taps, then sum them up into the doubled and blurred grid
        z = _in_chunks(kernel.forward, x)  # [M_in + 1, 3 (ky), 3 (kx), O]
        t = step.along_y(z.view(-1, 3 * out))  # [M_mid + 1, 3 (kx), O]
        return step.along_x(t.view(-1, out))
    if isinstance(step.taps, Tiles):
        return _by_tiles(x, step.taps, kernel.tiled(step.taps.form))
    parts = [
        kernel.forward(x.index_select(0, taps.flatten()).view(taps.shape[0], -1))
        for taps in torch.split(step.taps, CHUNK)
    ]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _convolve_back(g: Tensor, way: LayerBack, kernel: "Kernel") -> Tensor:
    """The transpose: `g [N + 1, O]` of the rows with gradient to `[N_below, I]` of those below."""
    out = kernel.out_channels
    if isinstance(way, UpBack):
        gt = way.along_x(g).view(-1, 3 * out)  # [N_mid + 1, 3 (kx), O]
        gz = way.along_y(gt).view(-1, 9 * out)  # [N_below, 9 O]
        return _in_chunks(kernel.backward, gz)
    if isinstance(way.taps, Tiles):
        return _by_tiles(g, way.taps, kernel.tiled_back(way.taps.form))
    gx = g.new_zeros(len(way.below) + 1, kernel.in_channels)
    for rows, taps in zip(torch.split(g[:-1], CHUNK), torch.split(way.taps, CHUNK), strict=True):
        gx.index_add_(0, taps.flatten(), kernel.backward(rows).view(-1, kernel.in_channels))  # [n, 9 I] spread
    return gx[:-1]


class _Pass(torch.autograd.Function):
    """All layers in one node of the graph, so that few passes go over the tables and gradients stay on their rows.

    Per layer, with `a` the activations of the one below, s its style, d its demodulation, n noise, b bias:
    `a' = lrelu(sqrt2 (d conv(s a) + n + b))`, and then `a' m + t` where something modulates positions. Takes every layer's d `[1, O]`, then every layer's s `[1, I]`, which gets
    the gradient by way of d, too: that of `d = 1 / sqrt(sum_i s_i^2 E_oi + eps)` is `-d^3 E_oi s_i`.
    """

    @staticmethod
    def forward(
        ctx: Any, region: "RegionSynthesis", plans: list[LayerPlan], ds: list[Tensor], *styles: Tensor
    ) -> Tensor:
        tables, results = [region.constant], []
        each = zip(region.layers, region.kernels, plans, styles, ds, region.modulations, strict=True)
        for layer, kernel, step, style, d, modulation in each:
            y = torch.addcmul(step.noise, _convolve(_scaled(tables[-1], style), step, kernel), d * LRELU_GAIN)
            y = F.leaky_relu_(y.add_(layer.bias.detach() * LRELU_GAIN), LRELU_SLOPE)
            results.append(y if layer.clamp is None else y.clamp_(-layer.clamp, layer.clamp))
            tables.append(results[-1] if modulation is None else modulation.applied(results[-1], step))
        ctx.region, ctx.plans, ctx.tables, ctx.results, ctx.ds, ctx.styles = region, plans, tables, results, ds, styles
        return F.pad(tables[-1], (0, 0, 0, 1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        region, ds, styles = ctx.region, ctx.ds, ctx.styles
        gradients: list[Tensor | None] = [None] * len(styles)
        live = g[:-1].abs().amax(dim=1) > 0
        ways = region.plan_back(ctx.plans, live)
        rows = live.nonzero()[:, 0]
        g, a = (x.index_select(0, rows) for x in (g, ctx.tables[-1]))
        for i, way in reversed(list(enumerate(ways))):
            layer, step, modulation = region.layers[i], ctx.plans[i], region.modulations[i]
            if modulation is not None:
                g = g * modulation.rows(modulation.gain, step).index_select(0, rows)
                a = ctx.results[i].index_select(0, rows)
            if layer.clamp is not None:
                g = g.masked_fill(a.abs() >= layer.clamp, 0)
            # Times what stands in lrelu, the gradient there is g a: what came out, times the gradient of that.
            total = (g * a).sum(dim=0) if styles[i].requires_grad else None
            g = torch.ops.aten.leaky_relu_backward(g, a, LRELU_SLOPE, True)
            if total is not None:
                noise = step.noise.index_select(0, rows)
                added = noise[:, 0] @ g + layer.bias.detach() * LRELU_GAIN * g.sum(dim=0)
                gradients[i] = (added - total) * ds[i].square() @ region.energies[i] * styles[i]
            g = _convolve_back(_scaled(g, ds[i] * LRELU_GAIN), way, region.kernels[i])
            rows = way.below
            a = ctx.tables[i].index_select(0, rows)
            if gradients[i] is not None:
                gradients[i] = gradients[i] + (g * a).sum(dim=0)
            if i:
                g = g * styles[i]
        return None, None, None, *gradients


class Kernel:
    """One layer's weights, packed for the products of its forward and backward pass when they are first needed."""

    def __init__(self, layer: SynthesisLayer) -> None:
        self._weight = layer.weight.detach()  # [O, I, 3, 3]
        self._up = layer.up
        self.out_channels, self.in_channels = self._weight.shape[:2]
        self._tiled: dict[Winograd, list[Product]] = {}
        self._tiled_back: dict[Winograd, list[Product]] = {}

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

    def tiled(self, form: Winograd) -> list[Product]:
        """Per point of Winograd's transform, `[T, I]` to `[T, O]`."""
        if form not in self._tiled:
            self._tiled[form] = [packed_product(weight) for weight in form.transform_weights(self._weight)]
        return self._tiled[form]

    def tiled_back(self, form: Winograd) -> list[Product]:
        """The transposes of `tiled`."""
        if form not in self._tiled_back:
            weights = form.transform_weights(self._weight.transpose(0, 1))
            self._tiled_back[form] = [packed_product(weight) for weight in weights]
        return self._tiled_back[form]


@dataclass(frozen=True)
class Modulation:
    """What multiplies a layer's results, position by position, and what is added to them: constants of an edit."""

    gain: Tensor
    """`[r r, C]`, row by row."""
    shift: Tensor
    """`[r r, C]`."""

    def rows(self, table: Tensor, step: LayerPlan) -> Tensor:
        """Those of the positions that `step` computes, `[M, C]`."""
        return table.index_select(0, step.need.flatten().nonzero()[:, 0].to(table.device))

    def applied(self, x: Tensor, step: LayerPlan) -> Tensor:
        """Results `[M, C]` modulated."""
        return torch.addcmul(self.rows(self.shift, step), x, self.rows(self.gain, step))


class RegionSynthesis:
    """A synthesis network that evaluates its layers up to `layer` at chosen positions only.

    Weights are packed at construction and must not change afterwards; no gradient reaches them, nor the modulations, which
    some layers have by name.
    """

    def __init__(
        self, synthesis: Synthesis, layer: str, modulations: Mapping[str, Modulation] = MappingProxyType({})
    ) -> None:
        self.layers: list[SynthesisLayer] = []
        for each in synthesis.layers():
            self.layers.append(each)
            if each.name == layer:
                break
        self.modulations = [modulations.get(each.name) for each in self.layers]
        with torch.no_grad():
            self.kernels = [Kernel(each) for each in self.layers]
            self.energies = [each.energy().detach() for each in self.layers]
            self.constant = synthesis.constant.detach().flatten(1).t().contiguous()  # [16, C]
        self._backs: list[tuple[list[LayerPlan], list[LayerBack]]] = []
        self._plans: list[list[LayerPlan]] = []
        self._constant: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(self, styles: Styles, need: Tensor) -> Tensor:
        """Features at `need [r, r]` (bool, CPU), row by row: `[M + 1, C]`, the last row zero.

        `styles` gives every layer's style `[1, I]`; gradients flow to those that ask for one.
        """
        each = [styles[layer.name] for layer in self.layers]
        with torch.no_grad():
            ds = [self._demodulation(*of) for of in zip(self.layers, each, self.energies, strict=True)]
        table: Tensor = _Pass.apply(self, self._plan(need), ds, *each)  # type: ignore[no-untyped-call]
        return table

    def _demodulation(self, layer: SynthesisLayer, style: Tensor, energy: Tensor) -> Tensor:
        """Computed once for the styles that are constants of the edit."""
        name = layer.name
        if style.requires_grad:
            return demodulation(style, energy)
        if name not in self._constant or self._constant[name][0] is not style:
            self._constant[name] = style, demodulation(style, energy)
        return self._constant[name][1]

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
