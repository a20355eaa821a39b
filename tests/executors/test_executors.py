"""The same tasks done here and by processes, with mishaps: every task once, those that fail tried again and then named."""

import multiprocessing
from pathlib import Path

import pytest
from cheap_work import MISHAPS, begun, check_mishaps, prepare, unprepared, vanishing

from gansteer.errors import UserError
from gansteer.executors.choose import chosen


def test_processes_do_every_task_once_and_those_that_fail_again(tmp_path: Path) -> None:
    tasks = [(number, "double") for number in range(12)] + MISHAPS + [(number, "double") for number in range(12, 24)]
    outcomes = list(chosen(2).outcomes(iter(tasks), prepare, str(tmp_path)))
    check_mishaps(outcomes, tasks, tmp_path)
    counts = begun(tmp_path)
    assert {counts[number] for number, what in tasks if what == "double"} == {1}
    assert [counts[number] for number, _ in MISHAPS] == [1, 4, 2, 2, 4, 4]
    errors = {outcome.task[0]: str(outcome.error) for outcome in outcomes if outcome.error is not None}
    assert "a process of this machine ended with code -9" in errors[94]
    assert not multiprocessing.active_children()


def test_tasks_are_read_as_workers_become_free(tmp_path: Path) -> None:
    """However long the source is, two workers have few of its tasks."""
    taken: list[int] = []

    def source():
        for number in range(1000):
            taken.append(number)
            yield (number, "double")

    outcomes = chosen(2).outcomes(source(), prepare, str(tmp_path))
    for done in range(1, 20):
        next(outcomes)
        assert len(taken) <= done + 2 * 2 + 1
    outcomes.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()
    assert len(taken) < 40


def test_here_they_are_done_in_order(tmp_path: Path) -> None:
    executor = chosen()
    tasks = [(1, "double"), (2, "mistake"), (3, "runtime"), (4, "double")]
    outcomes = list(executor.outcomes(tasks, prepare, str(tmp_path)))
    assert [outcome.task for outcome in outcomes] == tasks
    assert [outcome.result for outcome in outcomes] == [2, None, None, 8]
    assert [type(outcome.error) for outcome in outcomes] == [type(None), UserError, RuntimeError, type(None)]
    with pytest.raises(UserError, match="2 is no number"):
        _ = outcomes[1].found
    assert executor.workers == 1
    with pytest.raises(KeyError):  # a mistake in the code is no outcome
        list(executor.outcomes([(1, "bug")], prepare, str(tmp_path)))


@pytest.mark.parametrize("count", [1, 2])
def test_without_tasks_nothing_begins_and_without_workers_it_ends(count: int, tmp_path: Path) -> None:
    executor = chosen(count)
    assert list(executor.outcomes([], unprepared, str(tmp_path))) == []
    with pytest.raises(UserError, match="there is no such model"):
        list(executor.outcomes([(1, "double")], unprepared, str(tmp_path)))
    if count == 2:
        with pytest.raises(UserError, match=r"workers end before they have begun: .* ended with code -9"):
            list(executor.outcomes([(1, "double")], vanishing, str(tmp_path)))
        with pytest.raises(RuntimeError, match=r"(?s)a mistake in the code.*KeyError"):
            list(executor.outcomes([(1, "bug")], prepare, str(tmp_path)))
