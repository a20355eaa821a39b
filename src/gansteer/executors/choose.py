"""Which executor a person asked for."""

from gansteer.executors.api import Executor
from gansteer.executors.in_process import InProcess
from gansteer.executors.processes import processes


def chosen(count: int = 1, where: str | None = None, gpu: bool = False) -> Executor:
    """This process if `count` is 1, so many processes of one thread each, or the Ray cluster at `where`.

    On a cluster every worker has a GPU for itself if `gpu` and if there are some.
    """
    if where is not None:
        from gansteer.executors.cluster import cluster

        return cluster(where, gpu)
    return InProcess() if count == 1 else processes(count)
