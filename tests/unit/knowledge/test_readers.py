"""Who may see a collection stays as it is where nobody says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.cli import kb
from dualtrack.core.errors import BadInput, External
from dualtrack.knowledge import deletion, ingest, overview, rollback, versions
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


def with_document(directory: Path, base: Path, collection: str, *labels: str) -> None:
    """Take in a new directory with a document called after it."""
    directory.mkdir()
    (directory / f"{directory.name}.txt").write_text(f"报销 {directory.name}")
    ingest.ingest(base, directory, collection, labels, Digests(), say=lambda _: None)


@pytest.mark.parametrize("gone", ["deleted", "removed", "deleted and removed", "never there"])
def test_a_collection_without_documents_keeps_its_readers(tmp_path: Path, gone: str) -> None:
    docs, base = tmp_path / "docs", tmp_path / "base"
    docs.mkdir()

    def run(*labels: str, remove_missing: bool = False) -> tuple[str, ...]:
        return ingest.ingest(base, docs, "hr", labels, Digests(), remove_missing=remove_missing, say=lambda _: None).acl

    with_document(tmp_path / "other", base, "other")
    if gone != "never there":
        (docs / "a.txt").write_text("请假")
    run("group:hr")
    if "deleted" in gone:
        deletion.delete(base, [], ["hr/a.txt"])
    if "removed" in gone:
        (docs / "a.txt").unlink()
        assert run(remove_missing=True) == ("group:hr",)
    assert run() == ("group:hr",)
    assert {it.collection for it in versions.load(base).entries} == {"other"}
    (docs / "b.txt").write_text("工资")
    assert run() == ("group:hr",)
    assert {it.labels for it in versions.load(base).entries if it.collection == "hr"} == {("group:hr",)}
    assert run("person:ada") == run() == ("person:ada",)


def test_readers_of_several_directories_are_known_when_all_are_empty(tmp_path: Path) -> None:
    base = tmp_path / "base"
    for name in ("hr", "audit"):
        with_document(tmp_path / name, base, "rules", f"group:{name}")
    deletion.delete(base, [], ["rules/hr.txt", "rules/audit.txt"])
    (tmp_path / "hr/new.txt").write_text("工资")
    with pytest.raises(BadInput, match="different readers"):
        ingest.ingest(base, tmp_path / "hr", "rules", [], Digests(), say=lambda _: None)


def test_readers_are_those_of_the_directory_that_still_has_documents(tmp_path: Path) -> None:
    base = tmp_path / "base"
    for name in ("hr", "audit"):
        with_document(tmp_path / name, base, "rules", f"group:{name}")
    deletion.delete(base, [], ["rules/audit.txt"])
    (tmp_path / "hr/new.txt").write_text("工资")
    assert ingest.ingest(base, tmp_path / "hr", "rules", [], Digests(), say=lambda _: None).acl == ("group:hr",)


def test_a_run_says_which_documents_are_still_for_others(tmp_path: Path) -> None:
    docs, base = tmp_path / "docs", tmp_path / "base"
    docs.mkdir()
    for name in ("a", "b"):
        (docs / f"{name}.txt").write_text(f"请假 {name}")
    assert ingest.ingest(base, docs, "hr", [], Digests(), say=lambda _: None).readers == {"everyone": 2}
    (docs / "b.txt").unlink()
    done = ingest.ingest(base, docs, "hr", ["role:auditor", "group:hr"], Digests(), say=lambda _: None)
    assert done.readers == {"group:hr, role:auditor": 1, "everyone": 1}
    assert list(kb._readers("hr", done)) == [
        "what is in this directory is for group:hr, role:auditor",
        "1 other document of hr is for everyone, as before",
    ]
    done = ingest.ingest(base, docs, "hr", ["group:hr"], Digests(), remove_missing=True, say=lambda _: None)
    assert (done.readers, list(kb._readers("hr", done))) == ({"group:hr": 1}, ["hr is for group:hr"])


def test_a_version_shows_whom_it_would_be_for(tmp_path: Path) -> None:
    docs, base = tmp_path / "docs", tmp_path / "base"
    docs.mkdir()
    (docs / "a.txt").write_text("工资")
    with_document(tmp_path / "other", base, "other")
    first = ingest.ingest(base, docs, "hr", [], Digests(), say=lambda _: None).version
    second = ingest.ingest(base, docs, "hr", ["group:hr"], Digests(), say=lambda _: None).version
    assert overview.change_of_readers(base, first) == [
        "documents of hr that would be for everyone, and are for group:hr now: 1"
    ]
    assert overview.change_of_readers(base, second) == []
    [changed] = overview.difference(base, first, second).changed
    assert (changed.readers_before, changed.readers_after) == (("everyone",), ("group:hr",))
    assert kb._for_others(changed) == ", for everyone → for group:hr"
    # Where none answers, and where the one that does is damaged.
    back = [f"documents of {it} that would be for everyone, and are not there now: 1" for it in ("hr", "other")]
    sealed = base / "versions" / second / versions.SEALED
    sealed.write_bytes(sealed.read_bytes()[:-1])
    assert overview.change_of_readers(base, first) == back
    (base / versions.CURRENT).unlink()
    assert overview.change_of_readers(base, first) == back


def test_a_change_of_one_document_shows_also_where_the_readers_of_the_collection_stay_the_same(tmp_path: Path) -> None:
    base = tmp_path / "base"
    for name, labels in (("leave", []), ("bonus", ["group:hr"]), ("pay", ["everyone"])):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").write_text(f"工资 {name}")
        ingest.ingest(base, tmp_path / name, "all", labels, Digests(), say=lambda _: None)
    first = versions.current(base).name
    ingest.ingest(base, tmp_path / "pay", "all", ["group:hr"], Digests(), say=lambda _: None)
    assert overview.change_of_readers(base, first) == [
        "documents of all that would be for everyone, and are for group:hr now: 1"
    ]
    (tmp_path / "pay/pay.txt").unlink()
    (tmp_path / "pay/new.txt").write_text("报销")
    ingest.ingest(base, tmp_path / "pay", "pay", ["group:hr"], Digests(), say=lambda _: None)
    second = versions.current(base).name
    (tmp_path / "pay/new.txt").unlink()
    ingest.ingest(base, tmp_path / "pay", "pay", ["group:hr"], Digests(), remove_missing=True, say=lambda _: None)
    assert overview.change_of_readers(base, second) == [
        "documents of pay that would be for group:hr, and are not there now: 1"
    ]


def newest(base: Path) -> str:
    return versions.current(base).name


@pytest.mark.parametrize("collection", ["hr", "other"])
@pytest.mark.parametrize("then", [("person:bo",), ("everyone",)])
@pytest.mark.parametrize("since", [("group:hr",), ("person:ada", "role:auditor")])
def test_readers_that_a_rollback_took_away_do_not_come_back(
    tmp_path: Path, collection: str, then: tuple[str, ...], since: tuple[str, ...]
) -> None:
    """Whichever collection is taken in next, with and without a new document."""
    docs, base = tmp_path / "docs", tmp_path / "base"
    docs.mkdir()
    (docs / "a.txt").write_text("请假")
    ingest.ingest(base, docs, "hr", then, Digests(), say=lambda _: None)
    before = newest(base)
    (docs / "later.txt").write_text("出差")
    ingest.ingest(base, docs, "hr", since, Digests(), say=lambda _: None)
    after = newest(base)
    with_document(tmp_path / "new", base, "other", "person:chen")
    rollback.roll_back(base, before)
    assert {it.labels for it in versions.load(base).entries} == {then}
    (docs / "new.txt").write_text("工资")
    for _ in range(2):
        ingest.ingest(
            base, docs if collection == "hr" else tmp_path / "new", collection, [], Digests(), say=lambda _: None
        )
        found = {(it.collection, it.labels) for it in versions.load(base).entries}
        assert found == {("hr", then), ("other", ("person:chen",))}
    # Named again, and by a rollback forward, they are there.
    done = ingest.ingest(base, docs, "hr", since, Digests(), say=lambda _: None)
    assert done.acl == since
    assert {it.labels for it in versions.load(base).entries if it.collection == "hr"} == {since}
    rollback.roll_back(base, before)
    rollback.roll_back(base, after)
    assert ingest.ingest(base, docs, "hr", [], Digests(), say=lambda _: None).acl == since


def test_rollback_restores_the_readers_of_each_document(tmp_path: Path) -> None:
    """Of two directories of a collection; what came later and whose readers are not clear keeps its own."""
    base = tmp_path / "base"
    for name in ("hr", "audit"):
        with_document(tmp_path / name, base, "rules", f"group:{name}")
    before = newest(base)
    for name in ("hr", "audit", "later"):
        if name == "later":
            (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").write_text(f"报销 {name}")
        ingest.ingest(base, tmp_path / name, "rules", [f"person:{name}"], Digests(), say=lambda _: None)
    rollback.roll_back(base, before)
    with_document(tmp_path / "new", base, "other", "person:chen")
    assert {it.source: it.labels for it in versions.load(base).entries} == {
        "hr.txt": ("group:hr",), "audit.txt": ("group:audit",), "later.txt": ("person:later",),
        "new.txt": ("person:chen",),
    }  # fmt: skip


def test_damaged_version_changes_no_readers(tmp_path: Path) -> None:
    docs, base = tmp_path / "docs", tmp_path / "base"
    docs.mkdir()
    (docs / "a.txt").write_text("请假")
    ingest.ingest(base, docs, "hr", ["person:bo"], Digests(), say=lambda _: None)
    before = newest(base)
    ingest.ingest(base, docs, "hr", ["group:hr"], Digests(), say=lambda _: None)
    sealed = base / "versions" / before / versions.SEALED
    sealed.write_bytes(sealed.read_bytes()[:-1] + bytes([sealed.read_bytes()[-1] ^ 1]))
    with pytest.raises(External, match="is damaged"):
        rollback.roll_back(base, before)
    assert ingest.ingest(base, docs, "hr", [], Digests(), say=lambda _: None).acl == ("group:hr",)
