"""Reading pictures, what is wrong with them, and the order in which they are shown."""

import io
import json
import zipfile
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import save_pictures
from torch.utils.data import DataLoader

from gansteer.errors import UserError
from gansteer.training.data import Pictures, batches


def zipped(folder, target):
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder).as_posix())
    return target


def levels(path):
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_items_are_the_pictures(pictures, tmp_path, kind, cache_bytes):
    path = pictures if kind == "folder" else zipped(pictures, tmp_path / "p.zip")
    seen = []
    data = Pictures(
        path, 8, labels=True, cache_bytes=cache_bytes, progress=lambda done, total: seen.append((done, total))
    )
    assert data.in_memory == (cache_bytes > 0)
    assert len(data) == 10
    assert data.c_dim == 3
    assert seen == [(i + 1, 10) for i in range(10)]
    for i in range(10):
        picture, label = data[i]
        assert torch.equal(picture, levels(pictures / f"{i:02d}.png"))
        assert label == i % 3


def test_without_labels_every_class_is_0(pictures):
    data = Pictures(pictures, 8)
    assert data.c_dim == 0
    assert {data[i][1] for i in range(10)} == {0}


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_mirrored_copies(pictures, cache_bytes):
    data = Pictures(pictures, 8, mirror=True, labels=True, cache_bytes=cache_bytes)
    assert len(data) == 20
    for i in range(10):
        assert torch.equal(data[10 + i][0], torch.from_numpy(data[i][0].numpy()[:, :, ::-1].copy()))
        assert data[10 + i][1] == data[i][1]


def test_larger_pictures_are_reduced(tmp_path):
    folder = save_pictures(tmp_path / "large", count=2, size=32)
    expected = Image.open(folder / "00.png").resize((8, 8), Image.Resampling.LANCZOS)
    assert torch.equal(Pictures(folder, 8)[0][0], torch.from_numpy(np.array(expected)).permute(2, 0, 1))


def test_grey_and_nested_pictures(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    Image.new("L", (8, 8), 77).save(tmp_path / "a" / "b" / "grey.jpg", quality=100)
    (tmp_path / "notes.txt").write_text("not a picture")
    data = Pictures(tmp_path, 8)
    assert data.names == ["a/b/grey.jpg"]
    assert (data[0][0].int() - 77).abs().max() <= 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of forking beside any thread
@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_worker_processes_deliver_the_same(pictures, tmp_path, kind, cache_bytes):
    path = pictures if kind == "folder" else zipped(pictures, tmp_path / "p.zip")
    data = Pictures(path, 8, cache_bytes=cache_bytes)
    order = [[3, 1], [7, 9], [0, 2]]
    alone = [x for x, _ in DataLoader(data, batch_sampler=order)]
    helped = [x for x, _ in DataLoader(data, batch_sampler=order, num_workers=2)]
    assert all(torch.equal(a, b) for a, b in zip(alone, helped, strict=True))


# --- what is wrong -----------------------------------------------------------------------------------------------------


def damaged(folder):
    whole = (folder / "04.png").read_bytes()
    (folder / "04.png").write_bytes(whole[: len(whole) // 2])
    return r"04\.png cannot be read"


def not_a_picture(folder):
    (folder / "04.png").write_bytes(b"hello")
    return r"04\.png cannot be read"


def empty_file(folder):
    (folder / "04.png").write_bytes(b"")
    return r"04\.png cannot be read"


def other_size(folder):
    Image.new("RGB", (16, 16)).save(folder / "04.png")
    return r"04\.png is 16 px where the first picture is 8 px"


def not_square(folder):
    Image.new("RGB", (8, 12)).save(folder / "04.png")
    return r"04\.png is not square \(8 x 12\)"


@pytest.mark.parametrize("spoil", [damaged, not_a_picture, empty_file, other_size, not_square])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_wrong_picture_is_named(tmp_path, spoil, kind):
    folder = save_pictures(tmp_path / "p")
    message = spoil(folder)
    path = folder if kind == "folder" else zipped(folder, tmp_path / "p.zip")
    with pytest.raises(UserError, match=message) as caught:
        Pictures(path, 8)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_wrong_pictures_are_counted(tmp_path):
    folder = save_pictures(tmp_path / "p")
    for name in ("02.png", "05.png", "09.png"):
        (folder / name).write_bytes(b"")
    with pytest.raises(UserError, match=r"02\.png cannot be read.*\(and 2 more pictures are wrong\)"):
        Pictures(folder, 8)


def test_pictures_below_the_resolution(pictures):
    with pytest.raises(UserError, match=r"00\.png is 8 px, below 16 px"):
        Pictures(pictures, 16)


def test_no_pictures_and_no_folder(tmp_path):
    with pytest.raises(UserError, match="holds no pictures"):
        Pictures(tmp_path, 8)
    with pytest.raises(UserError, match="there is no folder or zip at"):
        Pictures(tmp_path / "missing", 8)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="neither a folder nor a zip"):
        Pictures(tmp_path / "file", 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "needs labels"),
        ("{", "must hold"),
        ('{"labels": null}', "must hold"),
        ('{"labels": [["00.png", "cat"]]}', "must hold"),
        ('{"labels": [["00.png", 1]]}', r"no label for 01\.png \(9 pictures"),
        (json.dumps({"labels": [[f"{i:02d}.png", -i] for i in range(10)]}), "negative class, -9"),
    ],
)
def test_wrong_labels(tmp_path, text, message):
    folder = save_pictures(tmp_path / "p")
    (folder / "dataset.json").unlink()
    if text is not None:
        (folder / "dataset.json").write_text(text)
    with pytest.raises(UserError, match=message):
        Pictures(folder, 8, labels=True)


def test_a_zip_cut_short(pictures, tmp_path):
    path = zipped(pictures, tmp_path / "p.zip")
    stored = io.BytesIO(path.read_bytes()).getvalue()
    path.write_bytes(stored[: len(stored) // 2])
    with pytest.raises(UserError, match="neither a folder nor a zip"):
        Pictures(path, 8)


# --- the order -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [3, 4, 10, 25])
def test_every_epoch_is_a_permutation(batch):
    shown = [i for step in islice(batches(10, batch, seed=1, start=0), 40) for i in step]
    epochs = [shown[n : n + 10] for n in range(0, len(shown) - 9, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert shown != [i for step in islice(batches(10, batch, seed=2, start=0), 40) for i in step]


@pytest.mark.parametrize("start", [1, 7, 23])
def test_the_order_can_be_entered_anywhere(start):
    whole = list(islice(batches(10, 4, seed=1, start=0), 30))
    assert list(islice(batches(10, 4, seed=1, start=start), 30 - start)) == whole[start:]


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_each_batch(processes):
    joint = list(islice(batches(10, 8, seed=1, start=3), 12))
    parts = [
        list(islice(batches(10, 8, seed=1, start=3, rank=rank, processes=processes), 12)) for rank in range(processes)
    ]
    for step, whole in enumerate(joint):
        assert [parts[i % processes][step][i // processes] for i in range(8)] == whole
