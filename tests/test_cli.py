"""The command line: what it writes, and that a mistake costs one line, exit code 2 and no file."""

import json
import os
import pickle
import re
import resource
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image

from gansteer.checkpoints.files import load_file
from gansteer.checkpoints.native import save_model
from gansteer.commands.seeds import parse_seeds
from gansteer.errors import UserError
from gansteer.subject import Card
from support.tiny import smallest_model

SHELL = {**os.environ, "OMP_NUM_THREADS": "1"}


CARD = Card("tiny", metrics={"quality": {"floor": 1.5}}, limits=("no hats", "no cats"))


@pytest.fixture
def model(tmp_path):
    save_model(smallest_model(CARD), tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def shell(*args, **options):
    return subprocess.run(
        [sys.executable, "-m", "gansteer", *map(str, args)], capture_output=True, text=True, env=SHELL, **options
    )


# --- Starting ---------------------------------------------------------------------------------------------------------


def test_help_imports_little_and_no_torch():
    code = "import sys\nfrom gansteer.cli import main\ntry: main(['train', '--help'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = done.stdout.splitlines()[-1].split()
    assert "--resolution" in done.stdout
    assert not {"torch", "numpy", "safetensors"} & set(modules)
    assert len(modules) < 450  # about 330, whatever the machine; seconds would be the machine's


def test_importing_gansteer_imports_nothing_large_and_has_the_public_names():
    code = "import sys, gansteer; print('torch' in sys.modules, gansteer.load.__module__, gansteer.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[:2] == ["False", "gansteer.checkpoints.registry"]


def test_every_public_name_exists():
    import gansteer

    assert set(dir(gansteer)) == set(gansteer.__all__)
    assert all(getattr(gansteer, name) is not None for name in gansteer.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gansteer.nothing  # noqa: B018


def test_without_a_command_it_explains_itself(run):
    code, out, _ = run()
    assert code == 0
    assert all(command in out for command in ("models", "info", "convert", "sample", "train", "evaluate"))


@pytest.mark.parametrize("args", [["sampel"], ["sample", "--modle", "x"], ["sample", "--psi", "much"], ["evaluate"]])
def test_words_it_does_not_know(run, args):
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert "Traceback" not in err


def test_a_reader_that_leaves_early_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m gansteer --help | true", shell=True, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


# --- Sample -----------------------------------------------------------------------------------------------------------


def test_sheet_shows_the_samples_row_by_row(run, model, tmp_path):
    code, out, err = run("sample", "--model", model, "--seeds", "5,0-1", "--psi", "0.5", "--out", tmp_path / "s.png")
    assert (code, err) == (0, "")
    assert f"wrote {tmp_path / 's.png'}" in out
    page = np.array(Image.open(tmp_path / "s.png"))
    assert page.shape == (16, 16, 3)
    subject = load_file(model, "cpu").sample
    for seed, (row, column) in {5: (0, 0), 0: (0, 1), 1: (1, 0)}.items():
        part = page[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
        np.testing.assert_array_equal(part, np.array(subject(seed, psi=0.5).image))
    assert not page[8:, 8:].any()


def test_a_file_per_seed(run, model, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    assert run("sample", "--model", model, "--seeds", "3-4", "--out", folder)[0] == 0
    assert run("sample", "--model", model, "--seeds", "3-4", "--out", folder / "head{seed}.webp")[0] == 0
    names = {"seed-3.png", "seed-4.png", "head3.webp", "head4.webp"}
    assert {path.name for path in folder.iterdir()} == names
    expected = np.array(load_file(model, "cpu").sample(4).image)
    for name in ("seed-4.png", "head4.webp"):
        np.testing.assert_array_equal(np.array(Image.open(folder / name)), expected)


@pytest.mark.parametrize(("ending", "kind"), [("png", "PNG"), ("jpg", "JPEG"), ("JPEG", "JPEG"), ("webp", "WEBP")])
def test_the_ending_decides_the_format(run, model, tmp_path, ending, kind):
    assert run("sample", "--model", model, "--out", tmp_path / f"s.{ending}")[0] == 0
    with Image.open(tmp_path / f"s.{ending}") as picture:
        assert picture.format == kind


def test_seeds_as_people_write_them():
    assert parse_seeds("0-3,20") == [0, 1, 2, 3, 20]
    assert parse_seeds(" 7 , 4294967295") == [7, 4294967295]
    assert parse_seeds("5,5-6") == [5, 5, 6]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("5-", "'5-' is no seed"),
        ("", "is no seed"),
        ("-3", "is no seed"),
        ("1,,2", "is no seed"),
        ("0x10", "is no seed"),
        ("٣", "is no seed"),
        ("7-5", "write 5-7"),
        ("4294967296", "from 0 to 4294967295"),
        ("9" * 5000, "from 0 to 4294967295"),
        ("0-100000", "more than 100000"),
    ],
)
def test_seeds_that_are_none(text, reason):
    with pytest.raises(UserError, match=reason) as caught:
        parse_seeds(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--seeds", "5-"], "write seeds like"),
        (["--seeds", "4294967296"], "from 0 to 4294967295"),
        (["--psi", "nan"], "--psi is from -2 to 2"),
        (["--psi", "7"], "--psi is from -2 to 2"),
        (["--label", "1"], "has no classes"),
        (["--device", "toaster"], "there is no device 'toaster'"),
        (["--device", "cuda:99"], "has no device 'cuda:99'"),
    ],
)
def test_sample_refuses(refused, model, tmp_path, flags, reason):
    assert reason in refused("sample", "--model", model, "--out", tmp_path / "sheet.png", *flags)


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("none/sheet.png", "there is no folder"),
        ("tiny.safetensors/sheet.png", "there is no folder"),
        ("sheet.gif", "ends in .png, .jpg, .jpeg, .webp"),
        ("sheet", "ends in .png"),
        ("none/{seed}.png", "there is no folder"),
    ],
)
def test_sample_refuses_the_place(refused, model, tmp_path, out, reason):
    assert reason in refused("sample", "--model", model, "--out", tmp_path / out)


def test_a_sheet_that_no_format_could_hold(refused, tmp_path):
    save_model(smallest_model(CARD, resolution=128, channel_base=128), tmp_path / "large.safetensors")
    flags = ["--model", tmp_path / "large.safetensors", "--seeds", "0-19999", "--out", tmp_path / "sheet.png"]
    assert "give fewer seeds, or a folder" in refused("sample", *flags)


def test_a_place_that_cannot_be_written_is_refused_before_the_work(refused):
    # The model does not exist, and yet the place is what is complained of: it was looked at first.
    assert "cannot be written" in refused("sample", "--model", "no/such.pkl", "--out", "/proc/sheet.png")


def test_a_conditional_model_wants_a_label(run, refused, tmp_path):
    save_model(smallest_model(CARD, c_dim=3), tmp_path / "c.safetensors")
    flags = ("sample", "--model", tmp_path / "c.safetensors", "--out", tmp_path / "s.png")
    assert "give a label from 0 to 2" in refused(*flags)
    assert "give a label from 0 to 2" in refused(*flags, "--label", 3)
    assert run(*flags, "--label", 2)[0] == 0


def test_a_full_disk_leaves_the_previous_picture(tmp_path, model):
    target = tmp_path / "s.png"
    target.write_bytes(b"before")

    def small_disk():  # writing more than 100 bytes to a file fails, as it does on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    done = shell("sample", "--model", model, "--out", target, preexec_fn=small_disk)
    assert done.returncode == 2
    assert re.fullmatch(r"gansteer: [^\n]*could not be written[^\n]*\n", done.stderr), done.stderr
    assert target.read_bytes() == b"before"
    assert {path.name for path in tmp_path.iterdir()} == {"s.png", "tiny.safetensors"}


# --- Models -----------------------------------------------------------------------------------------------------------


def test_the_shipped_model_is_listed_with_size_domain_and_licence(run):
    code, out, _ = run("models")
    assert code == 0
    assert re.search(r"portraits +128 px +\d+\.\d MB +rendered human heads.* MIT", out)


def test_a_name_that_is_nearly_right(refused, tmp_path):
    assert "did you mean 'portraits'?" in refused("sample", "--model", "portrait", "--out", tmp_path / "s.png")


# --- Info, convert ----------------------------------------------------------------------------------------------------


def test_info_tells_what_is_in_the_file(run, model):
    code, out, _ = run("info", model)
    told = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0
    assert (told["resolution"], told["z_dim"], told["name"]) == ("8", "4", "tiny")
    assert (told["metrics.quality.floor"], told["limits"]) == ("1.5", "no hats; no cats")


def test_info_in_a_terminal_is_in_groups_and_no_wider(model):
    (reader, terminal), environment = os.openpty(), {**SHELL, "COLUMNS": "72"}
    subprocess.run([sys.executable, "-m", "gansteer", "info", model], stdout=terminal, env=environment, check=True)
    os.close(terminal)
    lines = os.read(reader, 100_000).decode().splitlines()
    os.close(reader)
    assert lines[0].split() == ["name", "tiny"]
    assert "" in lines, "what belongs together stands together"
    assert max(map(len, lines)) <= 72


def test_convert_writes_the_same_model(run, model, tmp_path):
    assert run("convert", model, tmp_path / "b.safetensors")[0] == 0
    assert (tmp_path / "b.safetensors").read_bytes() == model.read_bytes()
    assert run("convert", model, tmp_path / "half.safetensors", "--precision", "float16")[0] == 0
    a, b = (load_file(path, "cpu").sample(1).render() for path in (model, tmp_path / "half.safetensors"))
    torch.testing.assert_close(a, b, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("out", ["b.pkl", "none/b.safetensors"])
def test_convert_refuses_the_place(refused, model, tmp_path, out):
    assert refused("convert", model, tmp_path / out)


class Harmful:
    def __reduce__(self):
        return os.system, ("touch harmed",)


@pytest.fixture(params=["harmful pickle", "cut short", "no checkpoint", "empty", "missing", "folder"])
def bad_file(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.safetensors"
    save_model(smallest_model(CARD), path)
    if request.param == "harmful pickle":
        path.write_bytes(pickle.dumps({"G_ema": Harmful()}))
    elif request.param == "cut short":
        path.write_bytes(path.read_bytes()[:-100])
    elif request.param == "no checkpoint":
        path.write_text("hello " * 100)
    elif request.param == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    if request.param == "folder":
        path.mkdir()
    return path


def test_files_that_are_no_models(refused, bad_file):
    for words in (
        ["info", bad_file],
        ["convert", bad_file, "b.safetensors"],
        ["sample", "--model", bad_file, "--out", "s.png"],
        ["evaluate", "smoothness", "--model", bad_file, "--json", "r.json"],
    ):
        assert "bad.safetensors" in refused(*words)


def test_a_file_that_never_ends(refused):
    assert "is a device or a pipe" in refused("info", "/dev/zero")


def test_a_mistake_in_the_shell(tmp_path):
    done = shell("sample", "--model", "nonsense", "--out", tmp_path / "s.png")
    assert done.returncode == 2
    assert re.fullmatch(r"gansteer: there is no model 'nonsense'[^\n]*\n", done.stderr)
    assert list(tmp_path.iterdir()) == []


# --- Evaluate ---------------------------------------------------------------------------------------------------------


def test_quality_with_a_report(run, model, pictures, tmp_path):
    report = tmp_path / "report.json"
    code, out, _ = run(
        *("evaluate", "quality", "--model", model, "--data", pictures, "--samples", 24, "--json", report)
    )
    assert code == 0
    assert "frechet distance" in out
    assert "FID" not in out
    found = json.loads(report.read_text())
    assert (found["samples"], found["reals"], found["half"]) == (24, 40, 20)
    assert 0 < found["frechet_distance"]["floor"] < found["frechet_distance"]["matched"]


def test_smoothness_with_a_report(run, model, tmp_path):
    report = tmp_path / "report.json"
    code, out, _ = run("evaluate", "smoothness", "--model", model, "--paths", 2, "--json", report)
    assert code == 0
    found = json.loads(report.read_text())
    assert 1 <= found["typical"] <= found["worst"]
    assert f"{found['worst']:.2f} times the median" in out


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--samples", "3"], "at least 16"),
        (["--psi", "inf"], "--psi is from"),
        (["--seed", "-1"], "seed must be from 0"),
        (["--json", "none/report.json"], "there is no folder"),
        (["--json", "report.txt"], "ends in .json"),
        (["--data", "none"], "there is no folder or zip"),
    ],
)
def test_quality_refuses(refused, model, pictures, monkeypatch, tmp_path, flags, reason):
    monkeypatch.chdir(tmp_path)
    assert reason in refused("evaluate", "quality", "--model", model, "--data", pictures, *flags)


@pytest.mark.skipif(find_spec("torch_fidelity") is not None, reason="the extra is installed")
def test_inception_needs_the_extra(refused, model, pictures):
    line = refused("evaluate", "quality", "--model", model, "--data", pictures, "--features", "inception")
    assert "pip install 'gansteer[metrics]'" in line
