"""LPIPS against the paper's equations, and the diversity made of it, by the real loading code on files of its layout.

The weights are drawn by a seed, since AlexNet's can't be had offline.
"""

import math
import sys
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.signal import correlate

from gansteer.checkpoints.lpips import ALEXNET, load_lpips
from gansteer.edits.inversion.perceptual import comparison
from gansteer.errors import UserError
from gansteer.evaluation.lpips import distances, lpips_distance
from gansteer.evaluation.quality import quality
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.subject import Card, Model
from support.elsewhere import elsewhere

LAYERS = (
    (0, 3, 64, 11, 4, 2),
    (3, 64, 192, 5, 1, 2),
    (6, 192, 384, 3, 1, 1),
    (8, 384, 256, 3, 1, 1),
    (10, 256, 256, 3, 1, 1),
)
"""AlexNet's convolutions: number, channels in and out, kernel, stride, padding."""


@pytest.fixture(scope="module")
def weights():
    rng = torch.Generator().manual_seed(0)
    alexnet, heads = {"classifier.1.weight": torch.zeros(2, 2)}, {}
    for i, (number, inputs, outputs, kernel, _, _) in enumerate(LAYERS):
        shape = (outputs, inputs, kernel, kernel)
        alexnet[f"features.{number}.weight"] = torch.randn(shape, generator=rng) * (2 / math.prod(shape[1:])) ** 0.5
        alexnet[f"features.{number}.bias"] = 0.1 * torch.randn(outputs, generator=rng)
        heads[f"lin{i}.model.1.weight"] = torch.rand(1, outputs, 1, 1, generator=rng)
    return alexnet, heads


@pytest.fixture
def installed(weights, tmp_path, monkeypatch):
    """The package as it lies on the disk, which must not be imported, and AlexNet where PyTorch keeps downloads."""
    alexnet, heads = weights
    package, kept = tmp_path / "site" / "lpips", tmp_path / "home" / "hub" / "checkpoints"
    (package / "weights" / "v0.1").mkdir(parents=True)
    kept.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('torchvision is of another PyTorch')")
    torch.save(heads, package / "weights" / "v0.1" / "alex.pth", _use_new_zipfile_serialization=False)
    torch.save(alexnet, kept / ALEXNET.rsplit("/", 1)[1], _use_new_zipfile_serialization=False)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return package / "weights" / "v0.1" / "alex.pth", kept / ALEXNET.rsplit("/", 1)[1]


def plain_features(picture, alexnet):
    """In float64, by another library's correlation; every map of unit length along the channels."""
    x, found = (
        (picture - np.array([-0.030, -0.088, -0.188])[:, None, None]) / np.array([0.458, 0.448, 0.450])[:, None, None],
        [],
    )
    for number, _, _, _, stride, padding in LAYERS:
        if number in (3, 6):  # the maximum of 3x3, every second
            h, w = (x.shape[1] - 1) // 2, (x.shape[2] - 1) // 2
            x = np.stack([x[:, dy : dy + 2 * h : 2, dx : dx + 2 * w : 2] for dy in range(3) for dx in range(3)]).max(
                axis=0
            )
        padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
        kernels = alexnet[f"features.{number}.weight"].double().numpy()
        y = np.stack(
            [correlate(padded, kernel, mode="valid", method="fft")[0, ::stride, ::stride] for kernel in kernels]
        )
        x = np.maximum(y + alexnet[f"features.{number}.bias"].double().numpy()[:, None, None], 0)
        found.append(x / np.sqrt((x**2).sum(axis=0)))
    return found


def plain_lpips(a, b, alexnet, heads):
    """Equation 1 of the paper."""
    pairs = zip(plain_features(a, alexnet), plain_features(b, alexnet), strict=True)
    return sum(
        (heads[f"lin{i}.model.1.weight"].double().numpy()[0] * (y - y0) ** 2).sum(axis=0).mean()
        for i, (y, y0) in enumerate(pairs)
    )


def test_the_distance_is_that_of_the_equations(weights, installed):
    alexnet, heads = weights
    pictures = torch.rand(2, 3, 67, 71, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
    wanted = plain_lpips(*pictures.numpy(), alexnet, heads)  # type: ignore[call-arg]
    network = load_lpips(pictures)
    assert "lpips" not in sys.modules
    assert float(network(pictures[:1], pictures[1:])) == pytest.approx(wanted, rel=1e-9)
    assert wanted > 0.1
    assert float(network(pictures[:1], pictures[:1])) == 0
    nearer = pictures[1:].clone().requires_grad_()
    (slope,) = torch.autograd.grad(comparison("lpips", pictures)(pictures[:1])(nearer).sum(), nearer)
    step = 1e-5 * slope / slope.norm()
    up, down = (float(network(pictures[:1], pictures[1:] + sign * step)) for sign in (1, -1))
    assert (up - down) / 2e-5 == pytest.approx(float(slope.norm()), rel=1e-3)


def test_black_pictures_have_a_gradient(installed):
    """Where no channel speaks, a root of 0 would make it nan."""
    black = torch.full((1, 3, 64, 64), -1.0).requires_grad_()
    network = load_lpips(black)
    for i in range(5):
        network.get_buffer(f"bias{i}").fill_(-1e3)
    network(black, torch.zeros(1, 3, 64, 64)).sum().backward()
    assert black.grad.isfinite().all()


def test_pairs_are_neighbours():
    levels = torch.tensor([0.0, 0.5, 1.0, 0.2, 0.9, 0.4, 0.7])  # the last has no partner
    pictures = levels.view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    found = distances(pictures, lambda a, b: (a - b).abs().mean(dim=(1, 2, 3)))
    assert found.tolist() == pytest.approx([0.5, 0.8, 0.5])


def test_the_measurement_tells_both_sides(installed, tmp_path):
    torch.manual_seed(0)
    model = Model(
        Card("tiny"), StyleGAN2Generator(GeneratorConfig(64, z_dim=4, w_dim=5, channel_base=256, channel_max=4)).eval()
    )
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(40):  # black and white in turn: neighbours in a random order are two of a kind, or not
        Image.new("RGB", (64, 64), (255 * (i % 2),) * 3).save(folder / f"{i}.png")
    found = quality(model, folder, 20, psi=0.0, lpips=True, share=elsewhere(model)).lpips
    black, white = -torch.ones(1, 3, 64, 64), torch.ones(1, 3, 64, 64)
    apart = float(lpips_distance(torch.device("cpu"))(black, white))
    assert found.pairs == 10
    assert found.drawn == 0  # psi 0 draws one picture
    assert found.real in [pytest.approx(k / 10 * apart, rel=1e-4) for k in range(1, 11)]
    assert quality(model, folder, 20).lpips is None


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    for distance in (lambda: lpips_distance(torch.device("cpu")), lambda: comparison("lpips", torch.zeros(()))):
        with pytest.raises(UserError, match=r"pip install 'gansteer\[metrics\]'"):
            distance()


def test_weights_that_cannot_be_had_are_said_in_one_line(installed, monkeypatch):
    heads, alexnet = installed
    whole = alexnet.read_bytes()
    ends_in_the_middle = b"\x80\x02h"  # of an opcode: no error that pickle knows
    for data in (whole[:1000], b"<html>no</html>", ends_in_the_middle):
        alexnet.write_bytes(data)
        with pytest.raises(UserError, match=r"weights are damaged: remove \S+\.pth, or install lpips again$"):
            load_lpips(torch.zeros(()))
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, alexnet)
    with pytest.raises(UserError, match="weights are damaged"):
        load_lpips(torch.zeros(()))
    alexnet.unlink()

    def offline(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.urlopen", offline)
    with pytest.raises(UserError, match=r"could not get its weights: .*no network"):
        load_lpips(torch.zeros(()))
    heads.unlink()
    with pytest.raises(UserError, match="could not get its weights"):
        load_lpips(torch.zeros(()))
