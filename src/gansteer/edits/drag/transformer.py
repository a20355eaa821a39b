"""A drag by the User-Controllable Latent Transformer (Endo 2022): one pass instead of an optimisation.

It is fast, rarely lands exactly, and knows no mask: as in DragGAN's comparison, what the mask holds is given to it as points of
a 16 x 16 grid that do not move.
"""

import torch
from torch import Tensor

from gansteer.checkpoints.latent_transformer import find_transformer
from gansteer.edits.api import Progress
from gansteer.edits.drag.draggan import DragGANRun
from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.features import Extractor
from gansteer.errors import UserError
from gansteer.subject import Subject

ANCHORS = 16
"""Points along each side of the grid that stands for a mask."""


class TransformerRun(DragGANRun):
    """A drag whose one step is predicted. Its points are where DragGAN's tracker sees them in the result."""

    def __init__(self, subject: Subject, edit: Drag) -> None:
        """Raises UserError if the edit does not fit, or there is no latent transformer for the subject's model."""
        self._network = find_transformer(subject.model)
        super().__init__(subject, edit)

    @torch.no_grad()
    def _advance(self, loss: Tensor) -> None:
        """`w_hat = w + alpha T(w, motion, F(p))` in the rows that it knows."""
        config, start = self._network.config, self.start
        w = self._latent.w()[: config.rows]
        if config.rows > len(self._latent.rows()):
            raise UserError(f"this latent transformer moves {config.rows} rows: leave --rows at {config.rows} or more")
        points, motion = self._points, self._targets - self._points
        if self.edit.mask is not None:
            anchors = held(self.edit.mask)
            points, motion = torch.cat([points, anchors]), torch.cat([motion, torch.zeros_like(anchors)])
        extract = Extractor(start.generator, self._present().code, 1, config.layer, self.edit.engine)
        features = extract(self._latent.rows()[:1], extract.grid.need(points)).sample(points)
        self._extract.passes += 1
        moved = self._network.predict(w, motion, features)
        self._latent.offset[: config.rows] += moved - w

    def _ending(self, now: Progress, distances: Tensor) -> Progress | None:
        if self.taken > self._first_step:
            self._best = now
            arrived = self._arrived(distances)
            return self._end("all handles have arrived" if arrived else "predicted in one pass, which is its end", now)
        return super()._ending(now, distances)


def held(mask: Tensor) -> Tensor:
    """The points `[n, 2]` of a regular grid over the picture that `mask [H, W]` (True = may move) holds."""
    size = len(mask)
    middle = ((torch.arange(ANCHORS, dtype=torch.float64) + 0.5) * (size / ANCHORS) - 0.5).clamp(0, size - 1)
    y, x = torch.meshgrid(middle, middle, indexing="ij")
    points = torch.stack([x, y], dim=-1).view(-1, 2)
    column, row = points.round().long().unbind(dim=1)
    return points[~mask[row, column]]
