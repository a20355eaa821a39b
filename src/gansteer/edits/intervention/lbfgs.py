"""L-BFGS for several functions at once, each with a line search of its own: one evaluation of them all is one step."""

from collections import deque

import torch
from torch import Tensor

from gansteer.models.inverter import inverse_hessian

ENOUGH = 1e-4
"""A step is taken if the loss falls by this share of what the slope promises (Armijo)."""
SHORTER = (0.1, 0.5)
"""A step that is not is tried again this much shorter, at least and at most."""


class LBFGS:
    """Minimises `B` functions of `N` numbers each (Liu and Nocedal 1989): evaluate at `trial`, then `tell` what was found.

    No value is read back from the device, and no function waits for another one's line search.
    """

    def __init__(self, x: Tensor, history: int = 100) -> None:
        """Begins at `x [B, N]`, with `history` pairs remembered."""
        self.x = x
        """`[B, N]`: the best so far."""
        self.trial = x
        """`[B, N]`: where to evaluate next."""
        self.loss = torch.full_like(x[:, 0], torch.inf)
        """`[B]`: at `x`; infinite before the first evaluation."""
        self._gradient = torch.zeros_like(x)
        self._direction = torch.zeros_like(x)
        self._length = torch.ones_like(self.loss)
        self._gamma = torch.zeros_like(self.loss)
        self._pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=history)

    def restart(self) -> None:
        """Take what comes as another function, of about the same curvature: go on from the best with the pairs."""
        self.loss = torch.full_like(self.loss, torch.inf)
        self.trial = self.x

    def tell(self, loss: Tensor, gradient: Tensor) -> None:
        """The losses `[B]` and their gradients `[B, N]` at `trial`."""
        first = self.loss.isinf()
        slope = (self._gradient * self._direction).sum(dim=1) * self._length
        taken = first | (loss <= self.loss + ENOUGH * slope)  # not for NaN
        s = torch.where(taken[:, None], self.trial - self.x, 0)
        y = torch.where(taken[:, None], gradient - self._gradient, 0)
        sy, yy = (s * y).sum(dim=1), y.square().sum(dim=1)
        curved = (sy > 1e-8 * yy) & ~first
        self._pairs.append((s, y, torch.where(curved, 1 / sy.where(curved, 1), 0)[:, None]))
        # Before there is any pair, a step of length 1 along the largest coordinate at most.
        self._gamma = torch.where(self._gamma == 0, 1 / gradient.abs().sum(dim=1).clamp_min(1e-12), self._gamma)
        self._gamma = torch.where(curved, sy / yy.where(curved, 1), self._gamma)
        # The least of the parabola through both losses and the slope.
        shorter = (-slope / (2 * (loss - self.loss - slope))).nan_to_num(SHORTER[0], SHORTER[0], SHORTER[0])
        self._length = torch.where(taken, 1.0, self._length * shorter.clamp(*SHORTER))
        self.x = torch.where(taken[:, None], self.trial, self.x)
        self.loss = torch.where(taken, loss, self.loss)
        self._gradient = torch.where(taken[:, None], gradient, self._gradient)
        downhill = -inverse_hessian(self._gradient, self._pairs, self._gamma[:, None])
        self._direction = torch.where(taken[:, None], downhill, self._direction)
        self.trial = self.x + self._length[:, None] * self._direction
