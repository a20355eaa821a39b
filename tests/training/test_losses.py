"""Losses against their formulas in plain numbers, and what regularisers differentiate against finite differences."""

import math

import numpy as np
import pytest
import torch

from gansteer.training import losses

REAL, FAKE = [1.5, -0.3, 0.2, 2.5], [-1.7, 0.4, -0.1, 1.1]


def t(values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def softplus(v):
    return math.log1p(math.exp(v))


def mean(values):
    return sum(values) / len(values)


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        (losses.generator_logistic(t(FAKE)), mean([softplus(-f) for f in FAKE])),
        (losses.discriminator_logistic(t(REAL), t(FAKE)), mean([softplus(f) + softplus(-r) for r, f in zip(REAL, FAKE, strict=True)])),
        (losses.generator_hinge(t(FAKE)), -mean(FAKE)),
        (losses.discriminator_hinge(t(REAL), t(FAKE)), mean([max(0, 1 - r) + max(0, 1 + f) for r, f in zip(REAL, FAKE, strict=True)])),
    ],
)  # fmt: skip
def test_formulas(ours, expected):
    assert float(ours) == pytest.approx(expected, rel=1e-12)


def rand(*size, seed=0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def numeric_gradient(f, x, h=1e-6):
    grad = np.zeros(x.numel())
    for i in range(x.numel()):
        step = torch.zeros(x.numel(), dtype=x.dtype)
        step[i] = h
        grad[i] = float(f(x + step.view_as(x)) - f(x - step.view_as(x))) / (2 * h)
    return grad.reshape(x.shape)


def test_r1_is_the_mean_squared_gradient():
    x, a = rand(3, 2, 2, 2), rand(2, 2, 2, seed=1)

    def judge(x):
        return (x * a).sum(dim=(1, 2, 3)).tanh()[:, None]

    expected = np.mean([(numeric_gradient(lambda p: judge(p[None]).sum(), x[i]) ** 2).sum() for i in range(3)])
    leaf = x.clone().requires_grad_()
    assert float(losses.r1(judge(leaf), leaf, gamma=5.0).detach()) == pytest.approx(2.5 * expected, rel=1e-7)
    a.requires_grad_()
    assert losses.r1(judge(leaf), leaf, gamma=5.0).requires_grad  # so that it can train


def test_path_lengths_are_the_norms_of_the_jacobian_product():
    ws, mix, y = rand(2, 3, 4), rand(4, 5, 5, seed=1), rand(2, 1, 5, 5, seed=2)

    def draw(ws):
        return torch.einsum("brd,dhw->bhw", ws.sin(), mix)[:, None]

    expected = []
    for i in range(2):
        jacobian = numeric_gradient(lambda p, i=i: (draw(p[None])[0] * y[i]).sum() / 5, ws[i])  # [rows, w_dim]
        expected.append(math.sqrt(mean([(row**2).sum() for row in jacobian])))
    leaf = ws.clone().requires_grad_()
    found = losses.path_lengths(draw(leaf), leaf, y)
    assert found.detach().numpy() == pytest.approx(np.array(expected), rel=1e-6)
    assert found.requires_grad
