"""Tokens of all gateways are added up by tenant."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from dualtrack.core.errors import External
from dualtrack.serving import tenants
from dualtrack.serving.gateway import Gateway
from dualtrack.tracks import serving
from dualtrack.tracks.usage import Used, usage


def site(name: str, said: object, file: Path) -> serving.Site:
    facts = {"ansible_host": "10.0.0.1", "gateway_tenants_file": str(file)}
    [found] = serving.read({"role_gateway": {"hosts": [name]}, "_meta": {"hostvars": {name: facts}}})

    def run(*_: object) -> str:
        if isinstance(said, External):
            raise said
        return json.dumps(said)

    return msgspec.structs.replace(found, gateway=Gateway(name, run))


def test_tokens_of_the_newest_month_are_added_up(tmp_path: Path) -> None:
    file = tmp_path / "tenants.json"
    tenants.add(file, "a", tenants.Changes(tokens_per_month=100))
    tenants.add(file, "b", tenants.Changes())
    now = usage([
        site("one", {"month": "2026-12", "tokens": {"a": 3, "gone": 1}}, file),
        site("two", {"month": "2026-12", "tokens": {"a": 4}}, file),
        site("late", {"month": "2026-11", "tokens": {"a": 1000}}, file),
        site("away", External("no route"), file),
    ])  # fmt: skip
    assert now.month == "2026-12"
    assert now.tenants == (
        Used(tenant="a", tokens=7, tokens_per_month=100), Used(tenant="b", tokens=0, tokens_per_month=None),
        Used(tenant="gone", tokens=1, tokens_per_month=None),
    )  # fmt: skip
    assert now.problems == ("away: no route",)
