"""What must never happen: a killed server, a full disk or a bad client costs nobody their work."""

import contextlib
import random
import resource
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from client import Nursery, Page, Server, eventually, studio
from fuzz import garbage
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from gansteer.checkpoints.registry import load
from gansteer.steerfile import open_session
from gansteer.studio.protocol import decode
from support.waiting import PATIENCE, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the system is asked for limits and memory as on Linux")
KILLS = 50
MESSAGES = 1_000
ABANDONED = 200


@pytest.fixture
def server(nursery: Nursery, models: Path, tmp_path: Path) -> Iterator[Server]:
    with studio(nursery, tmp_path, models) as server:
        yield server
        assert server.alive
        eventually(lambda: Page(server)).settled()  # and serves whoever comes next


class Memory:
    """What a person knows to be safe."""

    def __init__(self) -> None:
        self.key: str | None = None
        self.nodes: dict[int, dict[str, Any]] = {}
        """As the last state had them that was said to be saved."""
        self.pictures: dict[int, bytes] = {}
        """Of nodes that are done."""
        self.reached: tuple[int, int] | None = None
        """The running node and the last of its steps that was told of."""

    def check(self, page: Page) -> None:
        """All of it is there."""
        found = {node["id"]: node for node in page.state["nodes"]}
        for id, node in self.nodes.items():
            if node["kind"] == "drag" and not node["steps"]:
                continue  # it was stopped before it came to anything
            assert id in found, f"entry {id} is lost"
            assert (found[id]["title"], found[id]["parent"]) == (node["title"], node["parent"])
            assert found[id]["steps"] >= node["steps"]
        if self.reached is not None and self.reached[0] in self.nodes:
            id, step = self.reached
            assert id in found, f"the running edit {id} is lost"
            assert found[id]["done"] or found[id]["steps"] >= step, "more than the step in progress is lost"
        for id, data in self.pictures.items():
            assert page.file(f"node/{id}")[2] == data, "a picture came back otherwise"

    def note(self, page: Page) -> None:
        """Learn from what the page has heard."""
        self.key = page.key
        if page.state["saved"] and len(page.state["nodes"]) > 1:  # a first picture that nobody touched is not kept
            self.nodes = {node["id"]: node for node in page.state["nodes"]}
        if page.progress:
            last = page.progress[-1]
            self.reached = (last["node"], last["trace"]["step"])


def work(page: Page, memory: Memory, rng: random.Random, actions: int, pause: int) -> None:
    """Seeds, edits, stops, undos at random, with up to `pause` messages heard after each."""
    for _ in range(actions):
        match rng.randrange(6):
            case 0:
                page.send("sample", seed=rng.randrange(1000))
            case 1 | 2:
                x, y = rng.randrange(10, 50), rng.randrange(10, 50)
                steps = rng.choice([3, 1000])
                edit = {"kind": "drag", "handles": [[x, y]], "targets": [[x + 5, y]], "steps": steps, "patience": 1000}
                page.send("start", edit=edit)
            case 3:
                page.send("stop")
            case 4:
                page.send("undo")
            case 5:
                page.send("redo")
        with contextlib.suppress(TimeoutError):
            for _ in range(rng.randrange(pause + 1)):
                page.hear(0.05)
                memory.note(page)


def catch_up(page: Page, memory: Memory) -> None:
    """Wait until the server has done all that it was asked for, and has it on the disk."""
    before = len(page.faults)
    page.send("ask", id=1, about="whether you have come this far")
    page.until(lambda: any("whether" in fault for fault in page.faults[before:]))
    page.until(lambda: page.state["saved"] or page.state["run"])
    memory.note(page)


@pytest.mark.slow
def test_kills_cost_the_step_in_progress_at_most(nursery: Nursery, models: Path, tmp_path: Path) -> None:
    rng, memory = random.Random(7), Memory()
    for kill in range(KILLS):
        with studio(nursery, tmp_path, models) as server:
            page = Page(server, memory.key)
            if kill:
                assert page.welcome["restored"]
                memory.check(page)
            else:
                page.act("sample", seed=5)  # a session that nobody touched isn't kept
            memory.reached = None
            memory.note(page)
            if kill % 10 == 9:
                page.settled()
                done = [node["id"] for node in page.state["nodes"] if node["done"]]
                memory.pictures = {id: page.file(f"node/{id}")[2] for id in done[-3:]}
            work(page, memory, rng, actions=rng.randrange(1, 5), pause=8)
            if kill % 2:
                catch_up(page, memory)
            server.kill()
    assert len(memory.nodes) > 10
    session = open_session(tmp_path / f"{memory.key}.steer", lambda name: load(models / "a.safetensors", "cpu"))
    assert len(session.nodes) >= len(memory.nodes)


def test_a_full_disk_loses_nothing(server: Server, models: Path, tmp_path: Path) -> None:
    page = Page(server)
    page.act("sample", seed=5)
    path = tmp_path / f"{page.key}.steer"
    before = path.read_bytes()
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))  # no file may grow larger
    page.send("sample", seed=6)
    page.until(lambda: page.faults)
    assert "could not be written" in page.faults[0]
    assert "\n" not in page.faults[0]
    assert page.state["saved"] is False
    assert path.read_bytes() == before, "what is on the disk stays whole"
    node = page.start()
    page.until(lambda: page.progress)  # it can be worked on all the same
    page.send("stop")
    page.until(lambda: page.state["run"] is None)
    page.close()
    page = Page(server, page.key)  # and it does not leave the memory
    assert page.state["current"] == node
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    page.until(lambda: page.state["saved"])  # without being asked
    assert node in open_session(path, lambda name: load(models / "a.safetensors", "cpu")).nodes
    assert not list(tmp_path.glob(".*"))


def test_a_page_that_stops_reading_slows_nobody(server: Server, tmp_path: Path) -> None:
    before = Page(server)
    before.start()
    before.until(lambda: before.progress and before.frames)  # what previews need is there, once for all pages
    before.send("stop")
    before.until(lambda: before.state["run"] is None)
    stuck = Page(server, max_queue=1)
    node = stuck.start()
    memory, journal = server.memory(), tmp_path / f"{stuck.key}.steps"
    until(lambda: journal.exists() and steps_kept(journal) > 100)  # though nobody reads a word of it
    before.start()
    before.until(lambda: len(before.progress) > 5)
    before.send("stop")
    before.until(lambda: before.state["run"] is None)
    assert server.memory() - memory < 50e6
    again = Page(server, stuck.key)
    again.until(lambda: again.progress)
    assert again.progress[-1]["node"] == node
    assert again.progress[-1]["trace"]["step"] > 100, "the edit went on"
    again.send("stop")
    again.until(lambda: again.state["run"] is None)


def steps_kept(journal: Path) -> int:
    """The whole records of a journal: each is 8 bytes of length, 4 of checksum, and its content."""
    data, place, count = journal.read_bytes(), 0, 0
    while place + 12 <= len(data):
        place += 12 + int(struct.unpack_from("<Q", data, place)[0])
        count += place <= len(data)
    return count


def test_a_page_that_asks_without_reading_is_hung_up(server: Server) -> None:
    other = Page(server)
    other.start()
    page = Page(server, max_queue=1)
    with contextlib.suppress(ConnectionClosed, TimeoutError, OSError):
        page.socket.socket.settimeout(2.0)
        for id in range(30_000):
            page.send("ask", id=id, about="x" * 100)
    count = len(other.progress)
    other.until(lambda: len(other.progress) > count + 5)
    assert server.memory() < 1.5e9
    other.send("stop")
    other.until(lambda: other.state["run"] is None)


# --- A fuzz -------------------------------------------------------------------------------------------------------------


def is_none(text: str | bytes) -> bool:
    """Whether this is no message at all, so that the server hangs up."""
    try:
        return isinstance(text, bytes) or decode(text) is None
    except (msgspec.MsgspecError, UnicodeError):
        return True


@pytest.mark.slow
def test_garbage_harms_nobody(server: Server) -> None:
    good = Page(server)
    node = good.start()
    rng, hung_up = random.Random(5), 0
    texts = [rng.randbytes(20) if rng.random() < 0.001 else garbage(rng) for _ in range(MESSAGES)]
    address = f"{server.base.replace('http', 'ws')}/socket"
    while texts:
        with (
            connect(address, compression=None, close_timeout=0.2, ping_interval=None) as bad,
            contextlib.suppress(ConnectionClosed),
        ):
            while texts:
                if len(texts) % 50 == 0:
                    with contextlib.suppress(TimeoutError):
                        good.until(lambda: False, 0.0)
                text = texts.pop()
                bad.send(text)
                with contextlib.suppress(TimeoutError):
                    while True:
                        bad.recv(PATIENCE if is_none(text) else 0)
        hung_up += 1
    assert hung_up > MESSAGES / 100
    seen = len(good.frames)
    good.progress.clear()
    good.until(lambda: len(good.frames) > seen + 5 and good.progress)
    assert good.state["run"]["node"] == node
    assert not good.faults
    good.send("stop")
    good.settled()


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        ("no json", 1008, "no message"),
        ('{"type": "explode"}', 1008, "no message"),
        ('{"type": "undo", "path": "/etc"}', 1008, "unknown field"),
        ('{"type": "go", "node": "1"}', 1008, "Expected `int`"),
        ("[" * 50_000, 1008, "no message"),
        (b"bytes", 1003, "text only"),
        ('{"type": "undo", "a": "' + "x" * (1 << 20), 1009, ""),
    ],
)
def test_messages_that_are_none_end_the_connection(server: Server, data: str | bytes, code: int, says: str) -> None:
    page = Page(server)
    page.socket.send(data)
    with pytest.raises(ConnectionClosed) as closed:
        page.until(lambda: False)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
    assert says in closed.value.rcvd.reason


def test_abandoned_connections_cost_little(server: Server) -> None:
    host, port = server.base.removeprefix("http://").split(":")
    hello = (
        f"GET /socket HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    begun = [b"", hello[:40], hello, hello]
    memory = server.memory()
    with contextlib.ExitStack() as stack:
        for i in range(ABANDONED):
            plain = stack.enter_context(socket.create_connection((host, int(port))))
            plain.sendall(begun[i % 4])
            if i % 8 == 3:
                plain.recv(100)
            if i % 4 == 3:  # the line is cut
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                plain.close()
        page = eventually(lambda: Page(server))
        page.start()
        page.until(lambda: len(page.frames) > 5)
        page.send("stop")
        page.settled()
        assert server.memory() - memory < 150e6
