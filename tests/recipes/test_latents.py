"""The recipe that finds the latents of known pictures, on guesses and curvatures that are known."""

from types import ModuleType

import pytest
import torch
from torch import Tensor

from gansteer.models.inverter import Curvature
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator

RECIPE = "latents"


@pytest.fixture
def generator() -> StyleGAN2Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return StyleGAN2Generator(
            GeneratorConfig(8, z_dim=6, w_dim=8, channel_base=64, channel_max=8, mapping_layers=2)
        ).eval()


@pytest.fixture
def curvature(generator: StyleGAN2Generator) -> Curvature:
    """Of few directions, so that most of w+ leaves the picture as it is."""
    width = generator.config.num_ws * generator.config.w_dim
    found, draws = Curvature(10, width), torch.Generator().manual_seed(1)
    found.directions.copy_(torch.linalg.qr(torch.randn(width, 10, generator=draws)).Q.t())
    found.stiffness.copy_(torch.logspace(1, -1, 10))
    return found


def hessian(curvature: Curvature) -> Tensor:
    return (curvature.directions.t() * curvature.stiffness @ curvature.directions).double()


@torch.no_grad()
def distances(generator: StyleGAN2Generator, z: Tensor, guess: Tensor, curvature: Curvature) -> Tensor:
    """`(W(z) - w+)^T H (W(z) - w+) / 2`, one picture after the other."""
    h, rows = hessian(curvature), generator.config.num_ws
    away = generator.mapping(z)[:, None].expand(-1, rows, -1).flatten(1).double() - guess.flatten(1).double()
    return torch.stack([each @ h @ each / 2 for each in away])


def test_the_latents_are_those_that_the_picture_is_nearest_to(
    recipe: ModuleType, generator: StyleGAN2Generator, curvature: Curvature, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "POOL", 2000)
    draws = torch.Generator().manual_seed(2)
    true = torch.randn(5, 6, generator=draws)
    true = true / true.square().mean(dim=1, keepdim=True).sqrt()
    w = generator.mapping(true).detach()[:, None].expand(-1, generator.config.num_ws, -1)
    unseen = torch.randn(5, w[0].numel(), generator=draws)
    unseen = unseen - unseen @ curvature.directions.t() @ curvature.directions  # changes rows, and no picture
    found = recipe.nearest_latents(generator, w + unseen.view_as(w), curvature)
    apart = distances(generator, true.roll(1, dims=0), w, curvature)
    assert (distances(generator, found, w + unseen.view_as(w), curvature) < 0.01 * apart).all()

    # Where no latent is right, none is nearer.
    wrong = w + torch.randn(w.shape, generator=draws)
    found = recipe.nearest_latents(generator, wrong, curvature)
    others = torch.cat([found + 0.1 * torch.randn(found.shape, generator=draws) for _ in range(200)])
    others = others / others.square().mean(dim=1, keepdim=True).sqrt()
    least = distances(generator, others, wrong.repeat(200, 1, 1), curvature).view(200, 5).amin(dim=0)
    assert (distances(generator, found, wrong, curvature) < least).all()


def test_whitened_steps_change_pictures_alike(
    recipe: ModuleType, generator: StyleGAN2Generator, curvature: Curvature, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "DAMPING", 0.0)
    white = recipe.latent_whitening(generator, curvature).double()
    z = torch.randn(recipe.SAMPLES, 6, generator=torch.Generator().manual_seed(1))
    z = (z / z.square().mean(dim=1, keepdim=True).sqrt()).double()
    mapping = generator.mapping.double()
    turns = torch.stack(  # by differences: [6, SAMPLES, num_ws * w_dim]
        [
            ((mapping(z + 1e-5 * step) - mapping(z - 1e-5 * step)) / 2e-5).repeat(1, generator.config.num_ws)
            for step in torch.eye(6, dtype=torch.float64)
        ]
    )
    h = torch.einsum("imp,pq,jmq->ij", turns, hessian(curvature), turns) / len(z)
    assert (white @ h @ white - torch.eye(6)).abs().max() < 1e-3
