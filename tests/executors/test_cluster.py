"""A real Ray cluster of two nodes on this machine: nodes, workers and drivers that die, and the same files as without it."""

import ipaddress
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cheap_work import begun, diaries, prepare, unprepared
from PIL import Image

from gansteer.checkpoints.native import save_model
from gansteer.cli import main
from gansteer.errors import UserError
from gansteer.executors.choose import chosen
from gansteer.executors.cluster import Address, asks_for_token
from support.waiting import until

sys.path.insert(0, str(Path(__file__).parents[1] / "inversion"))
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from inverting import tiny_model
from processes import family

NODE = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 80 * 2**20, "node_ip_address": "127.0.0.1"}
QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
"""How soon Ray notices that a node is gone; by default it takes a quarter of a minute."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one CPU each, which listen on 127.0.0.1 alone. Their sockets need a short path."""
    here, folder = Path(__file__).parent, tempfile.mkdtemp(dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "PYTHONPATH": os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")]), "RAY_TMPDIR": folder,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "only-for-this-test-and-made-up", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        }.items():  # fmt: skip
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        from ray.cluster_utils import Cluster

        for left in (2, 1, 0):  # Ray gives up after half a minute, which a very busy machine may take
            try:
                nodes = Cluster(True, head_node_args={**NODE, "include_dashboard": False, "_system_config": QUICK})
                nodes.add_node(**NODE)  # type: ignore[arg-type]
                break
            except Exception as error:
                if not left or "timed out" not in str(error):
                    raise
        try:
            yield nodes
        finally:
            with reaping(nodes):
                nodes.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def reaping(cluster: Any) -> Iterator[None]:
    """Wait for the processes of nodes that are shut down inside; Ray does not for each, and Python warns of that some time."""
    nodes = [cluster.head_node, *cluster.worker_nodes]
    running = [info.process for node in nodes for infos in node.all_processes.values() for info in infos]
    yield
    for process in running:
        if not is_running(process.pid):
            process.wait()


def is_running(process: int) -> bool:
    """Whether it is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_node_is_killed_in_the_middle_of_200_jobs(cluster: Any, tmp_path: Path) -> None:
    """Both workers are held in a task when the node of one of them goes down. Later another node comes up."""
    held = [(number, "held") for number in range(100, 104)]
    tasks = [(number, "double") for number in range(100)] + held + [(number, "double") for number in range(104, 200)]

    def source() -> Iterator[tuple[int, str]]:
        for task in tasks:
            if task[0] == 4:  # not before both workers are there
                until(lambda: len(diaries(tmp_path)) == 2)
            if task[0] == 150:
                cluster.add_node(**NODE)
            yield task

    def goes_down() -> None:
        holding = {number for number, _ in held}
        try:
            until(lambda: sum(bool(holding & set(numbers)) for numbers in diaries(tmp_path).values()) == 2)
            with reaping(cluster):
                cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            until(lambda: sum(is_running(int(name.rpartition("-")[2])) for name in diaries(tmp_path)) == 1)
        finally:
            (tmp_path / "go").touch()

    end = threading.Thread(target=goes_down)
    end.start()
    outcomes = list(chosen(where="auto").outcomes(source(), prepare, str(tmp_path)))
    end.join()
    assert sorted(outcome.task for outcome in outcomes) == tasks
    assert all(outcome.found == 2 * outcome.task[0] for outcome in outcomes)
    again = {number for number, times in begun(tmp_path).items() if times > 1}
    assert 1 <= len(again) <= 2  # what the lost worker had at hand
    assert again <= {number for number, _ in held}


@pytest.mark.slow
def test_mishaps(cluster: Any, tmp_path: Path) -> None:
    """What is told by Ray in its own way; all that follows from it is the same for processes (`test_executors.py`)."""
    mishaps = [(90, "mistake"), (92, "memory once"), (93, "dies once"), (95, "runtime")]
    tasks = [(number, "double") for number in range(12)] + mishaps + [(number, "double") for number in range(12, 24)]
    executor = chosen(where=cluster.address)
    outcomes = list(executor.outcomes(iter(tasks), prepare, str(tmp_path)))
    assert sorted(outcome.task for outcome in outcomes) == sorted(tasks)
    errors = {outcome.task[0]: outcome.error for outcome in outcomes if outcome.error is not None}
    assert {number: type(error) for number, error in errors.items()} == {90: UserError, 95: RuntimeError}
    assert "tried 4 times, the last time: " in str(errors[95])
    assert all(outcome.result == 2 * outcome.task[0] for outcome in outcomes if outcome.error is None)
    assert all(begun(tmp_path)[number] >= times for number, times in ((92, 2), (93, 2), (95, 4)))
    assert asks_for_token(Address.parse(cluster.address))
    with pytest.raises(UserError, match="there is no such model"):
        list(executor.outcomes(tasks, unprepared, str(tmp_path)))


# --- commands -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a model, and a file of jobs some of whose lines are none."""
    monkeypatch.chdir(tmp_path)
    save_model(tiny_model(), "tiny.safetensors")
    (tmp_path / "masks").mkdir()
    Image.new("L", (32, 32), 255).save("masks/all.png")
    lines = [json.dumps({"seed": seed, "points": ["10,10:14,10"], "steps": 2 + seed % 3}) for seed in range(8)]
    lines[2:2] = ['{"seed": 1, "points": ["10,10:14,10"], "mask": "masks/all.png", "name": "masked"}', "no job", ""]
    lines += ['{"seed": 1, "points": ["10,10:14,10"], "name": "masked"}', '{"seed": 1, "points": ["10,10:99,10"]}']
    (tmp_path / "jobs.jsonl").write_text("\n".join(lines))
    return tmp_path


def drag(*args: str) -> int:
    return main(["drag", "--model", "tiny.safetensors", "--device", "cpu", "--jobs", "jobs.jsonl", *args])


def written(folder: Path) -> dict[str, Any]:
    """Every file with its bytes; of the results, what was said last of each line, wherever it is."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in folder.iterdir()}
    results = found.pop("results.jsonl").decode().replace(f"wrote {folder.name}/", "wrote ")
    entries = [json.loads(line) for line in results.splitlines() if line]
    return {**found, "results": {entry["line"]: entry for entry in entries}}


@pytest.mark.slow
def test_a_driver_is_killed_and_started_again_and_writes_the_same_as_one_process(
    cluster: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first brings a cluster of its own, which ends with it, and until then listens on this machine alone."""
    assert drag("--out", "alone") == 2
    alone = capsys.readouterr()
    results = folder / "shared" / "results.jsonl"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    driver = subprocess.Popen(
        [sys.executable, "-m", "gansteer", "drag", "--model", "tiny.safetensors", "--device", "cpu", "--jobs", "jobs.jsonl",
         "--out", "shared", "--cluster", "local:1"], env={**environment, "RAY_TMPDIR": os.environ["RAY_TMPDIR"]},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: driver.poll() is not None or (results.exists() and results.read_text().count('"ok": true') >= 3))
        os.kill(driver.pid, signal.SIGSTOP)
        theirs = family(driver.pid)
        named = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in theirs}
        assert {"gcs_server", "raylet"} <= {Path(f"/proc/{pid}/comm").read_text().strip() for pid in theirs}
        heard = [address for pid in theirs for address in listening(pid)]
        assert len(heard) >= 3
        assert all(address.is_loopback for address in heard), heard
    finally:
        driver.kill()
        driver.wait()
    # Ray's two agents of a node look about once a minute whether it is still there.
    until(lambda: not any(is_running(pid) for pid in theirs if "Agent" not in named[pid]))
    done = results.read_text().count('"ok": true')
    assert 3 <= done < 9

    assert drag("--out", "shared", "--cluster", cluster.address) == 2
    shared = capsys.readouterr()
    assert shared.out.count("done before") == done
    assert results.read_text().count('"ok": true') == 9
    assert written(folder / "shared") == written(folder / "alone")
    assert len(written(folder / "alone")) == 1 + 2 * 9
    for said in (alone, shared):
        assert "jobs.jsonl, line 4: no JSON" in said.out
        assert "jobs.jsonl, line 12: line 3 has the name 'masked' already" in said.out
        assert "jobs.jsonl, line 13: " in said.out
        assert "3 of 12 jobs failed" in said.err
    here = set(alone.out.replace("alone/", "shared/").splitlines())
    assert {line for line in shared.out.splitlines() if "done before" not in line} < here


def listening(process: int) -> list[Any]:
    """The addresses on which a process listens."""
    sockets = {os.readlink(path) for path in Path(f"/proc/{process}/fd").iterdir() if path.is_symlink()}
    found = []
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process}/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                words = [bytes.fromhex(fields[1].partition(":")[0])[i : i + 4][::-1] for i in range(0, 16, 4)]
                address = ipaddress.ip_address(b"".join(words))
                found.append(getattr(address, "ipv4_mapped", None) or address)
    return found


# --- without one --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--cluster", "auto"], "no Ray cluster runs here"),
        (["--cluster", "local"], "give auto, HOST:PORT, or local:N"),
        (["--cluster", "local:0"], "give auto, HOST:PORT, or local:N"),
        (["--cluster", "local:1000"], "at most 256"),
        (["--cluster", "local:2", "--processes", "2"], "not both"),
        (["--processes", "65"], "from 1 to 64"),
        (["--cluster", "local:2"], "run pip install 'gansteer[cluster]'"),
    ],
)
def test_mistakes_are_one_line(
    flags: list[str], complaint: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    monkeypatch.setitem(sys.modules, "ray", None)
    assert drag("--out", "out", *flags) == 2
    said = capsys.readouterr().err.strip()
    assert complaint in said
    assert "\n" not in said
    assert not list((folder / "out").glob("*.png"))
