"""Sessions on the disk: one `.steer` file each and, while an edit runs, the journal of its steps.

What lists of sessions show stands beside it: a name and how many pictures there are (`.about`), and a small picture (`.jpg`).
"""

import contextlib
import math
import os
import re
import secrets
import sys
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gansteer.errors import UserError
from gansteer.journal import open_journal
from gansteer.output import replacing
from gansteer.session import Session
from gansteer.steerfile import SUFFIX, Load, open_session, to_bytes, write

JOURNAL = ".steps"
ABOUT = ".about"
PICTURE = ".jpg"
LOCK = "studio.lock"
OFFSET = 1
"""Where the lock's file says who has it: Windows lets nobody read the byte that is locked."""
EARLIEST = 1_735_689_600.0
"""The beginning of 2025, before which there was no session: a file that says otherwise has its time from a wrong clock."""
KEY = re.compile(r"[A-Za-z0-9_-]{22}")
"""What a key looks like: 16 random bytes in base64."""


class FolderLock:
    """A folder taken for this process. The system frees it when the process ends, however that comes."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError, saying who has it, if another process has it; OSError if nothing can be written there."""
        self._file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            _take(self._file)
        except OSError as error:
            os.lseek(self._file, OFFSET, os.SEEK_SET)
            holder = os.read(self._file, 100).decode(errors="replace").strip() or "another process"
            os.close(self._file)
            raise UserError(
                f"the sessions in {folder} are open in another studio ({holder}): "
                "end that one, or give another folder with --sessions"
            ) from error
        now = time.strftime("%Y-%m-%d %H:%M")
        os.ftruncate(self._file, 0)
        os.lseek(self._file, OFFSET, os.SEEK_SET)
        os.write(self._file, f"process {os.getpid()} since {now}\n".encode())

    def release(self) -> None:
        """Leave the folder to others."""
        os.close(self._file)


def _take(file: int) -> None:
    """Take the lock of an open file for this process. Raises OSError if another has it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class _About(msgspec.Struct):
    """What the file says that stands beside a session."""

    name: str = ""
    pictures: int | None = None


@dataclass(frozen=True)
class Kept:
    """A session on the disk."""

    name: str
    """That a person gave it; empty if nobody did."""
    pictures: int | None
    """How many there are in it; None where an earlier release wrote it."""
    changed: float
    """When it was opened or changed last, in seconds since 1970."""


class Store:
    """A folder of sessions under keys that nobody can guess. All writing happens on one thread, in order."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder, for its owner's eyes only, and takes it for this process.

        Raises UserError if that is impossible, nothing can be written there, or another studio has it.
        """
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = FolderLock(folder)
        except OSError as error:
            raise UserError(
                f"no sessions can be kept in {folder} ({error.strerror}): give another folder with --sessions"
            ) from error
        for left in folder.glob(".*.part"):  # by a server that was killed while it wrote
            if time.time() - left.stat().st_mtime > 60:
                left.unlink(missing_ok=True)
        self._disk = ThreadPoolExecutor(1, "disk")

    def new_key(self) -> str:
        """A key that no session has."""
        return secrets.token_urlsafe(16)

    def journal(self, key: str) -> Path:
        """Where the running edit of a session keeps its steps. `key` must be one that this store gave."""
        return self._folder / f"{key}{JOURNAL}"

    def open(self, key: str, load: Load) -> Session | None:
        """The session of that key; None if there is none. Raises UserError if it can't be opened.

        It is brought to the last step of the edit that was running, as far as that can be read.

        The key is compared with those that are there and never made a path.
        """
        paths = {path.stem: path for path in self._folder.glob(f"*{SUFFIX}")}
        if key not in paths:
            return None
        with contextlib.suppress(OSError):
            os.utime(paths[key])  # `tidy` counts from here
        return self._read(paths[key], load)

    def read(self, key: str, load: Load) -> Session | None:
        """As `open`, for somebody who only looks: it does not count as opened. Other files than our own are not read."""
        path = self._made().get(key)
        return None if path is None else self._read(path, load)

    def _read(self, path: Path, load: Load) -> Session:
        session = open_session(path, load)
        with contextlib.suppress(UserError):  # such as one of another version: the session is whole without it
            open_journal(session, path.with_suffix(JOURNAL))
        return session

    def save(self, key: str, session: Session, running: bool) -> "Future[None]":
        """Write the session as it is now. The journal goes unless an edit is `running`: the session has all of it."""
        still = session.copy()

        def work() -> None:
            path = self._folder / f"{key}{SUFFIX}"
            write(to_bytes(still), path)
            self._tell(path, _About(self._told(path).name, len(still.nodes)))
            if not running:
                self.journal(key).unlink(missing_ok=True)

        return self._disk.submit(work)

    def kept(self, most: int) -> "Future[dict[str, Kept]]":
        """The sessions, by key, that were opened or changed last: `most` at most, the newest first."""

        def work() -> dict[str, Kept]:
            made = sorted(self._made().items(), key=lambda one: _changed(one[1]), reverse=True)[:most]
            abouts = {key: (self._told(path), _changed(path)) for key, path in made}
            return {key: Kept(about.name, about.pictures, changed) for key, (about, changed) in abouts.items()}

        return self._disk.submit(work)

    def rename(self, key: str, name: str, coming: bool) -> "Future[bool]":
        """Give a session a name, or none; whether there is that session, or `coming` says that its file is on its way.

        Raises UserError if nothing can be written.
        """

        def work() -> bool:
            path = self._folder / f"{key}{SUFFIX}" if coming else self._made().get(key)
            if path is not None:
                self._tell(path, _About(name, self._told(path).pictures))
            return path is not None

        return self._disk.submit(work)

    def picture(self, key: str) -> "Future[bytes | None]":
        """The small picture of a session; None if there is none, or the session was changed since."""

        def work() -> bytes | None:
            path = self._made().get(key)
            picture = None if path is None else path.with_suffix(PICTURE)
            if path is None or picture is None or not picture.exists() or _changed(picture) < _changed(path):
                return None
            return picture.read_bytes()

        return self._disk.submit(work)

    def keep_picture(self, key: str, data: bytes) -> "Future[None]":
        """Put the small picture of a session beside it."""

        def work() -> None:
            path = self._made().get(key)
            if path is not None:
                with contextlib.suppress(OSError):  # it will be drawn again
                    path.with_suffix(PICTURE).write_bytes(data)

        return self._disk.submit(work)

    def _told(self, path: Path) -> _About:
        """What stands beside a session; nothing, if that cannot be read."""
        try:
            return msgspec.json.decode(path.with_suffix(ABOUT).read_bytes()[:4096], type=_About)
        except (OSError, msgspec.MsgspecError):
            return _About()

    def _tell(self, path: Path, about: _About) -> None:
        with replacing(path.with_suffix(ABOUT)) as new:
            new.write_bytes(msgspec.json.encode(about))

    def has(self, key: str) -> "Future[bool]":
        """Whether a session of that key is on the disk."""
        return self._disk.submit(lambda: key in self._made())

    def forget(self, key: str) -> "Future[bool]":
        """Delete a session; whether there was one."""
        return self._disk.submit(lambda: key in self._made() and self._delete(self._made()[key]))

    def tidy(self, days: float, but: Collection[str]) -> "Future[int]":
        """Delete the sessions, `but` for some, that were neither opened nor changed for `days` days; returns how many."""

        def work() -> int:
            end = time.time() - days * 86_400
            made = {key: path for key, path in self._made().items() if key not in but}
            for path in made.values():
                if _changed(path) < EARLIEST:  # by a clock that was not set: it counts from now
                    with contextlib.suppress(OSError):
                        os.utime(path)
            old = [path for path in made.values() if _changed(path) < end]
            return sum(self._delete(path) for path in old)

        return self._disk.submit(work)

    def _made(self) -> dict[str, Path]:
        """The sessions that this store made, by key. Files that a person named are not among them."""
        return {path.stem: path for path in self._folder.glob(f"*{SUFFIX}") if KEY.fullmatch(path.stem)}

    def _delete(self, path: Path) -> bool:
        """Delete a session with its journal; whether that could be done."""
        try:
            path.unlink()
            for suffix in (JOURNAL, ABOUT, PICTURE):
                path.with_suffix(suffix).unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Wait until everything is written, and leave the folder to others."""
        self._disk.shutdown()
        self._lock.release()


def _changed(path: Path) -> float:
    """When a file was changed; never, if it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return math.inf
