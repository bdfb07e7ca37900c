"""Every action that the pinned store knows, read out of its own programs: nobody's role has one over audit indices that
it should not have. No list is written by hand, so that an action of a newer version is checked on the day it is pinned.

The rights are compared as the security plugin does: `*` and `?` in patterns, its own groups of actions (from its jar).
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from dualtrack.data.mirror import artifacts
from dualtrack.security.opensearch import security_config

#: A text in a class file: its tag, its length, itself.
NAME = re.compile(rb"\x01(..)(?=(?:indices|cluster):[a-z]+/)", re.DOTALL)
AUDITED = "audit-gpu-1-2026.11.25"


def jars() -> Iterator[zipfile.ZipFile]:
    """Yield the programs of the pinned archives that are the store's own, its modules' and the security plugin's."""
    for name in ("opensearch", "opensearch-security"):
        with zipfile.ZipFile(artifacts.maven(name)[0]) as archive:
            for inner in archive.namelist():
                # The modules' jars are the store's own, of its libraries those of its name.
                if inner.endswith(".jar") and ("opensearch" in inner.rpartition("/")[2] or "/modules/" in inner):
                    yield zipfile.ZipFile(io.BytesIO(archive.read(inner)))


@cache
def actions() -> frozenset[str]:
    """Return the names of all actions."""
    found = set()
    for jar in jars():
        for entry in jar.namelist():
            if entry.endswith(".class"):
                data = jar.read(entry)
                for it in NAME.finditer(data):
                    text = data[it.end() : it.end() + int.from_bytes(it[1])].decode(errors="replace")
                    if text.isprintable() and not text.endswith(("/", ":", "*")):
                        found.add(text)
    return frozenset(found)


@cache
def groups() -> dict[str, list[str]]:
    """Return the security plugin's own groups of actions."""
    for jar in jars():
        if "static_config/static_action_groups.yml" in jar.namelist():
            loaded: dict[str, Any] = yaml.safe_load(jar.read("static_config/static_action_groups.yml"))
            return {name: it["allowed_actions"] for name, it in loaded.items() if "allowed_actions" in it}
    raise AssertionError("the security plugin has no groups")


def meant(words: list[str]) -> Iterator[str]:
    """Yield the patterns behind words, groups in groups too."""
    for word in words:
        if word in groups():
            yield from meant(groups()[word])
        else:
            yield word


def fits(pattern: str, text: str) -> bool:
    """Tell whether a pattern of the plugin is of a text: an expression between slashes, or `*` and `?`."""
    if pattern.startswith("/"):
        return re.fullmatch(pattern[1:-1], text) is not None
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text) is not None


def allowed(role: str, index: str, caller: str = "gpu-1") -> set[str]:
    """Return what a role may do with an index."""
    return {
        action
        for pattern, words in security_config.ROLES[role][1]
        if fits(pattern.replace("${user.name}", caller), index)
        for word in meant(words)
        for action in actions()
        if fits(word, action)
    }


def over_the_cluster(role: str) -> set[str]:
    return {action for word in meant(security_config.ROLES[role][0]) for action in actions() if fits(word, action)}


def test_the_stores_own_list_is_whole() -> None:
    assert len(actions()) > 150
    assert actions() >= {
        "indices:admin/aliases", "indices:admin/rollover", "indices:admin/resize", "indices:admin/data_stream/create",
        "indices:admin/index_template/put", "cluster:admin/snapshot/restore", "cluster:admin/settings/update",
        "cluster:admin/reroute", "indices:data/write/update", "indices:data/write/reindex", "indices:admin/create",
    }  # fmt: skip
    print(f"{len(actions())} actions")


@pytest.mark.parametrize("index", [AUDITED, ".asked-gpu-1", ".opendistro_security"])
def test_the_administrator_sees_how_large_it_is_and_nothing_else(index: str) -> None:
    assert {it for it in allowed("administrator", index) if not it.startswith("indices:monitor/")} == set()


@pytest.mark.parametrize(("role", "own"), [("audit_shipper", AUDITED), ("log_sender", "logs-gpu-1-2026-11-25")])
def test_a_host_adds_to_its_own_indices_and_has_no_other_action(role: str, own: str) -> None:
    adding = {it for it in actions() if it == "indices:data/write/index" or it.startswith("indices:data/write/bulk")}
    assert allowed(role, own) == {it for it in actions() if it in adding}
    for index in {AUDITED, "logs-gpu-1-2026-11-25", "books", ".asked-gpu-2", ".opendistro_security"} - {own}:
        assert allowed(role, index) == set(), index
    assert allowed(role, own, caller="gpu-2") == set()
    assert {it for it in over_the_cluster(role) if it.startswith(("cluster:admin/", "indices:admin/"))} == set()


def test_the_keeper_creates_and_changes_nothing_that_is_there() -> None:
    assert {it for it in allowed("keeper", AUDITED) if not it.startswith("indices:monitor/")} == {
        "indices:admin/create"
    }
    assert allowed("keeper", "books") == allowed("keeper", ".opendistro_security") == set()


def test_who_reads_the_trail_writes_nothing() -> None:
    for role in ("auditor", "witness"):
        found = allowed(role, AUDITED) | over_the_cluster(role)
        assert not [it for it in found if it.startswith(("indices:data/write/", "cluster:admin/"))], role
        assert not [it for it in found if it.startswith("indices:admin/") and not it.endswith(("get", "get*", "index"))
                    and "/get" not in it], role  # fmt: skip


def test_over_the_cluster_the_administrator_looks_and_takes_snapshots() -> None:
    looking = ("cluster:monitor/", "indices:data/read/", "cluster:admin/repository/get", "cluster:admin/snapshot/get")
    assert {it for it in over_the_cluster("administrator") if not it.startswith(looking)} == {
        "cluster:admin/repository/verify", "cluster:admin/snapshot/create", "cluster:admin/snapshot/status",
        "indices:admin/aliases/get", "indices:admin/index_template/get", "indices:admin/resolve/index",
        # Requests of several parts; each part is asked about for its own index.
        "indices:data/write/bulk", "indices:data/write/reindex",
    }  # fmt: skip
