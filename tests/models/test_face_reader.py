"""The shipped face reader on held-out pictures, and its parts against other implementations."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gansteer.checkpoints.readers import FACES
from gansteer.errors import UserError
from gansteer.models.face_reader import HAIR_STYLES, FaceReader, mean_position, resize

DATA = Path(__file__).parents[1] / "data" / "portraits"

# The usual 68 points by name of part, right side of the face first; written down apart from the recipe's table.
SWAPS = [
    *zip(range(8), range(16, 8, -1), strict=True),
    *zip(range(17, 22), range(26, 21, -1), strict=True),
    (31, 35), (32, 34),
    (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46),
    (48, 54), (49, 53), (50, 52), (59, 55), (58, 56),
    (60, 64), (61, 63), (67, 65),
]  # fmt: skip


@pytest.fixture(scope="module")
def reader() -> FaceReader:
    return FACES.load()


@pytest.fixture(scope="module")
def labels() -> list[dict]:
    return [json.loads(line) for line in (DATA / "labels.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def pictures(labels: list[dict]) -> Tensor:
    """`[6, 3, 128, 128]` in [-1, 1]."""
    arrays = [np.array(Image.open(DATA / label["file"]).convert("RGB")) for label in labels]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1


def true_points(labels: list[dict]) -> Tensor:
    """`[6, 68, 2]` in pixels of the 128 px picture."""
    return torch.tensor([label["lm"] for label in labels]) / 2 - 0.5


def test_reads_held_out_pictures(reader: FaceReader, labels: list[dict], pictures: Tensor) -> None:
    faces = reader.read(pictures)
    error = (faces.landmarks - true_points(labels)).norm(dim=2)
    assert error.mean() < 1.5
    assert error.mean(dim=1).max() < 2.5
    assert ((faces.gender > 0.5) == torch.tensor([label["sex"] == "male" for label in labels])).all()
    for name, within in (("yaw", 6.0), ("pitch", 6.0), ("roll", 4.0), ("age", 0.35)):
        true = torch.tensor([label[name] for label in labels])
        assert (getattr(faces, name) - true).abs().max() < within, name
    units = [label["facs"] for label in labels]
    mouth = torch.tensor([unit.get("jawOpen", 0.0) for unit in units])
    assert (faces.mouth_open - mouth).abs().max() < 0.15
    blink = torch.tensor([(unit.get("eyeBlinkLeft", 0.0) + unit.get("eyeBlinkRight", 0.0)) / 2 for unit in units])
    assert int(faces.eyes_closed.argmax()) == int(blink.argmax())
    assert (faces.eyes_closed[blink < 0.2] < 0.3).all()
    bald = torch.tensor([label["hair"] == "bald" for label in labels])
    assert ((faces.hair_style.argmax(dim=1) == HAIR_STYLES.index("bald")) == bald).all()
    assert (faces.hair_length[bald] < 0.2).all()


def test_ranges_and_shapes(reader: FaceReader, pictures: Tensor) -> None:
    faces = reader.read(pictures[:2])
    assert faces.landmarks.shape == (2, 68, 2)
    assert faces.hair_color.shape == (2, 7)
    assert faces.hair_style.shape == (2, 6)
    for name in ("age", "gender", "smile", "mouth_open", "eyes_closed", "yaw", "pitch", "roll", "skin_tone"):
        assert getattr(faces, name).shape == (2,), name
    for classes in (faces.hair_color, faces.hair_style):
        torch.testing.assert_close(classes.sum(dim=1), torch.ones(2))
    with pytest.raises(ValueError, match="square"):
        reader.read(pictures[:, :, :100])
    with pytest.raises(ValueError, match="square"):
        reader.read(pictures[0])


def test_mirrored_picture_gives_mirrored_face(reader: FaceReader, pictures: Tensor) -> None:
    faces, other = reader.read(pictures), reader.read(pictures.flip(3))
    swapped = other.landmarks.clone()
    for left, right in SWAPS:
        swapped[:, [left, right]] = other.landmarks[:, [right, left]]
    swapped[..., 0] = 127 - swapped[..., 0]
    assert (swapped - faces.landmarks).norm(dim=2).mean() < 1.0
    assert (other.yaw + faces.yaw).abs().max() < 5.0
    assert (other.roll + faces.roll).abs().max() < 3.0
    assert (other.pitch - faces.pitch).abs().max() < 5.0
    assert other.yaw[faces.yaw.abs().argmax()].abs() > 20.0  # so the sign above was put to the test


@pytest.mark.parametrize("size", [64, 96, 256, 300])
def test_any_size(reader: FaceReader, pictures: Tensor, size: int) -> None:
    resized = F.interpolate(pictures, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    faces, other = reader.read(pictures), reader.read(resized)
    apart = ((other.landmarks + 0.5) * 128 / size - 0.5 - faces.landmarks).norm(dim=2)
    assert apart.mean() < (2.0 if size == 64 else 0.6)
    assert (other.yaw - faces.yaw).abs().max() < 5.0


@pytest.mark.parametrize(("size", "new"), [(256, 128), (100, 128), (300, 128), (64, 128), (128, 37)])
def test_resize_is_antialiased_bilinear(size: int, new: int) -> None:
    x = torch.randn(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(x, size=(new, new), mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(resize(x, new), expected, atol=1e-6, rtol=0)


def test_mean_position_is_that_of_a_plain_sum() -> None:
    heat = torch.randn(1, 2, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    share = heat.exp() / heat.exp().sum(dim=(2, 3), keepdim=True)
    for n in range(2):
        x = sum(share[0, n, i, j] * j for i in range(5) for j in range(5))
        y = sum(share[0, n, i, j] * i for i in range(5) for j in range(5))
        torch.testing.assert_close(mean_position(share)[0, n], torch.stack([x, y]))  # type: ignore[list-item]


def test_gradient_is_that_of_finite_differences(pictures: Tensor) -> None:
    reader = FACES.load().double()
    rng = torch.Generator().manual_seed(2)
    x = pictures[:1].double().requires_grad_()
    direction = torch.randn(x.shape, dtype=torch.float64, generator=rng)

    def total(picture: Tensor) -> Tensor:
        faces = reader.read(picture)
        weights = torch.linspace(-1, 1, 136, dtype=torch.float64).view(68, 2)
        said = faces.yaw / 20 + faces.smile + faces.age + faces.gender + faces.hair_length + faces.hair_color[:, 1]
        return (faces.landmarks * weights).sum() / 100 + said.sum()

    (gradient,) = torch.autograd.grad(total(x), x)
    slope = (gradient * direction).sum()
    step = 1e-7  # small: at 1e-6 some ReLU's kink lies between
    with torch.no_grad():
        measured = (total(x + step * direction) - total(x - step * direction)) / (2 * step)
    assert slope.abs() > 1e-3
    torch.testing.assert_close(slope, measured, rtol=1e-4, atol=1e-7)


def test_shipped_file_is_small_and_has_its_card() -> None:
    assert FACES.shipped().stat().st_size < 2_500_000
    card = FACES.card()
    assert "CC0" in str(card["licence"])
    heldout = card["heldout"]
    assert isinstance(heldout, dict)
    assert heldout["pictures"] == 150
    assert heldout["landmarks_percent"] < heldout["landmarks_percent_mean_face"] / 3


def test_saved_and_loaded_again(reader: FaceReader, pictures: Tensor, tmp_path: Path) -> None:
    FACES.save(reader, tmp_path / "a.safetensors", {"name": "a"})
    again = FACES.load(path=tmp_path / "a.safetensors")
    assert torch.equal(again.read(pictures[:1]).landmarks, reader.read(pictures[:1]).landmarks)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_wrong_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "noise.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(UserError, match="could not be read"):
        FACES.load(path=tmp_path / "noise.safetensors")
    with pytest.raises(UserError, match="could not be read"):
        FACES.load(path=tmp_path / "missing.safetensors")
