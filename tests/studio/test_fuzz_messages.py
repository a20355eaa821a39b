"""Messages that no page sends: each is answered, or ends its connection, for a bounded amount of work.

Work is counted. What it costs to read a text: bytes, values, and numbers that take the reader hundreds of times as long as
others; the counts are made anew here, by Python's own reader. What the studio does with it: calls of functions.
"""

import asyncio
import json
import random
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import msgspec
from fuzz import garbage, numbers
from starlette.types import ASGIApp, Message

from gansteer.json_limits import TooMuch
from gansteer.studio.catalogue import Catalogue
from gansteer.studio.protocol import LIMITS, decode
from gansteer.studio.server import application
from gansteer.studio.store import Store
from support.waiting import PATIENCE

MESSAGES = 10_000
ANEW = 250
"""Messages to a session."""
SLOW = re.compile(r"[eE][+-]?0*[1-9]\d{2}|[\d.]{26}")
"""A number with an exponent of three digits, or with 26 digits: what `json_limits.py` says is slow."""
REPLIES = 12
"""Messages that one message may be answered with: a state or two, frames, progress, a fault."""
OPERATIONS = LIMITS.values
"""Calls of functions on the event loop that one message may cost, with all that goes on meanwhile."""


@cache
def texts() -> list[str]:
    rng = random.Random(22)
    return [(numbers if i % 2 else garbage)(rng) for i in range(MESSAGES)]


def counted(text: str) -> tuple[int, int, int]:
    """Bytes, values and slow numbers of a JSON text. Raises ValueError or RecursionError if it is none that Python reads."""
    slow = 0

    def read(literal: str) -> float:
        nonlocal slow
        slow += SLOW.search(literal) is not None
        return 0.0

    def values(one: object) -> int:
        if isinstance(one, dict):
            return 1 + sum(1 + values(each) for each in one.values())
        return 1 + sum(map(values, one)) if isinstance(one, list) else 1

    whole = json.loads(text, parse_float=read, parse_int=read)
    return len(text.encode()), values(whole), slow


def test_what_is_read_costs_no_more_than_is_granted() -> None:
    read, refused = 0, 0
    for text in texts():
        try:
            decode(text)
        except TooMuch:
            refused += 1
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        else:
            size, values, slow = counted(text)
            assert size <= LIMITS.size
            assert values <= 2 * LIMITS.values  # a member is counted with its name here
            assert slow <= LIMITS.slow_numbers, text[:200]
            read += 1
    assert read > MESSAGES / 10
    assert refused > MESSAGES / 100


class Line:
    """A page's socket, held by hand: the application is given what a web server gives it, and what it sends is kept."""

    def __init__(self, app: ASGIApp, query: str) -> None:
        self.sent: list[Message] = []
        self._coming: asyncio.Queue[Message] = asyncio.Queue()
        self._news = asyncio.Event()
        scope = {
            "type": "websocket", "path": "/socket", "raw_path": b"/socket", "query_string": query.encode(), "scheme": "ws",
            "headers": [(b"host", b"127.0.0.1")], "subprotocols": [], "client": ("127.0.0.1", 1), "root_path": "",
            "asgi": {"version": "3.0"}, "server": ("127.0.0.1", 80), "http_version": "1.1", "extensions": {}, "state": {},
        }  # fmt: skip
        self._coming.put_nowait({"type": "websocket.connect"})
        self.serving = asyncio.ensure_future(app(scope, self._coming.get, self._hear))

    async def _hear(self, message: Message) -> None:
        self.sent.append(message)
        self._news.set()

    def say(self, text: str) -> None:
        """What a page sends."""
        self._coming.put_nowait({"type": "websocket.receive", "text": text})

    async def until(self, happened: Callable[[Message], bool]) -> list[Message]:
        """What was sent up to the first message of which that is so, or that closes the line."""
        seen = 0
        while True:
            while seen < len(self.sent):
                seen += 1
                if happened(self.sent[seen - 1]) or self.sent[seen - 1]["type"] == "websocket.close":
                    heard, self.sent = self.sent[:seen], self.sent[seen:]
                    return heard
            self._news.clear()
            async with asyncio.timeout(PATIENCE):
                await self._news.wait()

    async def hang_up(self) -> None:
        """The page goes away."""
        self._coming.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self.serving


@contextmanager
def operations() -> Iterator[list[int]]:
    """How many functions are called on this thread, Python's own too."""
    count = [0]

    def called(frame: object, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            count[0] += 1

    sys.setprofile(called)
    try:
        yield count
    finally:
        sys.setprofile(None)


@contextmanager
def by_turns() -> Iterator[None]:
    """Threads give way at once: here the loop wakes tens of thousands of times while others compute."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


async def fuzzed(app: ASGIApp) -> tuple[int, set[int]]:
    """Every text goes to the application. How many ended their connection, and with which codes."""
    line: Line | None = None
    key, ended, codes = "", 0, set()
    for i, text in enumerate(texts()):
        if i % ANEW == 0 and line is not None:  # a session of its own now and then: none has thousands of entries
            await line.hang_up()
            line, key = None, ""
        if line is None:
            line = Line(app, f"session={key}" if i % ANEW else "")
            heard = await line.until(lambda sent: '"type":"state"' in sent.get("text", ""))
            key = next(
                json.loads(each["text"])["session"] for each in heard if '"type":"welcome"' in each.get("text", "")
            )
        with operations() as count:
            line.say(text)
            line.say(json.dumps({"type": "ask", "id": i, "about": f"nothing {i}"}))
            heard = await line.until(lambda sent, i=i: f"'nothing {i}'" in sent.get("text", ""))
        assert len(heard) <= REPLIES, text[:200]
        assert count[0] <= OPERATIONS, (count[0], text[:200])
        if heard[-1]["type"] == "websocket.close":
            ended += 1
            codes.add(heard[-1]["code"])
            await line.serving
            line = None
    if line is not None:
        await line.hang_up()
    return ended, codes


def test_each_is_answered_or_ends_its_connection(models: Path, tmp_path: Path) -> None:
    """By the application itself, as the web server calls it: ten thousand connections would take minutes."""

    async def work() -> tuple[int, set[int]]:
        app = application(Catalogue(models, "cpu", tmp_path / "none"), Store(tmp_path), names=frozenset({"127.0.0.1"}))
        coming: asyncio.Queue[Message] = asyncio.Queue()
        going: asyncio.Queue[Message] = asyncio.Queue()
        living = asyncio.ensure_future(
            app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, coming.get, going.put)
        )
        coming.put_nowait({"type": "lifespan.startup"})
        assert (await going.get())["type"] == "lifespan.startup.complete"
        found = await fuzzed(app)
        coming.put_nowait({"type": "lifespan.shutdown"})
        await living
        return found

    with by_turns():
        ended, codes = asyncio.run(work())
    assert MESSAGES / 100 < ended < MESSAGES
    assert codes == {1008}
