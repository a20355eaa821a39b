"""The studio's part of `write.py`: a session with a branch, all that can be kept of it, and one that was killed."""

import base64
import json
import re
import shutil
import signal
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from compare import journal_records
from websockets.sync.client import connect

PUBLISHED = {"method": "draggan", "learning_rate": 5e-3}
"""What 0.1.0 did unless it was told otherwise."""
JOURNAL = 5
"""Steps of the journal that is kept: how many the server took until it was killed is chance."""


class Page:
    """A page of the studio, which hears what the server says and acknowledges its frames."""

    def __init__(self, base: str, session: str = "") -> None:
        self.base = base.rstrip("/")
        socket = f"{self.base.replace('http', 'ws')}/socket" + (f"?session={session}" if session else "")
        self.socket = connect(socket, max_size=None, compression=None, ping_interval=None)
        self.state: dict[str, Any] = {}
        self.welcome: dict[str, Any] = {}
        self.step = -1
        self.until(lambda: self.state)
        self.settle()

    def send(self, type: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": type, **fields}))

    def until(self, happened: Callable[[], Any]) -> None:
        """Take messages in until something is so."""
        while not happened():
            data = self.socket.recv(600)
            if isinstance(data, bytes):
                (length,) = struct.unpack_from("<I", data)
                self.send("shown", frame=json.loads(data[4 : 4 + length])["frame"])
                continue
            message = json.loads(data)
            if message["type"] == "welcome":
                self.welcome = message
            elif message["type"] == "state":
                self.state = message
            elif message["type"] == "progress":
                self.step = int(re.findall(r'"step":\s*(\d+)', data)[0])  # whatever holds it is called
            elif message["type"] == "fault":
                raise SystemExit(f"the studio says: {message['message']}")

    def settle(self) -> None:
        """Wait until nothing runs and all is on the disk."""
        self.until(lambda: self.state["run"] is None and self.state["saved"])

    def act(self, type: str, **fields: Any) -> int:
        """Do something that leads to another picture; the node that is looked at then."""
        before = self.state["current"]
        self.send(type, **fields)
        self.until(lambda: self.state["current"] != before)
        self.settle()
        return int(self.state["current"])

    def file(self, path: str, body: bytes | None = None) -> bytes:
        """What the server answers; where it refuses, the reason."""
        address = f"{self.base}/session/{self.welcome['session']}/{path}"
        try:
            with urllib.request.urlopen(urllib.request.Request(address, data=body), timeout=600) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return bytes(refused.read())


@contextmanager
def studio(out: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A running studio with the folder `sessions`: its address and process."""
    words = ["studio", "--port", "0", "--no-open", "--device", "cpu", "--models", "models", "--sessions", "sessions"]
    command = [sys.executable, "-m", "gansteer", *words]
    with subprocess.Popen(command, cwd=out, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        try:
            yield line.split()[-1], server
        finally:
            server.send_signal(signal.SIGINT)


def work(page: Page) -> list[int]:
    """A session with edits of several kinds and a branch; the nodes worth exporting."""
    root = page.act("sample", seed=3, psi=0.7, model="portraits")
    mask = np.ones((128, 128), bool)
    mask[:30] = False
    bits = {"shape": [128, 128], "packed": base64.b64encode(np.packbits(mask).tobytes()).decode()}
    drag = {"kind": "drag", **PUBLISHED, "handles": [[64, 76]], "targets": [[72, 76]], "mask": bits, "steps": 6}
    dragged = page.act("start", edit=drag)
    smiling = page.act("start", edit={"kind": "attribute", "change": {"smile": 1.5}, "hold": ["age"]})
    page.act("go", node=root)
    older = page.act("start", edit={"kind": "attribute", "change": {"age": 2.0}})
    inside = page.act("start", edit={"kind": "intervention", "change": {"smile": 1.0}, "region": bits, "steps": 5})
    between = page.act("interpolate", a=dragged, b=older, t=0.25, keep=True)
    page.act("undo")
    page.act("redo")
    tiny = page.act("sample", seed=1, psi=1.0, model="tiny")
    points = {"handles": [[12, 12]], "targets": [[20, 15]], "layer": "b16.conv1", "rows": 4, "steps": 6}
    freely = page.act("start", edit={"kind": "drag", "method": "freedrag", **points})
    return [root, dragged, smiling, older, inside, between, tiny, freely]


def small_work(page: Page) -> list[int]:
    """A session of the tiny model alone, so that it opens whatever becomes of the shipped one."""
    first = page.state["current"]
    root = page.act("sample", seed=1, psi=1.0, model="tiny", replacing=first)
    bits = {"shape": [32, 32], "packed": base64.b64encode(np.packbits(np.tri(32, 32, 8, bool)).tobytes()).decode()}
    points = {"handles": [[12, 12]], "targets": [[20, 15]], "layer": "b16.conv1", "rows": 4}
    dragged = page.act(
        "start", edit={"kind": "drag", **PUBLISHED, **points, "mask": bits, "steps": 8, "learning_rate": 2e-2}
    )
    solved = page.act("start", edit={"kind": "drag", **PUBLISHED, "method": "gauss-newton", **points, "steps": 3})
    page.act("go", node=root)
    freely = page.act("start", edit={"kind": "drag", "method": "freedrag", **points, "steps": 8})
    between = page.act("interpolate", a=dragged, b=freely, t=0.25, keep=True)
    other = page.act("sample", seed=2, psi=0.5, model="tiny")
    page.act("undo")
    return [root, dragged, solved, freely, between, other]


def exported(page: Page, nodes: list[int], folder: Path) -> None:
    """All files that can be kept of these nodes, and their pictures."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for node in nodes:
        kinds = {entry["id"]: entry["kind"] for entry in page.state["nodes"]}
        (folder / f"{node}-small.png").write_bytes(page.file(f"node/{node}?size=96"))
        for what in page.welcome["exports"]:
            if what == "mp4" or (what in ("webp", "gif") and kinds[node] != "drag"):
                continue  # one needs an extra package; the others are carried out again, which takes long
            (folder / f"{node}.{what}").write_bytes(page.file(f"export/{node}/{what}"))


def in_the_studio(out: Path) -> None:
    """Sessions with branches and all that can be kept of them; one that was killed during an edit, opened again."""
    (out / "models").mkdir(exist_ok=True)
    shutil.copy(out / "tiny.safetensors", out / "models")
    for name, begun in (("session", work), ("small", small_work)):
        with studio(out) as (address, _):
            page = Page(address)
            exported(page, begun(page), out / name)
            (out / name / "change.png").write_bytes(page.file("change/2/3"))
            (out / name / "seed.jpg").write_bytes(page.file("seed/11?model=tiny&psi=0.7&size=96"))
            page.socket.close()
        (session,) = (out / "sessions").glob("*.steer")
        session.rename(out / f"{name}.steer")
        shutil.rmtree(out / "sessions")
    killed(out)
    (out / "sessions").mkdir()
    for name in ("killed.steer", "killed.steps"):
        shutil.copy(out / name, out / "sessions")
    with studio(out) as (address, _):
        page = Page(address, "killed")
        (out / "opened-again.steer").write_bytes(page.file(f"export/{page.state['current']}/steer"))
        page.file("file", (out / "session" / "2.png").read_bytes())
        page.settle()
        (out / "settings-opened.steer").write_bytes(page.file(f"export/{page.state['current']}/steer"))
        page.socket.close()
    shutil.rmtree(out / "sessions")
    shutil.rmtree(out / "models")


def killed(out: Path) -> None:
    """What a studio leaves that is killed during an edit: the session and the journal of the edit."""
    with studio(out) as (address, server):
        page = Page(address)
        page.act("sample", seed=5, psi=1.0, model="tiny", replacing=page.state["current"])
        endless = {"steps": 100_000, "patience": 100_000, "tolerance": 0.0, "learning_rate": 1e-3}
        points = {"handles": [[12, 12]], "targets": [[20, 15]], "layer": "b16.conv1", "rows": 4}
        page.send("start", edit={"kind": "drag", **PUBLISHED, **points, **endless})
        page.until(lambda: page.step > JOURNAL)
        server.kill()
        server.wait()
    (session,) = (out / "sessions").glob("*.steer")
    session.rename(out / "killed.steer")
    records = session.with_suffix(".steps").read_bytes()
    (out / "killed.steps").write_bytes(b"".join(list(journal_records(records))[:JOURNAL]))
    shutil.rmtree(out / "sessions")
