"""A long measurement shared by several processes, which may be stopped at any time."""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty
from typing import Any, TypeVar

from gansteer.errors import UserError

T = TypeVar("T")
R = TypeVar("R")


def shared(
    processes: int,
    minutes: float | None,
    tasks: Sequence[T],
    prepare: Callable[..., Callable[[T], R]],
    *arguments: Any,
) -> Iterator[R]:
    """The results of `tasks`, as they are done by `processes` processes of one thread each, for `minutes` at most.

    Every process calls `prepare(*arguments)` once, a function at the top of a module, and what it returns for each of its
    tasks. One process is this one. Raises UserError if a process dies; what was done before has been given by then.
    """
    end = None if minutes is None else time.monotonic() + 60 * minutes
    if processes == 1:
        work = prepare(*arguments) if tasks else None
        for task in tasks:
            if work is None or (end is not None and time.monotonic() > end):
                return
            yield work(task)
        return
    context = multiprocessing.get_context("spawn")
    given, results = context.Queue(), context.Queue()
    for item in [*tasks, *[None] * processes]:
        given.put(item)
    workers = [
        context.Process(target=_work, args=(prepare, arguments, given, results), daemon=True) for _ in range(processes)
    ]
    left = len(tasks)
    for worker in workers:
        worker.start()
    try:
        while left and (end is None or time.monotonic() < end):
            try:
                yield results.get(timeout=1.0)
                left -= 1
            except Empty:
                if any(worker.exitcode not in (None, 0) for worker in workers):
                    raise UserError("a process has died, see above; what was done is kept") from None
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
        given.cancel_join_thread()


def _work(prepare: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...], given: Any, results: Any) -> None:
    """Do tasks until one is None."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    torch.set_num_threads(1)
    work = prepare(*arguments)
    for task in iter(given.get, None):
        results.put(work(task))
