"""The region engine against the ordinary dense synthesis, in float64, forward and backward."""

import pytest
import torch
from drag_reference import dense_map, tiny_subject

from gansteer.edits.drag.features import Extractor, default_layer
from gansteer.edits.drag.tracking import around, square
from gansteer.models.code import Code
from gansteer.models.stylegan2 import doubling
from gansteer.models.stylegan2.region import RegionSynthesis
from gansteer.models.stylegan2.region_plan import UpBack, UpPlan
from gansteer.models.stylegan2.winograd import F2, F4, Winograd
from support.tiny import tiny_model


def random_need(r: int, handles: int, reach: int, seed: int) -> torch.Tensor:
    """Squares around random cells; the first two in opposite corners when there are several."""
    rng = torch.Generator().manual_seed(seed)
    centres = torch.randint(0, r, (handles, 2), generator=rng).double()
    if handles > 1:
        centres[0], centres[1] = torch.tensor([0.0, 1.0]), torch.tensor([r - 1.0, r - 2.0])
    cells = around(centres, square(reach)).flatten(0, 1).clamp(0, r - 1).long()
    need = torch.zeros(r, r, dtype=torch.bool)
    need[cells[:, 1], cells[:, 0]] = True
    return need


@pytest.mark.parametrize("handles", [1, 5, 68])
@pytest.mark.parametrize("resolution", [64, 128, 256, 512, 1024])
def test_features_and_gradients_equal_dense(resolution: int, handles: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "gansteer.models.stylegan2.region_plan.TRANSFORMS", 0
    )  # else tiles never pay with so few channels
    subject = tiny_subject(resolution, seed=handles)
    layer = default_layer(subject.model.generator)
    r = int(layer[1:].split(".")[0])
    need = random_need(r, handles, reach=5, seed=resolution)
    w = subject.code.ws.clone().requires_grad_()
    dense = dense_map(subject, w, layer).permute(1, 2, 0)[need]
    region = RegionSynthesis(subject.model.generator.synthesis, layer)  # type: ignore[arg-type]
    sparse = region(subject.model.generator.styles(Code(w[None])), need)
    assert torch.equal(sparse[-1], torch.zeros_like(sparse[-1]))
    assert (sparse[:-1] - dense).abs().max() < 1e-10
    pull = torch.randn(dense.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pull[torch.rand(len(pull), generator=torch.Generator().manual_seed(2)) < 0.7] = 0  # a loss that looks at few cells
    (expected,) = torch.autograd.grad((dense * pull).sum(), w)
    (got,) = torch.autograd.grad((sparse[:-1] * pull).sum(), w)
    assert expected.abs().max() > 1e-3
    assert (got - expected).abs().max() < 1e-10


@pytest.mark.parametrize("corner", [(0, 0), (0, 31), (31, 0), (31, 31), (16, 0), (31, 15)])
@pytest.mark.parametrize("layer", ["b4.conv1", "b8.conv0", "b32.conv0", "b32.conv1"])
def test_single_cells_at_the_border(layer: str, corner: tuple[int, int]) -> None:
    subject = tiny_subject(64)
    r = int(layer[1:].split(".")[0])
    y, x = corner[0] * (r - 1) // 31, corner[1] * (r - 1) // 31
    need = torch.zeros(r, r, dtype=torch.bool)
    need[y, x] = True
    region = RegionSynthesis(subject.model.generator.synthesis, layer)  # type: ignore[arg-type]
    got = region(subject.model.generator.styles(subject.code), need)[0]
    assert (got - dense_map(subject, subject.code.ws, layer)[:, y, x]).abs().max() < 1e-10


def test_whole_map_in_several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gansteer.models.stylegan2.region.CHUNK", 100)
    subject = tiny_subject(64)
    w = subject.code.ws.clone().requires_grad_()
    dense = dense_map(subject, w, "b64.conv1")
    region = RegionSynthesis(subject.model.generator.synthesis, "b64.conv1")  # type: ignore[arg-type]
    table = region(subject.model.generator.styles(Code(w[None])), torch.ones(64, 64, dtype=torch.bool))
    assert (table[:-1].t().reshape(-1, 64, 64) - dense).abs().max() < 1e-10
    weight = torch.linspace(-1, 1, dense.numel(), dtype=torch.float64).view(dense.shape)
    weight[:, 3:5] = 0  # so few that they are taken along
    (expected,) = torch.autograd.grad((dense * weight).sum(), w)
    (got,) = torch.autograd.grad((table[:-1].t().reshape(-1, 64, 64) * weight).sum(), w)
    assert (got - expected).abs().max() < 1e-10


@pytest.mark.parametrize("form", [F2, F4])
def test_by_tiles_of_either_form(form: Winograd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gansteer.models.stylegan2.region_plan.FORMS", (form,))
    monkeypatch.setattr("gansteer.models.stylegan2.region_plan.TRANSFORMS", 0)
    monkeypatch.setattr("gansteer.models.stylegan2.region_plan.LOADING", -1000)  # so that tiles always seem to pay
    subject = tiny_subject(64)
    w = subject.code.ws.clone().requires_grad_()
    need = random_need(32, 3, reach=4, seed=0)
    dense = dense_map(subject, w, "b32.conv1").permute(1, 2, 0)[need]
    region = RegionSynthesis(subject.model.generator.synthesis, "b32.conv1")  # type: ignore[arg-type]
    got = region(subject.model.generator.styles(Code(w[None])), need)[:-1]
    assert [bool(kernel._tiled) for kernel in region.kernels] == [not layer.up for layer in region.layers]
    steps = zip(region.layers, region._plans[-1], strict=True)
    assert all(isinstance(step, UpPlan) and step.inputs is not None for layer, step in steps if layer.up)
    assert (got - dense).abs().max() < 1e-10
    pull = torch.linspace(-1, 1, dense.numel(), dtype=torch.float64).view(dense.shape)
    pull = pull * (torch.arange(len(dense)) % 5 == 0)[:, None]
    (expected,) = torch.autograd.grad((dense * pull).sum(), w)
    (found,) = torch.autograd.grad((got * pull).sum(), w)
    assert (found - expected).abs().max() < 1e-10
    ways = zip(region.layers, region._backs[-1][1], strict=True)
    assert all(isinstance(way, UpBack) and way.inputs is not None for layer, way in ways if layer.up)


@pytest.mark.parametrize("size", [4, 5, 6])
def test_doubling_along_one_axis(size: int) -> None:
    """`out ((G k) * (into x))` against loops: the transposed convolution, then the blur, for every remainder by a tile."""
    rng = torch.Generator().manual_seed(size)
    x, k = torch.randn(size, generator=rng).double(), torch.randn(3, generator=rng).double()
    z = [0.0] * (2 * size + 4)  # z[-1], z[0], ...
    for i in range(size):
        for tap in range(3):
            z[1 + 2 * i + tap] += float(x[i] * k[tap])
    blur = (0.25, 0.75, 0.75, 0.25)  # 1, 3, 3, 1 with gain 2
    expected = torch.tensor(
        [sum(b * z[m + t] for t, b in enumerate(blur)) for m in range(2 * size)], dtype=torch.float64
    )
    axis = doubling.Axis.of(size)
    g = torch.tensor([[0, 0, 1], [0.5, 0, 0.5], [-0.5, 0, 0.5], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]]).double()
    index, weight = axis.into
    products = (x[index] * weight).sum(dim=1) * (g @ k).repeat(len(index) // doubling.SIDE)
    index, weight = axis.out
    assert ((products[index] * weight).sum(dim=1) - expected).abs().max() < 1e-12


def test_a_new_region_needs_a_new_plan() -> None:
    """The plan is kept while the region stays and replaced when it moves."""
    subject = tiny_subject(64)
    styles = subject.model.generator.styles(subject.code)
    dense = dense_map(subject, subject.code.ws, "b32.conv1").permute(1, 2, 0)
    region = RegionSynthesis(subject.model.generator.synthesis, "b32.conv1")  # type: ignore[arg-type]
    for seed in (1, 1, 2, 3, 2):
        need = random_need(32, 2, reach=3, seed=seed)
        assert (region(styles, need)[:-1] - dense[need]).abs().max() < 1e-10


def test_float32_with_packed_weights() -> None:
    subject = tiny_subject(128, dtype=torch.float32, channels=32)
    need = random_need(64, 5, reach=4, seed=0)
    dense = dense_map(subject, subject.code.ws, "b64.conv1").permute(1, 2, 0)[need]
    region = RegionSynthesis(subject.model.generator.synthesis, "b64.conv1")  # type: ignore[arg-type]
    got = region(subject.model.generator.styles(subject.code), need)[:-1]
    torch.testing.assert_close(got, dense, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("engine", ["region", "dense"])
def test_extractor_gives_gradient_only_to_moving_rows_and_minds_offsets(engine: str) -> None:
    model = tiny_model(64)
    w = model.sample(3).code.ws
    offsets = {"b8.conv1": torch.full([8], 0.5, dtype=torch.float64), "b32.conv1": torch.full([8], -0.2).double()}
    extract = Extractor(model.generator, Code(w, offsets), 3, "b32.conv1", engine)  # type: ignore[arg-type]
    rows = w[:3].clone().requires_grad_()
    need = random_need(32, 2, reach=3, seed=0)
    features = extract(rows, need)
    batched = {name: offset[None] for name, offset in offsets.items()}
    moved = torch.cat([rows, w[3:]])
    expected = model.generator.features(Code(moved[None], batched), ["b32.conv1"])["b32.conv1"][0]
    got = features.at(need)
    assert (got - expected.permute(1, 2, 0)[need]).abs().max() < 1e-10
    (a,) = torch.autograd.grad(got.square().sum(), rows)
    (b,) = torch.autograd.grad(expected.permute(1, 2, 0)[need].square().sum(), rows)
    assert (a - b).abs().max() < 1e-9
    assert a.abs().min(dim=1).values.max() > 0
