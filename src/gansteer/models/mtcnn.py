"""Finding faces with MTCNN (Zhang et al. 2016): three small networks, each of which checks what the one before proposed.

P-Net slides over a pyramid of the picture and proposes boxes; R-Net looks at each box in 24 px and O-Net in 48 px. Each
gives a probability, by which boxes are kept, and a correction of the box; of boxes that overlap the likeliest stays.
O-Net also says where eyes, nose and the corners of the mouth are. `checkpoints.mtcnn` reads the weights.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CELL, STRIDE = 12, 2
"""P-Net sees windows of 12 px, every 2 px."""
PYRAMID = 0.709
SMALLEST_FACE = 20
THRESHOLDS = (0.6, 0.7, 0.7)
"""Probabilities that a box needs to pass P-Net, R-Net and O-Net, as in the authors' release."""


class Stage(nn.Module):
    """One of the three networks: convolutions with PReLU and pooling, then dense layers in R-Net and O-Net."""

    def __init__(
        self, widths: tuple[int, ...], kernels: tuple[int, ...], pools: tuple[int, ...], dense: int, points: int = 0
    ) -> None:
        """`pools` has a pooling window per convolution, or 0; `dense` is the size of the flattened maps, 0 for P-Net.

        `points` is how many landmarks it gives (5 for O-Net).
        """
        super().__init__()
        self.pools = pools
        channels = (3, *widths)
        self.convs = nn.ModuleList(nn.Conv2d(channels[i], channels[i + 1], k) for i, k in enumerate(kernels))
        self.prelus = nn.ModuleList(nn.PReLU(width) for width in widths)
        self.dense = nn.Linear(dense, 2 * widths[-1]) if dense else None
        self.dense_prelu = nn.PReLU(2 * widths[-1]) if dense else None
        wide = 2 * widths[-1] if dense else widths[-1]
        self.face = nn.Linear(wide, 2)
        self.box = nn.Linear(wide, 4)
        self.points = nn.Linear(wide, 2 * points) if points else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[B, 3, H, W]` in [-1, 1] to probabilities `[...]`, corrections `[..., 4]` and landmarks `[..., N, 2]`.

        Landmarks (x, y) are shares of the window, none but for O-Net. The leading size is `[B, H', W']` for P-Net and `[B]` for the others.
        """
        for conv, prelu, pool in zip(self.convs, self.prelus, self.pools, strict=True):
            x = prelu(conv(x))
            if pool:
                x = F.max_pool2d(x, pool, stride=2, ceil_mode=True)
        if self.dense is None:
            x = x.permute(0, 2, 3, 1)
        else:  # the weights expect columns first
            assert self.dense_prelu is not None
            x = self.dense_prelu(self.dense(x.permute(0, 3, 2, 1).flatten(1)))
        points = x.new_zeros(*x.shape[:-1], 0, 2)
        if self.points is not None:
            points = self.points(x).unflatten(-1, (2, -1)).mT  # all x come first, then all y
        return self.face(x).softmax(dim=-1)[..., 1], self.box(x), points


@dataclass(frozen=True, eq=False)
class FoundFaces:
    """Faces in a picture, likeliest first."""

    boxes: Tensor
    """`[N, 4]`: left, top, right, bottom: edges, in pixels."""
    scores: Tensor
    """`[N]` probabilities."""
    points: Tensor
    """`[N, 5, 2]` (x, y) in pixels: the eye on the picture's left, the other, the nose, the mouth's corners likewise."""


class FaceDetector(nn.Module):
    """The cascade."""

    def __init__(self) -> None:
        super().__init__()
        self.pnet = Stage((10, 16, 32), (3, 3, 3), (2, 0, 0), 0)
        self.rnet = Stage((28, 48, 64), (3, 3, 2), (3, 3, 0), 576)
        self.onet = Stage((32, 64, 64, 128), (3, 3, 3, 2), (3, 3, 2, 0), 1152, points=5)

    @torch.no_grad()
    def find(self, picture: Tensor, smallest: float = SMALLEST_FACE) -> FoundFaces:
        """The faces in a picture `[3, H, W]` in [-1, 1] that are at least `smallest` pixels wide."""
        boxes, scores = self._propose(picture, smallest)
        points = picture.new_zeros(len(boxes), 5, 2)
        for stage, size, threshold in ((self.rnet, 24, THRESHOLDS[1]), (self.onet, 48, THRESHOLDS[2])):
            if not len(boxes):
                break
            boxes = _square(boxes)
            scores, correction, shares = stage(_crops(picture, boxes, size))
            likely = scores >= threshold
            boxes, correction, shares, scores = boxes[likely], correction[likely], shares[likely], scores[likely]
            # Boxes are in edges (a pixel is from 0 to 1), points in centres.
            points = boxes[:, None, :2] + shares * (boxes[:, None, 2:] - boxes[:, None, :2]) - 0.5
            boxes = _corrected(boxes, correction)
            # After O-Net a small box inside a large one is the same face.
            kept = suppress(boxes, scores, 0.7, inside=stage is self.onet)
            boxes, scores, points = boxes[kept], scores[kept], points[kept]
        return FoundFaces(boxes, scores, points)

    def _propose(self, picture: Tensor, smallest: float) -> tuple[Tensor, Tensor]:
        """What P-Net finds at all scales: boxes `[N, 4]`, probabilities `[N]`."""
        height, width = picture.shape[1:]
        found = [(picture.new_zeros(0, 4), picture.new_zeros(0))]
        scale = CELL / max(smallest, 1.0)
        while min(height, width) * scale >= CELL:
            size = (int(height * scale + 1), int(width * scale + 1))
            scores, correction, _ = self.pnet(F.interpolate(picture[None], size, mode="area"))
            y, x = torch.nonzero(scores[0] >= THRESHOLDS[0], as_tuple=True)
            corner = torch.stack([x, y], dim=1) * STRIDE / scale
            boxes, these = torch.cat([corner, corner + CELL / scale], dim=1), scores[0, y, x]
            kept = suppress(boxes, these, 0.5)
            found.append((_corrected(boxes, correction[0, y, x])[kept], these[kept]))
            scale *= PYRAMID
        boxes, scores = (torch.cat(part) for part in zip(*found, strict=True))
        kept = suppress(boxes, scores, 0.7)
        return boxes[kept], scores[kept]


def suppress(boxes: Tensor, scores: Tensor, overlap: float, inside: bool = False) -> Tensor:
    """The indices of the boxes `[N, 4]` that stay, likeliest first: greedy non-maximum suppression.

    A box goes if it shares more than `overlap` with a likelier one that stays: the intersection over the union or, with
    `inside`, over the smaller of the two.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    area = (boxes[:, 2] - boxes[:, 0]).clamp_min(0) * (boxes[:, 3] - boxes[:, 1]).clamp_min(0)
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (high - low).clamp_min(0).prod(dim=2)  # [N, N]
    whole = torch.minimum(area[:, None], area) if inside else area[:, None] + area - shared
    clash = (shared > overlap * whole).tolist()
    stay: list[int] = []
    for i in range(len(boxes)):
        if not any(clash[i][j] for j in stay):
            stay.append(i)
    return order[stay]


def _corrected(boxes: Tensor, correction: Tensor) -> Tensor:
    """Each side moved by its correction, which is a share of the box's width or height."""
    size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + correction * size


def _square(boxes: Tensor) -> Tensor:
    """The squares of the same centres and of the longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def _crops(picture: Tensor, boxes: Tensor, size: int) -> Tensor:
    """The boxes cut out of the picture, mid-grey beyond its border, and resized: `[N, 3, size, size]`."""
    height, width = picture.shape[1:]
    crops = []
    for left, top, right, bottom in boxes.round().long().tolist():
        right, bottom = max(right, left + 1), max(bottom, top + 1)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if x0 >= x1 or y0 >= y1:
            crops.append(picture.new_zeros(3, size, size))
            continue
        padded = F.pad(picture[:, y0:y1, x0:x1], (x0 - left, right - x1, y0 - top, bottom - y1))
        crops.append(F.interpolate(padded[None], (size, size), mode="area")[0])
    return torch.stack(crops)
