"""A trail out of a store that holds what never was a record: it becomes a line that is none, and hides nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from dualtrack.security.audit import fetch, index_documents
from dualtrack.security.audit.layout import Place
from dualtrack.security.audit.verify import judge

ROWS = ({"n": "5"}, {"n": [5]}, {"n": 5.5}, {"n": None}, {"n": True}, {"n": 5, "body": "[" * 5000}, {"n": 2**70})


class Shown:
    """A store that has these documents of a host, in its order."""

    def __init__(self, found: list[dict[str, Any]]) -> None:
        self.found = found

    def ask(self, _method: str, _path: str, body: dict[str, Any]) -> dict[str, Any]:
        field = body["query"]["bool"]["filter"][1]["exists"]["field"]
        shown = [it for it in self.found if field in it] if "search_after" not in body else []
        index = {"_index": "audit-vault-1-2026.01.01", "sort": [1, "a"]}
        return {"hits": {"hits": [{**index, "_source": it} for it in shown]}}


@pytest.mark.attack("root on the host", "ships documents that are not records", "found", "audit fetch, audit verify")
@pytest.mark.parametrize("wrong", ROWS, ids=str)
@pytest.mark.parametrize("at", [0, 3, 13])
def test_documents_that_are_no_records_are_found(
    trail: Path, root: bytes, tmp_path: Path, wrong: dict[str, Any], at: int
) -> None:
    place = Place(trail)
    shown: list[dict[str, Any]] = []
    for number in place.numbers():
        for line in place.segment(number).read_bytes().splitlines(keepends=True):
            shown.append(parsed(index_documents.of_record("vault-1", line)))
    shown.insert(at, {"host": "vault-1", "t": 1, "kind": "sudo", "chain": "aa", **wrong})
    shown += [
        parsed(index_documents.of_head("vault-1", it)) for it in place.heads.read_bytes().splitlines(keepends=True)
    ]
    fetch.fetch(Shown(shown), "vault-1", tmp_path / "fetched", lambda _: None)  # type: ignore[arg-type]
    kinds = {it.kind for it in judge(tmp_path / "fetched", root).findings}
    assert kinds & {"altered", "inserted"}, kinds


def parsed(pair: bytes) -> dict[str, Any]:
    """Return the document of a bulk request's two lines."""
    return dict(msgspec.json.decode(pair.splitlines()[1]))
