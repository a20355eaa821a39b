"""The picture that one page sees: the newest that there is, drawn as often as page and renderer can do."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from torch import Tensor

from gansteer.edits.api import StepRecord
from gansteer.studio.connection import Connection
from gansteer.studio.preview import Previews
from gansteer.studio.protocol import Frame
from gansteer.studio.workers import Draw, explained
from gansteer.subject import Subject, to_image

FRAMES_PER_SECOND = 10.5
SLOW, QUICK, SMALLEST = 0.12, 0.02, 128  # below, colours go astray: the last layers bring them
"""Previews that take more seconds than SLOW become half as wide, down to SMALLEST; below QUICK, twice as wide again."""
BETWEEN = 0.04
"""Previews of less computing that can't be drawn without the interpreter are drawn between two steps: beside steps they
would hold those up for longer."""
PAINTING = 0.6
"""The renderer spends at most this part of its time on the previews of one edit."""


@dataclass(frozen=True, eq=False)
class Showing:
    """What the page is to see."""

    subject: Subject
    node: int | None
    trace: StepRecord | None
    final: bool


Render = Callable[[Subject, int], Tensor]


def picture(what: Showing, resolution: int | None = None, render: Render = Subject.render) -> tuple[Frame, bytes]:
    """The frame of what is to be shown: JPEG in between, of that resolution; the whole as PNG at the end."""
    whole = what.subject.model.resolution
    drawn = what.subject.render() if what.final else render(what.subject, resolution or whole)
    image, data = to_image(drawn).convert("RGB"), BytesIO()
    lossless = what.final and image.width <= 512
    if lossless:
        image.save(data, "PNG", compress_level=1)
    else:
        image.save(data, "JPEG", quality=95 if what.final else 88, subsampling=0)  # small pictures are shown large
    kind: Any = "image/png" if lossless else "image/jpeg"
    return Frame(0, what.node, what.final, image.width, image.height, kind, what.trace), data.getvalue()


@dataclass(frozen=True)
class Drawn:
    """A frame, and what it cost."""

    head: Frame
    data: bytes
    seconds: float
    work: float
    """Seconds of computing in them, of the thread that drew; the rest it waited for others."""


def drawn(what: Showing, resolution: int | None, render: Render = Subject.render) -> Drawn:
    """The frame of what is to be shown."""
    begun, work = time.perf_counter(), time.thread_time()
    head, data = picture(what, resolution, render)
    return Drawn(head, data, time.perf_counter() - begun, time.thread_time() - work)


class FrameStream:
    """The page's socket, and which picture goes there next. Lives on the event loop."""

    def __init__(
        self,
        draw: Callable[[Draw, object], Awaitable[Any]],
        sketch: Callable[[Draw], Awaitable[Any]],
        fault: Callable[[str], None],
        previews: Previews,
    ) -> None:
        """`draw` has the renderer draw, of requests with the same key the newest; `sketch` has the scheduler draw, between
        two steps; `fault` tells what went wrong. `previews` draws the previews of running edits, where it can.
        """
        self.connection: Connection | None = None
        self._draw, self._sketch, self._fault, self._previews = draw, sketch, fault, previews
        self._loop = asyncio.get_running_loop()
        self._next: Showing | None = None
        self._painting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0
        self._pause = 1 / FRAMES_PER_SECOND
        self._resolution: int | None = None
        """Of previews; None: the model's."""
        self._work = math.inf
        """Seconds of computing that the last preview took."""

    def show(self, what: Showing) -> None:
        """Show this next, instead of what has not been drawn yet."""
        self._next = what
        self.paint()

    def paint(self) -> None:
        """Draw what is next, unless one is being drawn, or the page is not ready for it, or it is too soon."""
        what, connection = self._next, self.connection
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if what is None or connection is None or self._painting is not None or not (what.final or connection.ready):
            return
        wait = self._last + self._pause - self._loop.time()
        if not what.final and wait > 0:
            self._timer = self._loop.call_later(wait, self.paint)
            return
        self._next, self._last = None, self._loop.time()
        self._painting = self._loop.create_task(self._paint(what, connection))

    async def _paint(self, what: Showing, connection: Connection) -> None:
        try:
            frame = await self._drawn(what)
            connection.frame(frame.head, frame.data)
            if not what.final:
                self._work = frame.work
                self._adapt(frame.seconds, frame.head.width, what.subject.model.resolution)
        except Exception as error:
            self._fault(explained(error))
        self._pause = max(1 / FRAMES_PER_SECOND, (self._loop.time() - self._last) / PAINTING)
        self._painting = None
        self.paint()

    async def _drawn(self, what: Showing) -> Drawn:
        """The frame of what is to be shown, drawn where that holds up the edits least."""
        resolution, running = self._resolution, what.trace is not None and not what.final
        if running and self._previews.fits(what.subject):
            drawing = self._previews.draw(self, lambda: self._beside(what, resolution), "frame")
            found: Drawn = await asyncio.wrap_future(drawing)
        elif running and self._work < BETWEEN:
            found = await self._sketch(lambda: drawn(what, resolution))
        else:
            found = await self._draw(lambda: drawn(what, resolution), "frame")
        return found

    def _beside(self, what: Showing, resolution: int | None) -> Drawn:
        model = what.subject.model
        self._previews.prepare(model, resolution or model.resolution)  # its time says nothing of the next preview's
        return drawn(what, resolution, self._previews.render)

    def _adapt(self, took: float, width: int, whole: int) -> None:
        """Draw smaller previews if the last, `width` wide, was slow; larger ones if it was quick."""
        self._resolution = width
        if took > SLOW and width > SMALLEST:
            self._resolution = width // 2
        elif took < QUICK and width < whole:
            self._resolution = width * 2
