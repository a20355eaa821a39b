"""Directions against NumPy, SciPy and scikit-learn; projection to rounding; files that only fit their own weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from safetensors.torch import save_file
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from gansteer.checkpoints.directions import directions_for, load_directions, own_directions, save_directions
from gansteer.directions import Direction, Directions, projected, style_code, style_layers, style_parts
from gansteer.edits.attribute.fitting import (
    FITTED,
    ends,
    fit_examples,
    fit_labels,
    fit_model,
    fit_scores,
    least_squares,
    mean_gradients,
    sample,
    seeded_z,
)
from gansteer.edits.attribute.unsupervised import (
    closed_form,
    fit_closed_form,
    fit_components,
    principal_components,
    row_groups,
)
from gansteer.errors import UserError
from gansteer.models.code import Code
from support.tiny import tiny_model


def normals(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def colours(pictures: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "cold": (pictures[:, 2] - pictures[:, 0]).mean(dim=(1, 2)),
        "left": pictures[:, :, :, :8].mean(dim=(1, 2, 3)),
    }


# --- Projection -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_what_is_projected_is_orthogonal_to_all_held(count: int) -> None:
    n, held = normals(1, 64)[0], normals(count, 64, 1)
    found = projected(n, list(held))
    assert float((held / held.norm(dim=1, keepdim=True) @ found).abs().max()) < 1e-12
    # The paper's own formula, by SciPy: n - C^T (C C^T)^-1 C n.
    c = held.numpy()
    wanted = n.numpy() - c.T @ scipy.linalg.solve(c @ c.T, c @ n.numpy())
    assert np.allclose(found.numpy(), wanted / np.linalg.norm(wanted), atol=1e-12)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, 1e-12, 1e-15, 0.0])
def test_near_collinear_ones_are_held_as_exactly(gap: float) -> None:
    a, b, other, n = normals(4, 40)
    held = [a, a + gap * b, other, -a]
    found = projected(n, held)
    assert abs(float(found.norm()) - 1) < 1e-12
    assert max(abs(float(h @ found)) / float(h.norm()) for h in held) < 1e-12


def test_nothing_is_left_of_a_held_direction() -> None:
    a, b = normals(2, 16)
    with pytest.raises(UserError, match="hold fewer"):
        projected(a + b, [a, b])
    assert torch.allclose(projected(a, []), a / a.norm())


# --- Unsupervised -----------------------------------------------------------------------------------------------------


def test_principal_components_are_those_of_scikit_learn_and_numpy() -> None:
    x = normals(300, 12) @ normals(12, 12, 1) + 3
    mean, axes, deviations = principal_components(x, 5)
    reference = PCA(5).fit(x.numpy())
    assert np.allclose(mean, reference.mean_, atol=1e-12)
    assert np.allclose(deviations**2, reference.explained_variance_, rtol=1e-10)
    assert np.allclose(np.abs(np.sum(axes.numpy() * reference.components_, axis=1)), 1, atol=1e-10)
    values = np.linalg.eigvalsh(np.cov(x.numpy().T))[::-1]
    assert np.allclose(deviations**2, values[:5], rtol=1e-10)
    assert bool((axes.gather(1, axes.abs().argmax(dim=1, keepdim=True)) > 0).all())
    found = fit_components(x, 3)
    assert [d.name for d in found] == ["pc:1", "pc:2", "pc:3"]
    scores = torch.stack([d.values(x) for d in found], dim=1)
    assert torch.allclose(scores.mean(dim=0), torch.zeros(3).double(), atol=1e-5)
    assert torch.allclose(scores.std(dim=0), torch.ones(3).double(), atol=1e-5)


def test_the_closed_form_is_that_of_numpy() -> None:
    weights = [normals(7, 10), normals(9, 10, 1)]
    vectors, values = closed_form(weights, 4)
    a = np.concatenate([w.numpy() for w in weights])
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    _, size, right = np.linalg.svd(a)
    assert np.allclose(values, size[:4] ** 2, rtol=1e-10)
    assert np.allclose(np.abs(np.sum(vectors.numpy() * right[:4], axis=1)), 1, atol=1e-9)


def test_closed_form_directions_move_their_layers_most() -> None:
    """Of all unit steps in w, the first eigenvector changes the (normalised) styles of its group the most."""
    model = tiny_model(64)
    w = sample(model, 500).w
    found = fit_closed_form(model, w, row_groups(10), count=2)
    assert [(d.name, d.rows) for d in found[::2]] == [
        ("sefa:pose:1", (0, 1)), ("sefa:shape:1", (2, 5)), ("sefa:colour:1", (6, 9))
    ]  # fmt: skip
    layers = [layer for layer in model.generator.synthesis.layers() if 2 <= layer.latent_index <= 5]

    def change(n: torch.Tensor) -> float:
        moves = [(layer.affine.weight @ n) / layer.affine.weight.norm(dim=1) for layer in layers]
        return float(torch.cat(moves).square().sum())

    most = change(found[2].vector)
    for n in normals(50, 8, 3):
        assert change(n / n.norm()) < most
    assert row_groups(4) == {"pose": (0, 1), "shape": (2, 3)}


# --- Boundaries -------------------------------------------------------------------------------------------------------


def test_the_boundary_of_a_linear_score_is_found() -> None:
    x = normals(4000, 16)
    truth = normals(1, 16, 5)[0]
    scores = (x @ truth / truth.norm()).numpy() + 0.3 * normals(1, 4000, 6)[0].numpy()
    found = fit_scores("a", "w", x, scores)
    assert float(found.vector @ truth / truth.norm()) > 0.97
    assert found.about["accuracy_validation"] > 0.95
    assert found.about["accuracy_all"] > 0.75
    assert abs(float(found.values(x).std()) - 1) < 1e-3
    # scikit-learn's own solver of the same problem, with the kernel trick, sees the same boundary.
    order = np.argsort(scores)
    k = round(FITTED * len(scores))
    ends = np.r_[order[:k], order[-k:]]
    svm = SVC(kernel="linear", C=5e-3).fit(x.numpy()[ends], np.repeat([0, 1], k))
    other = torch.from_numpy(svm.coef_[0].copy())
    assert float(found.vector @ other / other.norm()) > 0.97
    ours = (found.values(x) > 0).numpy()
    assert np.mean(ours == (svm.decision_function(x.numpy()) > 0)) > 0.95


def test_of_a_rare_attribute_only_those_that_have_it_are_fitted() -> None:
    """One picture in 33 has it; the reader's noise along another axis decides the order of all others."""
    x, noise = normals(6000, 16), normals(6000, 1, 9)[:, 0].numpy()
    has = (x[:, 0] > 1.88).numpy()
    scores = has + 0.05 * (x[:, 1].numpy() + noise)
    low, high = ends(scores)
    assert set(high) == set(np.flatnonzero(has))
    assert len(low) == round(FITTED * len(scores))
    assert all(np.diff(scores[high]) <= 0)
    assert all(np.diff(scores[low]) >= 0)
    found = fit_scores("a", "w", x, scores)
    order = np.argsort(scores)
    k = round(FITTED * len(scores))
    svm = SVC(kernel="linear", C=5e-3).fit(x.numpy()[np.r_[order[:k], order[-k:]]], np.repeat([0, 1], k))
    tenths = svm.coef_[0] / np.linalg.norm(svm.coef_[0])
    assert float(found.vector[0]) > tenths[0] + 0.1
    assert found.about["accuracy_validation"] > 0.95


def test_common_attributes_are_fitted_between_whole_tenths() -> None:
    normal = normals(4000, 1)[:, 0].numpy()
    rarely_none = np.where(normal < -2, -9.0, normal)  # as long hair: that few are bald says nothing of the others
    for scores in (normal, np.linspace(0, 1, 4000), (normal > 0.5) * 1.0, rarely_none):
        assert [len(end) for end in ends(scores)] == [400, 400]


def test_the_intercept_says_where_the_boundary_is() -> None:
    """Codes whose mean is far from 0, as in w."""
    x = normals(4000, 6) + 5
    scores = x[:, 0].numpy()
    found = fit_scores("a", "w", x, scores)
    middle = x[np.abs(scores - 5) < 0.05]
    assert float(found.values(middle).mean().abs()) < 0.15
    assert float(found.values(x[scores > 6.5]).min()) > 0


def test_style_coordinates_count_alike_whatever_their_scale() -> None:
    x = normals(3000, 10)
    scale = torch.logspace(-1, 1, 10).double()
    scores = (x[:, 0] + x[:, 9]).numpy()
    found = fit_scores("a", "s", x * scale, scores)
    assert found.scale is not None
    assert torch.allclose(found.scale, (x * scale).std(dim=0), rtol=1e-2)
    assert torch.allclose(found.vector[[0, 9]], torch.full((2,), 0.5**0.5).double(), atol=0.05)
    step = found.vector * found.std * found.scale
    assert torch.allclose(found.values(x * scale + step), found.values(x * scale) + 1, atol=1e-6)


def test_least_squares_against_numpy() -> None:
    x = normals(200, 7).numpy() + 2
    y = normals(1, 200, 3)[0].numpy()
    centred = x - x.mean(axis=0)
    wanted, *_ = np.linalg.lstsq(centred, y - y.mean(), rcond=None)
    assert np.allclose(least_squares(x, y, damping=0.0), wanted, atol=1e-10)


def test_mean_gradients_are_finite_differences() -> None:
    model = tiny_model(16, seed=3)
    z = seeded_z(model, 5, 3)
    found = mean_gradients(model, z, colours)
    assert found is not None
    generator = model.generator
    rows = generator.map(z)
    n = normals(1, 8, 1)[0]

    def score(ws: torch.Tensor) -> torch.Tensor:
        return colours(generator.synthesize(Code(ws)))["left"]

    slope = ((score(rows + 1e-6 * n) - score(rows - 1e-6 * n)) / 2e-6).mean()
    assert torch.allclose(found["left"]["w"] @ n, slope, rtol=1e-6)
    slope = ((score(generator.map(z + 1e-6 * n)) - score(generator.map(z - 1e-6 * n))) / 2e-6).mean()
    assert torch.allclose(found["left"]["z"] @ n, slope, rtol=1e-5)
    styles = generator.styles(Code(rows))
    m = normals(1, style_code(generator, styles).shape[1], 2)[0]
    parts = style_parts(generator, m)
    up, down = ({k: v + e * parts[k] if k in parts else v for k, v in styles.items()} for e in (1e-6, -1e-6))
    slope = ((colours(generator.synthesis(up))["left"] - colours(generator.synthesis(down))["left"]) / 2e-6).mean()
    assert torch.allclose(found["left"]["s"] @ m, slope, rtol=1e-6)
    assert mean_gradients(model, z, lambda x: {"a": colours(x)["cold"].detach()}) is None


@pytest.mark.parametrize("space", ["w", "s", "z"])
def test_a_step_along_a_fitted_direction_raises_the_score(space: str) -> None:
    model = tiny_model(16, seed=3)
    (found,) = fit_model(model, colours, ["cold"], count=400, spaces=[space])  # type: ignore[list-item]
    samples = sample(model, 200, colours, seed=9)
    values = found.values(samples.codes(space)).numpy()  # type: ignore[arg-type]
    assert np.corrcoef(values, samples.scores["cold"])[0, 1] > 0.6
    assert found.level is not None
    assert float(found.level @ found.vector) > 0.3


def test_twenty_marked_examples_are_enough() -> None:
    model = tiny_model(16, seed=3)
    seeds = list(range(60))
    pictures = torch.stack([model.sample(seed, 0.7).render() for seed in seeds])
    scores = colours(pictures)["cold"]
    order = scores.argsort().tolist()
    chosen = order[:20] + order[-20:]
    found = fit_examples(model, "cold", chosen, [0.0] * 20 + [1.0] * 20)
    assert found.about["accuracy_left_out"] > 0.8
    fresh = sample(model, 300, colours, seed=5)
    assert np.corrcoef(found.values(fresh.w).numpy(), fresh.scores["cold"])[0, 1] > 0.6
    of_scores = fit_examples(model, "cold", seeds, scores.tolist())
    assert float(of_scores.vector @ found.vector) > 0.8


def test_bad_labels_are_refused() -> None:
    model = tiny_model(16, seed=3)
    x, many = normals(40, 8), normals(100, 8, 1)
    with pytest.raises(UserError, match="all 1: label pictures of the other kind"):
        fit_examples(model, "a", list(range(30)), [1.0] * 30)
    with pytest.raises(UserError, match="all alike"):
        fit_labels("a", "w", x, [True] * 40, many)
    with pytest.raises(UserError, match="only 3 positive examples"):
        fit_labels("a", "w", x, [True] * 3 + [False] * 37, many)
    with pytest.raises(UserError, match="labelled twice"):
        fit_examples(model, "a", [1, 2, 1], [0, 1, 1])
    with pytest.raises(UserError, match="do not vary"):
        fit_scores("a", "w", normals(400, 8), np.zeros(400))
    with pytest.raises(UserError, match="too few"):
        fit_scores("a", "w", x, np.arange(40.0))
    with pytest.raises(UserError, match="no score 'blue'"):
        fit_model(model, colours, ["blue"], count=200)
    with pytest.raises(UserError, match="finite number"):
        sample(model, 20, lambda x: {"a": colours(x)["cold"] / 0})


# --- Files ------------------------------------------------------------------------------------------------------------


def some_directions(digest: str) -> Directions:
    vector = torch.nn.functional.normalize(normals(3, 8), dim=1)
    return Directions("tiny", digest, (
        Direction("smile", "w", vector[0], 1.5, 0.25, level=vector[1], about={"method": "svm", "accuracy_all": 0.9}),
        Direction("smile", "s", vector[1], 2.0, scale=vector[2].abs()),
        Direction("pc:1", "w", vector[2], 1.0, rows=(0, 4)),
    ))  # fmt: skip


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    model = tiny_model(16, seed=3)
    saved = some_directions(model.digest)
    path = tmp_path / "some.safetensors"
    save_directions(saved, path)
    found = directions_for(model, path)
    assert found.names() == ["smile", "pc:1"]
    for a, b in zip(saved.entries, found.entries, strict=True):
        assert (a.name, a.space, a.std, a.intercept, a.rows, a.about) == (
            b.name,
            b.space,
            b.std,
            b.intercept,
            b.rows,
            b.about,
        )
        for x, y in ((a.vector, b.vector), (a.scale, b.scale), (a.level, b.level)):
            assert x is y is None or (x is not None and y is not None and torch.equal(x, y))
    assert [p.name for p in tmp_path.iterdir()] == ["some.safetensors"]


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.safetensors"
    save_directions(some_directions(tiny_model(16).digest), path)
    with pytest.raises(UserError, match="fitted to other weights"):
        directions_for(tiny_model(16, seed=1), path)
    narrow = tiny_model(16, dtype=torch.float32)
    wide = replace(narrow, generator=tiny_model(16, dtype=torch.float32).generator.double())
    assert narrow.digest == wide.digest  # the same weights, however wide
    assert own_directions(narrow).entries == ()


def test_an_unknown_name_is_told_the_nearest() -> None:
    directions = some_directions("x")
    with pytest.raises(UserError, match="did you mean 'smile'"):
        directions.get("smiling")
    with pytest.raises(UserError, match="there are smile, pc:1"):
        directions.get("xyz")
    with pytest.raises(UserError, match="in z: there are none; make some with"):
        directions.get("smile", "z")
    other = replace(some_directions("x"), entries=(replace(directions.entries[0], std=7.0),))
    assert directions.joined(other).get("smile").std == 7.0
    assert len(directions.joined(other).entries) == 3
    with pytest.raises(UserError, match="other weights"):
        directions.joined(replace(other, digest="y"))


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "some.safetensors"
    save_directions(some_directions("x"), path)
    whole = path.read_bytes()
    for data in (b"", b"nonsense", whole[:40], whole[: len(whole) // 2], whole[:-9]):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"holds no directions|damaged"):
            load_directions(path)
    about = {"format": 1, "kind": "directions", "model": "m", "weights": "x", "entries": [{"name": "a"}]}
    for changed, complaint in (
        ({}, "damaged"), ({"kind": "generator"}, "holds a generator"), ({"format": 2}, "newer"), ({"entries": 3}, "damaged"),
        ({"entries": [{"name": "a", "space": "w", "std": 0, "intercept": 0, "rows": None, "about": {}}]}, "does not move"),
    ):  # fmt: skip
        save_file({"vector.0": torch.ones(3)}, path, metadata={"gansteer": json.dumps(about | changed)})
        with pytest.raises(UserError, match=complaint):
            load_directions(path)
    with pytest.raises(UserError, match="cannot be read"):
        load_directions(tmp_path / "missing.safetensors")


def test_style_codes_are_the_convolutions_in_order() -> None:
    generator = tiny_model(16, seed=3).generator
    styles = generator.styles(Code(generator.map(normals(2, 8))))
    code = style_code(generator, styles)
    assert code.shape == (2, sum(style_layers(generator).values()))
    parts = style_parts(generator, code)
    assert list(parts) == ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"]
    assert all(torch.equal(parts[name], styles[name]) for name in parts)
