"""`gansteer studio`."""

import ipaddress
import secrets
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import tyro

from gansteer.errors import UserError


@dataclass(frozen=True)
class Studio:
    """Steer in the browser."""

    port: int = 8484
    """0 takes any that is free."""
    host: str = "127.0.0.1"
    """Where to listen. Others than this machine get in with the token in the address only."""
    models: Path | None = None
    """A folder of checkpoints to choose from, beside the models that come with gansteer."""
    network: str | None = None
    """Which network of those files that hold several, such as G instead of G_ema."""
    sessions: Annotated[str, tyro.conf.arg(metavar="PATH")] = "~/.gansteer/sessions"
    """The folder where sessions are kept."""
    open: bool = True
    """Open the page in the browser."""
    token: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None
    """The secret in the address; made up when it is needed. `none` for no secret, on this machine only."""
    origin: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """The address at which a tunnel shows the studio, such as https://name.example: its page is let in, with the token.
    For SSH's tunnels it is not needed."""
    device: str = "auto"
    most_sessions: int = 64
    """Sessions in memory at a time."""
    most_edits: int = 32
    """Edits at a time, running and waiting."""
    max_concurrent_edits: int = 16
    """Edits that take turns step by step; the others wait until one of them had a second, or ended."""
    idle_minutes: float = 5.0
    """A session that no page shows leaves the memory after so long; it stays on the disk."""
    keep_days: float | None = None
    """Days after which a session that nobody opened is deleted; by default all are kept. Files that you named yourself stay."""
    most_upload: int = 64
    """Megabytes that a dropped file may have."""
    most_pixels: int = 64
    """Million pixels that a dropped picture may have."""
    most_memory: int | None = None
    """Megabytes in use from which on nobody is let in and no edit begun; by default four fifths of the machine's."""

    def run(self) -> None:
        token = self.check()
        origins = self.origins()
        listener = self.listen()  # before torch is imported: a port that is taken is told at once
        address = self.address(listener.getsockname()[1], token)

        import uvicorn

        from gansteer.memory import keep_freed_memory, machine_memory
        from gansteer.studio.catalogue import Catalogue
        from gansteer.studio.server import Limits, application
        from gansteer.studio.store import Store

        keep_freed_memory()
        store = Store(Path(self.sessions).expanduser())
        catalogue = Catalogue(self.models, self.device, network=self.network)
        for line in catalogue.skipped:
            print(f"gansteer: not offered: {line}", file=sys.stderr)
        memory = machine_memory() * 4 // 5 if self.most_memory is None else self.most_memory << 20
        limits = Limits(
            self.most_sessions, self.most_edits, self.max_concurrent_edits, self.idle_minutes * 60, self.most_upload << 20,
            self.most_pixels * 1_000_000, memory or None, self.keep_days,
        )  # fmt: skip
        app = application(
            catalogue, store, limits=limits, names=self.names(), token=token,
            origins=origins, ready=lambda: self.announce(address),
        )  # fmt: skip
        config = uvicorn.Config(
            app, ws="websockets-sansio", http="h11", loop="asyncio", log_level="warning", access_log=False,
            server_header=False, proxy_headers=False, ws_max_size=1 << 20, ws_per_message_deflate=False, timeout_graceful_shutdown=3,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])

    def check(self) -> str | None:
        """The token. Raises UserError if flags make no sense or no safe place."""
        for name in ("most_sessions", "most_edits", "max_concurrent_edits", "most_upload", "most_pixels"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} must be at least 1")
        if not self.sessions:
            raise UserError("--sessions needs the name of a folder")
        if self.keep_days is not None and not self.keep_days > 0:
            raise UserError("--keep-days must be above 0")
        if self.token == "none" and self.origin:
            raise UserError("anybody could get in through the tunnel: leave --token none out")
        if self.token == "none":
            if not self.is_local:
                raise UserError(f"anybody could get in at {self.host}: leave --token out, or listen on 127.0.0.1")
            return None
        if self.token is not None:
            if len(self.token) < 16 or not all(c.isalnum() or c in "-_" for c in self.token):
                raise UserError("--token must have 16 or more letters, digits, - or _")
            return self.token
        return None if self.is_local and not self.origin else secrets.token_urlsafe(24)

    def origins(self) -> frozenset[str]:
        """The origins of pages that come through a tunnel, as browsers write them. Raises UserError for anything else."""
        found = set()
        for text in self.origin:
            try:
                parts = urlsplit(text)
                port = parts.port
            except ValueError:
                parts, port = urlsplit(""), None
            if (
                parts.scheme not in ("http", "https")
                or not parts.hostname
                or parts.path not in ("", "/")
                or parts.query
            ):
                raise UserError(
                    f"--origin {text}: write the address of the tunnel's page, such as https://name.example"
                )
            host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            usual = {"http": 80, "https": 443}[parts.scheme]
            found.add(f"{parts.scheme}://{host}" + ("" if port in (None, usual) else f":{port}"))
        return frozenset(found)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def names(self) -> frozenset[str] | None:
        """The names that it may be called by: its own; any where a token guards it."""
        from gansteer.studio.access import LOOPBACK

        tunnels = {urlsplit(origin).hostname or "" for origin in self.origins()}
        return LOOPBACK | {self.host, *tunnels} if self.is_local else None

    def listen(self) -> socket.socket:
        """The socket. Raises UserError if it can't be had."""
        try:
            family = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][0]
            return socket.create_server((self.host, self.port), family=family)
        except (OSError, OverflowError) as error:
            raise UserError(
                f"{self.host} port {self.port} can't be had ({error}): give another with --port, or 0 for any"
            ) from error

    def address(self, port: int, token: str | None) -> str:
        """What to open in the browser."""
        name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(self.host, self.host)
        name = f"[{name}]" if ":" in name else name
        return f"http://{name}:{port}/" + (f"?token={token}" if token else "")

    def announce(self, address: str) -> None:
        """Say where it is, and open it."""
        import threading
        import webbrowser

        print(f"The studio is at {address}", flush=True)
        for origin in sorted(self.origins()):
            print(
                f"Through the tunnel it is at {origin}/{urlsplit(address).query and '?' + urlsplit(address).query}",
                flush=True,
            )
        if self.open:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
