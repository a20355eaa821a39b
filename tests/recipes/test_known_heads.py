"""The recipe that finds the latents and layouts of known heads, on heads that are known: bright spots."""

import math
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import Tensor

from gansteer.models.code import Code
from gansteer.models.layout import Layout
from gansteer.models.layout_laws import HierarchicalLaw

RECIPE = "known_heads"
SIZE = 64


def spots(place: Tensor, size: Tensor) -> Tensor:
    """Pictures `[N, 3, 64, 64]` with a Gaussian spot at `place [N, 2]` of the root mean square radius `size [N]`, in pixels."""
    axis = torch.arange(SIZE, dtype=torch.float32)
    x, y = axis[None, None, :] - place[:, 0, None, None], axis[None, :, None] - place[:, 1, None, None]
    light = torch.exp(-(x**2 + y**2) / size[:, None, None] ** 2)
    return light[:, None].repeat(1, 3, 1, 1)


class SpotReader:
    """Landmarks of a spot by its moments: two points whose mean is its place and whose distance from it its size."""

    def read(self, pictures: Tensor) -> SimpleNamespace:
        light = pictures.mean(dim=1).clamp(min=0)
        light = light / light.sum(dim=(1, 2), keepdim=True)
        axis = torch.arange(SIZE, dtype=torch.float32)
        place = torch.stack([(light * axis).sum(dim=(1, 2)), (light * axis[:, None]).sum(dim=(1, 2))], dim=1)
        away = (axis - place[:, :1])[:, None, :] ** 2 + (axis - place[:, 1:])[:, :, None] ** 2
        size = (light * away).sum(dim=(1, 2)).sqrt()
        beside = torch.stack([size, torch.zeros_like(size)], dim=1)
        return SimpleNamespace(landmarks=torch.stack([place - beside, place + beside], dim=1))


@dataclass
class SpotGenerator:
    """A spot beside the first blob, by z, whose size is a power of its blobs' sizes."""

    law: HierarchicalLaw = field(default_factory=lambda: HierarchicalLaw(0.1))

    def sample_z(self, count: int, rng: torch.Generator) -> Tensor:
        return torch.randn(count, 3, generator=rng)

    def sample_layout(self, count: int, rng: torch.Generator) -> Layout:
        return self.law.sample(count, SIZE, 2, rng).to("cpu", torch.float32)

    def map(self, z: Tensor) -> Tensor:
        return z[:, None]

    def synthesize(self, code: Code) -> Tensor:
        assert code.layout is not None
        z, sizes = code.ws[:, 0], code.layout.sizes
        size = (
            6 * (sizes[:, 0] / 25) ** 0.2 * (sizes[:, 1:].log().mean(dim=1).exp() / 15) ** 0.3 * (0.05 * z[:, 2]).exp()
        )
        return spots(code.layout.centres[:, 0] + 2 * z[:, :2], size)


def test_heads_are_cut_to_one_place_and_size(recipe: ModuleType) -> None:
    place, size = torch.tensor([[20.0, 30.0], [36.0, 29.5]]), torch.tensor([4.0, 7.0])
    heads = recipe.cut(spots(place, size), place, size, torch.tensor([31.0, 33.0]), 6.0)
    found, large = recipe.place_and_size(SpotReader().read(heads).landmarks)
    torch.testing.assert_close(found, torch.tensor([[31.0, 33.0]] * 2), atol=0.05, rtol=0)
    torch.testing.assert_close(large, torch.tensor([6.0, 6.0]), atol=0.1, rtol=0)


def test_how_a_heads_size_follows_its_blobs(recipe: ModuleType) -> None:
    generator = SpotGenerator()
    slopes = recipe.size_slopes(generator, recipe.law_pool(generator, 128), SpotReader())
    torch.testing.assert_close(slopes, torch.tensor([0.2, 0.3]), atol=0.02, rtol=0)


def test_layouts_put_heads_where_the_known_ones_are(recipe: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "POOL", 128)
    generator, rng = SpotGenerator(), torch.Generator().manual_seed(3)
    z = generator.sample_z(12, rng)
    place, size = 24 + 16 * torch.rand(12, 2, generator=rng), 4 + 4 * torch.rand(12, generator=rng)
    layout = recipe.find_layouts(generator, z, SpotReader().read(spots(place, size)).landmarks, SpotReader())
    at, drawn = recipe.heads_of(generator, z, layout, SpotReader())
    assert (at - place).norm(dim=1).max() < 0.3
    assert (drawn / size).log().abs().max() < math.log(1.03)
    assert len(layout) == 7
    assert layout.parents[0].tolist() == [-1, 0, 0, 0, 0, 0, 0]
