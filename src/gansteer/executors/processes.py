"""Workers that are processes of this machine, of one thread each."""

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from gansteer.executors.api import Prepare, Reply, attempt, use_one_thread
from gansteer.executors.pool import Answer, Event, Lost, Pool, Ready, Worker

GRACE = 5.0
"""Seconds that a process has to end before it is killed."""


def processes(count: int) -> Pool:
    """An executor with so many processes."""
    return Pool(lambda prepare, arguments: Processes(count, prepare, arguments))


class Processes:
    """A fleet of them, each at the end of a pipe. A task is sent to a process that waits for it: neither end ever blocks."""

    takes_ahead = False

    def __init__(self, count: int, prepare: Prepare[Any, Any], arguments: tuple[Any, ...]) -> None:
        self._count, self._prepare, self._arguments = count, prepare, arguments
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[Connection, BaseProcess] = {}

    def capacity(self) -> int:
        return self._count

    def start(self) -> Worker:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(there, self._prepare, self._arguments), daemon=True)
        process.start()
        there.close()
        self._running[here] = process
        return here

    def give(self, worker: Worker, number: int, task: Any) -> None:
        assert isinstance(worker, Connection)
        try:
            worker.send((number, task))
        except OSError:  # it is gone: `events` finds that its pipe has ended
            return

    def events(self) -> list[Event]:
        return [event for pipe in wait(list(self._running), timeout=1.0) if isinstance(pipe, Connection)
                for event in [self._heard(pipe)] if event is not None]  # fmt: skip

    def _heard(self, pipe: Connection) -> Event | None:
        try:
            number, reply = pipe.recv()
        except (EOFError, OSError):
            process = self._running.pop(pipe)
            process.join(GRACE)
            pipe.close()
            return Lost(pipe, RuntimeError(f"a process of this machine ended with code {process.exitcode}"))
        assert isinstance(reply, Reply)
        if number is not None:
            return Answer(pipe, number, reply)
        if reply.error is None:
            return Ready(pipe)
        self.stop(pipe)
        return Lost(pipe, reply.error)

    def stop(self, worker: Worker) -> None:
        assert isinstance(worker, Connection)
        process = self._running.pop(worker)
        worker.close()
        process.terminate()
        process.join(GRACE)
        if process.is_alive():
            process.kill()
            process.join()

    def close(self) -> None:
        for process in self._running.values():  # all at once, then each is waited for
            process.terminate()
        for worker in list(self._running):
            self.stop(worker)


def _serve(pipe: Connection, prepare: Prepare[Any, Any], arguments: tuple[Any, ...]) -> None:
    """Do what comes through the pipe until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    use_one_thread()
    begun = attempt(lambda: prepare(*arguments))
    pipe.send((None, begun if begun.error else Reply()))
    work: Callable[[Any], Any] | None = begun.result
    use_one_thread()  # what was prepared may have loaded PyTorch
    while work is not None:
        try:
            number, task = pipe.recv()
        except EOFError:  # the parent is gone
            return
        pipe.send((number, attempt(lambda task=task: work(task))))  # type: ignore[misc]
