"""DragGAN's terms the slow way: the whole map resized to the picture, loops over points, straight from the equations."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.models.code import Code
from gansteer.subject import Subject
from support.tiny import tiny_model


def tiny_subject(resolution: int, seed: int = 0, **kwargs: object) -> Subject:
    return tiny_model(resolution, seed, **kwargs).sample(seed + 1)  # type: ignore[arg-type]


def dense_map(subject: Subject, w: Tensor, layer: str) -> Tensor:
    """The whole feature map `[C, r, r]` by the ordinary synthesis."""
    return subject.model.generator.features(Code(w[None]), [layer])[layer][0]


def joined_map(subject: Subject, w: Tensor, layers: str) -> Tensor:
    """The maps of `layers`, joined by +, at the cells of the finest: what each resized to the picture has at their middles."""
    size = subject.model.resolution
    maps = [dense_map(subject, w, layer) for layer in layers.split("+")]
    r = max(each.shape[-1] for each in maps)
    step = size // r
    low, high = slice(max(step // 2 - 1, 0), None, step), slice(step // 2, None, step)  # the pixels beside the middles
    laid = []
    for each in maps:
        resized = picture_map(each, size)
        middles = torch.stack([resized[:, y, x] for y in (low, high) for x in (low, high)]).mean(dim=0)
        laid.append(each if each.shape[-1] == r else middles)
    return torch.cat(laid)


def picture_map(features: Tensor, size: int) -> Tensor:
    """`[C, r, r]` resized to `[C, size, size]`."""
    return F.interpolate(features[None], (size, size), mode="bilinear", align_corners=False)[0]


def at(resized: Tensor, x: float, y: float) -> Tensor:
    """The feature `[C]` at one point of the resized map, bilinear between its pixels, clamped at the border."""
    size = resized.shape[-1]
    x, y = min(max(x, 0.0), size - 1.0), min(max(y, 0.0), size - 1.0)
    x0, y0 = math.floor(x), math.floor(y)
    x1, y1 = min(x0 + 1, size - 1), min(y0 + 1, size - 1)
    fx, fy = x - x0, y - y0
    top = (1 - fx) * resized[:, y0, x0] + fx * resized[:, y0, x1]
    bottom = (1 - fx) * resized[:, y1, x0] + fx * resized[:, y1, x1]
    return (1 - fy) * top + fy * bottom


def motion_loss(resized: Tensor, handles: list, targets: list, r1: float) -> Tensor:
    """`sum_i mean_{q in Omega_1, c} | sg[F(q)] - F(q + d_i) |` over the pixels that stay in the picture."""
    size = resized.shape[-1]
    total = resized.new_zeros(())
    for (px, py), (tx, ty) in zip(handles, targets, strict=True):
        length = math.hypot(tx - px, ty - py)
        dx, dy = (tx - px) / max(length, 1), (ty - py) / max(length, 1)
        parts = []
        for oy in range(-20, 21):
            for ox in range(-20, 21):
                x, y = px + ox, py + oy
                ends = (x, y, x + dx, y + dy)
                if ox**2 + oy**2 < r1**2 and all(0 <= v <= size - 1 for v in ends):
                    parts.append((at(resized, x, y).detach() - at(resized, x + dx, y + dy)).abs().mean())
        if parts:
            total = total + torch.stack(parts).mean()
    return total


def track(resized: Tensor, template: Tensor, point: tuple, r2: float, norm: int = 1) -> tuple:
    """The pixel of Omega_2 whose feature is nearest to the template."""
    size = resized.shape[-1]
    best, where = math.inf, point
    for oy in range(-32, 33):
        for ox in range(-32, 33):
            x, y = point[0] + ox, point[1] + oy
            if abs(ox) < r2 and abs(oy) < r2 and 0 <= x <= size - 1 and 0 <= y <= size - 1:
                distance = float((at(resized, x, y) - template).abs().pow(norm).sum())
                if distance < best:
                    best, where = distance, (x, y)
    return where
