"""What is measured elsewhere, out of order and from what was sent, is what is measured here."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from gansteer.checkpoints.native import save_model
from gansteer.cli import main
from gansteer.evaluation.drags.trackers import followed, named
from gansteer.evaluation.drags.trackers import of_faces as one_face
from gansteer.evaluation.faces import faces
from gansteer.evaluation.quality import quality
from gansteer.evaluation.samples import draw, from_levels, to_levels
from gansteer.evaluation.smoothness import smoothness
from gansteer.evaluation.tracking import of_faces, tracking
from gansteer.places import place, read_bytes
from support import layouts
from support.elsewhere import elsewhere
from support.tiny import smallest_model, tiny_model

PORTRAITS = Path(__file__).parent.parent / "data" / "portraits"


def test_pictures_are_those_of_one_stream_of_numbers() -> None:
    model, rng = layouts.tiny_model(), torch.Generator().manual_seed(3)
    expected = []  # layouts are drawn between the latents, batch by batch
    for size in (64, 64, 2):
        z = model.generator.sample_z(size, rng)
        expected.append(model.generator.synthesize(model.generator.code_of(z, psi=0.5, rng=rng)))
    drawn = list(draw(model, 130, psi=0.5, seed=3))
    assert [len(batch) for batch in drawn] == [64, 64, 2]
    assert torch.equal(torch.cat(drawn), from_levels(to_levels(torch.cat(expected))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pictures of 8 px."""
    path = tmp_path_factory.mktemp("real")
    for i, picture in enumerate(torch.cat(list(draw(smallest_model(), 40, seed=99)))):
        (path / "ab"[i % 2]).mkdir(exist_ok=True)  # folders are classes, for who asks for them
        Image.fromarray(to_levels(picture).permute(1, 2, 0).numpy()).save(path / "ab"[i % 2] / f"{i:03d}.png")
    return path


@pytest.mark.parametrize("what", ["quality", "faces", "smoothness", "tracking", "trackers"])
def test_elsewhere_is_as_here(what: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gansteer.evaluation.features.EFFICIENTNET_SIZE", 32)  # a seventh of the size, for speed
    model = smallest_model(c_dim=2) if what == "quality" else tiny_model(32, dtype=torch.float32)
    measure: dict[str, Callable[..., Any]] = {
        "quality": lambda **to: quality(model, folder, 70, psi=0.8, **to),
        "faces": lambda **to: faces(model, 70, data=PORTRAITS, **to),
        "smoothness": lambda **to: smoothness(model, 3, 4, seed=2, **to),
        "tracking": lambda **to: tracking(model, of_faces, 2, strength=0.5, **to),
        "trackers": lambda **to: followed(model, one_face, partial(named, ("none", "nearest")), 2, steps=2, **to),
    }
    here = measure[what]()
    assert measure[what](share=elsewhere(model)) == here


def test_commands_write_the_same_with_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(smallest_model(), "tiny.safetensors")
    words = ["evaluate", "smoothness", "--model", "tiny.safetensors", "--device", "cpu", "--paths", "1"]
    assert main([*words, "--json", "here.json"]) == 0
    here = capsys.readouterr().out
    assert main([*words, "--json", "memory://there/found.json", "--processes", "2"]) == 0
    assert capsys.readouterr().out == here
    assert read_bytes(place("memory://there/found.json")) == Path("here.json").read_bytes()
    sample = ["sample", "--model", "tiny.safetensors", "--device", "cpu", "--seeds", "0-4,2", "--out"]
    assert main([*sample, "here.png"]) == 0
    assert main([*sample, "there.png", "--processes", "2"]) == 0
    assert Path("there.png").read_bytes() == Path("here.png").read_bytes()
    assert main([*words, "--processes", "65"]) == 2
    assert capsys.readouterr().err.strip() == "gansteer: --processes is from 1 to 64, not 65"
