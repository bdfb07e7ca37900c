"""Which records of the nodes' name are no node's own: of those that do not run, or with others' addresses."""

from __future__ import annotations

from typing import Any

import pytest

from dualtrack.cloud.records import foreign

NAME = "nodes.llm.example.com"
RUNNING = {"i-1": "10.20.0.5", "i-2": "10.20.0.6"}


def record(identifier: str, name: str = f"{NAME}.", kind: str = "A", address: str = "10.20.0.5") -> dict[str, Any]:
    found = {"Name": name, "Type": kind, "ResourceRecords": [{"Value": address}]}
    return found | ({"SetIdentifier": identifier} if identifier else {})


def reasons(*records: dict[str, Any], running: dict[str, str] = RUNNING) -> list[str]:
    return [why for _, why in foreign(records, NAME, running)]


def test_own_records_stay_and_those_of_the_gone_go() -> None:
    assert reasons(record("i-1"), record("i-2", address="10.20.0.6"), record("i-3")) == ["i-3 does not run"]


@pytest.mark.attack("root on a node", "sends users to another address", "found", "EC2's word, at the next sweep")
def test_another_address_than_the_instances_own_goes() -> None:
    assert reasons(record("i-1", address="203.0.113.66")) == ["i-1 has 10.20.0.5, not 203.0.113.66"]
    assert reasons(record("i-2")) == ["i-2 has 10.20.0.6, not 10.20.0.5"]  # a neighbour's
    both = record("i-1") | {"ResourceRecords": [{"Value": "10.20.0.5"}, {"Value": "203.0.113.66"}]}
    assert reasons(both) == ["i-1 has 10.20.0.5, not 10.20.0.5, 203.0.113.66"]
    alias = {"Name": f"{NAME}.", "Type": "A", "SetIdentifier": "i-1", "AliasTarget": {"DNSName": "evil.example."}}
    assert reasons(alias) == ["i-1 has 10.20.0.5, not an alias"]


def test_who_is_no_instance_has_no_record_of_this_name() -> None:
    assert reasons(record("standby"), record("")) == [
        "standby does not run", "a record without an instance does not run"
    ]  # fmt: skip


def test_an_answer_without_instances_is_not_believed() -> None:
    assert reasons(record("i-1"), record("i-2"), running={}) == []


def test_records_of_other_names_and_types_are_left_alone() -> None:
    assert reasons(record("i-3", "api.llm.example.com."), record("i-4", kind="TXT")) == []
