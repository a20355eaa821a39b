"""What the rest of gansteer asks of a generator is no more than `models/generator.py` says: a toy of another shape does it all."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from toy_generator import ToyConfig, ToyGenerator, toy_model

import gansteer
from gansteer.checkpoints.files import describe, load_file
from gansteer.checkpoints.native import save_model
from gansteer.directions import Directions
from gansteer.edits.attribute.edit import Attribute
from gansteer.edits.attribute.fitting import fit_model
from gansteer.edits.attribute.unsupervised import fit_closed_form
from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.features import Features, Grid, default_layer
from gansteer.edits.intervention.edit import Intervention
from gansteer.edits.inversion.edit import Inversion
from gansteer.edits.record import record, replay
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.mixing import blend
from gansteer.models.code import Code, flat, nested
from gansteer.models.generator import FeatureFrame
from gansteer.models.layout import Blob, Layout
from gansteer.models.registry import ARCHITECTURES, Architecture
from gansteer.session import Session
from gansteer.steerfile import from_bytes, to_bytes
from gansteer.subject import Subject
from support import layouts
from support.tiny import smallest_model

# --- the toy generator ------------------------------------------------------------------------------------------------


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "toy", Architecture("toy_generator:ToyConfig", "toy_generator:ToyGenerator"))


def brightness(pictures: Tensor) -> dict[str, Tensor]:
    return {"bright": pictures[:, 0].mean(dim=(1, 2))}


@pytest.mark.parametrize("kind", ["toy", "stylegan2", "spatial"])
def test_codes_that_are_skipped_leave_the_numbers_where_drawing_them_does(kind: str) -> None:
    generator = {"toy": toy_model, "stylegan2": smallest_model, "spatial": layouts.tiny_model}[kind]().generator
    drawn, skipped = (torch.Generator().manual_seed(1) for _ in range(2))
    generator.code_of(generator.sample_z(3, drawn), rng=drawn)
    generator.skip_codes(3, skipped)
    assert torch.equal(drawn.get_state(), skipped.get_state())


def test_a_sample_is_the_seeds() -> None:
    model = toy_model()
    subject = model.sample(3, psi=0.5)
    z = torch.randn(1, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64).float()
    torch.testing.assert_close(subject.code.ws, 0.5 * model.generator.map_z(z).expand(3, -1))
    assert subject.render().shape == (3, 32, 32)
    assert subject.image.size == (32, 32)
    assert torch.equal(model.sample(3, psi=0.5).render(), subject.render())
    assert torch.equal(subject.render(16), subject.render()), "it has no previews, so every resolution is its own"
    with pytest.raises(UserError, match="no classes"):
        model.sample(0, label=1)


def test_several_codes_are_drawn_as_each_alone() -> None:
    model = toy_model(dtype=torch.float64)
    plain, other = model.sample(1).code, model.sample(2).code
    turned = replace(other, style_offsets={"coarse": torch.full((12,), 0.3, dtype=torch.float64)})
    both = Code.batch([plain, Code.batch([turned, plain])])
    pictures = model.generator.synthesize(both)
    each = torch.cat([model.generator.synthesize(code) for code in (plain, turned, plain)])
    torch.testing.assert_close(pictures, each)
    torch.testing.assert_close(model.generator.synthesize(both[1]), each[1:2])
    assert (each[1] - model.generator.synthesize(other)[0]).abs().max() > 0.01


def test_a_drag_with_nearest_tracking_brings_the_handles_nearer() -> None:
    subject = toy_model().sample(1)
    mask = torch.ones(32, 32, dtype=torch.bool)
    mask[:6] = False
    assert default_layer(subject.generator) == "coarse"
    edit = Drag([(12, 16)], [(17, 16)], mask, tracker="nearest", steps=60, learning_rate=0.02, lambda_mask=1.0)
    run = start(subject, edit)
    *_, last = run
    assert last.stop_reason == "all handles have arrived"
    held, free = (
        (last.subject.render() - subject.render()).abs()[:, part].mean() for part in (slice(0, 6), slice(10, 22))
    )
    assert held < free
    with pytest.raises(UserError, match="only be dragged with the dense engine"):
        start(subject, replace(edit, engine="region"))
    written = record(run, [last], {"seed": 1})
    assert torch.equal(replay(written, subject.model).subject.code.ws, run.subject.code.ws)


@pytest.mark.parametrize("space", ["w", "z", "s"])
def test_an_attribute_is_turned_along_a_fitted_direction(space: str) -> None:
    model = toy_model()
    found = fit_model(model, brightness, count=400, spaces=(space,))  # type: ignore[arg-type]
    directions = Directions("toy", model.digest, tuple(found))
    for seed in range(4):
        subject = model.sample(seed, psi=0.5)
        z = model.generator.sample_z(1, torch.Generator().manual_seed(seed))[0] if space == "z" else None
        up, down = (
            start(subject, Attribute({"bright": sign}, space=space, z=z, psi=0.5, directions=directions)).step().subject  # type: ignore[arg-type]
            for sign in (1.5, -1.5)
        )
        values = [float(brightness(each.render()[None])["bright"]) for each in (down, subject, up)]
        assert values == sorted(values)


def test_an_intervention_needs_neither_previews_nor_layers_of_colour() -> None:
    model = toy_model()
    directions = Directions("toy", model.digest, tuple(fit_model(model, brightness, count=400, spaces=("w", "s"))))
    region = torch.zeros(32, 32, dtype=torch.bool)
    region[8:24, 8:24] = True
    run = start(model.sample(2), Intervention({"bright": 1.5}, region, directions=directions, steps=20))
    *_, last = run
    assert set(last.subject.code.style_offsets) <= {"waves", "coarse", "fine"}
    assert run.leak.mean < run.leak.whole  # type: ignore[attr-defined]


def test_sefa_asks_for_the_linear_part_of_the_styles() -> None:
    model = toy_model()
    (found, *_) = fit_closed_form(model, model.generator.sample_w(200), {"all": (1, 2)}, count=2)
    rows = torch.cat([model.generator.style_weight(name) for name in ("coarse", "fine")]).double()
    rows = rows / rows.norm(dim=1, keepdim=True)
    _, _, axes = torch.linalg.svd(rows)
    assert abs(float(axes[0] @ found.vector)) == pytest.approx(1, abs=1e-6)


def test_a_picture_is_inverted_by_projection_and_by_tuning() -> None:
    model = toy_model()
    picture = torch.from_numpy(np.array(model.sample(4).image))
    projection = Inversion(picture, start="mean", projection=30, tuning="none", noise=1e5)  # but it has no noise maps
    psnr = [progress.metrics["psnr"] for progress in start(model.sample(0), projection)]
    assert psnr[-1] > psnr[0] + 3
    tuned = list(start(model.sample(0), replace(projection, projection=0, tuning="full", tuning_steps=30)))
    assert tuned[-1].metrics["psnr"] > tuned[0].metrics["psnr"] + 0.5
    tuning = tuned[-1].subject.tuning
    assert tuning is not None
    assert tuning.changes.keys() == {"coarse", "fine"}


def test_sessions_open_bit_for_bit() -> None:
    model = toy_model()
    session = Session()
    root = session.add(model.sample(1), source={"seed": 1})
    offset = torch.linspace(-1, 1, 12)
    turned = Subject(model, Code(model.sample(2).code.ws, {"fine": offset}), rounding={"fine": 1e-9 * offset.double()})
    session.add(turned, root.id)
    session.add(blend(root.subject, turned, 0.25))
    back = from_bytes(to_bytes(session), lambda _: model)
    for id, node in session.nodes.items():
        assert torch.equal(back.nodes[id].subject.render(), node.subject.render())
        assert back.nodes[id].subject.rounding.keys() == node.subject.rounding.keys()
    session.add(replace(root.subject, code=Code(torch.zeros(4, 6))))
    with pytest.raises(UserError, match=r"damaged: a picture of toy in it: w\+ must be \[3, 6\]"):
        from_bytes(to_bytes(session), lambda _: model)


def test_its_checkpoint_tells_the_architecture(registered: None, tmp_path: Path) -> None:
    model, path = toy_model(width=8), tmp_path / "toy.safetensors"
    save_model(model, path)
    config = describe(path).config
    assert config == ToyConfig(width=8)
    opened = load_file(path, "cpu")
    assert isinstance(opened.generator, ToyGenerator)
    assert opened.digest == model.digest
    assert torch.equal(opened.sample(1).render(), model.sample(1).render())
    data = path.read_bytes()
    path.write_bytes(data.replace(b'\\"architecture\\": \\"toy\\"', b'\\"architecture\\": \\"yot\\"'))
    with pytest.raises(UserError, match="architecture yot, which this gansteer doesn't know"):
        load_file(path, "cpu")
    path.write_bytes(data.replace(b'\\"softness\\": 0.2', b'\\"softness\\": [1]'))
    with pytest.raises(UserError, match="damaged configuration: softness"):
        load_file(path, "cpu")


def test_a_code_that_does_not_fit_is_refused_with_both_shapes() -> None:
    generator, ws = toy_model().generator, torch.zeros(3, 6)
    generator.check(Code(ws))
    for code, message in (
        (Code(torch.zeros(4, 6)), r"w\+ must be \[3, 6\] for this model, not \[4, 6\]"),
        (Code(torch.zeros(1, 3, 6)), r"two dimensions, not \[1, 3, 6\]"),
        (Code(ws, {"b8.conv0": torch.zeros(3)}), "no layer 'b8.conv0'; it has waves, coarse, fine"),
        (Code(ws, {"fine": torch.zeros(3)}), r"the offset of fine must be \[12\] for this model, not \[3\]"),
        (Code(ws, {"fine": torch.full((12,), torch.nan)}), "offsets.fine is not finite"),
        (Code(ws, layout=layout(2)), "no layout"),
    ):
        with pytest.raises(ValueError, match=message):
            generator.check(code)


# --- codes and frames -------------------------------------------------------------------------------------------------


def layout(count: int) -> Layout:
    return Layout.of([Blob(3.0 * k, 5.0, 4.0, (0.5, float(k))) for k in range(count)], 2)


def test_a_code_comes_back_from_its_tensors_whole() -> None:
    code = Code(torch.randn(3, 6), {"b8.conv0": torch.randn(4), "fine": torch.randn(2)}, layout(3))
    names = {name: x.tolist() for name, x in code.tensors().items()}
    assert flat(nested(names)) == names
    assert nested(names).keys() == {"w", "offsets", "layout"}
    back = Code.from_tensors(code.tensors())
    assert back.tensors().keys() == code.tensors().keys()
    assert all(torch.equal(x, code.tensors()[name]) for name, x in back.tensors().items())
    with pytest.raises(ValueError, match=r"'camera.fov' that this gansteer doesn't know"):
        Code.from_tensors({"w": torch.zeros(3, 6), "camera.fov": torch.zeros(1)})
    with pytest.raises(ValueError, match="make no batch"):
        Code.batch([code, Code(torch.zeros(3, 6))])


def test_between_two_codes_what_one_lacks_is_zero() -> None:
    a, b = Code(torch.zeros(3, 6), {"fine": torch.ones(2)}), Code(torch.ones(3, 6), {"coarse": torch.ones(2)})
    middle = a.lerp(b, 0.25)
    assert torch.allclose(middle.ws, torch.full((3, 6), 0.25))
    assert torch.allclose(middle.style_offsets["fine"], torch.full((2,), 0.75))
    assert torch.allclose(middle.style_offsets["coarse"], torch.full((2,), 0.25))
    assert a.lerp(replace(b, layout=layout(1)), 0.5).layout is not None


@pytest.mark.parametrize("margin", [0, 1, 3])
def test_a_frame_with_a_margin_reads_the_picture_where_it_lies(margin: int) -> None:
    """Against bilinear interpolation written out, on a map whose middle is the picture's."""
    size, inner = 16, 8
    features = torch.randn(2, inner + 2 * margin, inner + 2 * margin, dtype=torch.float64)
    frame = FeatureFrame(inner + 2 * margin, margin)
    grid = Grid(size, frame)
    assert grid.cell == 2
    known = torch.ones(frame.size, frame.size, dtype=torch.bool)
    table = F.pad(features.flatten(1).t(), (0, 0, 0, 1))
    points = torch.tensor([[0.0, 0.0], [15.0, 3.0], [7.0, 8.0], [5.0, 15.0]], dtype=torch.float64)
    got = Features.of(grid, table, known).sample(points)
    last = frame.size - 1
    for (x, y), value in zip(points.tolist(), got, strict=True):
        u, v = (min(max((p + 0.5) / 2 - 0.5 + margin, 0), last) for p in (x, y))
        i, j = min(int(u), last - 1), min(int(v), last - 1)
        a, b = u - i, v - j
        above = (1 - a) * features[:, j, i] + a * features[:, j, i + 1]
        below = (1 - a) * features[:, j + 1, i] + a * features[:, j + 1, i + 1]
        torch.testing.assert_close(value, (1 - b) * above + b * below)
    pooled = frame.pool(torch.ones(size, size))
    assert torch.equal(frame.crop(pooled), torch.ones(inner, inner))
    assert float(pooled.sum()) == inner**2, "beyond the border is nothing of the picture"
    with pytest.raises(ValueError, match="does not divide"):
        frame.pool(torch.ones(12, 12))


# --- nobody else knows ------------------------------------------------------------------------------------------------

TENSORS = {"affine", "constant", "torgb", "noise_fixed", "noise_strength"}


def names_in(tree: ast.AST) -> Iterator[str]:
    """Every identifier and every word of every string of some code; not what docstrings say."""
    told = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield from re.split(r"\W+", node.value)
        for field in ("id", "attr", "arg", "name"):
            found = getattr(node, field, None)
            if isinstance(found, str):
                yield found


def test_the_search_finds_what_it_looks_for() -> None:
    code = 'def f(x, *, torgb=1):\n    "constant"\n    return x.affine + x["a.noise_fixed"] + g(noise_strength=2)'
    assert set(names_in(ast.parse(code))) & TENSORS == TENSORS - {"constant"}


def test_no_file_but_an_architectures_own_names_a_tensor_of_stylegan2() -> None:
    root = Path(gansteer.__file__).parent
    found = []
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        own = place.parts[0] == "checkpoints" or (place.parts[0] == "models" and len(place.parts) > 2)
        if not own:
            found += [f"{place}: {name}" for name in set(names_in(ast.parse(path.read_text()))) & TENSORS]
    for path in sorted(root.rglob("*.js")):
        words = set(re.findall(r"[\w]+", re.sub(r"//.*|/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)))
        found += [f"{path.relative_to(root)}: {name}" for name in words & (TENSORS - {"constant"})]
    assert found == []
