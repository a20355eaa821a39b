"""Distances between sets of features against slow references, and the whole measurement against what must hold."""

import numpy as np
import pytest
import scipy.linalg
import torch
from PIL import Image

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.errors import UserError
from gansteer.evaluation.features import EFFICIENTNET_SIZE, extractor
from gansteer.evaluation.quality import compare, frechet_distance, kernel_distance, precision_recall, quality
from gansteer.evaluation.samples import draw, from_levels, to_levels
from support.tiny import smallest_model


def features(count, seed, shift=0.0, width=5):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=rng, dtype=torch.float64) * torch.arange(1, width + 1) + shift


@pytest.mark.parametrize("count", [60, 4])  # more and fewer pictures than features
def test_frechet_distance_is_the_formula(count):
    a, b = features(count, 0).numpy(), features(count + 7, 1, shift=0.5).numpy()
    root = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    assert frechet_distance(torch.tensor(a), torch.tensor(b)) == pytest.approx(expected, rel=1e-5)


def test_frechet_distance_of_known_normal_distributions():
    # Standard normal against one of mean 3 and deviation 2: 3^2 + (1 - 2)^2 in every dimension.
    a, b = torch.randn(2, 100_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert frechet_distance(a, b * 2 + 3) == pytest.approx(2 * 10, rel=0.01)


def test_kernel_distance_is_the_unbiased_estimate():
    a, b = features(9, 0), features(9, 1, shift=1.0)

    def kernel(x, y):
        return (float(x @ y) / 5 + 1) ** 3

    n = len(a)
    within = sum(kernel(s[i], s[j]) for s in (a, b) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    between = sum(kernel(x, y) for x in a for y in b) / n**2
    assert kernel_distance(a, b, subset=n) == pytest.approx(within - 2 * between, rel=1e-9)


def test_kernel_distance_leaves_other_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    kernel_distance(features(20, 0), features(20, 1), subset=10)
    assert torch.equal(torch.randn(3), expected)


def loops(these, those, k):
    """The share of `these` that lie within some ball around `those`, with plain loops."""
    inside = 0
    for x in these:
        found = False
        for i, centre in enumerate(those):
            others = sorted(float((centre - other).norm()) for j, other in enumerate(those) if j != i)
            found |= float((x - centre).norm()) <= others[k - 1]
        inside += found
    return inside / len(these)


@pytest.mark.parametrize("shift", [0.0, 2.0, 100.0])
def test_precision_and_recall_are_the_loops(shift, monkeypatch):
    monkeypatch.setattr("gansteer.evaluation.quality.CHUNK", 7)
    fakes, reals = features(30, 0, shift), features(40, 1)
    precision, recall = precision_recall(fakes, reals, 3)
    assert (precision, recall) == (loops(fakes, reals, 3), loops(reals, fakes, 3))
    assert shift != 100 or (precision, recall) == (0, 0)


def test_precision_and_recall_tell_a_lost_mode_from_a_stray_one():
    whole = torch.cat([features(50, 0), features(50, 1, shift=1000.0)])
    part = features(50, 2)
    precision, recall = precision_recall(part, whole)
    assert precision > 0.7
    assert recall < 0.5
    assert precision_recall(whole, part) == (recall, precision)


def test_the_floor_compares_real_with_real():
    reals, fakes = features(100, 0), features(300, 1, shift=1.0)
    frechet, kernel, precision, recall = compare(fakes, reals, 50)
    assert frechet.value == frechet_distance(fakes, reals)
    assert frechet.matched == frechet_distance(fakes[:50], reals[50:])
    assert frechet.floor == frechet_distance(reals[:50], reals[50:])
    assert frechet.floor < frechet.matched
    assert kernel.floor == kernel_distance(reals[:50], reals[50:], 50)
    assert (precision.floor, recall.floor) == precision_recall(reals[:50], reals[50:])


def test_pictures_are_drawn_as_they_are_seen():
    drawn = torch.cat(list(draw(smallest_model(), 70, psi=0.5, seed=3)))
    assert drawn.shape == (70, 3, 8, 8)
    levels = (drawn + 1) * 127.5
    assert float((levels - levels.round()).abs().max()) < 1e-4
    assert float(drawn.abs().max()) <= 1
    assert torch.equal(drawn, torch.cat(list(draw(smallest_model(), 70, psi=0.5, seed=3))))
    assert not torch.equal(drawn, torch.cat(list(draw(smallest_model(), 70, psi=0.5, seed=4))))
    assert torch.equal(from_levels(to_levels(drawn)), drawn)


def test_classes_are_drawn_in_turn():
    model = smallest_model(c_dim=3)
    drawn = torch.cat(list(draw(model, 4, labels=[2, 0])))
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(4, 4, generator=rng, dtype=torch.float64).float()
    expected = model.generator.synthesize(model.generator.code_of(z, torch.eye(3)[[2, 0, 2, 0]]))
    torch.testing.assert_close(drawn, expected.clamp(-1, 1), atol=1 / 127, rtol=0)


def test_features_do_not_depend_on_the_batch():
    network = extractor("efficientnet-lite0", torch.device("cpu"))
    pictures = torch.rand(2, 3, 14, 14, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = network(pictures)
    assert found.shape == (2, 1280)
    torch.testing.assert_close(network(pictures[1:]), found[1:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [14, 300])
def test_pictures_of_all_sizes_are_resized_as_pillow_does(size):
    network = extractor("efficientnet-lite0", torch.device("cpu"))
    picture = np.random.default_rng(0).uniform(-1, 1, (3, size, size)).astype(np.float32)
    to = (EFFICIENTNET_SIZE, EFFICIENTNET_SIZE)
    resized = np.stack(
        [np.array(Image.fromarray(channel).resize(to, Image.Resampling.BILINEAR)) for channel in picture]
    )
    expected = load_efficientnet()(torch.from_numpy(resized)[None])
    torch.testing.assert_close(network(torch.from_numpy(picture)[None]), expected, rtol=1e-3, atol=1e-3)


@pytest.fixture
def folder(tmp_path):
    """40 pictures that the tiny model drew, as a folder."""
    for i, picture in enumerate(torch.cat(list(draw(smallest_model(), 40, seed=99)))):
        Image.fromarray(to_levels(picture).permute(1, 2, 0).numpy()).save(tmp_path / f"{i:03d}.png")
    return tmp_path


def test_a_model_against_its_own_pictures_is_at_the_floor(folder):
    done = []
    report = quality(smallest_model(), folder, 32, report=lambda what, at, total: done.append((what, at, total)))
    assert (report.samples, report.reals, report.half) == (32, 40, 20)
    assert report.frechet_distance.matched == pytest.approx(report.frechet_distance.floor, rel=0.3)
    assert report.precision.value > 0.5
    assert done[-2:] == [("looking at pictures", 3, 3), ("comparing", 0, 1)]  # two batches of real ones, one drawn


def test_pictures_of_one_channel_are_drawn_grey():
    found = next(draw(smallest_model(img_channels=1), 4))
    assert found.shape == (4, 3, 8, 8)
    assert torch.equal(found[:, 0], found[:, 1])
    assert torch.equal(found[:, 0], found[:, 2])


def test_too_few_pictures_are_refused(folder):
    with pytest.raises(UserError, match="--samples must be at least 16"):
        quality(smallest_model(), folder, 15)
    for path in sorted(folder.iterdir())[20:]:
        path.unlink()
    with pytest.raises(UserError, match="holds 20 pictures: comparing takes at least 32"):
        quality(smallest_model(), folder, 16)
