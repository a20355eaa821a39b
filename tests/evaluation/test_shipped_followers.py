"""The networks that come with `portraits` to be compared with: they load, are small, and beat doing nothing."""

import json
from pathlib import Path

import pytest

import gansteer
from gansteer.checkpoints.companions import package_folder, read_about
from gansteer.checkpoints.latent_transformer import TRANSFORMERS
from gansteer.checkpoints.trackers import TRACKERS
from gansteer.cli import main


@pytest.mark.parametrize(("name", "most"), [("trackers/flow", 3e6), ("trackers/points", 3e6), ("transformers", 5e6)])
def test_they_are_small_and_say_where_they_are_from(name: str, most: float) -> None:
    (path,) = package_folder(name).glob("*.safetensors")
    assert path.stat().st_size < most
    about = read_about(path)
    assert about["kind"] in {TRANSFORMERS.kind, *(each.kind for each in TRACKERS.values())}
    assert about["model_digest"] == gansteer.load("portraits").digest
    assert about["card"]["licence"].startswith("MIT")
    assert "its own pictures" in about["card"]["data"]


def test_learned_trackers_follow_better_than_nothing(tmp_path: Path) -> None:
    words = [
        "evaluate",
        "trackers",
        "--model",
        "portraits",
        "--device",
        "cpu",
        "--walks",
        "2",
        "--strength",
        "0.6",
        "--steps",
        "8",
    ]
    assert (
        main([*words, "--trackers", "none", "learned-flow", "learned-points", "--json", str(tmp_path / "a.json")]) == 0
    )
    error = {row["tracker"]: row["error"][0] for row in json.loads((tmp_path / "a.json").read_text())["rows"]}
    assert max(error["learned-flow"], error["learned-points"]) < 0.9 * error["none"]


def test_the_transformer_brings_landmarks_nearer(tmp_path: Path) -> None:
    words = ["evaluate", "drags", "--model", "portraits", "--device", "cpu", "--protocol", "landmarks", "--points", "5"]
    words += ["--pairs", "6", "--rows", "no edit", "latent transformer", "--json", str(tmp_path / "a.json")]
    assert main(words) == 0
    (table,) = json.loads((tmp_path / "a.json").read_text())["tables"]
    distance = {row["row"]: row["measures"]["distance"][0] for row in table["rows"]}
    assert distance["latent transformer"] < 0.9 * distance["no edit"]
