"""Walks and mixes against the same in plain arithmetic, and their commands."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from gansteer.checkpoints.native import save_model
from gansteer.cli import main
from gansteer.errors import UserError
from gansteer.mixing import blend, mix, sheet_of_mixes, walk
from gansteer.models.code import Code
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.models.tuning import Tuning
from gansteer.steerfile import open_subject, save_subject
from gansteer.subject import Card, Model, Subject


def tiny(seed: int = 0) -> Model:
    torch.manual_seed(seed)
    config = GeneratorConfig(32, z_dim=8, w_dim=8, channel_base=256, channel_max=8, mapping_layers=2)
    return Model(Card("tiny"), StyleGAN2Generator(config).eval().requires_grad_(False))


MODEL = tiny()
WEIGHT = next(name for name in MODEL.generator.tunable_weights()[0] if MODEL.generator.state_dict()[name].dim() > 1)


def tuned(seed: int, kind: str) -> Subject:
    """A subject whose weights were changed: all of one, or by two factors."""
    rng = torch.Generator().manual_seed(seed)
    weight = MODEL.generator.state_dict()[WEIGHT]
    changes = {WEIGHT: 0.1 * torch.randn(weight.shape, generator=rng)}
    if kind != "dense":
        rank = int(kind)
        changes = {
            f"{WEIGHT}.left": 0.1 * torch.randn(weight.shape[0], rank, generator=rng),
            f"{WEIGHT}.right": torch.randn(rank, weight[0].numel(), generator=rng),
        }
    return Subject(MODEL, MODEL.sample(seed).code, Tuning(MODEL.generator, changes))


def test_between_two_pictures() -> None:
    a, b = MODEL.sample(1), Subject(MODEL, Code(MODEL.sample(2).code.ws, {"b8.conv0": torch.ones(8)}))
    assert blend(a, b, 0.0) is a
    assert blend(a, b, 1.0) is b
    quarter = blend(a, b, 0.25)
    assert torch.allclose(quarter.code.ws, 0.75 * a.code.ws + 0.25 * b.code.ws)
    assert torch.allclose(quarter.code.style_offsets["b8.conv0"], torch.full((8,), 0.25))
    with pytest.raises(UserError, match="one model"):
        blend(a, tiny(1).sample(1), 0.5)


@pytest.mark.parametrize("kinds", [("dense", "dense"), ("2", "3"), ("dense", "3"), ("2", None), (None, "dense")])
def test_between_two_photos_the_weights_are_between_too(kinds: tuple[str | None, str | None]) -> None:
    a, b = (MODEL.sample(i) if kind is None else tuned(i, kind) for i, kind in enumerate(kinds))
    state = blend(a, b, 0.3).generator.state_dict()
    one, two = a.generator.state_dict(), b.generator.state_dict()
    assert not torch.equal(one[WEIGHT], two[WEIGHT])
    for name, x in state.items():
        assert torch.allclose(x, 0.7 * one[name] + 0.3 * two[name], atol=1e-6), name
    assert blend(a, a, 0.3).tuning is a.tuning


@pytest.mark.parametrize(("count", "loop"), [(7, False), (10, False), (6, True), (10, True)])
def test_a_walk_against_linear_interpolation(count: int, loop: bool) -> None:
    stops = [MODEL.sample(seed) for seed in (1, 5, 9)]
    known = np.stack([s.code.ws.double().numpy() for s in [*stops, *stops[:1] * loop]])
    end = len(known) - 1
    at = [i * end / (count if loop else count - 1) for i in range(count)]
    found = np.stack([s.code.ws.double().numpy() for s in walk(stops, count, loop)])
    low = np.minimum(np.floor(at).astype(int), end - 1)
    share = (np.array(at) - low)[:, None, None]
    assert found == pytest.approx((1 - share) * known[low] + share * known[low + 1], abs=1e-6)
    met = list(walk(stops, count, loop))
    assert met[0] is stops[0]
    assert loop or met[-1] is stops[-1]
    for few, pictures in ((stops[:1], 5), (stops, 1), ([*stops, tiny(1).sample(1)], 5)):
        with pytest.raises(UserError):
            walk(few, pictures)


def test_a_mix_takes_each_convolution_from_the_one_whose_size_it_is() -> None:
    a, b = (
        Subject(MODEL, Code(MODEL.sample(i).code.ws, {"b8.conv1": i * torch.ones(8), "b16.conv0": i * torch.ones(8)}))
        for i in (1, 2)
    )
    mixed = mix(a, b, 8)
    styles, coarse, fine = (MODEL.generator.styles(s.code) for s in (mixed, a, b))
    for name, size in (("b4.conv1", 4), ("b8.conv0", 8), ("b8.conv1", 8), ("b16.conv0", 16), ("b32.conv1", 32)):
        assert torch.equal(styles[name], (coarse if size <= 8 else fine)[name]), name
    assert torch.equal(mix(a, a, 8).render(), a.render())
    assert mix(tuned(1, "dense"), b, 8).tuning is not None
    for bad in (10, 32, 0):
        with pytest.raises(UserError, match="maps of 4, 8, 16, 32 px"):
            mix(a, b, bad)
    with pytest.raises(UserError, match="one model"):
        mix(a, tiny(1).sample(1), 8)


def test_a_sheet_of_mixes_has_what_is_mixed_at_its_edges() -> None:
    above, left = [MODEL.sample(i) for i in (1, 2)], [MODEL.sample(i) for i in (3, 4, 5)]
    cells = list(sheet_of_mixes(above, left, 8))
    assert cells[0] is None
    assert cells[1:3] == above
    assert cells[3::3] == left
    assert torch.equal(cells[8].code.ws, mix(above[1], left[1], 8).code.ws)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and a photo that was brought in."""
    folder = tmp_path_factory.mktemp("files")
    save_model(MODEL, folder / "tiny.safetensors")
    save_subject(tuned(3, "2"), folder / "anna.steer")
    return folder


def test_the_commands(files: Path, tmp_path: Path) -> None:
    model, anna = ["--model", str(files / "tiny.safetensors")], str(files / "anna.steer")
    film = tmp_path / "walk.webp"
    assert main(["walk", *model, "--seeds", "1,5", "--frames", "6", "--loop", "--fps", "10", "--out", str(film)]) == 0
    with Image.open(film) as shown:
        times = []
        for picture in ImageSequence.Iterator(shown):
            picture.load()
            times.append(picture.info["duration"])
    assert times == [100] * 6, "it repeats without a rest"
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    assert main(["walk", *model, "--stops", "1", anna, "--frames", "3", "--out", str(pictures)]) == 0
    there = open_subject(Path(anna), lambda name: MODEL)
    for i, subject in ((0, MODEL.sample(1)), (2, there)):
        with Image.open(pictures / f"walk-000{i}.png") as shown:
            assert np.array_equal(np.asarray(shown), np.asarray(subject.image))
    mixed = tmp_path / "mix.steer"
    words = ["mix", *model, "--coarse", anna, "--fine", "7", "--coarse-up-to", "8"]
    assert main([*words, "--out", str(mixed)]) == 0
    assert torch.equal(open_subject(mixed, lambda name: MODEL).render(), mix(there, MODEL.sample(7), 8).render())


def test_a_sheet_and_what_is_refused(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["--model", str(files / "tiny.safetensors")]
    sheet = tmp_path / "sheet.png"
    assert main(["mix", *model, "--coarse", "1-2", "--fine", "5,6,7", "--coarse-up-to", "8", "--out", str(sheet)]) == 0
    with Image.open(sheet) as shown:
        assert shown.size == (3 * 32, 4 * 32)
    before = sorted(tmp_path.iterdir())
    refused = {
        "two or more": ["walk", "--seeds", "1", "--out", "w.webp"],
        "by --seeds": ["walk", "--out", "w.webp"],
        "--frames is": ["walk", "--seeds", "1,2", "--frames", "1", "--out", "w.webp"],
        "--fps is": ["walk", "--seeds", "1,2", "--fps", "0", "--out", "w.webp"],
        "film's file ends in": ["walk", "--seeds", "1,2", "--out", "w.avi"],
        "bring a photo in": ["walk", "--stops", "1", "me.jpg", "--out", "w.webp"],
        "give --coarse and --fine": ["mix", "--coarse", "1", "--out", "m.png"],
        "keeps one picture": ["mix", "--coarse", "1", "--fine", "2-3", "--coarse-up-to", "8", "--out", "m.steer"],
        "maps of 4, 8, 16, 32 px": ["mix", "--coarse", "1", "--fine", "2", "--coarse-up-to", "7", "--out", "m.png"],
        "is no seed": ["mix", "--coarse", "x", "--fine", "2", "--out", "m.png"],
    }
    for said, words in refused.items():
        words = [*words[:-1], str(tmp_path / words[-1])]
        assert main([words[0], *model, *words[1:]]) == 2, said
        error = capsys.readouterr().err
        assert said in error, error
        assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
