"""Dragging a picture that has a layout, coarse to fine (SpatialGAN, Wang et al., TPAMI 2024).

First the blob that covers a handle is moved as far as the handle is to go, w staying as it is; then the centres of blobs
take part in the optimisation.
"""

from dataclasses import replace

import torch
from torch import Tensor

from gansteer.models.layout import Layout

BLOB_RATE = 1e-2
"""Learning rate of the centres in the joint steps, in half pictures: 0.64 px of 128."""
COVERS = 0.1
"""A blob covers a handle where its heatmap is at least this, 1 being its centre."""


def covering(layout: Layout, points: Tensor) -> Tensor:
    """`[n]`: the blob that covers each of `points [n, 2]` (x, y in pixels), the one with the highest heatmap there; else -1."""
    if not len(layout):
        return torch.full((len(points),), -1)
    ratio = (points[:, None].to(layout.centres) - layout.centres).square().sum(dim=2) / layout.sizes.square()
    heat = layout.present * 0.5**ratio  # [n, K]; one half at the distance of the size
    height, blob = heat.max(dim=1)
    return torch.where(height >= COVERS, blob, -1).cpu()


def first_move(layout: Layout, points: Tensor, targets: Tensor, gain: float) -> tuple[Tensor, Tensor]:
    """How far each blob moves before w does, `[K, 2]`, and how far that takes the blob on each handle, `[n, 2]`; in pixels.

    The blob that covers a handle goes the whole way `(t - p) / gain`; one that covers several, their mean. The others stay
    (children go with their parent, which is not in the first of these). `points` and `targets` are `[n, 2]`, (x, y) in pixels;
    results are float64 on the CPU.
    """
    shift = torch.zeros(len(layout), 2, dtype=torch.float64)
    carried = torch.zeros(len(points), 2, dtype=torch.float64)
    blobs = covering(layout, points)
    for blob in set(blobs.tolist()) - {-1}:
        mine = blobs == blob
        shift[blob] = (targets - points).double().cpu()[mine].mean(dim=0) / gain
        carried[mine] = shift[blob]
    return shift, carried


class MovingLayout:
    """A layout as start plus an offset of its centres, in units of half a picture; a parent's offset moves its children."""

    def __init__(self, layout: Layout, resolution: int) -> None:
        self._start, self._half = layout, resolution / 2
        families = [layout.family(blob) for blob in range(len(layout))]
        moves = torch.stack(families, dim=1) if families else layout.centres.new_zeros(0, 0)
        self._moves = moves.to(layout.centres)  # [K, K]: 1 where blob k goes along with blob j
        self.offset = torch.zeros_like(layout.centres).requires_grad_()
        """`[K, 2]`: what is optimised."""

    def layout(self) -> Layout:
        """The present layout, differentiable in the offset."""
        return replace(self._start, centres=self._start.centres + self._moves @ self.offset * self._half)

    @torch.no_grad()
    def jump(self, shift: Tensor) -> None:
        """Move blobs by `shift [K, 2]` pixels at once, their children with them."""
        self.offset.add_(shift.to(self.offset) / self._half)

    @torch.no_grad()
    def present(self) -> Layout:
        """The present layout without gradient; the start itself, bit for bit, where nothing has moved."""
        if not bool(self.offset.any()):
            return self._start
        found = self.layout()
        return replace(found, centres=found.centres.detach())
