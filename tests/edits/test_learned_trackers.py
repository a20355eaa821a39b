"""The networks that follow points: their parts against loops, their truth against the warp, that they learn, and their files."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.checkpoints.native import save_model
from gansteer.checkpoints.trackers import TRACKERS, find_tracker, read_tracker, save_tracker
from gansteer.cli import main
from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.features import Features, Grid, View
from gansteer.edits.drag.learned_trackers import LearnedFlow, LearnedPoints
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.models.correlation import look_up, pyramid, to_cells, to_pixels, volumes
from gansteer.models.flow_network import ConvGRU, FlowNetwork, FlowNetworkConfig
from gansteer.models.generator import FeatureFrame
from gansteer.models.point_network import WINDOW, Mixer, PointNetwork, PointNetworkConfig
from gansteer.training.config import TrackerTraining
from gansteer.training.trackers import TrackerTrainer, random_warp, sequence_loss, warped, where_to
from support.tiny import tiny_model

SMALL_FLOW = FlowNetworkConfig(32, features=8, hidden=8, levels=2, radius=1, iterations=2)
SMALL_POINTS = PointNetworkConfig(32, features=8, hidden=8, blocks=1, levels=2, radius=1, iterations=2)


def textures(count: int, size: int) -> Tensor:
    """`[count, 3, size, size]`, smooth noise: something to follow everywhere."""
    noise = torch.rand(count, 3, size // 4, size // 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return F.interpolate(noise, (size, size), mode="bicubic", align_corners=False).clamp(-1, 1)


def seen(picture: Tensor) -> View:
    grid = Grid(picture.shape[-1], FeatureFrame(4))
    features = Features.of(grid, torch.zeros(17, 2), torch.ones(4, 4, dtype=torch.bool))
    return View(features, lambda: picture)


def read_between(values: Tensor, x: float, y: float, beyond_is_zero: bool) -> Tensor:
    """`values [C, h, w]` at (x, y), bilinear, by loops over the four cells."""
    height, width = values.shape[1:]
    total = torch.zeros(len(values), dtype=values.dtype)
    for j in (math.floor(y), math.floor(y) + 1):
        for i in (math.floor(x), math.floor(x) + 1):
            weight = (1 - abs(x - i)) * (1 - abs(y - j))
            if 0 <= i < width and 0 <= j < height:
                total += weight * values[:, j, i]
            elif not beyond_is_zero:
                total += weight * values[:, min(max(j, 0), height - 1), min(max(i, 0), width - 1)]
    return total


def test_likenesses_around_a_place_are_those_of_the_pyramid() -> None:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(1, 3, 5, generator=rng, dtype=torch.float64)
    map_ = torch.randn(1, 5, 6, 8, generator=rng, dtype=torch.float64)
    at = torch.tensor([[[2.3, 3.0], [0.0, 0.4], [7.6, 5.0]]], dtype=torch.float64)
    found = look_up(volumes(features, pyramid(map_, 2)), at, radius=1)
    coarse = torch.zeros(5, 3, 4, dtype=torch.float64)
    for j in range(3):
        for i in range(4):
            coarse[:, j, i] = map_[0, :, 2 * j : 2 * j + 2, 2 * i : 2 * i + 2].mean(dim=(1, 2))
    for n in range(3):
        expected = []
        for level, values in enumerate((map_[0], coarse)):
            alike = torch.einsum("c,chw->hw", features[0, n], values)[None] / math.sqrt(5)
            x, y = (float((v + 0.5) / 2**level - 0.5) for v in at[0, n])
            for dy in (-1, 0, 1):
                expected += [float(read_between(alike, x + dx, y + dy, beyond_is_zero=True)) for dx in (-1, 0, 1)]
        assert found[0, n].tolist() == pytest.approx(expected, abs=1e-12)
    assert torch.allclose(to_pixels(to_cells(at)), at)


def test_units_are_those_of_their_equations() -> None:
    torch.manual_seed(0)
    unit = ConvGRU(3, 2).double()
    h, x = torch.randn(3, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    (wg, bg), (wp, bp) = ((layer.weight[:, :, 1, 1], layer.bias) for layer in (unit.gates, unit.proposal))
    z, r = torch.sigmoid(wg @ torch.cat([h, x]) + bg).chunk(2)
    expected = (1 - z) * h + z * torch.tanh(wp @ torch.cat([r * h, x]) + bp)
    assert torch.allclose(unit(h.view(1, 3, 1, 1), x.view(1, 2, 1, 1))[0, :, 0, 0], expected)
    mixer = Mixer(4, 6).double()
    y = torch.randn(1, 4, 6, dtype=torch.float64)
    over_time = torch.stack([mixer.over_time(mixer.norm1(y)[0, :, c]) for c in range(6)], dim=1)
    mixed = y[0] + over_time
    mixed = mixed + torch.stack([mixer.over_channels(mixer.norm2(row)) for row in mixed])
    assert torch.allclose(mixer(y)[0], mixed)
    found = [torch.full((1, 2, 2, 2), v) for v in (1.0, 3.0)]
    valid = torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]])
    assert float(sequence_loss(found, torch.zeros(1, 2, 2, 2), valid)) == pytest.approx(0.8 * 1 + 3)


def test_the_truth_is_what_the_warp_does() -> None:
    lengths = [
        float(random_warp(32, torch.Generator().manual_seed(seed), 1 / 32).norm(dim=0).mean()) for seed in range(12)
    ]
    assert min(lengths) < 0.2  # as a step of an edit moves points
    assert max(lengths) > 0.8  # as a whole edit does
    b = random_warp(32, torch.Generator().manual_seed(lengths.index(max(lengths))), 1 / 32)
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    ramp = torch.stack([x, y, x + y])
    q = torch.stack([x, y], dim=-1)[8:20, 6:18]
    new = warped(ramp, b, q)
    assert torch.allclose(new[:2], q.permute(2, 0, 1) + b[:, 8:20, 6:18], atol=1e-4)
    points = torch.tensor([[12.0, 13.0], [9.5, 20.25]])
    there = where_to(points, b)
    for point, (column, row) in zip(points, there.tolist(), strict=True):
        assert torch.allclose(torch.tensor([column, row]) + read_between(b, column, row, False), point, atol=1e-3)


@pytest.mark.parametrize("kind", ["flow", "points"])
def test_a_few_steps_learn_something_and_are_the_same_again(kind: str) -> None:
    settings = TrackerTraining(kind=kind, steps=16, batch=2, crop=32, learning_rate=2e-3)  # type: ignore[arg-type]
    pictures = textures(4, 64)
    steps = list(TrackerTrainer(settings, pictures))
    shares = [now.error / now.motion for now in steps]
    assert sum(shares[-5:]) < sum(shares[:5])
    assert [next(iter(TrackerTrainer(settings, pictures))).error] == [steps[0].error]


def test_flow_moves_points_from_picture_to_picture() -> None:
    torch.manual_seed(0)
    network = FlowNetwork(SMALL_FLOW).eval().requires_grad_(False)
    pictures = textures(3, 64)
    points = torch.tensor([[20.0, 24.0], [40.5, 31.0]], dtype=torch.float64)
    tracker = LearnedFlow(network, seen(pictures[0]))
    for before, now in ((0, 1), (1, 2)):
        small = F.avg_pool2d(pictures, 2)  # it was trained at 32 px
        flow = network(small[[before]], small[[now]])[-1][0]
        expected = []
        for x, y in points.tolist():
            column, row = (x + 0.5) / 2 - 0.5, (y + 0.5) / 2 - 0.5
            dx, dy = read_between(flow, column, row, False).tolist()
            expected.append([(column + dx + 0.5) * 2 - 0.5, (row + dy + 0.5) * 2 - 0.5])
        points = tracker.track(seen(pictures[now]), points).points
        assert torch.allclose(points, torch.tensor(expected).double().clamp(0, 63), atol=1e-3)


def test_windows_follow_each_other() -> None:
    torch.manual_seed(0)
    network = PointNetwork(SMALL_POINTS).eval().requires_grad_(False)
    pictures = textures(10, 32)
    points = torch.tensor([[10.0, 12.0], [20.5, 15.0]], dtype=torch.float64)
    tracker = LearnedPoints(network, seen(pictures[0]), points)
    found = [points]
    for picture in pictures[1:]:
        found.append(tracker.track(seen(picture), found[-1]).points)
    maps = [network.encoder(picture[None]) for picture in pictures]
    full = network(maps[:WINDOW], points[None].float())[-1][0]
    assert torch.equal(full[:, 0], points.float())
    assert torch.allclose(found[WINDOW - 1].float(), full[:, WINDOW - 1], atol=1e-4)
    second = network([maps[7], maps[8], *[maps[9]] * (WINDOW - 2)], found[WINDOW - 1][None].float())[-1][0]
    assert torch.allclose(found[9].float(), second[:, 2].clamp(0, 31), atol=1e-4)
    with_repeats = network([maps[0], *[maps[1]] * (WINDOW - 1)], points[None].float())[-1][0]
    assert torch.allclose(found[1].float(), with_repeats[:, 1].clamp(0, 31), atol=1e-4)


def test_files_belong_to_a_model_and_serve_its_drags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(32)
    monkeypatch.setenv("HOME", str(tmp_path))
    drag = Drag([(12, 14)], [(15, 14)], tracker="learned-flow", steps=2)
    with pytest.raises(UserError, match="train-tracker --kind flow --model"):
        start(model.sample(1), drag)
    torch.manual_seed(0)
    save_tracker(FlowNetwork(SMALL_FLOW), model, TRACKERS["flow"].out(model, None), {})
    points = PointNetwork(SMALL_POINTS)
    save_tracker(points, model, TRACKERS["points"].out(model, None), {})
    found = find_tracker("points", model)
    assert torch.equal(found.state_dict()["enter.weight"], points.enter.weight.half().float())
    with pytest.raises(UserError, match="is no flow network"):
        read_tracker("flow", TRACKERS["points"].out(model, None))
    for tracker in ("learned-flow", "learned-points"):
        *_, last = start(model.sample(1), Drag([(12, 14)], [(15, 14)], tracker=tracker, steps=2))
        assert last.step <= 2
        assert all(math.isfinite(v) for v in last.points[0])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_model(tiny_model(32, dtype=torch.float32), tmp_path / "m.safetensors")
    words = ["train-tracker", "--model", str(tmp_path / "m.safetensors"), "--device", "cpu", "--pictures", "2"]
    words += ["--batch", "1", "--crop", "32"]
    assert main([*words, "--steps", "1", "--kind", "points", "--out", str(tmp_path / "t.safetensors")]) == 0
    assert "1 steps" in capsys.readouterr().out
    assert read_tracker("points", tmp_path / "t.safetensors").config.resolution == 32
    going_on = ["--kind", "points", "--begin", str(tmp_path / "t.safetensors"), "--learning-rate", "0"]
    assert main([*words, *going_on, "--steps", "1", "--out", str(tmp_path / "u.safetensors")]) == 0
    before, after = (read_tracker("points", tmp_path / f"{name}.safetensors").state_dict() for name in "tu")
    assert all(torch.equal(before[name], after[name]) for name in before)  # at a rate of 0 it stays
    capsys.readouterr()
    for more, said in (
        (["--crop", "30"], "multiple of 4"), (["--out", "t.txt"], "ends in .safetensors"), (["--least", "0"], "least"),
        (["--begin", str(tmp_path / "t.safetensors")], "is no flow network"),
    ):  # fmt: skip
        assert main([*words, *more]) == 2
        assert said in capsys.readouterr().err
