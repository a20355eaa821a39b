"""Jobs, photos and results by address: everything that goes by path goes by fsspec too, and plain paths do without it."""

import json
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
from PIL import Image

from gansteer.checkpoints.native import save_model
from gansteer.cli import main
from gansteer.errors import UserError
from gansteer.places import Address, RemoteLog, open_folder, place, read_bytes, write_bytes

sys.path.insert(0, str(Path(__file__).parent / "inversion"))
from inverting import tiny_model

MODEL = ("--model", "tiny.safetensors", "--device", "cpu")


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty file system at memory://, and a model here."""
    monkeypatch.chdir(tmp_path)
    save_model(tiny_model(), "tiny.safetensors")
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]
    return filesystem


def lines(*jobs: dict[str, object]) -> str:
    return "\n".join(json.dumps({"points": ["10,10:14,10"], "steps": 2, **job}) for job in jobs)


def test_jobs_and_results_at_an_address(memory: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = lines({"seed": 1, "mask": "masks/all.png"}, {"seed": 2}, {"seed": 3, "mask": "none.png"}) + "\nno job"
    Image.new("L", (32, 32), 255).save("all.png")
    for where in (tmp_path, Address("memory://lab")):
        (tmp_path / "masks").mkdir(exist_ok=True)
        folder = open_folder(where)
        write_bytes(folder.at("jobs.jsonl"), text.encode())
        write_bytes(place(f"{where}/masks/all.png"), (tmp_path / "all.png").read_bytes())
        assert main(["drag", *MODEL, "--jobs", f"{where}/jobs.jsonl", "--out", f"{where}/out"]) == 2
        said = capsys.readouterr()
        assert f"{where}/jobs.jsonl, line 4: no JSON" in said.out
        assert f"line 3: --mask {where}/none.png cannot be read" in said.out
        assert f"2 of 4 jobs failed: see {where}/out/results.jsonl" in said.err
    here, there = open_folder(tmp_path / "out"), open_folder(Address("memory://lab/out"))
    assert there.names() == here.names()
    for name in there.names():
        if name != "results.jsonl":
            assert read_bytes(there.at(name)) == read_bytes(here.at(name))
    results = [json.loads(line) for line in read_bytes(there.at("results.jsonl")).splitlines()]
    assert [(entry["line"], entry["ok"]) for entry in results] == [(1, True), (2, True), (3, False), (4, False)]
    memory.pipe_file("/lab/jobs.jsonl", lines({"seed": 1, "mask": "masks/all.png"}, {"seed": 2}).encode())
    assert main(["drag", *MODEL, "--jobs", "memory://lab/jobs.jsonl", "--out", "memory://lab/out"]) == 0
    assert capsys.readouterr().out.count("done before") == 2


def test_photos_and_pictures_at_an_address(memory: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_model().sample(5, 1.0).image.resize((80, 80)).save("photo.png")
    memory.pipe_file("/lab/photos/a.png", (tmp_path / "photo.png").read_bytes())
    memory.pipe_file("/lab/photos/b.png", b"no picture")
    invert = ["invert", "memory://lab/photos", *MODEL, "--whole", "--projection", "2", "--tuning", "none", "--start", "mean",
              "--out", "memory://lab/subjects"]  # fmt: skip
    assert main(invert) == 2
    said = capsys.readouterr()
    assert "a.png: wrote memory://lab/subjects/a.steer" in said.out
    assert "b.png: memory://lab/photos/b.png is not a picture" in said.out
    (tmp_path / "a.steer").write_bytes(memory.cat_file("/lab/subjects/a.steer"))
    assert main(["sample", *MODEL, "--subject", "a.steer", "--out", "memory://lab/a.png"]) == 0
    assert main(["sample", *MODEL, "--subject", "a.steer", "--out", "a.png"]) == 0
    assert memory.cat_file("/lab/a.png") == (tmp_path / "a.png").read_bytes()
    assert main(["sample", *MODEL, "--seeds", "3,4", "--out", "memory://lab/drawn"]) == 0
    assert main(["sample", *MODEL, "--seeds", "3", "--out", "3.png"]) == 0
    assert open_folder(Address("memory://lab/drawn")).names() == ["seed-3.png", "seed-4.png"]
    assert main(invert) == 2
    assert "a.png: done before" in capsys.readouterr().out


def test_a_log_at_an_address_is_written_now_and_then(memory: Any) -> None:
    """Each time the whole of it, and less often as it grows; closing writes the rest."""
    where = Address("memory://lab/log.jsonl")
    log, written = RemoteLog(where), []
    for number in range(100):
        log.add(f"line {number}")
        written.append(memory.cat_file("/lab/log.jsonl").count(b"\n") if memory.exists("/lab/log.jsonl") else 0)
    assert max(now - found for now, found in enumerate(written, 1)) < 12
    assert len(set(written)) <= 10
    log.close()
    assert RemoteLog(where).lines() == [f"line {number}" for number in range(100)]


def test_addresses_stay_as_they_were_typed() -> None:
    address = place("s3://bucket/folder/jobs.jsonl")
    assert str(address) == "s3://bucket/folder/jobs.jsonl"
    assert (address.name, address.suffix) == ("jobs.jsonl", ".jsonl")
    assert type(place("folder/jobs.jsonl")) is type(Path())
    assert str(open_folder(Address("memory://bucket/out/")).at("a.png")) == "memory://bucket/out/a.png"


def test_what_an_address_needs(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"nothing://x/a: .*nothing"):
        read_bytes(Address("nothing://x/a"))
    with pytest.raises(FileNotFoundError):
        read_bytes(Address("memory://lab/none"))
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UserError, match="run pip install"):
        read_bytes(Address("memory://lab/none"))
    Path("jobs.jsonl").write_text(lines({"seed": 1}))
    assert main(["drag", *MODEL, "--jobs", "jobs.jsonl", "--out", "out"]) == 0
