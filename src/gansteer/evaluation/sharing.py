"""Measuring case by case, wherever the cases are measured: one after another here, or by workers that open the model themselves."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from gansteer.subject import Model

T = TypeVar("T")
R = TypeVar("R")


class Share(Protocol):
    """Has cases measured somewhere."""

    def __call__(
        self, cases: Iterable[T], count: int, prepare: Callable[..., Callable[[T], R]], *arguments: Any
    ) -> list[R]:
        """The results of `count` cases, in their order.

        Where they are measured, `prepare(model, *arguments)` is called once and returns what measures a case. `prepare` is a
        function at the top of a module, since others may have to find it. `cases` is read as there is room for more. Raises
        UserError.
        """


def here(model: Model, report: Callable[[int, int], None] = lambda done, total: None) -> Share:
    """In this process, with the model as it is. `report(done, count)` is told after every case."""

    def share(cases: Iterable[T], count: int, prepare: Callable[..., Callable[[T], R]], *arguments: Any) -> list[R]:
        measure, found = prepare(model, *arguments), []
        for case in cases:
            found.append(measure(case))
            report(len(found), count)
        return found

    return share
