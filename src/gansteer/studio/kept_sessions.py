"""The sessions on the disk as a person sees them: names, small pictures, renaming, deleting."""

import asyncio
from io import BytesIO

import msgspec
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from gansteer.errors import UserError
from gansteer.session import Session
from gansteer.studio import protocol
from gansteer.studio.http_routes import NotOpen, refusal
from gansteer.studio.services import Services
from gansteer.studio.workspace import Workspace

SIDE = 192
"""Pixels of a small picture's longer side."""
LONGEST_NAME = 80
"""Letters of a session's name."""
MOST = 200
"""Sessions that are told of, the newest."""
NOW = {"cache-control": "no-store"}


class KeptSessions:
    """Which sessions there are, for every page that may talk to this studio."""

    def __init__(self, workspaces: dict[str, Workspace], services: Services, opening: asyncio.Lock) -> None:
        """`workspaces` by their keys, as they come and go; `opening` is held while one comes or goes."""
        self._workspaces, self._services, self._opening = workspaces, services, opening
        self._drawing = asyncio.Lock()
        """One session at a time is read for its small picture: it may be large."""

    async def all(self, request: Request) -> Response:
        """All that are on the disk, the newest first."""
        kept = await asyncio.wrap_future(self._services.store.kept(MOST))
        infos = [
            protocol.SessionInfo(key, about.name, about.pictures, 1000 * about.changed, self._shown(key))
            for key, about in kept.items()
        ]
        return Response(msgspec.json.encode(infos), media_type="application/json", headers=NOW)

    def _shown(self, key: str) -> bool:
        workspace = self._workspaces.get(key)
        return workspace is not None and workspace.connection is not None

    async def one(self, request: Request) -> Response:
        """Whether there is a session to go back to."""
        kept = await asyncio.wrap_future(self._services.store.has(request.path_params["key"]))
        return Response(msgspec.json.encode({"kept": kept}), media_type="application/json", headers=NOW)

    async def name(self, request: Request) -> Response:
        """Give a session the name in the body; an empty one takes it away."""
        key, name = request.path_params["key"], await named(request)
        workspace = self._workspaces.get(key)
        if workspace is not None and not workspace.touched:
            workspace.save()  # one with a name is one to come back to
        if not await asyncio.wrap_future(self._services.store.rename(key, name, workspace is not None)):
            raise NotOpen("there is no such session")
        return Response(msgspec.json.encode({"name": name}), media_type="application/json", headers=NOW)

    async def picture(self, request: Request) -> Response:
        """The picture that a session shows, small, as JPEG."""
        key, store = request.path_params["key"], self._services.store
        async with self._drawing:
            data = await asyncio.wrap_future(store.picture(key))
            if data is None:
                subject = (await self._session(key)).node.subject
                drawn = self._services.renderer.draw(self, lambda: small(subject.image), key)
                data = bytes(await asyncio.wrap_future(drawn))
                store.keep_picture(key, data)
        return Response(data, media_type="image/jpeg", headers=NOW)

    async def _session(self, key: str) -> Session:
        """A session of that key: the one in memory or, for as long as it takes, the one on the disk. Raises NotOpen."""
        workspace = self._workspaces.get(key)
        if workspace is not None:
            return workspace.session.copy()
        session = await asyncio.to_thread(self._services.store.read, key, self._services.catalogue.load)
        if session is None:
            raise NotOpen("there is no such session")
        return session

    async def forget(self, request: Request) -> Response:
        """Delete a session that no page shows."""
        key = request.path_params["key"]
        async with self._opening:
            workspace = self._workspaces.get(key)
            if workspace is not None:
                if workspace.connection is not None:
                    return refusal("this session is open in a page: begin a new one there first", 409)
                await workspace.close()
                self._workspaces.pop(key, None)
            if not await asyncio.wrap_future(self._services.store.forget(key)):
                raise NotOpen("there is no such session")
        return Response(status_code=204)


async def named(request: Request) -> str:
    """The name of a session as a person typed it, in one line. Raises UserError for what is none."""
    text = b""
    async for piece in request.stream():
        text += piece
        if len(text) > 8 * LONGEST_NAME:
            break
    name = " ".join(text.decode(errors="replace").split())
    if len(name) > LONGEST_NAME:
        raise UserError(f"a name has {LONGEST_NAME} letters at most")
    if not name.isprintable():
        raise UserError("a name is made of letters that can be seen")
    return name


def small(picture: Image.Image) -> bytes:
    """A picture as a small JPEG."""
    image, data = picture.convert("RGB"), BytesIO()
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    image.save(data, "JPEG", quality=88)
    return data.getvalue()
