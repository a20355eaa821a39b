"""Gauss-Newton on the displacement of the handles: few large steps instead of many small ones.

Motion supervision asks for features that stand `d_i` farther on. Squared, that is a least-squares problem in the latent,
and near the present one a linear one: `min_delta || r + J delta ||^2 + mu || delta ||^2`, solved by a few iterations of
conjugate gradients. Products with J^T are backward passes over the handles' regions, products with J differences of two
forward passes. A step costs about four of Adam's and goes ten times as far.
"""

import torch
from torch import Tensor

from gansteer.edits.drag.draggan import DragGANRun, directions, patches
from gansteer.edits.drag.features import Features

CG_STEPS = 3
STRIDE = 1.5
"""Cells of the feature map that a handle is asked to go at a time."""
DAMPING = 0.1
"""mu, as a share of the curvature along the first direction."""
LONGEST = 0.1
"""Root mean square of a step at most, in deviations of the model's own w: farther on, J is another."""
PROBE = 1e-3
"""Length of the difference that gives products with J, in the same unit."""


class GaussNewtonRun(DragGANRun):
    """A drag by motion supervision and point tracking whose steps are Gauss-Newton's."""

    @property
    def _stride(self) -> float:
        return self.edit.stride or STRIDE * self._grid.cell

    def _residual(self, features: Features) -> Tensor:
        """r, whose square is motion supervision, mask term and priors with squares for absolute values. One vector."""
        p, edit = self._points, self.edit
        d = directions(p, self._targets, self._stride)
        q, valid = patches(p, d, self._r1, self._grid.size)
        shifted = features.sample(q + d[:, None])  # [n, K, C]
        weight = valid.double() / (valid.sum(dim=1, keepdim=True).clamp_min(1) * shifted.shape[2])
        parts = [(shifted - self._present_patches) * weight.sqrt()[..., None].to(shifted)]
        if self._mask is not None:
            parts.append(edit.lambda_mask**0.5 * self._mask.residual(features))
        moved = self._latent.moved()
        if edit.pull:
            parts.append((edit.pull / moved.numel()) ** 0.5 * moved)
        if edit.manifold:
            parts.append((edit.manifold / moved.numel()) ** 0.5 * self._whitening(moved))
        return torch.cat([part.flatten() for part in parts])

    def _advance(self, loss: Tensor) -> None:
        """One Gauss-Newton step: conjugate gradients on `(J^T J + mu) delta = -J^T r`."""
        offset = self._latent.offset
        residual = self._residual(self._seen)
        q, _ = patches(
            self._points, d := directions(self._points, self._targets, self._stride), self._r1, self._grid.size
        )
        need = self._grid.need(q + d[:, None])
        r, here = residual.detach(), offset.detach().clone()

        def down(u: Tensor) -> Tensor:  # J^T u
            return torch.autograd.grad(residual, offset, u, retain_graph=True)[0]

        def up(v: Tensor) -> Tensor:  # J v
            scale = PROBE * self._spread / v.square().mean().sqrt().clamp_min(1e-20)
            with torch.no_grad():
                offset.copy_(here + scale * v)
                probed = self._residual(self._features(need))
                offset.copy_(here)
            return (probed - r) / scale

        left = -down(r)
        delta, direction, size = torch.zeros_like(left), left, left.square().sum()
        mu = None
        for _ in range(CG_STEPS):
            product = down(up(direction))
            mu = DAMPING * (direction * product).sum() / direction.square().sum() if mu is None else mu
            product = product + mu * direction
            step = size / (direction * product).sum().clamp_min(1e-30)
            delta, left = delta + step * direction, left - step * product
            size, before = left.square().sum(), size
            direction = left + size / before.clamp_min(1e-30) * direction
        length = delta.square().mean().sqrt()
        with torch.no_grad():
            offset.add_(delta * (LONGEST * self._spread / length.clamp_min(1e-20)).clamp_max(1.0))
