"""Networks side by side: attention and disequilibrium against slow references, runs told apart, what is missing a dash."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gansteer.errors import UserError
from gansteer.evaluation import layout_networks as subject
from gansteer.evaluation.layout_measures import attention_contrast, disequilibrium
from gansteer.evaluation.samples import draw
from gansteer.models.discriminator import Discriminator
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.subject import Card, Model
from gansteer.training.config import TrainConfig
from gansteer.training.data import Pictures
from gansteer.training.run import train
from gansteer.training.trained import read_trained

SIZE = 32
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 noisy pictures, and maps with a thing in each: a square at a corner."""
    folder = tmp_path_factory.mktemp("rooms") / "heldout"
    folder.mkdir()
    rng = np.random.default_rng(0)
    maps = np.zeros((40, 2 * SIZE, 2 * SIZE), np.uint8)
    for i in range(40):
        Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(folder / f"{i:02d}.png")
        maps[i, : 20 + i, :30] = 3
    np.savez(folder.with_name("heldout_maps.npz"), files=np.array([f"{i:02d}.png" for i in range(40)]), maps=maps)
    return folder


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One run of each kind, two steps each."""
    told: dict[str, dict[str, object]] = {
        "without layout": {"layout": "none"},
        "with alignment": {},
        "without alignment": {"alignment": 0.0},
    }
    found = {}
    for kind, changes in told.items():
        out = tmp_path_factory.mktemp("runs") / kind.replace(" ", "-")
        usual: dict[str, object] = {
            "resolution": SIZE, "batch": 4, "z_dim": 4, "w_dim": 4, "mapping_layers": 1, "channel_base": 64, "channel_max": 4,
            "loss": "stylegan2", "device": "cpu", "images": 8, "layout": "objects:2",
        }  # fmt: skip
        list(train(TrainConfig(data=data, out=out, **{**usual, **changes})))  # type: ignore[arg-type]
        found[kind] = out
    return found


def test_attention_is_gradcam_by_loops() -> None:
    torch.manual_seed(0)
    shape = GeneratorConfig(resolution=SIZE, z_dim=4, w_dim=4, mapping_layers=1, channel_base=64, channel_max=3)
    d = Discriminator(shape).double().requires_grad_(False)
    pictures = torch.randn(2, 3, SIZE, SIZE, dtype=torch.float64)
    found = subject.attention_of(d, pictures)

    x = pictures.clone().requires_grad_()
    logits, maps = d.attended(d.features(x))
    loss = torch.log1p(torch.exp(-logits)).sum()
    expected = torch.zeros(2, SIZE, SIZE, dtype=torch.float64)
    for a in maps:
        (gradient,) = torch.autograd.grad(loss, a, retain_graph=True)
        for b in range(2):
            total = torch.zeros(a.shape[-2:], dtype=torch.float64)
            for c in range(a.shape[1]):
                total += torch.relu(a[b, c] * gradient[b, c].mean())
            full = F.interpolate(total[None, None], (SIZE, SIZE), mode="bilinear", align_corners=False)[0, 0]
            expected[b] += (full - full.min()) / (full.max() - full.min()) / len(maps)
    assert len(maps) == 3
    torch.testing.assert_close(found, expected.detach())
    assert not found.requires_grad


def test_a_run_is_read_as_it_was_left(runs: dict[str, Path]) -> None:
    for kind, folder in runs.items():
        run = read_trained(folder, CPU)
        assert subject.kind_of_run(run.config) == kind
        assert run.images == 8
        state = torch.load(folder / "checkpoint.pt", weights_only=True)
        for network, saved in ((run.generator, state["ema"]), (run.discriminator, state["d"])):
            for name, value in network.state_dict().items():
                assert torch.equal(value, saved[name]), name
        assert not any(p.requires_grad for p in (*run.generator.parameters(), *run.discriminator.parameters()))
    left_out = replace(run.config, encoding="none")
    assert subject.kind_of_run(left_out) == "without layout"


def test_what_a_run_measures_is_what_its_networks_say(data: Path, runs: dict[str, Path]) -> None:
    run = read_trained(runs["with alignment"], CPU)
    real, things = Pictures(data, SIZE), subject.read_things(data, SIZE, 1000)
    assert things.places.shape == (40, SIZE, SIZE)
    assert bool(things.places[0, :10, :15].all())
    assert int(things.places[0].sum()) == 150
    found = subject.measured_run("a", run, real, things, 20, 3, lambda what, done, total: None)

    def judged(pictures: Tensor) -> list[float]:
        return [float(x) for part in pictures.split(16) for x in run.discriminator(part)[:, 0]]

    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))[:20]
    real_pictures = torch.stack([real[int(i)][0] for i in order]) / 127.5 - 1
    drawn = list(subject.drawn_pictures(run.generator, 20, 3))
    a, b = judged(real_pictures), judged(torch.cat([x for x, _ in drawn]))
    assert found.disequilibrium is not None
    assert found.disequilibrium.value == pytest.approx(disequilibrium(a, b), rel=1e-5)
    assert found.disequilibrium.low < found.disequilibrium.value < found.disequilibrium.high

    each = []
    for part in range(0, 40, 16):
        looked = subject.attention_of(run.discriminator, things.pictures[part : part + 16])
        each += [attention_contrast(m, p) for m, p in zip(looked, things.places[part : part + 16], strict=True)]
    assert found.attention_on_things is not None
    assert found.attention_on_things.value == pytest.approx(np.mean(each))
    on_blobs = [
        attention_contrast(m, p)
        for x, heat in drawn
        if heat is not None
        for m, p in zip(subject.attention_of(run.discriminator, x), heat, strict=True)
    ]
    assert found.attention_on_blobs is not None
    assert found.attention_on_blobs.value == pytest.approx(np.nanmean(on_blobs))


def test_networks_stand_in_their_columns_and_what_is_missing_is_a_dash(data: Path, runs: dict[str, Path]) -> None:
    trained = read_trained(runs["without alignment"], CPU)
    model = Model(Card("rooms", training={"images": 1234}), trained.generator)

    def plain(pictures: Tensor) -> Tensor:
        return torch.cat([pictures.mean(dim=(2, 3)), pictures.std(dim=(2, 3))], dim=1)

    def found(
        *folders: Path, real: Path | None = data, things: Path | None = None
    ) -> tuple[list[str], list[list[str]]]:
        networks = subject.networks(model, folders, real, things, 20, 0, lambda *_: None, plain)
        json.dumps([asdict(n) for n in networks], allow_nan=False)
        return subject.table_of(networks)

    head, rows = found(real=None)
    assert head == ["", "rooms", *subject.KINDS]
    assert rows[0] == ["pictures shown", "1,234", "-", "-", "-"]
    assert all(row[1:] == ["-"] * 4 for row in rows[1:])

    _, rows = found(runs["with alignment"], runs["without layout"], things=data)
    cells = {row[0]: row[1:] for row in rows}
    assert cells["pictures shown"] == ["1,234", "8", "8", "-"]
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0)).tolist()
    a = plain(torch.cat(list(draw(model, 20)))).double().numpy()
    b = plain(torch.stack([Pictures(data, SIZE)[i][0] for i in order]) / 127.5 - 1).double().numpy()
    for name, (x, y) in {
        "Frechet distance": (a, b),
        "the same, as many as the floor": (a, b[20:]),
        "floor: real and real": (b[:20], b[20:]),
    }.items():
        root = scipy.linalg.sqrtm(np.cov(x.T) @ np.cov(y.T)).real
        away = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(np.cov(x.T) + np.cov(y.T) - 2 * root)
        assert float(cells[name][0]) == pytest.approx(away, rel=2e-3), name
    assert len(set(cells["floor: real and real"][:3])) == 1
    assert len(set(cells["Frechet distance"])) == 4
    assert [cell != "-" for cell in cells["disequilibrium"]] == [False, True, True, False]
    assert [cell != "-" for cell in cells["attention on things, real"]] == [False, True, True, False]
    assert [cell != "-" for cell in cells["attention on blobs, drawn"]] == [False, False, True, False]


def test_what_cannot_be_compared_is_refused(data: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    model = Model(Card("rooms"), read_trained(runs["with alignment"], CPU).generator)

    def refused(message: str, folders: list[Path], things: Path | None = None, real: Path | None = data) -> None:
        with pytest.raises(UserError, match=message):
            subject.networks(model, folders, real, things, 20, 0, lambda *_: None)

    refused("no folder of a training run", [tmp_path])
    refused("another run with alignment", [runs["with alignment"]] * 2)
    refused("give their folder with --data", [runs["with alignment"]], real=None)
    refused("no file of maps", [runs["with alignment"]], things=tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "checkpoint.pt").write_bytes((runs["with alignment"] / "checkpoint.pt").read_bytes())
    record = json.loads((runs["with alignment"] / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**record, "channel_max": 8}))
    refused("does not fit", [broken])


def test_a_draw_has_an_interval_around_zero() -> None:
    values = np.random.default_rng(0).normal(size=100)
    found = subject.disequilibrium_interval(values, values[::-1])
    assert found.value == 0
    assert found.low < 0 < found.high
    assert math.isclose(subject.disequilibrium_interval(values + 2, values).value, 2 / values.std())
