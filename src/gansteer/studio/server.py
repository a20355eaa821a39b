"""The web server: who has which session, one socket for each page, and all addresses."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from gansteer.edits.registry import KINDS, queries
from gansteer.errors import UserError
from gansteer.memory import give_back_memory, used_memory
from gansteer.studio import protocol
from gansteer.studio.access import Guard
from gansteer.studio.catalogue import Catalogue
from gansteer.studio.connection import Connection
from gansteer.studio.export import exports
from gansteer.studio.http_routes import Endpoint, Files, careful
from gansteer.studio.kept_sessions import KeptSessions
from gansteer.studio.services import Services
from gansteer.studio.static import Pages
from gansteer.studio.store import Store
from gansteer.studio.workers import MAX_CONCURRENT, EditScheduler, RenderWorker
from gansteer.studio.workspace import Workspace

SWEEP = 5.0
"""Seconds between looks for sessions that nobody needs in memory."""
SPARE = 64 << 20
"""Bytes by which memory may have grown, when no edit runs, before what was freed goes back to the system."""
TIDY = 3600.0
"""Seconds between looks for sessions that are kept no longer."""


@dataclass(frozen=True)
class Limits:
    """How much the studio takes on."""

    sessions: int = 64
    """In memory at a time."""
    queue: int = 32
    """Edits at a time, running and waiting."""
    concurrent: int = MAX_CONCURRENT
    """Edits that take turns, step by step."""
    idle: float = 300.0
    """Seconds after which a session that no page shows leaves the memory."""
    upload_bytes: int = 64 << 20
    upload_pixels: int = 64_000_000
    memory_bytes: int | None = None
    """No session and no edit begins while the process uses more."""
    keep_days: float | None = None
    """Sessions that nobody opened for longer are deleted from the disk; None keeps them for good."""


class Full(Exception):
    """There is no room for another session."""


class Studio:
    """All workspaces, and the services that they share. Lives on one event loop."""

    def __init__(self, catalogue: Catalogue, store: Store, limits: Limits) -> None:
        self.limits = limits
        self.workspaces: dict[str, Workspace] = {}
        loop = asyncio.get_running_loop()
        self.services = Services(
            catalogue,
            EditScheduler(self._queue_changed_elsewhere, limits.queue, limits.concurrent),
            RenderWorker(),
            store,
            loop,
            limits.memory_bytes,
        )
        self._opening = asyncio.Lock()
        self.kept = KeptSessions(self.workspaces, self.services, self._opening)
        self.files = Files(self.workspaces, catalogue, limits.upload_bytes, limits.upload_pixels)
        self._version, self._exports = version("gansteer"), exports()  # found on the disk: once, not for every page

    def _queue_changed_elsewhere(self) -> None:  # on the scheduler's thread
        self.services.loop.call_soon_threadsafe(self._queue_changed)

    def _queue_changed(self) -> None:
        for workspace in self.workspaces.values():
            if workspace.work is not None:
                workspace.tell()

    async def workspace(self, key: str | None) -> Workspace:
        """The workspace of a session: the one in memory, or from the disk, or a new one under a new key. Raises Full."""
        async with self._opening:
            if key in self.workspaces:
                return self.workspaces[key]
            await self._make_room()
            if key:
                session = await asyncio.to_thread(self.services.store.open, key, self.services.catalogue.load)
                if session is not None:
                    self.workspaces[key] = Workspace(self.services, key, session)
                    return self.workspaces[key]
            fresh = self.services.store.new_key()
            self.workspaces[fresh] = Workspace(self.services, fresh)
            return self.workspaces[fresh]

    async def _make_room(self) -> None:
        if len(self.workspaces) >= self.limits.sessions:
            await self.sweep(0.0, self.limits.sessions - 1)
        if len(self.workspaces) >= self.limits.sessions:
            raise Full(f"{len(self.workspaces)} people are here already: try again later")
        try:
            self.services.check_memory()
        except UserError as error:
            raise Full(str(error)) from error

    async def sweep(self, idle: float, keep: int = 0) -> None:
        """Let the longest unused workspaces go that have been without a page for `idle` seconds, down to `keep` workspaces.

        An edit that nobody has watched for as long is stopped first; it can be resumed.
        """
        now, before = self.services.loop.time(), len(self.workspaces)
        for workspace in sorted(self.workspaces.values(), key=lambda workspace: workspace.left_at):
            if len(self.workspaces) <= keep:
                break
            if workspace.connection is not None or now - workspace.left_at < idle:
                continue
            if idle:
                await workspace.stop()
            if workspace.free:
                self.workspaces.pop(workspace.key, None)
        if len(self.workspaces) < before:
            await asyncio.to_thread(give_back_memory)

    async def sweeping(self) -> None:
        """Sweep for ever, try again to write what could not be written, and give back what edits have left of memory."""
        after = 0
        while True:
            await asyncio.sleep(min(SWEEP, self.limits.idle))
            await self.sweep(self.limits.idle)
            for workspace in self.workspaces.values():
                if workspace.touched and not workspace.saved:
                    workspace.save()
            if self.services.scheduler.idle and used_memory() > after + SPARE:
                await asyncio.to_thread(give_back_memory)
                after = used_memory()

    async def tidying(self) -> None:
        """Delete sessions that nobody opened for too long, now and every hour, and say so."""
        while self.limits.keep_days is not None:
            gone = await asyncio.wrap_future(
                self.services.store.tidy(self.limits.keep_days, frozenset(self.workspaces))
            )
            if gone:
                old = f"nobody opened for {self.limits.keep_days:g} days"
                print(f"gansteer: {gone} session{'s' * (gone > 1)} that {old} deleted", file=sys.stderr)
            await asyncio.sleep(TIDY)

    async def close(self) -> None:
        """Stop all edits and write all sessions."""
        for workspace in list(self.workspaces.values()):
            await workspace.close()
        self.services.scheduler.close()
        self.services.renderer.close()
        self.services.previews.close()
        self.services.store.close()

    # --- Sockets ------------------------------------------------------------------------------------------------------

    def welcome(self, workspace: Workspace) -> protocol.Welcome:
        """What a page is told first."""
        return protocol.Welcome(
            protocol.VERSION, self._version, workspace.key, workspace.restored, self.services.catalogue.infos, tuple(KINDS),
            queries(), self._exports, self.limits.upload_bytes, self.limits.upload_pixels,
            self.limits.keep_days,
        )  # fmt: skip

    async def seat(self, connection: Connection, key: str | None) -> Workspace:
        """Give a page its workspace. Raises Full."""
        problem = None
        try:
            workspace = await self.workspace(key)
        except UserError as error:
            problem, workspace = str(error), await self.workspace(None)
        await workspace.attach(connection, self.welcome(workspace))
        if problem is not None:
            workspace.fault(problem)
        return workspace

    async def socket(self, websocket: WebSocket) -> None:
        """Serve one page until it goes away."""
        await websocket.accept()
        connection = Connection(websocket)
        try:
            workspace = await self.seat(connection, websocket.query_params.get("session"))
        except Full as full:
            await websocket.close(1013, str(full))
            return
        pump, listen = asyncio.create_task(connection.pump()), asyncio.create_task(self._listen(connection, workspace))
        try:
            await asyncio.wait([pump, listen], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (pump, listen):
                task.cancel()
            await asyncio.gather(pump, listen, return_exceptions=True)
            for workspace in self.workspaces.values():
                workspace.detach(connection)
            code, reason = connection.closing or (1008, "this page does not read what it is sent")
            try:
                async with asyncio.timeout(1.0):
                    await websocket.close(code, reason.encode()[:120].decode(errors="ignore"))
            except (RuntimeError, TimeoutError, WebSocketDisconnect):
                pass  # it is closed already, or hears nothing

    async def _listen(self, connection: Connection, workspace: Workspace) -> None:
        while True:
            received = await connection.websocket.receive()
            if received["type"] == "websocket.disconnect":
                connection.hang_up(1000, "")
                return
            text = received.get("text")
            if text is None:
                connection.hang_up(1003, "the studio reads text only")
                return
            try:
                message = protocol.decode(text)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                connection.hang_up(1008, f"this is no message of the studio: {' '.join(str(error).split())}")
                return
            if isinstance(message, protocol.Leave):
                workspace.detach(connection)
                try:
                    workspace = await self.seat(connection, None)
                except Full as full:
                    connection.hang_up(1013, str(full))
                    return
            else:
                await workspace.carefully(message)
            await asyncio.sleep(0)  # others have their turn


def application(
    catalogue: Catalogue,
    store: Store,
    *,
    limits: Limits | None = None,
    names: frozenset[str] | None,
    token: str | None = None,
    origins: frozenset[str] = frozenset(),
    ready: Callable[[], None] = lambda: None,
) -> ASGIApp:
    """The studio as an ASGI application. Sessions are kept in `store`, which is closed at the end.

    `names`, `token` and `origins` are as in `Guard`.

    `ready` is called when the first model is open and its first picture drawn.
    """
    studio: Studio | None = None

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        nonlocal studio
        studio = Studio(catalogue, store, limits or Limits())
        first = studio.services.renderer.draw(None, lambda: catalogue.load(catalogue.default).sample(0).image)
        await asyncio.wrap_future(first)
        tasks = [asyncio.create_task(studio.sweeping()), asyncio.create_task(studio.tidying())]
        ready()
        yield
        for task in tasks:
            task.cancel()
        await studio.close()

    def the(endpoint_of: Callable[[Studio], Endpoint]) -> Endpoint:
        def endpoint(request: Request) -> Awaitable[Response]:
            assert studio is not None
            return endpoint_of(studio)(request)

        return careful(endpoint)

    async def socket(websocket: WebSocket) -> None:
        assert studio is not None
        await studio.socket(websocket)

    routes = [
        WebSocketRoute("/socket", socket),
        Route("/sessions", the(lambda studio: studio.kept.all)),
        Route("/session/{key}", the(lambda studio: studio.kept.one)),
        Route("/session/{key}", the(lambda studio: studio.kept.forget), methods=["DELETE"]),
        Route("/session/{key}/name", the(lambda studio: studio.kept.name), methods=["POST"]),
        Route("/session/{key}/picture", the(lambda studio: studio.kept.picture)),
        Route("/session/{key}/node/{id:int}", the(lambda studio: studio.files.node)),
        Route("/session/{key}/seed/{seed:int}", the(lambda studio: studio.files.seed)),
        Route("/session/{key}/change/{a:int}/{b:int}", the(lambda studio: studio.files.change)),
        Route("/session/{key}/export/{id:int}/{what}", the(lambda studio: studio.files.export)),
        Route("/session/{key}/walk/{what}", the(lambda studio: studio.files.walk)),
        Route("/session/{key}/file", the(lambda studio: studio.files.file), methods=["POST"]),
        Route("/session/{key}/photo/{id:int}", the(lambda studio: studio.files.photo)),
        Route("/session/{key}/paste/{id:int}", the(lambda studio: studio.files.paste), methods=["POST"]),
        Route("/{path:path}", Pages().get),
    ]
    return Guard(Starlette(routes=routes, lifespan=lifespan), names, token, origins)
