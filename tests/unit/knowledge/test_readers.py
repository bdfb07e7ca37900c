"""Who may see a collection stays as it is where nobody says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput
from dualtrack.knowledge import ingest, versions
from tests.support.knowledge_base import Digests


def test_a_run_without_readers_keeps_those_of_the_collection(tmp_path: Path) -> None:
    docs, base = tmp_path / "docs", tmp_path / "base"
    docs.mkdir()

    def readers(name: str, text: str, *labels: str) -> set[tuple[str, ...]]:
        (docs / name).write_text(text)
        done = ingest.ingest(base, docs, "hr", labels, Digests(), say=lambda _: None)
        found = {it.labels for it in versions.load(base).entries}
        assert found == {done.acl}
        return found

    assert readers("a.txt", "请假") == {("everyone",)}
    assert readers("a.txt", "请假", "group:hr", "person:ada") == {("group:hr", "person:ada")}
    assert readers("a.txt", "请假三天") == {("group:hr", "person:ada")}
    assert readers("b.txt", "出差") == {("group:hr", "person:ada")}
    # A second directory of the same collection, with other readers.
    other = tmp_path / "other"
    other.mkdir()
    (other / "c.txt").write_text("报销")
    ingest.ingest(base, other, "hr", ["role:auditor"], Digests(), say=lambda _: None)
    for source in (docs, other):
        with pytest.raises(BadInput, match="different readers"):
            ingest.ingest(base, source, "hr", [], Digests(), say=lambda _: None)
    assert {it.labels for it in versions.load(base).entries} == {("group:hr", "person:ada"), ("role:auditor",)}
