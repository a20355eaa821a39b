"""What every row of a table drags: pictures, handles and targets, the same for all of them.

A case depends on the model, the protocol and its number alone, so rows can be added later, by other processes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gansteer.evaluation.drags.rows import PAIRED_POINTS
from gansteer.models.latent_transformer import MOVING_ROWS, SIGMA
from gansteer.subject import Model, Subject

Landmarks = Callable[[Tensor], Tensor]
"""A picture `[3, H, W]` in [-1, 1] to its landmarks `[68, 2]`, (x, y) in pixels, float64 on the CPU."""


@dataclass(frozen=True, eq=False)
class Case:
    """One drag of a protocol."""

    subject: Subject
    handles: Tensor
    """`[n, 2]` (x, y) in pixels, float64; no two on one pixel, all inside the picture, as are the targets."""
    targets: Tensor
    """`[n, 2]`."""
    wanted: Tensor | None = None
    """`[m, 2]`: where the point set of the landmarks should be, of which the handles are those that can be dragged."""
    goal: Tensor | None = None
    """The picture `[3, H, W]` that the edit should give, where it is known."""


def point_set(landmarks: Tensor, count: int) -> Tensor:
    """`landmarks [68, 2]` to the points `[count, 2]` of the protocol.

    1: the tip of the nose; 5: centres of the eyes, tip of the nose, corners of the mouth; 68: all. The paper does not say
    which it takes. Raises ValueError for another count.
    """
    if count == 1:
        return landmarks[[30]]
    if count == 5:
        eyes = torch.stack([landmarks[36:42].mean(dim=0), landmarks[42:48].mean(dim=0)])
        return torch.cat([eyes, landmarks[[30, 48, 54]]])
    if count == 68:
        return landmarks
    raise ValueError(f"the landmark protocol takes 1, 5 or 68 points, not {count}")


def draggable(handles: Tensor, targets: Tensor, size: int) -> Tensor:
    """Which pairs `[n]` (bool) of `handles`, `targets [n, 2]` can be dragged.

    Both ends lie in the picture of `size` pixels, and of handles that round to one pixel the first counts: the inner
    lips of a closed mouth are such.
    """
    inside = ((handles >= 0) & (handles <= size - 1) & (targets >= 0) & (targets <= size - 1)).all(dim=1)
    seen: set[tuple[int, int]] = set()
    for i, (x, y) in enumerate(handles.tolist()):
        pixel = (round(x), round(y))
        inside[i] &= pixel not in seen
        if inside[i]:
            seen.add(pixel)
    return inside


def near_ways(handles: Tensor, targets: Tensor, size: int, share: float) -> Tensor:
    """The mask `[size, size]` (bool) of what is at most `share` of the width away from the way of a handle.

    A way is the straight line between `handles [n, 2]` and `targets [n, 2]`.
    """
    y, x = torch.meshgrid(torch.arange(size).double(), torch.arange(size).double(), indexing="ij")
    pixels = torch.stack([x, y], dim=-1)[:, :, None]  # [size, size, 1, 2]
    way = targets - handles
    along = ((pixels - handles) * way).sum(dim=-1) / way.square().sum(dim=-1).clamp_min(1e-12)
    nearest = handles + along.clamp(0, 1)[..., None] * way
    free: Tensor = ((pixels - nearest).norm(dim=-1) <= share * size).any(dim=-1)
    return free


def landmark_case(model: Model, number: int, count: int, psi: float, read: Landmarks) -> Case:
    """Face landmark manipulation (Pan et al. 2023, section 4.2): the landmarks of one face to those of another.

    Faces are those of the seeds `2 number` and `2 number + 1`.
    """
    subject, other = (model.sample(2 * number + i, psi) for i in range(2))
    return between(subject, read(subject.render()), read(other.render()), count)


def between(subject: Subject, here: Tensor, there: Tensor, count: int, goal: Tensor | None = None) -> Case:
    """The drag of `count` points from the landmarks `here [68, 2]` of `subject` to `there [68, 2]`."""
    handles, wanted = point_set(here, count), point_set(there, count)
    kept = draggable(handles, wanted, subject.model.resolution)
    return Case(subject, handles[kept], wanted[kept], wanted, goal)


def perturbed(model: Model, number: int, psi: float, sigma: float = SIGMA) -> tuple[Subject, Subject]:
    """The pair of the paired reconstruction: a sample, and the same with its first rows moved.

    `w2[r] = w1[r] + sigma (v_r - w1[r])` for the first six rows r, `v_r` from an independent z of each, without
    truncation; the other rows stay (Endo 2022, as DragGAN's section 4.2 takes it over).
    """
    subject = model.sample(number, psi)
    ws = subject.code.ws.clone()
    for row in range(min(MOVING_ROWS, len(ws))):
        ws[row] = ws[row].lerp(_random_row(model, number, row), sigma)
    return subject, replace(subject, code=replace(subject.code, ws=ws))


def _random_row(model: Model, number: int, row: int) -> Tensor:
    """`[w_dim]` of a z that belongs to (`number`, `row`) alone."""
    z = model.generator.sample_z(1, torch.Generator().manual_seed(1_000_003 * (number + 1) + row))
    with torch.no_grad():
        ws = model.generator.map(z, model.condition(0 if model.generator.config.c_dim else None))
    return ws[0, row]


def paired_case(start: Subject, goal: Tensor, flow: Tensor, sure: Tensor, number: int) -> Case:
    """Paired reconstruction: 32 random pixels of `flow [H, W, 2]` (x, y), among those that are `sure [H, W]` (bool)."""
    size = start.model.resolution
    rng = torch.Generator().manual_seed(number)
    y, x = sure.nonzero(as_tuple=True)
    order = torch.randperm(len(x), generator=rng)
    handles = torch.stack([x, y], dim=1)[order].double()
    targets = handles + flow[y[order], x[order]].double()
    kept = draggable(handles, targets, size).nonzero()[:PAIRED_POINTS, 0]
    return Case(start, handles[kept], targets[kept], goal=goal)
