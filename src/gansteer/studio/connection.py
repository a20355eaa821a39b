"""What is on its way to one page: of everything that can be outdated, the newest only."""

import asyncio
from collections import OrderedDict

from starlette.websockets import WebSocket

from gansteer.studio.protocol import Frame, FromServer, encode, pack_frame

MOST_FRAMES = 2
"""Frames on their way at a time: one in the wires, one being drawn by the page."""
MOST_MESSAGES = 256
"""A page that has this many answers waiting has stopped reading."""
SEND_TIMEOUT = 20.0
"""Seconds that a page may take to read a message."""


class Connection:
    """The socket of one page. `post` and `frame` never wait; `pump` does the sending."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.closing: tuple[int, str] | None = None
        """Code and reason to hang up with."""
        self._slots: OrderedDict[object, str | bytes] = OrderedDict()
        self._wake = asyncio.Event()
        self._sent = 0
        self._shown = 0

    @property
    def ready(self) -> bool:
        """Whether the page could do with another frame."""
        return self._sent - self._shown < MOST_FRAMES and self.closing is None

    def post(self, message: FromServer, key: object = None) -> None:
        """Send a message; one of the same key that has not gone out yet is left out."""
        self._put(object() if key is None else key, encode(message))
        if len(self._slots) > MOST_MESSAGES:
            self.hang_up(1008, "this page does not read what it is sent")

    def frame(self, head: Frame, picture: bytes) -> None:
        """Send a picture; one that has not gone out yet is left out."""
        if "frame" not in self._slots:
            self._sent += 1
        head.frame = self._sent
        self._put("frame", pack_frame(head, picture))

    def shown(self, frame: int) -> bool:
        """Note that the page has drawn a frame; whether there was such a frame."""
        if not self._shown <= frame <= self._sent:
            return False
        self._shown = frame
        return True

    def hang_up(self, code: int, reason: str) -> None:
        """Close with a reason, before anything else is sent."""
        self.closing = self.closing or (code, reason)
        self._wake.set()

    def _put(self, key: object, data: str | bytes) -> None:
        self._slots.pop(key, None)
        self._slots[key] = data
        self._wake.set()

    async def pump(self) -> None:
        """Send what there is until hung up. Raises TimeoutError if the page stops reading."""
        while self.closing is None:
            if not self._slots:
                self._wake.clear()
                await self._wake.wait()
                continue
            _, data = self._slots.popitem(last=False)
            async with asyncio.timeout(SEND_TIMEOUT):
                if isinstance(data, bytes):
                    await self.websocket.send_bytes(data)
                else:
                    await self.websocket.send_text(data)
