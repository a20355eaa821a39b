"""DragGAN (Pan et al., SIGGRAPH 2023): move points of the picture to where the person wants them.

One iteration: compute the features F(w), track every handle in them, and take one Adam step on w against the motion
supervision loss of the same features. So an iteration is one forward and one backward pass, and the handles that a
step reports are those of the picture it reports.
"""

import torch
from torch import Tensor

from gansteer.edits.drag.features import Features
from gansteer.edits.drag.run import PointRun
from gansteer.edits.drag.trackers import make_tracker
from gansteer.edits.drag.tracking import Tracked, around, disc, inside, reach


def directions(p: Tensor, t: Tensor, stride: float = 1.0) -> Tensor:
    """`d_i = stride (t_i - p_i) / ||t_i - p_i||_2`, `[n, 2]`; nearer than that `t_i - p_i` itself, so 0 on arrival.

    The paper's stride is one pixel.
    """
    way = t - p
    length: Tensor = way.norm(dim=1, keepdim=True)
    return way / (length / stride).clamp_min(1.0)


def patches(p: Tensor, d: Tensor, r1: float, size: int) -> tuple[Tensor, Tensor]:
    """Omega_1 of every handle: `q [n, K, 2]`, and which of them `[n, K]` lie in the picture before and after the shift."""
    q = around(p, disc(r1))
    return q, inside(q, size) & inside(q + d[:, None], size)


def stretched_disc(p: Tensor, t: Tensor, offsets: Tensor, r1: float, size: int) -> Tensor:
    """Which of `offsets [K, 2]` around every handle the released code pulls, `[n, K]`.

    Its pixel j has the coordinate `j size / (size - 1)` (`linspace(0, size, size)`), and is pulled if that is nearer than r1
    to the handle; handles `p [n, 2]` within one pixel of their targets `t [n, 2]` are not pulled at all.
    """
    coordinates = around(p, offsets) * (size / (size - 1))
    pulled: Tensor = ((coordinates - p[:, None]).norm(dim=2) < r1) & ((t - p).norm(dim=1) > 1)[:, None]
    return pulled


def motion_loss(
    features: Features, p: Tensor, d: Tensor, r1: float, source: Tensor | None = None, chosen: Tensor | None = None
) -> Tensor:
    """Motion supervision (section 3.2), `sum_i mean_{q in Omega_1(p_i, r1)} | sg[F(q)] - F(q + d_i) |`.

    The mean form: over the patch's pixels and the channels. `p`, `d [n, 2]` in pixels. sg stops the gradient, so the
    content is pulled forwards and the target not backwards. `source [n, K, C]`, if given, stands for F(q);
    `chosen [n, K]` says which of the disc's pixels are pulled, all unless given.
    """
    q, valid = patches(p, d, r1, features.grid.size)
    if chosen is not None:
        valid = valid & chosen
    if source is None:
        source = features.detach().sample(q)
    shifted = features.sample(q + d[:, None])
    difference = (source - shifted).abs().mean(dim=2)  # [n, K]
    weight = valid.to(difference) / valid.sum(dim=1, keepdim=True).clamp_min(1).to(difference)
    return (difference * weight).sum()


class DragGANRun(PointRun):
    """A drag by motion supervision and point tracking."""

    @property
    def _stride(self) -> float:
        return self.edit.stride or 1.0

    @property
    def _disc(self) -> float:
        """Radius of the pixels that may be pulled: the stretched disc reaches up to a pixel and a half beyond r1."""
        return self._r1 + 1.5 if self.edit.as_released else self._r1

    def _begin(self) -> None:
        """From the first picture: the trackers' templates, and the patches to fall back on when tracking is unsure."""
        with torch.no_grad():
            features = self._features(self._needed(self._points))
            assert self.edit.tracker is not None
            view, model = self._tracked_in(features, self._window()), self.start.model
            self._tracker = make_tracker(self.edit.tracker, model, view, self._points, self._r2, self._r1)
            self._first_patches = features.sample(around(self._points, disc(self._disc)))  # [n, K, C]
            self._remember(features)

    def _needed(self, p: Tensor) -> Tensor:
        """The cells that tracking around `p [n, 2]` and motion supervision from there look at."""
        return self._grid.need_around(p, self._window()) | self._supervised(p)

    def _window(self) -> Tensor:
        """How far around a handle its tracker looks, in pixels along each axis: `[K]`."""
        beyond = {"none": 1.0 - self._r2, "between-pixels": 1.0, "patch-flow": self._r1 + 2.0}
        return reach(self._r2 + beyond.get(self.edit.tracker or "", 0.0))

    def _supervised(self, p: Tensor) -> Tensor:
        """The cells that motion supervision from `p [n, 2]` looks at."""
        q = around(p, disc(self._disc))
        return self._grid.need(torch.stack([q, q + directions(p, self._targets, self._stride)[:, None]]))

    def _look(self) -> Tensor:
        """Features, tracking, and the loss of the same features."""
        features = self._features(self._needed(self._points))
        tracked = self._tracker.track(self._tracked_in(features, self._window()), self._points)
        supervised = self._supervised(tracked.points)
        if not features.covers(supervised):
            # A handle has left its region: compute the features again where it is now.
            features = self._features(supervised)
        self._points, self._seen = tracked.points, features
        self._present_patches = self._source(features, tracked)
        d = directions(self._points, self._targets, self._stride)
        chosen = None
        if self.edit.as_released:
            chosen = stretched_disc(self._points, self._targets, disc(self._disc), self._r1, self._grid.size)
        loss = motion_loss(features, self._points, d, self._disc, self._present_patches, chosen)
        return loss + self._held(features)

    def _source(self, features: Features, tracked: Tracked) -> Tensor:
        """sg[F(q)] `[n, K, C]`; where the tracker is not sure, the first picture's patch instead (StableDrag)."""
        present = features.detach().sample(around(tracked.points, disc(self._disc)))
        return torch.where(tracked.sure[:, None, None].to(present.device), present, self._first_patches)
