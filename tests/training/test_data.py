"""Reading pictures, what is wrong with them, and the order in which they are shown."""

import contextlib
import io
import json
import zipfile
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from small_runs import save_pictures
from torch.utils.data import DataLoader

from gansteer.errors import UserError
from gansteer.training.data import Pictures, batches
from gansteer.training.labels import of_file


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
    return r"04\.png is damaged: it cannot be read to its end$"


def not_a_picture(folder):
    (folder / "04.png").write_bytes(b"hello")
    return r"04\.png is not a picture: give a JPEG"


def empty_file(folder):
    (folder / "04.png").write_bytes(b"")
    return r"04\.png is not a picture: give a JPEG"


def other_size(folder):
    Image.new("RGB", (16, 16)).save(folder / "04.png")
    return r"1 of 10 pictures in .* is not 8 x 8 as most are: 04\.png \(16 x 16\): make them alike"


def not_square(folder):
    Image.new("RGB", (8, 12)).save(folder / "04.png")
    return (
        r"1 of 10 pictures in .* is not square: 04\.png \(8 x 12\): make them alike, as gansteer train does with --crop"
    )


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


def test_all_wrong_pictures_are_listed(tmp_path):
    folder = save_pictures(tmp_path / "p")
    for name in ("02.png", "05.png"):
        (folder / name).write_bytes(b"")
    Image.new("RGB", (8, 12)).save(folder / "06.png")
    Image.new("RGB", (9, 8)).save(folder / "07.png")
    Image.new("RGB", (16, 16)).save(folder / "08.png")
    with pytest.raises(UserError) as caught:
        Pictures(folder, 8)
    message = str(caught.value)
    for expected in (
        "02.png is not a picture",
        "05.png is not a picture",
        "06.png (8 x 12), 07.png (9 x 8)",
        "08.png (16",
    ):
        assert expected in message
    assert "object at" not in message
    assert "\n" not in message
    for i in range(40):
        Image.new("RGB", (8, 12)).save(folder / f"more{i}.png")
    with pytest.raises(UserError, match=r"and 22 more: make"):
        Pictures(folder, 8)


def test_pictures_below_the_resolution(pictures):
    with pytest.raises(UserError, match=r"10 of 10 pictures in .* are smaller than 16 px: 00\.png \(8 x 8\), 01"):
        Pictures(pictures, 16)


# --- data as they come ------------------------------------------------------------------------------------------------


def test_what_a_system_leaves_beside_the_pictures(tmp_path):
    folder = save_pictures(tmp_path / "p", count=2)
    (folder / "dataset.json").unlink()
    for name in ("__MACOSX/._00.png", "._01.png", ".DS_Store", ".thumbs/00.png", "@eaDir/00.png", "sub/._x.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\0\5\x16\7" + b"\0" * 90)
    for path in (folder, zipped(folder, tmp_path / "p.zip")):
        assert Pictures(path, 8).names == ["00.png", "01.png"]


def mixed(folder):
    """Three pictures of other shapes, each with a red middle and blue ends."""
    folder.mkdir()
    for name, size in (("wide.png", (24, 8)), ("high.png", (8, 24)), ("large.png", (48, 16))):
        picture = Image.new("RGB", size, (0, 0, 255))
        side = min(size)
        left, top = (size[0] - side) // 2, (size[1] - side) // 2
        picture.paste((255, 0, 0), (left, top, left + side, top + side))
        picture.save(folder / name)
    return folder


def test_cropping_takes_the_middle(tmp_path):
    data = Pictures(mixed(tmp_path / "p"), 8, crop="center")
    for i in range(3):
        assert torch.equal(data[i][0], torch.tensor([255, 0, 0], dtype=torch.uint8).view(3, 1, 1).expand(3, 8, 8))


def test_padding_keeps_everything(tmp_path):
    folder = mixed(tmp_path / "p")
    data = Pictures(folder, 24, crop="pad", background=(0, 255, 0))
    for name in ("wide.png", "high.png"):
        found = data[data.names.index(name)][0].permute(1, 2, 0).numpy()
        bars = found if name == "wide.png" else found.transpose(1, 0, 2)
        assert (bars[:8] == (0, 255, 0)).all()
        assert (bars[16:] == (0, 255, 0)).all()
        stored = np.array(Image.open(folder / name))
        np.testing.assert_array_equal(bars[8:16], stored if name == "wide.png" else stored.transpose(1, 0, 2))
    with pytest.raises(UserError, match="smaller than 32 px: high"):
        Pictures(folder, 32, crop="pad")


def test_depth_transparency_and_turns_as_photos_have_them(tmp_path):
    (tmp_path / "p").mkdir()
    levels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(levels.astype(np.uint16) * 257).save(tmp_path / "p" / "deep.png")
    Image.fromarray(levels.astype(np.float32) / 255).save(tmp_path / "p" / "shares.tif")
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(levels[::-1, ::-1].copy()).save(tmp_path / "p" / "turned.png", exif=exif)
    Image.fromarray(np.dstack([np.full((8, 8, 3), (255, 0, 255), np.uint8), np.zeros((8, 8), np.uint8)])).save(
        tmp_path / "p" / "clear.png"
    )
    data = Pictures(tmp_path / "p", 8)
    found = dict(zip(data.names, (data[i][0].numpy() for i in range(4)), strict=True))
    assert (found["clear.png"] == 255).all()
    for name in ("deep.png", "shares.tif", "turned.png"):
        np.testing.assert_array_equal(found[name], np.broadcast_to(levels, (3, 8, 8)), err_msg=name)


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("above", ["", "all/of/them/"])
def test_a_folder_for_each_class(tmp_path, kind, above):
    folder = tmp_path / "p"
    for name in ("dogs/1.png", "cats/x/0.png", "cats/2.png", "birds/3.png"):
        path = folder / above / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    data = Pictures(folder if kind == "folder" else zipped(folder, tmp_path / "p.zip"), 8, labels=True)
    assert {name.removeprefix(above).split("/")[0]: data.labels[i] for i, name in enumerate(data.names)} == {
        "birds": 0, "cats": 1, "dogs": 2
    }  # fmt: skip
    assert (data.c_dim, data.class_names) == (3, ("birds", "cats", "dogs"))


def test_folders_that_are_no_classes(tmp_path):
    for name in ("a/1.png", "b/2.png", "loose.png"):
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "p" / name)
    with pytest.raises(UserError, match=r"loose\.png is in no class's folder \(a, b\)"):
        Pictures(tmp_path / "p", 8, labels=True)
    for name in ("00000/1.png", "00001/2.png"):
        (tmp_path / "q" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "q" / name)
    with pytest.raises(UserError, match="needs labels"):
        Pictures(tmp_path / "q", 8, labels=True)


@pytest.mark.parametrize(
    "as_label", [lambda n: n, float, lambda n: [float(i == n) for i in range(3)]], ids=["whole", "float", "one-hot"]
)
@pytest.mark.parametrize("above", ["", "faces/"])
def test_every_form_of_a_class(tmp_path, as_label, above):
    folder = save_pictures(tmp_path / above, count=3)
    listed = [[f"{i:02d}.png", as_label(2 - i)] for i in range(3)]
    (folder / "dataset.json").write_text(json.dumps({"labels": listed}))
    data = Pictures(zipped(tmp_path / above, tmp_path / "p.zip") if not above else tmp_path, 8, labels=True)
    assert data.labels == [2, 1, 0]


@pytest.mark.parametrize("label", [0.2, -1, "cat", None, True, [0, 0], [1, 1], [0.5, 0.5], {}, [], 1e300])
def test_what_is_no_class_is_named_with_its_line(tmp_path, label):
    folder = save_pictures(tmp_path / "p", count=3)
    listed = [["00.png", 0], ["01.png", label], ["02.png", 0]]
    (folder / "dataset.json").write_text(json.dumps({"labels": listed}, indent=1))
    line = (folder / "dataset.json").read_text().splitlines().index('   "01.png",') + 1
    with pytest.raises(UserError, match=rf"dataset\.json, line {line}: the label of 01\.png is .*; a class is a whole"):
        Pictures(folder, 8, labels=True)


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
        ('{"labels": [["00.png"]]}', "must hold"),
        ('{"labels": [["00.png", 1], ["01.png", [0, 1]]]}', "different kinds"),
        ('{"labels": [["00.png", 1]]}', r"no label for 01\.png \(9 pictures"),
    ],
)
def test_wrong_labels(tmp_path, text, message):
    folder = save_pictures(tmp_path / "p")
    (folder / "dataset.json").unlink()
    if text is not None:
        (folder / "dataset.json").write_text(text)
    with pytest.raises(UserError, match=message):
        Pictures(folder, 8, labels=True)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(choice=st.data())
def test_labels_with_changed_bytes(choice):
    text = json.dumps({"labels": [[f"{i}.png", i % 3] for i in range(5)] + [["5.png", [0, 1, 0]]]}).encode()
    data = bytearray(text)
    for _ in range(choice.draw(st.integers(1, 4))):
        at = choice.draw(st.integers(0, len(data) - 1))
        data[at : at + choice.draw(st.integers(0, 8))] = choice.draw(st.binary(max_size=8))
    with contextlib.suppress(UserError):
        labels = of_file([f"{i}.png" for i in range(6)], "dataset.json", bytes(data), "x/dataset.json")
        assert all(isinstance(label, int) and label >= 0 for label in labels)


def test_a_zip_that_unpacks_to_very_much(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.png", "w") as file:
        for _ in range(260):
            file.write(bytes(1 << 20))
    assert (tmp_path / "p.zip").stat().st_size < 1 << 20
    with pytest.raises(UserError, match=r"a\.png unpacks to 260 MB"):
        Pictures(tmp_path / "p.zip", 8)


def test_labels_nested_without_end():
    with pytest.raises(UserError, match="must hold"):
        of_file(["0.png"], "dataset.json", b'{"labels": ' + b"[" * 100_000, "x/dataset.json")


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
