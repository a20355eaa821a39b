"""The alignment loss against loops written from its equations, and against finite differences."""

import math

import pytest
import torch
from torch import Tensor

from gansteer.models.discriminator import Discriminator
from gansteer.models.layout import Blob, Layout, heatmaps
from gansteer.models.layout_laws import HierarchicalLaw
from gansteer.models.projected import ProjectedDiscriminator
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.training import alignment as subject


def randn(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_attention_is_that_of_the_equations() -> None:
    a, alpha = randn(2, 3, 4, 4), randn(2, 3, seed=1)
    expected = torch.zeros(2, 4, 4, dtype=torch.float64)
    for b in range(2):
        for c in range(3):
            for y in range(4):
                for x in range(4):
                    expected[b, y, x] += max(float(alpha[b, c] * a[b, c, y, x]), 0.0)
    torch.testing.assert_close(subject.attention(a, alpha), expected)


def test_weights_are_the_mean_gradients_by_finite_differences() -> None:
    a, mix = randn(1, 2, 3, 3).requires_grad_(), randn(2, 3, 3, seed=1)

    def loss(features: Tensor) -> Tensor:
        return torch.nn.functional.softplus(-(features * mix).sum(dim=(1, 2, 3)).tanh()).sum()

    (alpha,) = subject.attention_weights([a], loss(a))
    for c in range(2):
        total = 0.0
        for y in range(3):
            for x in range(3):
                step = torch.zeros_like(a)
                step[0, c, y, x] = 1e-6
                total += (loss(a + step) - loss(a - step)).item() / 2e-6
        assert math.isclose(alpha[0, c].item(), total / 9, rel_tol=1e-6)
    assert not alpha.requires_grad


def test_a_map_is_taken_to_the_unit_range_with_constant_extrema() -> None:
    x = torch.tensor([[[1.0, 3.0], [2.0, 5.0]]], dtype=torch.float64, requires_grad=True)
    unit = subject.unit_range(x)
    torch.testing.assert_close(unit, torch.tensor([[[0, 0.5], [0.25, 1]]], dtype=torch.float64))
    unit.sum().backward()
    assert x.grad is not None
    assert (x.grad == 0.25).all()
    assert (subject.unit_range(torch.full((1, 2, 2), 7.0)) == 0).all()


@pytest.mark.parametrize("far", [0, 1, 2, 5])
def test_only_what_is_clearly_elsewhere_counts(far: int) -> None:
    target = torch.zeros(1, 3, 3, dtype=torch.float64)
    maps = torch.full_like(target, 0.2)
    maps.view(-1)[:far] = torch.tensor([0.5, 0.9, 1.0, 0.26, 0.3], dtype=torch.float64)[:far]
    differences = [abs(float(v)) for v in maps.flatten()]
    counted = [d for d in differences if d > 0.25]
    counted = counted if len(counted) > 1 else differences
    assert math.isclose(float(subject.alignment(maps, target)), sum(counted) / len(counted))


def test_targets_of_the_hierarchy() -> None:
    layout = HierarchicalLaw().sample(2, 16, 3, torch.Generator().manual_seed(0))
    maps = heatmaps(layout, 16)
    first, second, third = subject.target_maps(layout, 16, 16)
    torch.testing.assert_close(first, maps[:, 0])
    for found, part in ((second, maps[:, 1:3]), (third, maps[:, 3:])):
        mean = part.mean(dim=1)
        for b in range(2):
            expected = (mean[b] - mean[b].min()) / (mean[b].max() - mean[b].min())
            torch.testing.assert_close(found[b], expected)


def test_targets_of_objects_are_the_same_at_all_levels() -> None:
    blobs = [Blob(3, 4, 2, (1.0,)), Blob(9, 9, 4, (0.0,)), Blob(5, 5, 4, (0.0,), present=0.0)]
    levels = subject.target_maps(Layout.of(blobs, 1), 16, 16)
    assert torch.equal(levels[0], levels[2])
    assert levels[0].min() == 0
    assert levels[0].max() == 1
    assert float(levels[0][0, 9, 9]) > 0.8
    assert (subject.target_maps(Layout.of([], 1), 8, 8)[0] == 0).all()


def levels(discriminator: torch.nn.Module, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
    found: tuple[Tensor, list[Tensor]] = discriminator.attended(discriminator.features(pictures))
    return found


def networks() -> list[torch.nn.Module]:
    torch.manual_seed(0)
    from gansteer.models.efficientnet import EfficientNetLite0

    backbone = EfficientNetLite0()
    for buffer in backbone.buffers():
        buffer.copy_(torch.randn_like(buffer) * 0.2)
    shape = GeneratorConfig(resolution=32, z_dim=4, w_dim=4, channel_base=64, channel_max=8)
    return [Discriminator(shape).double(), ProjectedDiscriminator(backbone, 64, width=4).double().eval()]


@pytest.mark.parametrize("which", [0, 1])
def test_the_logits_are_the_judgement_and_follow_from_the_maps(which: int) -> None:
    d = networks()[which]
    x = randn(2, 3, 32, 32)
    logits, maps = levels(d, x.requires_grad_())
    torch.testing.assert_close(logits, d.judge(d.features(x)))
    sizes = [m.shape[-1] for m in maps]
    assert sizes == sorted(sizes)
    assert all(a.abs().sum() > 0 for a in subject.attention_weights(maps, logits.sum()))


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_loss_moves_pictures_as_finite_differences_with_constant_weights_say(which: int, sign: float) -> None:
    d = networks()[which]
    x = randn(2, 3, 32, 32, seed=3).requires_grad_()
    layout = Layout.of([Blob(4, 4, 3, (0.0,)), Blob(11, 9, 4, (1.0,))], 1, torch.float64)
    targets = [t.expand(2, -1, -1) for t in subject.target_maps(layout, 32, 32)]
    logits, maps = levels(d, x)
    loss = subject.alignment_loss(logits, maps, targets, sign)
    (gradient,) = torch.autograd.grad(loss, x, retain_graph=True)
    alphas = subject.attention_weights(maps, sign * torch.nn.functional.softplus(-logits).mean(dim=1).sum())

    def resized(m: Tensor, alpha: Tensor) -> Tensor:
        small = (m * alpha[:, :, None, None]).clamp(min=0).sum(dim=1, keepdim=True)
        return torch.nn.functional.interpolate(small, size=32, mode="bilinear", align_corners=False)[:, 0]

    still = [resized(m, alpha).detach() for m, alpha in zip(maps, alphas, strict=True)]
    low, high = [s.amin((1, 2), True) for s in still], [s.amax((1, 2), True) for s in still]
    chosen = [(((s - a) / (b - a)) - t).abs() > 0.25 for s, a, b, t in zip(still, low, high, targets, strict=True)]

    def energy(pictures: Tensor) -> float:
        total = 0.0
        for m, alpha, a, b, far, t in zip(levels(d, pictures)[1], alphas, low, high, chosen, targets, strict=True):
            difference = ((resized(m, alpha) - a) / (b - a) - t).abs()
            total += (difference[far].mean() if far.sum() > 1 else difference.mean()).item()
        return total

    assert math.isclose(energy(x), loss.item(), rel_tol=1e-9)
    direction = randn(*x.shape, seed=4)
    with torch.no_grad():
        slope = (energy(x + 1e-6 * direction) - energy(x - 1e-6 * direction)) / 2e-6
    assert math.isclose(slope, float((gradient * direction).sum()), rel_tol=1e-3, abs_tol=1e-6)
