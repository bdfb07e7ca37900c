"""Drift of resources, from the JSON of OpenTofu's refresh-only plan: declared and actual, field by field. Pure.

https://developer.hashicorp.com/terraform/internals/json-format describes `resource_drift`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dualtrack.tracks.drift.model import Drift, Field

#: What others than OpenTofu set by design, and the configuration lets them: (type, field), and who that is.
EXPECTED = {
    ("aws_autoscaling_group", "desired_capacity"): "schedules, `dualtrack pools watch` and operators size groups",
}
SENSITIVE = "(sensitive)"
#: A value longer than this is cut: a policy is not a line of a table.
LONGEST = 120
REMEDY = {"emulator": "make cloud-up", "aws": "make cloud-up STACK=aws"}


def drifts(plan: Mapping[str, Any], stack: str, since: str) -> tuple[list[Drift], list[Drift]]:
    """Return what drifted, and what differs by design, of the plan's JSON."""
    found: list[Drift] = []
    expected: list[Drift] = []
    for entry in plan.get("resource_drift", ()):
        if entry.get("mode") != "managed":
            continue
        change = entry["change"]
        actions = change.get("actions", [])
        name = entry["address"]
        identity = str((change.get("before") or change.get("after") or {}).get("id", ""))
        if "delete" in actions:
            found.append(
                Drift(
                    kind="resource",
                    name=name,
                    what=f"is gone ({identity})",
                    fields=(),
                    since=since,
                    who="",
                    remedy=REMEDY[stack],
                )
            )
            continue
        fields = list(_fields(change.get("before"), change.get("after"), _marked(change)))
        ours = [it for it in fields if (entry["type"], it.path.split(".")[0]) not in EXPECTED]
        allowed = [it for it in fields if it not in ours]
        if ours:
            what = f"is not as declared ({identity})"
            found.append(
                Drift(
                    kind="resource", name=name, what=what, fields=tuple(ours), since=since, who="", remedy=REMEDY[stack]
                )
            )
        if allowed:
            why = EXPECTED[entry["type"], allowed[0].path.split(".")[0]]
            expected.append(
                Drift(kind="resource", name=name, what=why, fields=tuple(allowed), since=since, who="", remedy="")
            )
    return found, expected


def _marked(change: Mapping[str, Any]) -> tuple[Any, Any]:
    return change.get("before_sensitive") or {}, change.get("after_sensitive") or {}


def _fields(before: Any, after: Any, marks: tuple[Any, Any], path: str = "") -> Iterator[Field]:
    if before == after or (_nothing(before) and _nothing(after)):
        return
    if True in marks:
        yield Field(path, SENSITIVE, SENSITIVE)
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            inner = tuple(mark.get(name, {}) if isinstance(mark, Mapping) else {} for mark in marks)
            below = f"{path}.{name}" if path else name
            yield from _fields(before.get(name), after.get(name), (inner[0], inner[1]), below)
    elif isinstance(before, list) and isinstance(after, list) and len(before) != len(after):
        # Sets are lists here: what came and what went says more than the whole of both.
        yield from (Field(f"{path} (gone)", shown(it), "") for it in before if it not in after)
        yield from (Field(f"{path} (new)", "", shown(it)) for it in after if it not in before)
    elif isinstance(before, list) and isinstance(after, list):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            inner = tuple(mark[number] if isinstance(mark, list) and number < len(mark) else {} for mark in marks)
            yield from _fields(one, other, (inner[0], inner[1]), f"{path}.{number}")
    else:
        yield Field(path, shown(before), shown(after))


def _nothing(value: Any) -> bool:
    """Return whether a value is nothing to AWS: an empty list and an empty text are as good as none."""
    return value is None or value in ("", [], {})


def shown(value: Any) -> str:
    """Return a value as one short text."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def ids(plan: Mapping[str, Any], drifted: list[Drift]) -> dict[str, str]:
    """Return the AWS name of each drifted resource, for whoever asks the account's trail."""
    wanted = {it.name for it in drifted}
    return {
        entry["address"]: str((entry["change"].get("before") or {}).get("id", ""))
        for entry in plan.get("resource_drift", ()) if entry["address"] in wanted
    }  # fmt: skip
