"""Which records are orphans: those of instances that do not run, and nobody else's."""

from __future__ import annotations

from typing import Any

from dualtrack.cloud.records import orphans

NAME = "nodes.llm.example.com"


def record(identifier: str, name: str = f"{NAME}.", kind: str = "A") -> dict[str, Any]:
    found = {"Name": name, "Type": kind, "ResourceRecords": [{"Value": "10.20.0.5"}]}
    return found | ({"SetIdentifier": identifier} if identifier else {})


def names(records: list[dict[str, Any]], running: set[str]) -> list[str]:
    return [str(it["SetIdentifier"]) for it in orphans(records, NAME, running)]


def test_only_what_does_not_run() -> None:
    assert names([record("i-1"), record("i-2")], {"i-1"}) == ["i-2"]


def test_an_answer_without_instances_is_not_believed() -> None:
    assert names([record("i-1"), record("i-2")], set()) == []


def test_other_records_are_left_alone() -> None:
    others = [record(""), record("standby"), record("i-3", "api.llm.example.com."), record("i-4", kind="TXT")]
    assert names(others, {"i-1"}) == []
