"""Tasks side by side: order, failure, and circles."""

from __future__ import annotations

import threading

import pytest

from dualtrack.core import task_graph
from dualtrack.core.errors import BadInput
from dualtrack.core.task_graph import Task


def test_needs_come_first_and_results_are_returned() -> None:
    order: list[str] = []

    def task(name: str, *needs: str) -> Task:
        return Task(name, lambda _: order.append(name) or name, needs)

    assert task_graph.run([task("c", "b"), task("b", "a"), task("a")], quiet=True) == {"a": "a", "b": "b", "c": "c"}
    assert order == ["a", "b", "c"]


def test_what_does_not_depend_on_each_other_runs_side_by_side() -> None:
    meeting = threading.Barrier(2, timeout=10)  # breaks when they run one after the other
    task_graph.run([Task("a", lambda _: meeting.wait()), Task("b", lambda _: meeting.wait())], quiet=True)


def test_failure_stops_what_waits_for_it_and_is_raised() -> None:
    ran: list[str] = []

    def fail(_: task_graph.Say) -> None:
        raise BadInput("no")

    with pytest.raises(BadInput, match="no"):
        task_graph.run([Task("a", fail), Task("b", lambda _: ran.append("b"), ("a",))], quiet=True)
    assert ran == []


@pytest.mark.parametrize("tasks", [[("a", ("b",)), ("b", ("a",))], [("a", ("a",))]])
def test_circles_are_refused(tasks: list[tuple[str, tuple[str, ...]]]) -> None:
    with pytest.raises(BadInput, match="circle"):
        task_graph.run([Task(name, lambda _: None, needs) for name, needs in tasks], quiet=True)


def test_unknown_need_is_refused() -> None:
    with pytest.raises(BadInput, match="needs b, which is not there"):
        task_graph.run([Task("a", lambda _: None, ("b",))], quiet=True)
