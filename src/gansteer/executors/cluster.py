"""Workers on a Ray cluster. This module alone knows Ray, and nothing imports it unless a cluster is asked for."""

import logging
import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import gansteer
from gansteer.errors import UserError
from gansteer.executors.api import Prepare, Reply, attempt, use_one_thread
from gansteer.executors.pool import Answer, Event, Lost, Pool, Ready, Worker

MISSING = "--cluster needs the extra: run pip install 'gansteer[cluster]'"
WAIT = 1.0
"""Seconds after which the driver looks for workers that can be added."""
LOOPBACK = ("127.0.0.1", "localhost")
STARTS = 3
"""How often a local cluster is begun: Ray gives up after half a minute, which a busy machine may take."""
STORE = 128 * 2**20
"""Bytes of a local cluster's object store: it holds what is on its way, which is little."""


@dataclass(frozen=True)
class Address:
    """Where the cluster is."""

    host: str
    """Empty for a cluster that is started here, for this command alone."""
    number: int
    """The port; or how many workers to start here."""

    @classmethod
    def parse(cls, text: str) -> "Address":
        """From `auto`, `HOST:PORT` or `local:N`. Raises UserError for anything else, and for `auto` where none runs."""
        if text == "auto":
            found = os.environ.get("RAY_ADDRESS") or _running_here()
            if not found:
                raise UserError(
                    "--cluster auto: no Ray cluster runs here; start one (docs/cluster.md), or give local:N"
                )
            text = found.strip()
        match = re.fullmatch(r"(?P<host>[\w.-]+|\[[0-9a-fA-F:]+\]):(?P<number>\d{1,5})", text)
        if match is None or not 1 <= int(match["number"]) <= 65535:
            raise UserError(f"--cluster {text}: give auto, HOST:PORT, or local:N for N workers on this machine")
        if match["host"] == "local" and int(match["number"]) > 256:
            raise UserError(f"--cluster {text}: local:N is for at most 256 workers")
        return cls("" if match["host"] == "local" else match["host"], int(match["number"]))


def _running_here() -> str:
    """What Ray notes when a cluster is started on this machine."""
    note = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster"
    return note.read_text().strip() if note.is_file() else ""


def cluster(where: str, gpu: bool = False) -> Pool:
    """An executor with the workers of the cluster at `where`; each has a GPU for itself if `gpu` and if there are some.

    Raises UserError, when the first task is there, if Ray is not installed or the cluster cannot be reached.
    """
    return Pool(lambda prepare, arguments: RayFleet(Address.parse(where), gpu, prepare, arguments))


def _connect(address: Address) -> Callable[[], None]:
    """Join the cluster, or start one. Returns what leaves it again."""
    # Ray reads these when it is imported: no report of use; and where everything is on this machine, nothing listens
    # beyond it (this is how Ray keeps to itself on systems where it makes no clusters).
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if not address.host or address.host in LOOPBACK:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    if "RAY_AUTH_MODE" not in os.environ:
        if not address.host:  # nobody else on this machine gives it work
            os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        elif _has_token() and asks_for_token(address):
            os.environ["RAY_AUTH_MODE"] = "token"
    try:
        import ray
    except ImportError as error:
        raise UserError(MISSING) from error
    if ray.is_initialized():  # by the program that uses gansteer: it is theirs to leave
        return lambda: None
    quiet: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}
    logging.getLogger("ray").setLevel(logging.ERROR)
    # A lost worker is told by the pool; Ray would also print what its node says of it, among our results.
    ray._private.worker._worker_logs_enabled = False
    for left in reversed(range(STARTS)):
        try:
            with _unheard():
                ray.init(**_whereabouts(address), **quiet)
        except Exception as error:  # of many kinds, some of them Exception itself
            ray.shutdown()
            if left and not address.host and "timed out" in str(error):
                continue
            what = "Ray could not start on this machine: "
            if address.host:
                what = f"the Ray cluster at {address.host}:{address.number} cannot be joined (is this machine a node of it, "
                what += "with its token in ~/.ray/auth_token?): "
            raise UserError(what + _in_short(error)) from error
        break
    return ray.shutdown


def _whereabouts(address: Address) -> dict[str, Any]:
    """What `ray.init` is told to join, or to begin."""
    if address.host:
        return {"address": f"{address.host}:{address.number}"}
    own = {"num_cpus": address.number, "include_dashboard": False, "object_store_memory": STORE}
    return {"address": "local", **own}


def _has_token() -> bool:
    """Whether Ray would find one."""
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return given or (Path.home() / ".ray" / "auth_token").is_file()


def asks_for_token(address: Address) -> bool:
    """Whether the cluster refuses who brings none: `ray start` makes it so where a token was ever made. One that asks for none
    gives no work to who brings one."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", f"{address.host}:{address.number}"]
    found = subprocess.run(
        command, env={**os.environ, "RAY_AUTH_MODE": "disabled"}, capture_output=True, check=False, text=True
    )
    return "AuthenticationError" in found.stderr


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep what Ray's C++ says on stderr while it connects to itself; what went wrong is in the error."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class RayFleet:
    """A fleet of Ray's actors. Ray itself tries nothing again: the pool does, and knows of which task."""

    takes_ahead = True

    def __init__(self, address: Address, gpu: bool, prepare: Prepare[Any, Any], arguments: tuple[Any, ...]) -> None:
        self._leave = _connect(address)
        self._ray: Any = import_module("ray")
        ray = self._ray
        self._gpu = gpu and ray.cluster_resources().get("GPU", 0) >= 1
        self._actor = ray.remote(RemoteWorker).options(
            num_cpus=1, num_gpus=int(self._gpu), max_restarts=0, max_task_retries=0
        )
        self._given = (prepare, arguments, gansteer.__version__)
        self._workers: set[Any] = set()
        self._expected: dict[Any, tuple[Any, int | None]] = {}
        """A reference to what will come back, to the worker and the task's number; None for being ready."""
        if not self.capacity():
            self.close()
            raise UserError("the Ray cluster has no CPUs to work on: add a node")

    def capacity(self) -> int:
        return int(self._ray.cluster_resources().get("GPU" if self._gpu else "CPU", 0))

    def start(self) -> Worker:
        worker = self._actor.remote(*self._given)
        self._workers.add(worker)
        self._expected[worker.begin.remote()] = (worker, None)
        return worker  # type: ignore[no-any-return]  # a handle, which is Hashable

    def give(self, worker: Any, number: int, task: Any) -> None:
        self._expected[worker.do.remote(task)] = (worker, number)

    def events(self) -> list[Event]:
        waiting = list(self._expected)
        done, _ = self._ray.wait(waiting, num_returns=1, timeout=WAIT)
        if done:
            done, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        # Of a worker that was lost a moment ago, nothing more is expected.
        return [self._heard(reference) for reference in done if reference in self._expected]

    def _heard(self, reference: Any) -> Event:
        worker, number = self._expected[reference]
        try:
            reply: Reply = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self.stop(worker)
            return Lost(worker, RuntimeError(_in_short(error)))
        del self._expected[reference]
        if number is not None:
            return Answer(worker, number, reply)
        if reply.error is None:
            return Ready(worker)
        self.stop(worker)
        return Lost(worker, reply.error)

    def stop(self, worker: Any) -> None:
        self._expected = {reference: about for reference, about in self._expected.items() if about[0] != worker}
        self._workers.discard(worker)
        self._ray.kill(worker)

    def close(self) -> None:
        for worker in self._workers:
            self._ray.kill(worker)
        self._workers.clear()
        self._leave()


class RemoteWorker:
    """What runs on the cluster: prepared once, then doing one task after another."""

    def __init__(self, prepare: Prepare[Any, Any], arguments: tuple[Any, ...], version: str) -> None:
        self._prepare, self._arguments, self._version = prepare, arguments, version
        self._work: Callable[[Any], Any] | None = None

    def begin(self) -> Reply:
        """Prepare. The reply's result is empty; an error names the machine."""
        use_one_thread()
        begun = attempt(self._begun)
        use_one_thread()  # what was prepared may have loaded PyTorch
        if begun.kind is not None:
            return Reply(kind=begun.kind, text=f"{socket.gethostname()}: {begun.text}")
        self._work = begun.result
        return Reply()

    def _begun(self) -> Callable[[Any], Any]:
        if gansteer.__version__ != self._version:
            raise UserError(
                f"gansteer {gansteer.__version__} is installed, {self._version} was started: install the same"
            )
        return self._prepare(*self._arguments)

    def do(self, task: Any) -> Reply:
        """One task."""
        assert self._work is not None
        work = self._work
        return attempt(lambda: work(task))


def _in_short(error: BaseException) -> str:
    """One line of what Ray says: the error at the end of a traceback, if there is one, or the beginning."""
    lines = [re.sub(r"\x1b\[\d+m", "", line).strip() for line in str(error).splitlines()]
    causes = [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)]
    return next(iter([*reversed(causes), *filter(None, lines)]), type(error).__name__)
