"""Perceptual diversity, with a stand-in for the package whose weights can't be had offline."""

import sys
import types

import pytest
import torch
from PIL import Image

from gansteer.errors import UserError
from gansteer.evaluation.lpips import lpips_distance, mean_distance
from gansteer.evaluation.quality import quality
from gansteer.models.stylegan2 import Generator, GeneratorConfig
from gansteer.subject import Card, Model


class StandIn(torch.nn.Module):
    """Speaks as `lpips.LPIPS` does: pictures in [-1, 1] to `[B, 1, 1, 1]`."""

    def __init__(self, net, verbose):
        super().__init__()
        assert net == "alex"

    def forward(self, a, b):
        return (a - b).abs().mean(dim=(1, 2, 3), keepdim=True)


@pytest.fixture
def package(monkeypatch):
    module = types.ModuleType("lpips")
    module.LPIPS = StandIn
    monkeypatch.setitem(sys.modules, "lpips", module)


def test_pairs_are_neighbours_over_all_batches(package):
    levels = torch.tensor([0.0, 0.5, 1.0, 0.2, 0.9, 0.4, 0.7])  # the last has no partner
    pictures = levels.view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    found = mean_distance([pictures[:3], pictures[3:]], lpips_distance(torch.device("cpu")))
    assert found == pytest.approx((0.5 + 0.8 + 0.5) / 3)


def test_the_measurement_tells_both_sides(package, tmp_path):
    torch.manual_seed(0)
    model = Model(Card("tiny"), Generator(GeneratorConfig(8, z_dim=4, w_dim=5, channel_base=32, channel_max=4)).eval())
    for i in range(40):  # black and white in turn: neighbours in a random order differ by 2 or by nothing
        Image.new("RGB", (8, 8), (255 * (i % 2),) * 3).save(tmp_path / f"{i}.png")
    found = quality(model, tmp_path, 20, psi=0.0, lpips=True).lpips
    assert found.pairs == 10
    assert found.drawn == 0  # psi 0 draws one picture
    assert found.real in [pytest.approx(2 * k / 10) for k in range(1, 11)]
    assert quality(model, tmp_path, 20).lpips is None


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(UserError, match=r"pip install 'gansteer\[metrics\]'"):
        lpips_distance(torch.device("cpu"))


def test_weights_that_cannot_be_had_are_said_in_one_line(package, monkeypatch):
    def offline(net, verbose):
        raise OSError("no network")

    monkeypatch.setattr(sys.modules["lpips"], "LPIPS", offline)
    with pytest.raises(UserError, match="could not get its weights: no network"):
        lpips_distance(torch.device("cpu"))
