"""The recipe that draws new latents where the known ones are, on latents whose distribution is known."""

from types import ModuleType

import pytest
import torch
from torch import Tensor

RECIPE = "prior"


def ring(count: int) -> Tensor:
    """Latents `[count, 4]` with mean 0, variance 1 and no correlation; the first two lie on a circle."""
    draws = torch.Generator().manual_seed(0)
    angle = 2 * torch.pi * torch.rand(count, generator=draws)
    return torch.cat([2**0.5 * torch.stack([angle.cos(), angle.sin()], 1), torch.randn(count, 2, generator=draws)], 1)


def test_the_flow_leads_to_the_known_latents_and_leaves_attributes(
    recipe: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "BATCHES", 4)
    monkeypatch.setattr(recipe, "PAIRED", 500)
    monkeypatch.setattr(recipe, "FLOW_STEPS", 1200)
    monkeypatch.setattr(recipe, "WIDTH", 64)
    monkeypatch.setattr(recipe, "FLOW_RATE", 3e-3)
    monkeypatch.setattr(recipe, "DROPOUT", 0.0)
    known, attribute = ring(2000), torch.eye(4)[:, 2:3]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        v = recipe.fit_flow(*recipe.pairs(known, attribute))
    z = recipe.prior(2000, 4, torch.Generator().manual_seed(9))
    there = recipe.follow(v, z)

    assert (recipe.follow(v, there, back=True) - z).square().mean().sqrt() < 0.03  # of a prior that varies by 1
    # Of the prior's latents half are off the circle by more than this; of those that the flow leads to, few.
    off = [((x[:, :2].norm(dim=1) - 2**0.5).abs() > 0.3).float().mean() for x in (z, there)]
    assert off[0] > 0.5
    assert off[1] < 0.5 * off[0]
    assert torch.corrcoef(torch.stack([z[:, 2], there[:, 2]]))[0, 1] > 0.97


def test_energy_distance_is_that_of_pairs(recipe: ModuleType) -> None:
    draws = torch.Generator().manual_seed(1)
    x, y = torch.randn(7, 3, generator=draws), 1 + torch.randn(7, 3, generator=draws)

    def mean(a: Tensor, b: Tensor, same: bool) -> float:
        apart = [float((a[i] - b[j]).norm()) for i in range(7) for j in range(7) if not (same and i == j)]
        return sum(apart) / len(apart)

    assert float(recipe.energy_distance(x, y)) == pytest.approx(
        2 * mean(x, y, False) - mean(x, x, True) - mean(y, y, True), abs=1e-5
    )
