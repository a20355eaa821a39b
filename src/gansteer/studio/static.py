"""The page's own files."""

import hashlib
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".woff2": "font/woff2",
    ".png": "image/png",
}


class Pages:
    """The files in `web/` by their addresses, read once: no address ever becomes a path."""

    def __init__(self) -> None:
        self._files = dict(_walk(resources.files("gansteer") / "studio" / "web", "/"))
        self._files["/"] = self._files["/index.html"]

    async def get(self, request: Request) -> Response:
        """The file of the request's address."""
        found = self._files.get(request.url.path)
        if found is None:
            return Response("there is no such page", 404, media_type="text/plain")
        data, kind, tag = found
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=kind, headers=headers)


def _walk(folder: Traversable, address: str) -> Iterator[tuple[str, tuple[bytes, str, str]]]:
    """Addresses with content, media type and tag."""
    for each in folder.iterdir():
        if each.is_dir():
            yield from _walk(each, f"{address}{each.name}/")
        elif (kind := KINDS.get(PurePosixPath(each.name).suffix)) is not None:
            data = each.read_bytes()
            yield f"{address}{each.name}", (data, kind, f'"{hashlib.sha256(data).hexdigest()[:32]}"')
