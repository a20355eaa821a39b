"""Sessions on the disk: one `.steer` file each and, while an edit runs, the journal of its steps."""

import secrets
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from gansteer.errors import UserError
from gansteer.session import Session
from gansteer.steerfile import SUFFIX, Load, open_journal, open_session, to_bytes, write

JOURNAL = ".steps"


class Store:
    """A folder of sessions under keys that nobody can guess. All writing happens on one thread, in order."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder, for its owner's eyes only. Raises UserError if that is impossible."""
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UserError(f"the folder {folder} for sessions cannot be made: {error.strerror}") from error
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
        """The session of that key, whoever asks; None if there is none. Raises UserError if it can't be opened.

        The key is compared with those that are there and never made a path.
        """
        paths = {path.stem: path for path in self._folder.glob(f"*{SUFFIX}")}
        if key not in paths:
            return None
        session = open_session(paths[key], load)
        open_journal(session, paths[key].with_suffix(JOURNAL))
        return session

    def save(self, key: str, session: Session, running: bool) -> "Future[None]":
        """Write the session as it is now. The journal goes unless an edit is `running`: the session has all of it."""
        still = session.copy()

        def work() -> None:
            write(to_bytes(still), self._folder / f"{key}{SUFFIX}")
            if not running:
                self.journal(key).unlink(missing_ok=True)

        return self._disk.submit(work)

    def close(self) -> None:
        """Wait until everything is written."""
        self._disk.shutdown()
