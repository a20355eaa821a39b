"""`gansteer train`, as a person runs it."""

import os
import signal
import subprocess
import sys

import pytest
from PIL import Image

from support.waiting import PATIENCE, until

# --- Train ------------------------------------------------------------------------------------------------------------

SMALL = ["--resolution", "8", "--z-dim", "4", "--w-dim", "4", "--channel-base", "32", "--channel-max", "4"]
SMALL += ["--loss", "stylegan2", "--augment", "none", "--batch", "4", "--device", "cpu"]


def test_train_then_continue(run, refused, pictures, tmp_path):
    flags = ["train", "--data", pictures, "--out", tmp_path / "run", "--snapshot-images", "40", *SMALL]
    code, out, err = run(*flags, "--images", "80")
    assert (code, err) == (0, "")
    snapshot = tmp_path / "run" / "snapshot-000000080.safetensors"
    assert f"has seen its 80 pictures; the model is {snapshot}" in out
    assert run("sample", "--model", snapshot, "--out", tmp_path / "s.png")[0] == 0
    assert "is a run with --z-dim 4, not 8: give the same --z-dim, or another --out" in refused(*flags, "--z-dim", "8")
    assert run(*flags, "--images", "100")[0] == 0
    assert (tmp_path / "run" / "snapshot-000000100.safetensors").exists()


def spoil_empty(folder):
    for path in folder.iterdir():
        path.unlink()


def spoil_size(folder):
    Image.new("RGB", (16, 16)).save(folder / "5.png")


def spoil_bytes(folder):
    (folder / "5.png").write_bytes((folder / "5.png").read_bytes()[:50])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_empty, "holds no pictures"),
        (spoil_size, "is not 8 x 8 as most are: 5.png (16 x 16)"),
        (spoil_bytes, "5.png is damaged: it cannot be read to its end"),
    ],
)
def test_train_refuses_data(refused, pictures, tmp_path, spoil, reason):
    spoil(pictures)
    assert reason in refused("train", "--data", pictures, "--out", tmp_path / "run", *SMALL)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--batch", "0"], "must be at least 1"),
        (["--resolution", "9"], "must be a power of two"),
        (["--out", "none/run"], "there is no folder none"),
        (["--grow", "none.pkl"], "none.pkl: there is no such file"),
    ],
)
def test_train_refuses(refused, pictures, tmp_path, monkeypatch, flags, reason):
    monkeypatch.chdir(tmp_path)
    assert reason in refused("train", "--data", pictures, "--out", "run", *SMALL, *flags)


def test_control_c_saves_the_run_and_says_how_to_continue(pictures, tmp_path):
    out = tmp_path / "run"
    words = [sys.executable, "-m", "gansteer", "train", "--data", pictures, "--out", out, *SMALL]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    log = out / "log.jsonl"
    until(lambda: log.exists() and log.read_text())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err == f"gansteer: stopped; {out} is saved: the same command continues it\n"
    assert (out / "checkpoint.pt").exists()
    assert not list(out.glob(".*.part"))
