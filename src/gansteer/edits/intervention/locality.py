"""Which style channels act in a region and hardly elsewhere, in this very picture (StyleSpace, Wu et al. 2021)."""

import torch
from torch import Tensor

from gansteer.directions import style_layers
from gansteer.subject import Subject

PROBES = 8
"""Random pictures that the derivatives are taken along; more make the estimate finer."""


def channel_energy(subject: Subject, region: Tensor, probes: int = PROBES, seed: int = 0) -> tuple[Tensor, Tensor]:
    """How strongly each channel moves the picture inside and outside `region [H, W]`: `sum_p (dI_p / ds_c)^2`, `[S]` each.

    StyleSpace takes the derivative of every pixel. Here it is estimated without bias from a few vector-Jacobian
    products: for random signs r, `E[(sum_p r_p dI_p / ds_c)^2]` is the sum of squares (Hutchinson 1990).
    """
    generator = subject.generator
    with torch.no_grad():
        styles = generator.styles(subject.code)
    names = list(style_layers(generator))
    leaves = {name: styles[name].clone().requires_grad_() for name in names}
    picture = generator.synthesize(subject.code, styles={**styles, **leaves})[0]  # [3, H, W]
    rng = torch.Generator().manual_seed(seed)
    mask = region.to(picture)
    inside = outside = torch.zeros((), dtype=picture.dtype, device=picture.device)
    for _ in range(probes):
        signs = (torch.randint(0, 2, picture.shape, generator=rng) * 2 - 1).to(picture)
        for part, is_inside in ((mask, True), (1 - mask, False)):
            found = torch.autograd.grad((picture * signs * part).sum(), list(leaves.values()), retain_graph=True)
            energy = torch.cat([g[0] for g in found]).square() / probes
            if is_inside:
                inside = inside + energy
            else:
                outside = outside + energy
    return inside, outside


def local_channels(inside: Tensor, outside: Tensor, scale: Tensor, count: int) -> Tensor:
    """The `count` channels that are both strong in the region and local to it, as a mask `[S]` of truth values.

    Ranked by their energy inside times the share of all their energy that this is; a channel's usual deviation `scale
    [S]` says how far it goes.
    """
    strength = inside * scale.to(inside).square()
    rank = strength * inside / (inside + outside).clamp_min(1e-30)
    chosen = torch.zeros_like(rank, dtype=torch.bool)
    chosen[rank.topk(min(count, len(rank))).indices] = True
    return chosen
