"""Drift: declared beside actual, field by field; nothing that could not be seen reads as clean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.core.errors import External, Missing
from dualtrack.inventory import contract
from dualtrack.inventory.ec2 import Instance
from dualtrack.tracks.drift import detect, hosts, live, resources
from dualtrack.tracks.drift.model import Drift, DriftReport
from dualtrack.verify import model
from dualtrack.verify.record import Verified


def entry(address: str, before: Any, after: Any, **change: Any) -> dict[str, Any]:
    type_ = address.split(".")[-2]
    actions = ["delete"] if after is None else ["update"]
    return {"address": address, "mode": "managed", "type": type_,
            "change": {"actions": actions, "before": before, "after": after, **change}}  # fmt: skip


def fields(before: Any, after: Any, **change: Any) -> dict[str, tuple[str, str]]:
    plan = {"resource_drift": [entry("module.a.aws_x.this", before, after, **change)]}
    found, _ = resources.drifts(plan, "emulator", "")
    return {it.path: (it.declared, it.actual) for drift in found for it in drift.fields}


def test_the_field_is_named_with_both_values() -> None:
    before = {"id": "x", "a": {"b": [1, {"c": "old"}]}, "same": 1}
    after = {"id": "x", "a": {"b": [1, {"c": "new"}]}, "same": 1}
    assert fields(before, after) == {"a.b.1.c": ("old", "new")}


def test_of_a_set_what_came_and_went_is_shown() -> None:
    rule = {"port": 22, "from": "10.0.0.0/8"}
    open_ = {"port": 22, "from": "0.0.0.0/0"}
    found = fields({"ingress": [rule]}, {"ingress": [rule, open_]})
    assert found == {"ingress (new)": ("", '{"port": 22, "from": "0.0.0.0/0"}')}


@pytest.mark.parametrize(("one", "other"), [(None, []), ("", None), ({}, []), (None, "")])
def test_nothing_is_nothing_however_it_is_written(one: Any, other: Any) -> None:
    assert fields({"a": one}, {"a": other}) == {}


@pytest.mark.parametrize(("one", "other"), [(None, False), (0, None), (False, True), ("", "x")])
def test_something_is_not_nothing(one: Any, other: Any) -> None:
    assert "a" in fields({"a": one}, {"a": other})


def test_sensitive_values_are_not_shown() -> None:
    marks = {"before_sensitive": {"password": True}, "after_sensitive": {"password": True}}
    found = fields({"password": "one", "b": {"c": 1}}, {"password": "two", "b": {"c": 2}}, **marks)
    assert found == {"password": ("(sensitive)", "(sensitive)"), "b.c": ("1", "2")}


def test_a_resource_that_is_gone_is_said() -> None:
    plan = {"resource_drift": [entry("module.a.aws_vpc.this", {"id": "vpc-1"}, None)]}
    [drift], _ = resources.drifts(plan, "aws", "after 2026-11-25T00:00:00Z")
    assert (drift.what, drift.remedy, drift.since) == (
        "is gone (vpc-1)", "make cloud-up STACK=aws", "after 2026-11-25T00:00:00Z"
    )  # fmt: skip
    assert resources.ids(plan, [drift]) == {"module.a.aws_vpc.this": "vpc-1"}


def test_sizes_of_groups_differ_by_design_and_nothing_else_of_them() -> None:
    name = 'module.pool["spot"].aws_autoscaling_group.this'
    plan = {
        "resource_drift": [entry(name, {"desired_capacity": 2, "max_size": 4}, {"desired_capacity": 3, "max_size": 9})]
    }
    [drift], [expected] = resources.drifts(plan, "emulator", "")
    assert [it.path for it in drift.fields] == ["max_size"]
    assert [it.path for it in expected.fields] == ["desired_capacity"]


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), nested))
def test_the_same_is_no_drift(value: Any) -> None:
    assert fields({"a": value}, {"a": value}) == {}


def test_a_value_is_one_short_line() -> None:
    assert "\n" not in resources.shown("a\nb" * 400)
    assert len(resources.shown("a\nb" * 400)) <= resources.LONGEST


OUTPUT = contract.Output(
    schema=1,
    stack="emulator",
    region="us-east-1",
    network=contract.Network("vpc-1", "10.20.0.0/16", {}),
    pools={
        "spot": contract.Pool(
            lifecycle="spot",
            autoscaling_group="dualtrack-spot",
            instance_types=("p4de.24xlarge",),
            gpus=8,
            roles=("gpu",),
            ssh_user="admin",
            zones=(),
            min=0,
            desired=2,
            max=4,
        )
    },
    storage={},
)


def group(*ids: str, desired: int) -> dict[str, Any]:
    return {"DesiredCapacity": desired, "Instances": [{"InstanceId": it, "LifecycleState": "InService"} for it in ids]}


def node(id_: str, deployment: str = "dualtrack", pool: str = "spot") -> Instance:
    return Instance(
        id=id_,
        type="p4de.24xlarge",
        address="10.20.0.4",
        zone="us-east-1a",
        lifecycle="",
        tag_pool=pool,
        tag_deployment=deployment,
    )


def test_a_stack_as_declared_has_no_drift() -> None:
    assert live.drifts(OUTPUT, "dualtrack", [node("i-1"), node("i-2")], {"spot": group("i-1", "i-2", desired=2)}) == []


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (node("i-9"), "in no group of ours"), (node("i-9", pool="old"), "a pool that nobody declared"),
        (node("i-9", "", ""), "without our tags"),
    ],
)  # fmt: skip
def test_an_instance_that_nobody_declared_is_found(extra: Instance, said: str) -> None:
    [drift] = live.drifts(OUTPUT, "dualtrack", [node("i-1"), extra], {"spot": group("i-1", desired=1)})
    assert (drift.name, said in drift.what, "terminate" in drift.remedy) == ("i-9", True, True)


def test_another_deployment_is_left_alone() -> None:
    assert live.drifts(OUTPUT, "dualtrack", [node("i-9", "other", "x")], {"spot": group(desired=0)}) == []


def test_pools_that_are_short_or_gone_are_found() -> None:
    [short] = live.drifts(OUTPUT, "dualtrack", [], {"spot": group(desired=2)})
    assert (short.fields[0].declared, short.fields[0].actual) == ("2", "0")
    [gone] = live.drifts(OUTPUT, "dualtrack", [], {})
    assert "is gone" in gone.what


def test_hosts_that_cannot_be_asked_are_unknown_and_not_clean() -> None:
    report = model.build(
        {"a": ["base"], "b": ["base"], "c": ["base"]}, {"b": "no route"},
        [
            model.Check(host="a", role="base", check="BBR is on", outcome="failed", assertion="'cubic' == 'bbr'"),
            model.Check(host="c", role="base", check="BBR is on", outcome="passed"),
        ],
        seconds=1, verified_at="2026-11-25T12:00:00Z", identities={"a": "one"},
    )  # fmt: skip
    [drift], _ = hosts.drifts(report, {"a": Verified("2026-11-25T10:00:00Z", True, "its predecessor")}, {})
    assert drift.since == ""
    [drift], unknown = hosts.drifts(report, {"a": Verified("2026-11-25T10:00:00Z", True, "one")}, {"a": "cloud"})
    assert (drift.name, drift.since, drift.remedy) == ("a", "after 2026-11-25T10:00:00Z", "make cloud-up")
    assert drift.fields[0].path == "base: BBR is on"
    assert unknown == ["host b: no route"]
    assert (
        DriftReport(drifted=(), expected=(), unknown=tuple(unknown), looked_at=(), seconds=1).state == "could not tell"
    )
    assert (
        DriftReport(drifted=(drift,), expected=(), unknown=tuple(unknown), looked_at=(), seconds=1).state == "drifted"
    )
    assert DriftReport(drifted=(), expected=(drift,), unknown=(), looked_at=(), seconds=1).state == "clean"


def test_what_cannot_be_looked_at_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> tuple[list[Drift], list[Drift], list[str]]:
        raise External("AWS does not answer")

    def absent(*_: object) -> tuple[list[Drift], list[Drift], list[str]]:
        raise Missing("the stack is not up")

    monkeypatch.setattr(detect, "_resources", fails)
    monkeypatch.setattr(detect, "_live", absent)
    monkeypatch.setattr(detect, "_hosts", lambda _: ([], [], []))
    found = detect.look(detect.Wanted("emulator"), lambda _: None)
    assert found.state == "could not tell"
    assert len(found.unknown) == 2
    assert found.looked_at == ("hosts, by their roles' checks",)
