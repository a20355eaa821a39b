"""Directions of other programs, and what is said where there are none."""

import numpy as np
import pytest
import torch

from gansteer.checkpoints.directions import load_directions
from gansteer.checkpoints.native import save_model
from gansteer.cli import main
from gansteer.edits.attribute.fitting import sample
from gansteer.edits.attribute.imported import imported
from gansteer.errors import UserError
from support.tiny import tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model(16)


def unit(vector):
    return vector / vector.norm()


VECTOR = torch.tensor([1.0, -2, 3, 0, 0, 0.5, 0, 4])
ROWS = torch.stack([VECTOR, VECTOR.flip(0)])
WAYS = {
    "boundary.npy": lambda p: np.save(p, VECTOR[None].numpy()),
    "age.pt": lambda p: torch.save(VECTOR, p),
    "w+.pt": lambda p: torch.save(VECTOR.expand(1, 6, 8), p),
    "dict.pt": lambda p: torch.save({"direction": VECTOR, "mean": torch.zeros(3)}, p),
    "boundary.npz": lambda p: np.savez(p, boundary=VECTOR[None].numpy(), bias=np.zeros(1)),
}


@pytest.mark.parametrize(("name", "space"), [(n, s) for n in WAYS for s in ("w", "z") if (n, s) != ("w+.pt", "z")])
def test_one_direction(tmp_path, model, name, space):
    WAYS[name](tmp_path / name)
    (found,) = imported(model, tmp_path / name, "mine", space)
    assert (found.name, found.space, found.rows) == ("mine", space, None)
    torch.testing.assert_close(found.vector, unit(VECTOR.double()), rtol=0, atol=1e-7)
    # A step is a deviation of the model's own pictures, counted from their mean.
    values = found.values(sample(model, 2000).codes(space))
    assert abs(float(values.mean())) < 1e-5
    assert float(values.std()) == pytest.approx(1, abs=1e-5)


def test_several_directions(tmp_path, model):
    np.save(tmp_path / "rows.npy", ROWS.numpy())
    torch.save({"ckpt": "x.pt", "eigvec": torch.cat([ROWS.t(), torch.eye(8)[:, :1]], dim=1)}, tmp_path / "factor.pt")
    for name, count in (("rows.npy", 2), ("factor.pt", 3)):
        found = imported(model, tmp_path / name, "mine", "w")
        assert [entry.name for entry in found] == [f"mine:{i + 1}" for i in range(count)]
        for entry, vector in zip(found, ROWS, strict=False):
            torch.testing.assert_close(entry.vector, unit(vector.double()), rtol=0, atol=1e-7)


def test_some_rows_of_w_plus(tmp_path, model):
    delta = torch.zeros(6, 8)
    delta[1:4] = VECTOR
    torch.save(delta, tmp_path / "some.pt")
    (found,) = imported(model, tmp_path / "some.pt", "mine", "w")
    assert found.rows == (1, 3)


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (torch.ones(512), r"an array of shape \[512\]; a direction of this space has 8 numbers"),
        (torch.arange(48.0).view(6, 8), "moves each of the 6 rows of w"),
        (torch.zeros(8), "zero everywhere"),
        (torch.full((8,), torch.nan), "no finite numbers"),
        (torch.ones(8, dtype=torch.int64), "no finite numbers"),
    ],
    ids=["shape", "rows", "zero", "nan", "whole numbers"],
)
def test_what_is_no_direction(tmp_path, model, array, complaint):
    torch.save(array, tmp_path / "x.pt")
    with pytest.raises(UserError, match=complaint):
        imported(model, tmp_path / "x.pt", "mine", "w")


def test_in_the_shell(tmp_path, model, capsys):
    save_model(model, tmp_path / "tiny.safetensors")
    np.save(tmp_path / "age.npy", VECTOR[None].numpy())
    words = ["--model", str(tmp_path / "tiny.safetensors")]
    out = str(tmp_path / "d.safetensors")
    assert main(["edit", *words, "--set", "pc:1=+1", "--out", str(tmp_path / "e.png")]) == 2
    hint = "there are none; make some with `gansteer directions fit`, and give its file as --directions"
    assert hint in capsys.readouterr().err
    assert main(["directions", "import", str(tmp_path / "age.npy"), *words, "--space", "w", "--out", out]) == 0
    assert [entry.name for entry in load_directions(tmp_path / "d.safetensors").entries] == ["age"]
    capsys.readouterr()
    assert main(["edit", *words, "--directions", out, "--set", "age=+1", "--out", str(tmp_path / "e.png")]) == 0
    assert "now age" in capsys.readouterr().out


def test_pictures_without_faces(tmp_path, capsys):
    """PCA and SeFa are fitted, the face reader's guesses are not; of a grey model too."""
    save_model(tiny_model(16), tmp_path / "tiny.safetensors")
    out = tmp_path / "d.safetensors"
    words = ["--model", str(tmp_path / "tiny.safetensors"), "--out", str(out), "--samples", "160", "--device", "cpu"]
    assert main(["directions", "fit", *words]) == 0
    err = capsys.readouterr().err
    assert "note: a face was found in 0 of" in err
    assert "only principal components and those in closed form are fitted" in err
    names = {entry.name.split(":")[0] for entry in load_directions(out).entries}
    assert "pc" in names
    assert "smile" not in names
    assert main(["directions", "fit", *words, "--attribute", "smile", "--space", "w"]) == 0
    assert "means little" in capsys.readouterr().err
