"""Names of models, and the hub through a stand-in that speaks the few requests that are used."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from test_native import CARD

from gansteer.checkpoints.hub import fetch
from gansteer.checkpoints.native import save_model
from gansteer.checkpoints.registry import installed, load, resolve
from gansteer.checkpoints.shipped import shipped
from gansteer.device import pick_device
from gansteer.errors import UserError
from support.tiny import smallest_model

COMMIT = "a" * 40


class Hub:
    """Serves files by `owner/name/file`, with the hash that it states for each and how often each was fetched."""

    def __init__(self):
        self.files, self.stated, self.fetched = {}, {}, []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def answer(self, body):
                name = self.path.lstrip("/").replace("/resolve/main/", "/").replace(f"/resolve/{COMMIT}/", "/")
                known = {"/".join(file.split("/")[:2]) for file in hub.files}
                if name not in hub.files:
                    code = "EntryNotFound" if "/".join(name.split("/")[:2]) in known else "RepoNotFound"
                    self.send_response(404)
                    self.send_header("X-Error-Code", code)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                data = hub.files[name]
                self.send_response(200)
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("ETag", f'"{hub.stated[name]}"')
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if body:
                    hub.fetched.append(name)
                    self.wfile.write(data)

            def do_HEAD(self):
                self.answer(False)

            def do_GET(self):
                self.answer(True)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def add(self, name, data, stated=None):
        self.files[name] = data
        self.stated[name] = stated or hashlib.sha256(data).hexdigest()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "source"
    save_model(smallest_model(CARD), path)
    return path.read_bytes()


def get(hub, tmp_path, name="someone/model"):
    return fetch(name, endpoint=hub.address, cache=tmp_path / "cache")


@pytest.mark.parametrize("name", ["someone/model", "hf:someone/model", "hf:someone/model/model.safetensors"])
def test_downloaded_once_and_loaded(hub, tmp_path, data, name):
    hub.add("someone/model/model.safetensors", data)
    for _ in range(2):
        path = resolve(name, endpoint=hub.address, cache=tmp_path / "cache")
        assert path.read_bytes() == data
        assert load(path, "cpu").card == CARD
    assert hub.fetched == ["someone/model/model.safetensors"]


def test_another_file_in_a_folder(hub, tmp_path, data):
    hub.add("someone/model/nets/a.pt", data)
    assert get(hub, tmp_path, "hf:someone/model/nets/a.pt").read_bytes() == data


def test_small_files_are_verified_by_the_hash_of_git(hub, tmp_path):
    hub.add("someone/model/model.safetensors", b"x", hashlib.sha1(b"blob 1\0x").hexdigest())
    assert get(hub, tmp_path).read_bytes() == b"x"


def test_from_the_cache_when_the_hub_is_gone(hub, tmp_path, data):
    hub.add("someone/model/model.safetensors", data)
    get(hub, tmp_path)
    hub.close()
    assert get(hub, tmp_path).read_bytes() == data


@pytest.mark.parametrize("stated", ["0" * 64, "0" * 40])
def test_a_file_that_is_not_what_the_hub_says_is_removed(hub, tmp_path, data, stated):
    hub.add("someone/model/model.safetensors", data, stated)
    with pytest.raises(UserError, match="hash differs"):
        get(hub, tmp_path)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.name in (stated, "model.safetensors")]
    hub.add("someone/model/model.safetensors", data)
    assert get(hub, tmp_path).read_bytes() == data


def test_a_file_that_changed_in_the_cache_is_removed(hub, tmp_path, data):
    hub.add("someone/model/model.safetensors", data)
    get(hub, tmp_path).resolve().write_bytes(data[:-1] + b"x")
    with pytest.raises(UserError, match="hash differs"):
        get(hub, tmp_path)


def test_without_a_hash(hub, tmp_path, data):
    hub.add("someone/model/model.safetensors", data, "no-hash")
    with pytest.raises(UserError, match="cannot be verified"):
        get(hub, tmp_path)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nobody/nothing", "has no model nobody/nothing"),
        ("someone/model/absent.pt", "has no file absent.pt"),
        ("hf:plain", "is no hub id"),
        ("hf:a..b/c", "is no hub id"),
    ],
)
def test_what_the_hub_does_not_have(hub, tmp_path, data, name, problem):
    hub.add("someone/model/model.safetensors", data)
    with pytest.raises(UserError, match=problem) as caught:
        get(hub, tmp_path, name)
    assert "\n" not in str(caught.value)


def test_offline(hub, tmp_path):
    hub.close()
    with pytest.raises(UserError, match="the hub cannot be reached"):
        get(hub, tmp_path)


def test_shipped_models(tmp_path):
    save_model(smallest_model(CARD), tmp_path / "portraits.safetensors")
    assert resolve("portraits", folder=tmp_path) == tmp_path / "portraits.safetensors"
    (model,) = installed(tmp_path)
    assert (model.name, model.resolution, model.card) == ("portraits", 8, CARD)
    assert model.size == (tmp_path / "portraits.safetensors").stat().st_size
    with pytest.raises(UserError, match="did you mean 'portraits'"):
        resolve("portrait", folder=tmp_path)
    with pytest.raises(UserError, match="installed: portraits"):
        resolve("zzzz", folder=tmp_path)


def test_what_is_installed_loads():
    assert [model.name for model in installed()] == sorted(shipped())


@pytest.mark.parametrize("name", ["absent.pkl", "./absent", "{folder}/absent.pkl", "{folder}/absent"])
def test_missing_files_are_not_looked_for_on_the_hub(tmp_path, name):
    with pytest.raises(UserError, match="no such file"):
        resolve(name.format(folder=tmp_path))


def test_devices():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("cuda:99", "toaster", ""):
        with pytest.raises(UserError, match="auto"):
            pick_device(name)
