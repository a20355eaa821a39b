"""A studio in a process of its own, and a page without a browser."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from gansteer.checkpoints.native import save_model
from gansteer.studio.protocol import Frame, unpack_frame
from gansteer.subject import Card, Model
from support.tiny import tiny_model
from support.waiting import PATIENCE, until

NURSERY = """
import json, os, signal, sys, traceback
import uvicorn
import gansteer.studio.catalogue as catalogue
import gansteer.studio.server
from gansteer.cli import main
catalogue.shipped = lambda folder: {}  # only the models of the folder that is given
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        print(os.getpid(), flush=True)
        code = 1
        try:
            code = main(json.loads(line))
        except BaseException:
            traceback.print_exc()
        print(f"the studio has ended with {code}", flush=True)  # so that nobody waits for its address
        os._exit(code)
"""


class Nursery:
    """A process that has imported everything and starts servers by forking: 50 kills would take minutes otherwise."""

    def __init__(self, first: str = "") -> None:
        """`first` is Python that it carries out before anything else."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", f"{first}\n{NURSERY}"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def start(self, folder: Path, models: Path, *flags: str) -> "Server":
        """A studio with the models of a folder, and sessions in `folder`."""
        words = ["studio", "--port", "0", "--no-open", "--device", "cpu", "--models", str(models)]
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([*words, "--sessions", str(folder), *flags]) + "\n")
        self.process.stdin.flush()
        pid = self._line()
        while not pid.strip().isdigit():  # what a server before this one said after its address
            assert pid, "the nursery has ended"
            pid = self._line()
        line = self._line()
        assert line.startswith("The studio is at "), line
        return Server(int(pid), line.split()[-1])

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def close(self) -> None:
        """End it; the servers end themselves."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def eventually(connect: "Callable[[], Page]") -> "Page":
    """The page, as soon as the server has noticed that others are gone."""
    pages: list[Page] = []

    def connected() -> bool:
        with suppress(ConnectionClosed):
            pages.append(connect())
        return bool(pages)

    until(connected)
    return pages[0]


def studio_model(name: str = "tiny", seed: int = 0, resolution: int = 64) -> Model:
    """A model as the tests' studios have it."""
    return tiny_model(resolution, seed, dtype=torch.float32, card=Card(name, drag_layer="b32.conv1"))


def make_models(folder: Path) -> Path:
    """A folder of two tiny models."""
    folder.mkdir(exist_ok=True)
    save_model(studio_model("tiny", 0), folder / "a.safetensors")
    save_model(studio_model("other", 1, 32), folder / "b.safetensors")
    return folder


class Server:
    """A running studio."""

    def __init__(self, pid: int, address: str) -> None:
        self.pid, self.address = pid, address
        base, _, query = address.partition("?")
        self.base, self.query = base.rstrip("/"), query
        self.pages: list[Page] = []
        """That are open."""

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return Path(f"/proc/{self.pid}").exists()

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """As the system does when it is out of memory; wait until it is gone."""
        os.kill(self.pid, how)
        for page in list(self.pages):
            page.close()
        until(lambda: not self.alive, lambda: "it does not end")

    def end(self) -> None:
        """As Ctrl-C does."""
        self.kill(signal.SIGINT)

    def get(self, path: str, **options: Any) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body. `data` makes it a POST."""
        request = urllib.request.Request(self.base + path, **options)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()

    def memory(self) -> int:
        """Bytes in use."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def studio(nursery: Nursery, folder: Path, models: Path, *flags: str) -> Iterator[Server]:
    """A studio for a while."""
    server = nursery.start(folder, models, *flags)
    try:
        yield server
    finally:
        if server.alive:
            server.kill()


class Page:
    """What a page does: shows frames, says so, keeps the newest state."""

    def __init__(self, server: Server, session: str | None = None, **options: Any) -> None:
        self.server = server
        query = "&".join(part for part in (server.query, f"session={session}" if session else "") if part)
        address = f"{server.base.replace('http', 'ws')}/socket?{query}"
        self._stack = ExitStack()
        self.socket: ClientConnection = self._stack.enter_context(
            connect(address, max_size=None, compression=None, close_timeout=0.2, ping_interval=None, **options)
        )
        server.pages.append(self)
        self.state: dict[str, Any] = {}
        self.welcome: dict[str, Any] = {}
        self.progress: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.exporting: list[dict[str, Any]] = []
        self.answers: dict[int, Any] = {}
        self.frames: list[Frame] = []
        self.picture = b""
        self.until(lambda: bool(self.state))

    @property
    def key(self) -> str:
        """Of the session."""
        return str(self.welcome["session"])

    def send(self, type: str, **fields: Any) -> None:
        """Send one message."""
        self.socket.send(json.dumps({"type": type, **fields}))

    def hear(self, timeout: float = PATIENCE) -> None:
        """Take one message in."""
        data = self.socket.recv(timeout)
        if isinstance(data, bytes):
            head, self.picture = unpack_frame(data)
            self.frames.append(head)
            self.send("shown", frame=head.frame)
            return
        message = json.loads(data)
        match message["type"]:
            case "welcome":
                self.welcome = message
            case "state":
                self.state = message
            case "progress":
                self.progress.append(message)
            case "exporting":
                self.exporting.append(message)
            case "fault":
                self.faults.append(message["message"])
            case "answer":
                self.answers[message["id"]] = message["value"]

    def until(self, happened: Callable[[], Any], timeout: float = PATIENCE) -> None:
        """Take messages in until something is so; `timeout` is how long to wait for each."""
        while not happened():
            self.hear(timeout)

    def settled(self) -> None:
        """Wait until nothing runs, all is on the disk, and the present picture has been seen."""
        self.until(lambda: self.state["run"] is None and self.state["saved"])
        self.until(lambda: self.frames and self.frames[-1].final and self.frames[-1].node == self.state["current"])

    def act(self, type: str, **fields: Any) -> None:
        """Do something that leads to another picture, and wait for that."""
        before = self.state["current"]
        self.send(type, **fields)
        self.until(lambda: self.state["current"] != before)
        self.settled()

    def start(self, handles: Any = ((30, 30),), targets: Any = ((44.3, 36.3),), **fields: Any) -> int:
        """Begin a drag that goes on for long, whose handle never arrives; the node it makes."""
        last = max(node["id"] for node in self.state["nodes"])
        self.progress.clear()
        message = {name: fields.pop(name) for name in ("node", "replacing") if name in fields}
        edit = {"kind": "drag", "handles": handles, "targets": targets, "steps": 100_000, "patience": 100_000}
        self.send("start", edit={**edit, "tolerance": 0.0, "learning_rate": 1e-4, **fields}, **message)
        self.until(lambda: self.state["run"] is not None and self.state["run"]["node"] > last)
        return int(self.state["run"]["node"])

    def file(self, path: str, **options: Any) -> tuple[int, dict[str, str], bytes]:
        """A file of the session."""
        separator = "&" if "?" in path else "?"
        return self.server.get(f"/session/{self.key}/{path}{separator}{self.server.query}".rstrip("?&"), **options)

    def close(self) -> None:
        """The tab is closed."""
        self._stack.close()
        if self in self.server.pages:
            self.server.pages.remove(self)
