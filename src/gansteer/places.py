"""Files and folders by path, or by any address that fsspec knows: `s3://bucket/jobs.jsonl`, `hf://datasets/...`, `memory://...`."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from gansteer.errors import UserError
from gansteer.output import check_writable, replacing

UNSAVED, SHARE = 10, 50
"""A log at an address is written anew when so many lines, and one in so many of all, are not in it yet."""


class Address(type(Path())):  # type: ignore[misc]  # the path class of this system
    """An address as it was typed; a path would lose one of the slashes of `s3://`. It goes where paths go on their way here."""

    text = ""
    """Empty for the parts of one, which pathlib makes."""

    def __new__(cls, text: str) -> "Address":
        self: Address = super().__new__(cls, text)
        self.text = text
        return self

    def __str__(self) -> str:
        """What was typed."""
        return self.text or super().__str__()

    def __reduce__(self) -> tuple[Any, ...]:
        return Address, (self.text,)


def place(text: str) -> Path:
    """The path that a person typed, or the address."""
    return Address(text) if "://" in text else Path(text)


def read_bytes(where: Path) -> bytes:
    """What a file holds. Raises OSError, and UserError for an address that can't be read."""
    if not isinstance(where, Address):
        return where.read_bytes()
    with _complaining(where):
        filesystem, path = _filesystem(where)
        return bytes(filesystem.cat_file(path))


def write_bytes(where: Path, data: bytes) -> None:
    """Write a file, complete or not at all. Raises UserError."""
    if not isinstance(where, Address):
        with replacing(where) as temporary:
            temporary.write_bytes(data)
        return
    with _complaining(where):
        filesystem, path = _filesystem(where)
        filesystem.makedirs(filesystem._parent(path), exist_ok=True)
        filesystem.pipe_file(path, data)


def check_place(where: Path) -> None:
    """Raise UserError now, before the work, if a file could not be written there after it. Addresses are asked as we write."""
    if isinstance(where, Address):
        with _complaining(where):
            _filesystem(where)
    else:
        check_writable(where)


class Folder(ABC):
    """Where results are put."""

    @abstractmethod
    def names(self) -> list[str]:
        """What lies there, sorted."""

    @abstractmethod
    def at(self, name: str) -> Path:
        """A file in it."""

    @abstractmethod
    def log(self, name: str) -> "Log":
        """A file of lines in it, to be added to."""


class Log(ABC):
    """A file of lines to which more are added."""

    @abstractmethod
    def lines(self) -> list[str]:
        """What was in it at the beginning."""

    @abstractmethod
    def add(self, line: str) -> None:
        """One more."""

    @abstractmethod
    def close(self) -> None:
        """Write what isn't written."""


def open_folder(where: Path, flag: str = "--out", *, make: bool = True) -> Folder:
    """The folder at a path or an address, made if it is not there. Raises UserError where that can't be."""
    if isinstance(where, Address):
        with _complaining(where):
            filesystem, path = _filesystem(where)
            if make:
                filesystem.makedirs(path, exist_ok=True)
        return RemoteFolder(where)
    try:
        if make:
            where.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"{flag} {where} cannot be made a folder: {error.strerror}") from error
    return LocalFolder(where)


@dataclass(frozen=True)
class LocalFolder(Folder):
    """One of this machine."""

    path: Path

    def names(self) -> list[str]:
        return sorted(os.listdir(self.path))

    def at(self, name: str) -> Path:
        return self.path / name

    def log(self, name: str) -> "LocalLog":
        """Raises UserError if it could not be written."""
        check_writable(self.path / name)
        return LocalLog(self.path / name)


class LocalLog(Log):
    """Every line is in the file as soon as it is added."""

    def __init__(self, path: Path) -> None:
        self._lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._file = path.open("a", encoding="utf-8")
        self._file.write("\n" if self._file.tell() else "")  # the last line may have been cut short

    def lines(self) -> list[str]:
        return self._lines

    def add(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class RemoteFolder(Folder):
    """One at an address."""

    address: Address

    def names(self) -> list[str]:
        with _complaining(self.address):
            filesystem, path = _filesystem(self.address)
            return sorted(PurePosixPath(found.rstrip("/")).name for found in filesystem.ls(path, detail=False))

    def at(self, name: str) -> Path:
        return Address(f"{self.address.text.rstrip('/')}/{name}")

    def log(self, name: str) -> "RemoteLog":
        return RemoteLog(self.at(name))


@dataclass
class RemoteLog(Log):
    """Such places only take whole files, so it is written anew from time to time, and when it is closed."""

    where: Path
    found: list[str] = field(default_factory=list)
    unsaved: int = 0

    def __post_init__(self) -> None:
        with suppress(FileNotFoundError):
            whole = read_bytes(self.where).decode("utf-8", "replace")
            self.found = whole[: whole.rfind("\n") + 1].splitlines()  # what was cut short is as if it were not there

    def lines(self) -> list[str]:
        return list(self.found)

    def add(self, line: str) -> None:
        self.found.append(line)
        self.unsaved += 1
        if self.unsaved >= UNSAVED + len(self.found) // SHARE:
            self.close()

    def close(self) -> None:
        if self.unsaved:
            write_bytes(self.where, "".join(line + "\n" for line in self.found).encode())
            self.unsaved = 0


def _filesystem(where: Address) -> tuple[Any, str]:
    """What serves an address, and its path there. Raises UserError if fsspec, or what it needs for such ones, is missing."""
    try:
        import fsspec
    except ImportError as error:
        raise UserError(f"{where}: addresses need the extra: run pip install 'gansteer[cluster]'") from error
    try:
        found: tuple[Any, str] = fsspec.url_to_fs(where.text)
    except ImportError as error:
        raise UserError(f"{where}: {error}") from error
    return found


@contextmanager
def _complaining(where: Address) -> Iterator[None]:
    """Say in one line what a place refuses, whatever its library raises. That there is no such file passes through."""
    try:
        yield
    except (UserError, FileNotFoundError):
        raise
    except Exception as error:
        raise UserError(f"{where}: {' '.join(str(error).split()) or type(error).__name__}") from error
