"""Who may talk to the studio: this machine's own pages, and elsewhere those that know the token."""

import hmac
from collections.abc import MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
COOKIE = "gansteer"
POLICY = "; ".join(
    [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' blob: data:", "connect-src 'self'",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    ]
)  # fmt: skip
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Refuses requests and sockets that come by another name (DNS rebinding), from another page (cross-site), or
    without the token where there is one; adds the headers that keep the page to itself.
    """

    def __init__(
        self, app: ASGIApp, names: frozenset[str] | None, token: str | None, origins: frozenset[str] = frozenset()
    ) -> None:
        """`names` are the hosts that this server goes by (None: any, which only a token makes safe).

        `origins` are those of pages that come through a tunnel, such as `https://studio.example`, whichever host the
        tunnel calls the server by; they need a token.
        """
        assert token or (names is not None and not origins)
        self._app, self._names, self._token, self._origins = app, names, token, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        problem = self._problem(scope)
        if problem is not None:
            if scope["type"] == "websocket":  # closed before it is accepted: the client sees status 403
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": problem})
            else:
                await PlainTextResponse(problem, 403)(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if self._token and _query(scope).get("token") == [self._token]:
                    headers.append("set-cookie", f"{COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/")
            await send(message)

        await self._app(scope, receive, answer)

    def _problem(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._names is not None and _name(host) not in self._names:
            return "this studio does not go by that name: open it by the address that it printed"
        own = origin is None or origin in self._origins
        if not own and (urlsplit(origin).netloc != host or urlsplit(origin).scheme not in ("http", "https")):
            return "another site's page may not talk to this studio"
        followed = scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"  # a link to the page itself
        if not followed and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "another site's page may not talk to this studio"
        if self._token and not any(
            hmac.compare_digest(known, self._token.encode()) for known in _tokens(scope, headers)
        ):
            return "the address lacks the token: open the one that the studio printed"
        return None


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _query(scope: MutableMapping[str, Any]) -> dict[str, list[str]]:
    return parse_qs(scope.get("query_string", b"").decode("latin-1"))


def _tokens(scope: Scope, headers: Headers) -> list[bytes]:
    """What the request gives for a token, in its address and its cookie."""
    found = _query(scope).get("token", [])
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        cookie = None
    return [text.encode() for text in [*found, *([cookie.value] if cookie else [])]]
