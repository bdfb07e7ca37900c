"""The search store's own list of actions, and which of them its roles may do to which indices."""

from __future__ import annotations

import fnmatch
import io
import json
import re
import subprocess
import zipfile
from collections.abc import Iterator
from functools import cache

from dualtrack.core.paths import ROOT
from dualtrack.data.mirror import artifacts
from dualtrack.remote.opensearch import Store

#: An action's name in a class file; parts in brackets are steps of an action, for which the whole one needs the right.
ACTION = re.compile(rb"(?:indices|cluster):[a-z_]+(?:/[a-z_]+)+")


@cache
def actions() -> tuple[str, ...]:
    """Return the names of all actions that the pinned program and its plugins for rights have."""
    found: set[str] = set()
    for name in ("opensearch", "opensearch-security"):
        with zipfile.ZipFile(artifacts.maven(name)[0]) as outer:
            for path in outer.namelist():
                if re.search(r"/?opensearch-[^/]*\.jar$", path):
                    found.update(_names(outer.read(path)))
    return tuple(sorted(found))


def _names(jar: bytes) -> Iterator[str]:
    with zipfile.ZipFile(io.BytesIO(jar)) as inner:
        for path in inner.namelist():
            if path.endswith(".class"):
                for it in ACTION.finditer(inner.read(path)):
                    yield it.group().decode()


def allowed(groups: dict[str, list[str]], rights: list[str]) -> set[str]:
    """Return the actions that these rights allow: patterns, and names of the store's groups of them."""
    patterns: set[str] = set()
    todo = list(rights)
    while todo:
        right = todo.pop()
        if right in groups:
            todo += groups[right]
        else:
            patterns.add(right)
    return {it for it in actions() if any(fnmatch.fnmatchcase(it, pattern) for pattern in patterns)}


def groups(admin: Store) -> dict[str, list[str]]:
    """Return the store's groups of actions, as it has them."""
    found = admin.call("GET", "/_plugins/_security/api/actiongroups").body
    return {name: it["allowed_actions"] for name, it in found.items()}


def requests() -> list[tuple[str, str, str, str]]:
    """Return every request of OpenSearch's own client: its name, method, path and body ("" for none)."""
    words = [ROOT / "ci/tool.sh", "opensearch-client:python", ROOT / "tests/support/store_requests.py"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = map(json.loads, done.stdout.splitlines())
    return [
        (name, method, path, "" if body is None else body if isinstance(body, str) else json.dumps(body))
        for name, method, path, body in lines
    ]
