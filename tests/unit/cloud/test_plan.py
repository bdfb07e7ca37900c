from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.cloud.plan import TofuPlan, progress_line, read_plan

FILE = Path("plan.tfplan")


def planned(address: str, action: str) -> dict[str, object]:
    return {"type": "planned_change", "change": {"resource": {"addr": address}, "action": action}}


def test_a_plan_is_counted_and_shown() -> None:
    plan = read_plan(
        [
            {"type": "version", "terraform": "1.11.4"},
            planned("aws_vpc.this", "create"),
            planned("aws_subnet.this", "update"),
            planned("aws_key_pair.operator", "replace"),
            planned("data.aws_caller_identity.current", "read"),
            planned("aws_route_table.this", "delete"),
            planned("aws_route.x", "noop"),
            {"type": "outputs", "outputs": {"inventory": {"action": "update"}}},
        ],
        FILE,
    )
    assert plan.counts == {"add": 2, "change": 1, "destroy": 2}
    assert plan.outputs_change
    assert plan.text.splitlines() == [
        "  + aws_vpc.this",
        "  ~ aws_subnet.this",
        "-/+ aws_key_pair.operator",
        "  - aws_route_table.this",
        "2 to add, 1 to change, 2 to destroy",
    ]


def test_drift_that_the_plan_does_not_act_on_is_no_change() -> None:
    drift = {
        "type": "resource_drift",
        "change": {"resource": {"addr": "aws_autoscaling_group.this"}, "action": "update"},
    }
    plan = read_plan([drift, {"type": "outputs", "outputs": {"inventory": {"action": "noop"}}}], FILE)
    assert plan == TofuPlan((), False, FILE)
    assert plan.summary == "No changes"


@pytest.mark.parametrize(
    ("kind", "hook", "line"),
    [
        ("apply_complete", {"action": "create"}, "aws_vpc.this: created"),
        ("apply_complete", {"action": "delete"}, "aws_vpc.this: destroyed"),
        ("apply_complete", {"action": "read"}, None),
        ("apply_progress", {"action": "create", "elapsed_seconds": 10}, "aws_vpc.this: create, 10 s"),
        ("apply_errored", {"action": "create"}, "aws_vpc.this: failed"),
        ("apply_start", {"action": "create"}, None),
    ],
)
def test_progress(kind: str, hook: dict[str, object], line: str | None) -> None:
    assert progress_line({"type": kind, "hook": {"resource": {"addr": "aws_vpc.this"}, **hook}}) == line


def test_events_without_a_resource_show_nothing() -> None:
    assert progress_line({"type": "change_summary"}) is None


def test_a_move_is_told_from_a_change() -> None:
    """A module that was renamed in the tree has its resources moved in the state; nothing of them changes."""
    events = [planned("module.monitoring[0].aws_sns_topic.alarms", "move"), planned("aws_vpc.this", "update")]
    found = read_plan(events, FILE)
    assert found.counts == {"add": 0, "change": 1, "destroy": 0}
    assert found.summary == "0 to add, 1 to change, 0 to destroy, 1 to move in the state"
    assert found.text.splitlines()[0] == "  → module.monitoring[0].aws_sns_topic.alarms"
