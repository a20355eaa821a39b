"""How alike the two eyes of a face are: how wide they are open, and what is seen between the lids.

A generator that draws each eye by itself makes faces that look wrong before anyone can say why. Real eyes differ, too, above all
those of turned heads, so the figures mean something beside those of real pictures.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.models.face_reader import LEFT_EYE, RIGHT_EYE, eye_openings

OPEN = 0.12
"""Where lids are closer than this share of the eye's width, there is nothing between them to compare."""
ALONG, ACROSS = 17, 5
"""Points at which an eye's colours are looked at: from corner to corner, and from lid to lid."""


@dataclass(frozen=True)
class EyesAlike:
    """Means over faces."""

    faces: int
    opening: float
    """Mean difference of how wide the eyes of a face are open: distance between the lids over the eye's width."""
    open_faces: int
    """Faces whose eyes are both open."""
    look: float | None
    """Mean difference of these eyes' colours, point by point between corners and lids, in levels of 255; None without any."""


@dataclass(frozen=True)
class EyePair:
    """One face."""

    opening: float
    """Right less left."""
    look: float | None
    """Mean difference of colours, in levels of 255; None if an eye is shut."""


def eye_pairs(pictures: Tensor, landmarks: Tensor) -> list[EyePair]:
    """Those of pictures `[B, 3 or 1, H, W]` whose `landmarks [B, 68, 2]` are known, in pixels."""
    openings = eye_openings(landmarks)
    right, left = (between_lids(pictures, landmarks[:, i : i + 6]) for i in (RIGHT_EYE, LEFT_EYE))
    looks = (right - left).abs().mean(dim=(1, 2, 3)) * 127.5
    seen = (openings > OPEN).all(dim=1)
    return [
        EyePair(opening, look if is_open else None)
        for opening, look, is_open in zip(
            (openings[:, 0] - openings[:, 1]).tolist(), looks.tolist(), seen.tolist(), strict=True
        )
    ]


def between_lids(pictures: Tensor, eye: Tensor) -> Tensor:
    """The colours `[B, C, 5, 17]` of one eye, from lid to lid and from corner to corner, given its six points `[B, 6, 2]`.

    Both eyes go from the picture's left to its right, as they look the same way.
    """
    along = torch.linspace(0, 1, ALONG + 2, dtype=eye.dtype, device=eye.device)[1:-1]  # corners have no height
    across = torch.linspace(0, 1, ACROSS + 2, dtype=eye.dtype, device=eye.device)[1:-1]
    upper, lower = (_on_lid(eye[:, which], along) for which in ([0, 1, 2, 3], [0, 5, 4, 3]))  # [B, ALONG, 2]
    places = upper[:, None] + across[:, None, None] * (lower - upper)[:, None]  # [B, ACROSS, ALONG, 2]
    size = torch.tensor(pictures.shape[:1:-1], dtype=eye.dtype, device=eye.device)  # W, H
    grid = (2 * places + 1) / size - 1
    return F.grid_sample(pictures.to(eye), grid, padding_mode="border", align_corners=False)


def _on_lid(lid: Tensor, along: Tensor) -> Tensor:
    """Places `[B, n, 2]` at shares `along [n]` of the way on a line through the four points `lid [B, 4, 2]`."""
    at = along * 3
    before = at.floor().long().clamp_max(2)
    share = (at - before)[:, None]
    return lid[:, before] * (1 - share) + lid[:, before + 1] * share


def alike(pairs: list[EyePair]) -> EyesAlike | None:
    """The mean differences of some faces; None of none."""
    if not pairs:
        return None
    looks = [pair.look for pair in pairs if pair.look is not None]
    opening = sum(abs(pair.opening) for pair in pairs) / len(pairs)
    return EyesAlike(len(pairs), opening, len(looks), sum(looks) / len(looks) if looks else None)
