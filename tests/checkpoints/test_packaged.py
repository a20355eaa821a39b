"""`gansteer package` and `gansteer push`: what is written opens again, and says whose it is and under which licence."""

import base64
import hashlib
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gansteer.checkpoints.native import save_model
from gansteer.checkpoints.registry import load, resolve
from gansteer.cli import main

sys.path.insert(0, str(Path(__file__).parents[1] / "inversion"))
from inverting import tiny_model

NAMES = ["LICENSE", "README.md", "SHA256SUMS", "model.safetensors", "samples.png"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    model = tiny_model()
    save_model(replace(model, card=replace(model.card, licence="unknown")), "tiny.safetensors")
    return tmp_path


def test_a_package_opens_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = ["package", "tiny.safetensors"]
    assert main([*package, "tiny.zip"]) == 2
    assert "names no licence: give --licence" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["tiny.safetensors"]
    (folder / "terms.txt").write_text("Do as you like.")
    flags = ["--licence", "CC-BY-4.0", "--licence-text", "terms.txt"]
    for target in ("tiny.zip", "again.zip", "opened"):
        assert main([*package, target, *flags]) == 0
    assert (folder / "tiny.zip").read_bytes() == (folder / "again.zip").read_bytes()
    assert sorted(path.name for path in (folder / "opened").iterdir()) == NAMES
    with zipfile.ZipFile("tiny.zip") as archive:
        assert sorted(archive.namelist()) == NAMES
        assert all(archive.read(name) == (folder / "opened" / name).read_bytes() for name in NAMES)
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd="opened", check=True, capture_output=True)
    card = (folder / "opened" / "README.md").read_text()
    assert "license: cc-by-4.0" in card
    assert "Do as you like." in (folder / "opened" / "LICENSE").read_text()
    first = load("tiny.safetensors", "cpu")
    for name in ("tiny.zip", "opened"):
        assert load(name, "cpu").digest == first.digest
        assert load(name, "cpu").card.licence == "CC-BY-4.0"
        assert main(["sample", "--model", name, "--device", "cpu", "--seeds", "1", "--out", f"{name}.png"]) == 0
    assert (folder / "tiny.zip.png").read_bytes() == (folder / "opened.png").read_bytes()
    assert main([*package, "opened", *flags]) == 2
    assert "is there already" in capsys.readouterr().err


def test_damaged_packages_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["package", "tiny.safetensors", "tiny.zip", "--licence", "MIT"]) == 0
    with zipfile.ZipFile("tiny.zip") as archive:
        info = archive.getinfo("model.safetensors")
    data = bytearray((folder / "tiny.zip").read_bytes())
    data[info.header_offset + info.file_size] ^= 1  # near its end
    (folder / "changed.zip").write_bytes(data)
    with zipfile.ZipFile("tiny.zip") as whole, zipfile.ZipFile("small.zip", "w", zipfile.ZIP_DEFLATED) as small:
        for name in NAMES:
            small.writestr(name, whole.read(name))
    with zipfile.ZipFile("bare.zip", "w") as bare:
        bare.write("tiny.safetensors", "model.safetensors")
    for name, complaint in (
        ("changed.zip", "has another checksum"), ("small.zip", "unpack it"), ("bare.zip", "without the checksum"),
    ):  # fmt: skip
        capsys.readouterr()
        assert main(["info", name]) == 2
        assert complaint in capsys.readouterr().err


class Hub:
    """Takes what is pushed and gives it back, as far as huggingface_hub asks."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def answer(self, value: object, status: int = 200) -> None:
                body = b"" if value is None else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                hub.asked.append(f"POST {self.path}")
                if self.headers.get("Authorization") != "Bearer made-up":
                    self.answer({"error": "who are you?"}, 401)
                elif self.path == "/api/repos/create":
                    self.answer({"url": f"{hub.address}/someone/tiny", "name": "someone/tiny"})
                elif "/preupload/" in self.path:
                    files = json.loads(body)["files"]
                    self.answer({"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                                           for file in files]})  # fmt: skip
                elif "/commit/" in self.path:
                    for line in map(json.loads, body.splitlines()):
                        if line["key"] == "file":
                            hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                    self.answer({"commitUrl": f"{hub.address}/someone/tiny/commit/{'a' * 40}", "commitOid": "a" * 40})
                elif self.path == "/api/validate-yaml":
                    self.answer({"errors": [], "warnings": []})
                else:
                    self.answer({"error": self.path}, 404)

            def do_GET(self) -> None:
                hub.asked.append(f"{self.command} {self.path}")
                name = self.path.rpartition("/")[2]
                if "/resolve/" not in self.path or name not in hub.files:
                    self.answer({"sha": "a" * 40, "id": "someone/tiny", "siblings": []})
                    return
                data = hub.files[name]
                self.send_response(200)
                self.send_header("X-Repo-Commit", "a" * 40)
                self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(data)

            do_HEAD = do_GET

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    hub = Hub()
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    monkeypatch.setenv("HF_TOKEN", "made-up")
    yield hub
    hub.server.shutdown()
    hub.thread.join()
    hub.server.server_close()


def test_a_model_is_pushed_and_fetched(
    folder: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    push = ["push", "tiny.safetensors", "--licence", "MIT", "--to"]
    assert main([*push, "someone/tiny"]) == 2
    assert "write hf:owner/name" in capsys.readouterr().err
    assert hub.asked == []
    code = main([*push, "hf:someone/tiny"])
    said = capsys.readouterr()
    assert (code, said.err) == (0, ""), hub.asked
    assert "--model hf:someone/tiny opens it" in said.out
    assert sorted(name for name in hub.files if name != ".gitattributes") == NAMES
    assert "license: mit" in hub.files["README.md"].decode()
    path = resolve("hf:someone/tiny", endpoint=hub.address, cache=folder / "cache")
    assert load(path, "cpu").digest == load("tiny.safetensors", "cpu").digest
    monkeypatch.setenv("HF_TOKEN", "of-somebody-else")
    assert main([*push, "hf:someone/tiny"]) == 2
    assert "lets you write nothing to someone/tiny" in capsys.readouterr().err
