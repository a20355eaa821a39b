"""The web server: the page's files, one socket for each page, and what is fetched or dropped as a file."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import msgspec
from PIL import Image, ImageChops
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from gansteer.edits import KINDS
from gansteer.errors import UserError
from gansteer.inversion.edit import Inversion
from gansteer.memory import give_back_memory
from gansteer.session import NoEntry
from gansteer.studio import protocol
from gansteer.studio.answers import ANSWERS
from gansteer.studio.catalogue import Catalogue
from gansteer.studio.desk import Desk, Tools
from gansteer.studio.export import FILMS, Export, export, exports, film_file, movie
from gansteer.studio.guard import Guard
from gansteer.studio.line import Line
from gansteer.studio.pages import Pages
from gansteer.studio.receive import Receiver
from gansteer.studio.store import Store
from gansteer.studio.work import Painter, Stepper, explained
from gansteer.subject import Subject

SWEEP = 5.0
"""Seconds between looks for sessions that nobody needs in memory."""
TIDY = 3600.0
"""Seconds between looks for sessions that are kept no longer."""


@dataclass(frozen=True)
class Limits:
    """How much the studio takes on."""

    sessions: int = 64
    """In memory at a time."""
    queue: int = 32
    """Edits at a time, running and waiting."""
    idle: float = 300.0
    """Seconds after which a session that no page shows leaves the memory."""
    upload_bytes: int = 64 << 20
    upload_pixels: int = 64_000_000
    memory_bytes: int | None = None
    """No session and no edit begins while the process uses more."""
    keep_days: float | None = None
    """Sessions that nobody opened for longer are deleted from the disk; None keeps them for good."""


class TooLarge(Exception):
    """A file has more bytes than are allowed."""


class Full(Exception):
    """There is no room for another session."""


class NotOpen(UserError):
    """A session is not in memory."""


class Studio:
    """All desks, and the tools that they share. Lives on one event loop."""

    def __init__(self, catalogue: Catalogue, folder: Path, limits: Limits) -> None:
        self.limits = limits
        self.desks: dict[str, Desk] = {}
        loop = asyncio.get_running_loop()
        self.tools = Tools(
            catalogue,
            Stepper(self._queue_changed_elsewhere, limits.queue),
            Painter(),
            Store(folder),
            loop,
            limits.memory_bytes,
        )
        self._opening = asyncio.Lock()
        self._receiver = Receiver(limits.upload_pixels)

    def _queue_changed_elsewhere(self) -> None:  # on the stepper's thread
        self.tools.loop.call_soon_threadsafe(self._queue_changed)

    def _queue_changed(self) -> None:
        for desk in self.desks.values():
            if desk.work is not None:
                desk.tell()

    async def desk(self, key: str | None) -> Desk:
        """The desk of a session: the one in memory, or from the disk, or a new one under a new key. Raises Full."""
        async with self._opening:
            if key in self.desks:
                return self.desks[key]
            await self._make_room()
            if key:
                session = await asyncio.to_thread(self.tools.store.open, key, self.tools.catalogue.load)
                if session is not None:
                    self.desks[key] = Desk(self.tools, key, session)
                    return self.desks[key]
            fresh = self.tools.store.new_key()
            self.desks[fresh] = Desk(self.tools, fresh)
            return self.desks[fresh]

    async def _make_room(self) -> None:
        if len(self.desks) >= self.limits.sessions:
            await self.sweep(0.0, self.limits.sessions - 1)
        if len(self.desks) >= self.limits.sessions:
            raise Full(f"{len(self.desks)} people are here already: try again later")
        try:
            self.tools.check_memory()
        except UserError as error:
            raise Full(str(error)) from error

    async def sweep(self, idle: float, keep: int = 0) -> None:
        """Let the longest unused desks go that have been without a page for `idle` seconds, down to `keep` desks.

        An edit that nobody has watched for as long is stopped first; it can be resumed.
        """
        now, before = self.tools.loop.time(), len(self.desks)
        for desk in sorted(self.desks.values(), key=lambda desk: desk.left_at):
            if len(self.desks) <= keep:
                break
            if desk.line is not None or now - desk.left_at < idle:
                continue
            if idle:
                await desk.stop()
            if desk.free:
                self.desks.pop(desk.key, None)
        if len(self.desks) < before:
            await asyncio.to_thread(give_back_memory)

    async def sweeping(self) -> None:
        """Sweep for ever, and try again to write what could not be written."""
        while True:
            await asyncio.sleep(min(SWEEP, self.limits.idle))
            await self.sweep(self.limits.idle)
            for desk in self.desks.values():
                if desk.touched and not desk.saved:
                    desk.save()

    async def tidying(self) -> None:
        """Delete sessions that nobody opened for too long, now and every hour, and say so."""
        while self.limits.keep_days is not None:
            gone = await asyncio.wrap_future(self.tools.store.tidy(self.limits.keep_days, frozenset(self.desks)))
            if gone:
                old = f"nobody opened for {self.limits.keep_days:g} days"
                print(f"gansteer: {gone} session{'s' * (gone > 1)} that {old} deleted", file=sys.stderr)
            await asyncio.sleep(TIDY)

    async def forget(self, request: Request) -> Response:
        """Delete a session that no page shows."""
        key = request.path_params["key"]
        async with self._opening:
            desk = self.desks.get(key)
            if desk is not None:
                if desk.line is not None:
                    return _refusal("this session is open in a page: begin a new one there first", 409)
                await desk.close()
                self.desks.pop(key, None)
            if not await asyncio.wrap_future(self.tools.store.forget(key)):
                raise NotOpen("there is no such session")
        return Response(status_code=204)

    async def close(self) -> None:
        """Stop all edits and write all sessions."""
        for desk in list(self.desks.values()):
            await desk.close()
        self.tools.stepper.close()
        self.tools.painter.close()
        self.tools.store.close()

    # --- Sockets ------------------------------------------------------------------------------------------------------

    def welcome(self, desk: Desk) -> protocol.Welcome:
        """What a page is told first."""
        return protocol.Welcome(
            protocol.VERSION, version("gansteer"), desk.key, desk.restored, self.tools.catalogue.infos, tuple(KINDS),
            tuple(ANSWERS), exports(), self.limits.upload_bytes, self.limits.upload_pixels,
            self.limits.keep_days,
        )  # fmt: skip

    async def seat(self, line: Line, key: str | None) -> Desk:
        """Give a page its desk. Raises Full."""
        problem = None
        try:
            desk = await self.desk(key)
        except UserError as error:
            problem, desk = str(error), await self.desk(None)
        await desk.attach(line, self.welcome(desk))
        if problem is not None:
            desk.fault(problem)
        return desk

    async def socket(self, websocket: WebSocket) -> None:
        """Serve one page until it goes away."""
        await websocket.accept()
        line = Line(websocket)
        try:
            desk = await self.seat(line, websocket.query_params.get("session"))
        except Full as full:
            await websocket.close(1013, str(full))
            return
        pump, listen = asyncio.create_task(line.pump()), asyncio.create_task(self._listen(line, desk))
        try:
            await asyncio.wait([pump, listen], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (pump, listen):
                task.cancel()
            await asyncio.gather(pump, listen, return_exceptions=True)
            for desk in self.desks.values():
                desk.detach(line)
            code, reason = line.closing or (1008, "this page does not read what it is sent")
            try:
                async with asyncio.timeout(1.0):
                    await websocket.close(code, reason.encode()[:120].decode(errors="ignore"))
            except (RuntimeError, TimeoutError, WebSocketDisconnect):
                pass  # it is closed already, or hears nothing

    async def _listen(self, line: Line, desk: Desk) -> None:
        while True:
            received = await line.websocket.receive()
            if received["type"] == "websocket.disconnect":
                line.hang_up(1000, "")
                return
            text = received.get("text")
            if text is None:
                line.hang_up(1003, "the studio reads text only")
                return
            try:
                message = protocol.decode(text)
            except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                line.hang_up(1008, f"this is no message of the studio: {' '.join(str(error).split())}")
                return
            if isinstance(message, protocol.Leave):
                desk.detach(line)
                try:
                    desk = await self.seat(line, None)
                except Full as full:
                    line.hang_up(1013, str(full))
                    return
            else:
                await desk.carefully(message)
            await asyncio.sleep(0)  # others have their turn

    # --- Files --------------------------------------------------------------------------------------------------------

    def _desk_of(self, request: Request) -> Desk:
        desk = self.desks.get(request.path_params["key"])
        if desk is None:
            raise NotOpen("this session is not open: open its page first")
        return desk

    async def node(self, request: Request) -> Response:
        """The picture of a node."""
        desk = self._desk_of(request)
        node = desk.find(request.path_params["id"])
        size = _number(request, "size", 0)
        data = await desk.draw(lambda: _drawn(node.subject, size, "PNG"))
        forever = {"cache-control": "private, max-age=31536000, immutable" if node.done else "no-store"}
        return Response(data, media_type="image/png", headers=forever)

    async def seed(self, request: Request) -> Response:
        """The picture of a seed."""
        desk = self._desk_of(request)
        seed, size = request.path_params["seed"], _number(request, "size", 0)
        psi = float(request.query_params.get("psi", "0.7"))
        if not -2 <= psi <= 2:
            raise UserError("psi must be from -2 to 2")
        name = request.query_params.get("model") or self.tools.catalogue.default

        def draw() -> bytes:
            model = self.tools.catalogue.load(name)
            label = 0 if model.generator.config.c_dim else None
            return _drawn(model.sample(seed, psi, label), size, "JPEG")

        forever = {"cache-control": "private, max-age=86400"}
        return Response(await desk.draw(draw), media_type="image/jpeg", headers=forever)

    async def change(self, request: Request) -> Response:
        """Where two nodes' pictures differ."""
        desk = self._desk_of(request)
        a, b = (desk.find(request.path_params[name]).subject for name in ("a", "b"))

        def draw() -> bytes:
            one, two = (each.image.convert("RGB") for each in (a, b))
            if one.size != two.size:
                raise UserError("these two pictures are of different size")
            grey, data = ImageChops.difference(one, two).convert("L"), BytesIO()
            most = grey.getextrema()[1]
            grey.point(lambda v: v * 255 // most if most else 0).save(data, "PNG")
            return data.getvalue()

        return Response(await desk.draw(draw), media_type="image/png", headers={"cache-control": "no-store"})

    async def export(self, request: Request) -> Response:
        """A file to keep."""
        desk, what = self._desk_of(request), request.path_params["what"]
        session, id = desk.session.copy(), request.path_params["id"]
        film, marks = desk.films.get(id, ()), request.query_params.get("marks") != "0"
        if what in FILMS:
            shots = await desk.draw(lambda: movie(session, session.find(id), film, marks))
            file = await asyncio.to_thread(film_file, shots, id, what)
        else:
            file = await desk.draw(lambda: export(session, id, what))
        return _download(file)

    async def file(self, request: Request) -> Response:
        """Something that was dropped on the page."""
        desk = self._desk_of(request)
        received = await self._receiver.receive(desk, await self._body(request), request.query_params)
        return Response(protocol.encode(received), media_type="application/json")

    async def paste(self, request: Request) -> Response:
        """The whole photo with a node's picture in it."""
        desk, body = self._desk_of(request), await self._body(request)
        subject, edit = desk.session.find(request.path_params["id"]).subject, self._brought(request)
        kind = request.query_params.get("kind", "jpeg")
        return _download(await desk.draw(lambda: self._receiver.paste(body, edit, subject, kind)))

    async def photo(self, request: Request) -> Response:
        """What was cut out of the photo that a node began with."""
        data = BytesIO()
        Image.fromarray(self._brought(request).picture.numpy()).save(data, "PNG")
        return Response(data.getvalue(), media_type="image/png", headers={"cache-control": "private, max-age=86400"})

    def _brought(self, request: Request) -> Inversion:
        """How the photo was brought in that a node began with. Raises UserError if it began otherwise."""
        session = self._desk_of(request).session
        for node in reversed(session.path(session.find(request.path_params["id"]).id)):
            if isinstance(node.edit, Inversion):
                return node.edit
        raise UserError("this picture did not begin with a photo")

    async def _body(self, request: Request) -> bytes:
        body, most = bytearray(), self.limits.upload_bytes
        async for piece in request.stream():
            body += piece
            if len(body) > most:
                raise TooLarge(f"this file is larger than {most >> 20} MB: take a smaller one")
        return bytes(body)


def _download(file: Export) -> Response:
    headers = {"content-disposition": f'attachment; filename="{file.name}"', "cache-control": "no-store"}
    return Response(file.data, media_type=file.kind, headers=headers)


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and int(text[:6]) == int(text)):
        raise UserError(f"{name} must be a number")
    return int(text)


def _drawn(subject: Subject, size: int, kind: str) -> bytes:
    """A subject's picture as a file; no side is longer than `size`, if that is not 0."""
    image, data = subject.image.convert("RGB"), BytesIO()
    if size:
        image.thumbnail((size, size), Image.Resampling.LANCZOS)
    image.save(data, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return data.getvalue()


def _refusal(text: str, status: int = 400) -> Response:
    return Response(msgspec.json.encode({"error": text}), status, media_type="application/json")


Endpoint = Callable[[Request], Awaitable[Response]]


def _careful(endpoint: Endpoint) -> Endpoint:
    """What goes wrong becomes an answer of one line."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except TooLarge as error:
            return _refusal(str(error), 413)
        except (UserError, ValueError) as error:
            return _refusal(" ".join(str(error).split()), 404 if isinstance(error, NoEntry | NotOpen) else 400)
        except Exception as error:
            return _refusal(explained(error), 500)

    return answer


def application(
    catalogue: Catalogue,
    folder: Path,
    *,
    limits: Limits | None = None,
    names: frozenset[str] | None,
    token: str | None = None,
    ready: Callable[[], None] = lambda: None,
) -> ASGIApp:
    """The studio as an ASGI application. Sessions are kept in `folder`; `names` and `token` are as in `Guard`.

    `ready` is called when the first model is open and its first picture drawn.
    """
    studio: Studio | None = None

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        nonlocal studio
        studio = Studio(catalogue, folder, limits or Limits())
        first = studio.tools.painter.draw(None, lambda: catalogue.load(catalogue.default).sample(0).image)
        await asyncio.wrap_future(first)
        tasks = [asyncio.create_task(studio.sweeping()), asyncio.create_task(studio.tidying())]
        ready()
        yield
        for task in tasks:
            task.cancel()
        await studio.close()

    def the(method: Callable[[Studio, Request], Awaitable[Response]]) -> Endpoint:
        def endpoint(request: Request) -> Awaitable[Response]:
            assert studio is not None
            return method(studio, request)

        return _careful(endpoint)

    async def socket(websocket: WebSocket) -> None:
        assert studio is not None
        await studio.socket(websocket)

    routes = [
        WebSocketRoute("/socket", socket),
        Route("/session/{key}", the(Studio.forget), methods=["DELETE"]),
        Route("/session/{key}/node/{id:int}", the(Studio.node)),
        Route("/session/{key}/seed/{seed:int}", the(Studio.seed)),
        Route("/session/{key}/change/{a:int}/{b:int}", the(Studio.change)),
        Route("/session/{key}/export/{id:int}/{what}", the(Studio.export)),
        Route("/session/{key}/file", the(Studio.file), methods=["POST"]),
        Route("/session/{key}/photo/{id:int}", the(Studio.photo)),
        Route("/session/{key}/paste/{id:int}", the(Studio.paste), methods=["POST"]),
        Route("/{path:path}", Pages().get),
    ]
    return Guard(Starlette(routes=routes, lifespan=lifespan), names, token)
