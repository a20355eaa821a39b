"""The shipped room reader on held-out rooms, and its file."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gansteer.checkpoints.readers import ROOMS
from gansteer.errors import UserError
from gansteer.models.room_reader import KINDS, RoomReader

DATA = Path(__file__).parents[1] / "data" / "rooms"


@pytest.fixture(scope="module")
def reader() -> RoomReader:
    return ROOMS.load()


@pytest.fixture(scope="module")
def names() -> list[str]:
    return sorted(path.stem for path in DATA.glob("*.jpg"))


@pytest.fixture(scope="module")
def pictures(names: list[str]) -> Tensor:
    """`[4, 3, 128, 128]` in [-1, 1]."""
    arrays = [np.array(Image.open(DATA / f"{name}.jpg").convert("RGB")) for name in names]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture(scope="module")
def kinds(names: list[str]) -> Tensor:
    """`[4, 128, 128]`: the true kind of each pixel."""
    return torch.from_numpy(np.stack([np.array(Image.open(DATA / f"{name}_kinds.png")) for name in names])).long()


def test_reads_held_out_rooms(reader: RoomReader, pictures: Tensor, kinds: Tensor) -> None:
    read = reader.segment(pictures)
    assert (read == kinds).double().mean() > 0.9
    large = [(i, kind) for i in range(len(kinds)) for kind in range(1, len(KINDS)) if (kinds[i] == kind).sum() > 400]
    assert len(large) > 8
    found = [float(((read[i] == kind) & (kinds[i] == kind)).sum() / (kinds[i] == kind).sum()) for i, kind in large]
    assert np.mean(found) > 0.75


@pytest.mark.parametrize("size", [64, 256])
def test_reads_them_at_other_sizes(reader: RoomReader, pictures: Tensor, kinds: Tensor, size: int) -> None:
    resized = F.interpolate(pictures, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    assert (reader.segment(resized) == kinds).double().mean() > 0.88


def test_a_mirrored_room_is_read_mirrored(reader: RoomReader, pictures: Tensor) -> None:
    assert (reader.segment(pictures.flip(3)).flip(2) == reader.segment(pictures)).double().mean() > 0.93


def test_probabilities_and_shapes(reader: RoomReader, pictures: Tensor) -> None:
    read = reader.read(pictures[:2])
    assert read.shape == (2, len(KINDS), 128, 128)
    torch.testing.assert_close(read.sum(dim=1), torch.ones(2, 128, 128))
    with pytest.raises(ValueError, match="square"):
        reader.read(pictures[:, :, :100])
    with pytest.raises(ValueError, match="square"):
        reader.read(pictures[0])


def test_gradient_is_that_of_finite_differences(pictures: Tensor) -> None:
    reader = ROOMS.load().double()
    rng = torch.Generator().manual_seed(2)
    x = pictures[:1].double().requires_grad_()
    direction = torch.randn(x.shape, dtype=torch.float64, generator=rng)
    weights = torch.randn(1, len(KINDS), 128, 128, dtype=torch.float64, generator=rng)
    (gradient,) = torch.autograd.grad((reader.read(x) * weights).sum(), x)
    slope, step = (gradient * direction).sum(), 1e-7
    with torch.no_grad():
        up, down = ((reader.read(x + sign * step * direction) * weights).sum() for sign in (1, -1))
    torch.testing.assert_close(slope, (up - down) / (2 * step), rtol=1e-4, atol=1e-6)


def test_shipped_file_is_small_and_has_its_card() -> None:
    assert ROOMS.shipped().stat().st_size < 5_000_000
    card = ROOMS.card()
    assert "CC0" in str(card["licence"])
    heldout = card["heldout"]
    assert isinstance(heldout, dict)
    assert heldout["pictures"] == 321
    assert heldout["pixel_accuracy"] > 1 - (1 - heldout["background_share"]) / 3
    assert heldout["mean_iou"] > 0.6


def test_saved_and_loaded_again(reader: RoomReader, pictures: Tensor, tmp_path: Path) -> None:
    ROOMS.save(reader, tmp_path / "a.safetensors", {"name": "a"})
    again = ROOMS.load(path=tmp_path / "a.safetensors")
    assert torch.equal(again.read(pictures[:1]), reader.read(pictures[:1]))
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_wrong_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "noise.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(UserError, match="could not be read"):
        ROOMS.load(path=tmp_path / "noise.safetensors")
    from gansteer.checkpoints.readers import FACES

    with pytest.raises(UserError, match="holds no room reader"):
        ROOMS.load(path=FACES.shipped())
