"""What is fetched from a session by HTTP, and dropped on its page: pictures, photos, exports."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO

import msgspec
from PIL import Image, ImageChops
from starlette.requests import Request
from starlette.responses import Response

from gansteer.edits.inversion.edit import Inversion
from gansteer.errors import UserError
from gansteer.mixing import walk
from gansteer.session import NoEntry
from gansteer.studio import protocol
from gansteer.studio.catalogue import Catalogue
from gansteer.studio.export import FILMS, Export, export, film_file, movie, walked
from gansteer.studio.pictures import Pictures
from gansteer.studio.uploads import Receiver
from gansteer.studio.workers import explained
from gansteer.studio.workspace import Workspace
from gansteer.subject import Subject

LARGEST = 2048
"""Pixels of the side of a picture or film that is drawn larger than the model's."""
MOST_FRAMES, MOST_STOPS = 300, 24
"""Of a film from picture to picture."""


class TooLarge(Exception):
    """A file has more bytes than are allowed."""


class NotOpen(UserError):
    """A session is not there."""


class NotWanted(Exception):
    """The page that asked for a file went away."""


class Wanted:
    """Watches whether a request is still waited for while its answer is being made, on another thread."""

    def __init__(self, request: Request, told: Callable[[int, int], None]) -> None:
        """`told` is called on the event loop with how much is done, and of how much."""
        self._request, self._told = request, told
        self._loop = asyncio.get_running_loop()
        self._gone = False

    async def __aenter__(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def __aexit__(self, *error: object) -> None:
        self._watching.cancel()

    async def _watch(self) -> None:
        while not await self._request.is_disconnected():
            await asyncio.sleep(0.2)
        self._gone = True

    def told(self, done: int, of: int) -> None:
        """Tell how much is done, from any thread. Raises NotWanted if nobody waits any more."""
        if self._gone:
            raise NotWanted
        self._loop.call_soon_threadsafe(self._told, done, of)


class Files:
    """The files of all workspaces; `protocol.py` lists their addresses."""

    def __init__(
        self, workspaces: Mapping[str, Workspace], catalogue: Catalogue, most_bytes: int, most_pixels: int
    ) -> None:
        """`workspaces` by their keys, as they come and go; `most_bytes` and `most_pixels` bound what is dropped."""
        self._desks, self._catalogue, self._most_bytes = workspaces, catalogue, most_bytes
        self._receiver = Receiver(most_pixels)
        self._pictures = Pictures()

    def _workspace_of(self, request: Request) -> Workspace:
        workspace = self._desks.get(request.path_params["key"])
        if workspace is None:
            raise NotOpen("this session is not open: open its page first")
        return workspace

    async def node(self, request: Request) -> Response:
        """The picture of a node."""
        workspace = self._workspace_of(request)
        node = workspace.find(request.path_params["id"])
        size = _number(request, "size", 0)
        data = await workspace.draw(lambda: _packed(self._pictures.of(node.subject), size, "PNG"))
        forever = {"cache-control": "private, max-age=31536000, immutable" if node.done else "no-store"}
        return Response(data, media_type="image/png", headers=forever)

    async def seed(self, request: Request) -> Response:
        """The picture of a seed."""
        workspace = self._workspace_of(request)
        seed, size = request.path_params["seed"], _number(request, "size", 0)
        psi = _psi(request)
        name = request.query_params.get("model") or self._catalogue.default

        def draw() -> bytes:
            model = self._catalogue.load(name)
            label = 0 if model.generator.config.c_dim else None
            return _packed(model.sample(seed, psi, label).image, size, "JPEG")

        forever = {"cache-control": "private, max-age=86400"}
        return Response(await workspace.draw(draw), media_type="image/jpeg", headers=forever)

    async def change(self, request: Request) -> Response:
        """Where two nodes' pictures differ."""
        workspace = self._workspace_of(request)
        a, b = (workspace.find(request.path_params[name]).subject for name in ("a", "b"))

        def draw() -> bytes:
            one, two = (self._pictures.of(each).convert("RGB") for each in (a, b))
            if one.size != two.size:
                raise UserError("these two pictures are of different size")
            grey, data = ImageChops.difference(one, two).convert("L"), BytesIO()
            most = grey.getextrema()[1]
            grey.point(lambda v: v * 255 // most if most else 0).save(data, "PNG")
            return data.getvalue()

        return Response(await workspace.draw(draw), media_type="image/png", headers={"cache-control": "no-store"})

    async def export(self, request: Request) -> Response:
        """A file to keep."""
        workspace, what = self._workspace_of(request), request.path_params["what"]
        session, id = workspace.session.copy(), request.path_params["id"]
        film, marks = workspace.films.get(id, ()), request.query_params.get("marks") != "0"
        size = _number(request, "size", 0)
        if size > LARGEST:
            raise UserError(f"files have sides of {LARGEST} pixels at most")
        if what not in FILMS:
            return _download(await workspace.draw(lambda: export(session, id, what, size)))
        wanted = Wanted(request, lambda done, of: workspace.exporting(id, what, done, of))
        async with wanted:
            shots = await workspace.draw(lambda: movie(session, session.find(id), film, marks, size, wanted.told))
            return _download(await asyncio.to_thread(film_file, shots, id, what))

    async def walk(self, request: Request) -> Response:
        """A film from picture to picture."""
        workspace, what = self._workspace_of(request), request.path_params["what"]
        if what not in FILMS:
            raise UserError(f"a film is {', '.join(FILMS)}, not {what}")
        count, loop = _number(request, "frames", 60), request.query_params.get("loop") == "1"
        words = [word for word in request.query_params.get("stops", "").split(",") if word]
        if count > MOST_FRAMES or len(words) > MOST_STOPS:
            raise UserError(f"a film here has {MOST_FRAMES} pictures and {MOST_STOPS} stops at most")
        stops = [await self._stop(request, workspace, word) for word in words]
        way = walk(stops, count, loop)
        here = workspace.session.node.id
        wanted = Wanted(request, lambda done, of: workspace.exporting(here, what, done, of))
        async with wanted:
            shots = await workspace.draw(lambda: walked(way, count, wanted.told))
            return _download(await asyncio.to_thread(film_file, shots, "walk", what, not loop))

    async def _stop(self, request: Request, workspace: Workspace, word: str) -> Subject:
        """The subject that one word of a walk stands for. Raises UserError."""
        if word[0] == "n":
            return workspace.find(_whole(word[1:], "a node")).subject
        seed, model = _whole(word, "a seed"), workspace.session.node.subject.model
        label = 0 if model.generator.config.c_dim else None
        psi = _psi(request)
        subject: Subject = await workspace.draw(lambda: model.sample(seed, psi, label))
        return subject

    async def file(self, request: Request) -> Response:
        """Something that was dropped on the page."""
        workspace = self._workspace_of(request)
        received = await self._receiver.receive(workspace, await self._body(request), request.query_params)
        return Response(protocol.encode(received), media_type="application/json")

    async def paste(self, request: Request) -> Response:
        """The whole photo with a node's picture in it."""
        workspace, body = self._workspace_of(request), await self._body(request)
        subject, edit = workspace.session.find(request.path_params["id"]).subject, self._brought(request)
        kind = request.query_params.get("kind", "jpeg")
        return _download(await workspace.draw(lambda: self._receiver.paste(body, edit, subject, kind)))

    async def photo(self, request: Request) -> Response:
        """What was cut out of the photo that a node began with."""
        data = BytesIO()
        Image.fromarray(self._brought(request).picture.numpy()).save(data, "PNG")
        return Response(data.getvalue(), media_type="image/png", headers={"cache-control": "private, max-age=86400"})

    def _brought(self, request: Request) -> Inversion:
        """How the photo was brought in that a node began with. Raises UserError if it began otherwise."""
        session = self._workspace_of(request).session
        for node in reversed(session.path(session.find(request.path_params["id"]).id)):
            if isinstance(node.edit, Inversion):
                return node.edit
        raise UserError("this picture did not begin with a photo")

    async def _body(self, request: Request) -> bytes:
        body, most = bytearray(), self._most_bytes
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
    if len(text) > 6:
        raise UserError(f"{name} must be a number")
    return _whole(text, name)


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise UserError(f"{name} must be a number")
    return int(text)


def _psi(request: Request) -> float:
    psi = float(request.query_params.get("psi", "0.7"))
    if not -2 <= psi <= 2:
        raise UserError("psi must be from -2 to 2")
    return psi


def _packed(picture: Image.Image, size: int, kind: str) -> bytes:
    """A picture as a file; no side is longer than `size`, if that is not 0."""
    image, data = picture.convert("RGB"), BytesIO()
    if size:
        image.thumbnail((size, size), Image.Resampling.LANCZOS)
    image.save(data, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return data.getvalue()


def refusal(text: str, status: int = 400) -> Response:
    """An answer that says in one line what went wrong."""
    return Response(msgspec.json.encode({"error": text}), status, media_type="application/json")


Endpoint = Callable[[Request], Awaitable[Response]]
"""What answers requests."""


def careful(endpoint: Endpoint) -> Endpoint:
    """What goes wrong becomes an answer of one line."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except NotWanted:
            return Response(status_code=499)
        except TooLarge as error:
            return refusal(str(error), 413)
        except (UserError, ValueError) as error:
            return refusal(" ".join(str(error).split()), 404 if isinstance(error, NoEntry | NotOpen) else 400)
        except Exception as error:
            return refusal(explained(error), 500)

    return answer
