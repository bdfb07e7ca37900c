"""A knowledge base whose vectors three nodes of OpenSearch search: rights, deletions, and a node that is killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualtrack.errors import BadInput, External
from dualtrack.knowledge import cluster, deletion, ingest, versions
from dualtrack.knowledge.cluster import Clustered
from tests.conftest import Cli
from tests.support.knn_testbed import Knn, running
from tests.support.knowledge_base import Digests

EVERYBODY, HR = frozenset({"everyone"}), frozenset({"everyone", "group:hr"})
MODEL: Any = Digests()


def take_in(base: Path, docs: Path, collection: str, label: str) -> ingest.Report:
    return ingest.ingest(base, docs, collection, (label,), MODEL, remove_missing=True, say=lambda _: None)


@pytest.fixture(scope="module")
def knn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knn]:
    with running(tmp_path_factory.mktemp("knn")) as found:
        yield found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """900 documents of a chunk each; a third is for hr."""
    folder = tmp_path_factory.mktemp("kb")
    for name, label, count in (("it", "everyone", 600), ("hr", "group:hr", 300)):
        (folder / name).mkdir()
        for number in range(count):
            (folder / name / f"{number:03}.md").write_text(f"{name} wombat{number:03}x text")
        take_in(folder / "base", folder / name, name, label)
    return folder / "base"


def exact(base: Path, question: str, labels: frozenset[str]) -> list[str]:
    """Return the sources of the ten nearest, each compared."""
    version = versions.load(base)
    scores = version.vectors @ MODEL.question(question)
    seen = [at for at, it in enumerate(version.entries) if labels & set(it.labels)]
    best = sorted(seen, key=lambda at: -scores[at])[:10]
    return [f"{version.entries[at].collection}/{version.entries[at].source}" for at in best]


def found(base: Path, knn: Knn, question: str, labels: frozenset[str]) -> list[str]:
    hits = Clustered(base, cluster.load(knn.file), MODEL).search(question, labels, 10)
    return [f"{it.collection}/{it.source}" for it in hits]


def recall(base: Path, knn: Knn, labels: frozenset[str]) -> float:
    questions = [f"question {it}" for it in range(20)]
    parts = [len(set(exact(base, it, labels)) & set(found(base, knn, it, labels))) / 10 for it in questions]
    return float(np.mean(parts))


def test_filled_once(base: Path, knn: Knn) -> None:
    with pytest.raises(External, match="no such index"):
        Clustered(base, cluster.load(knn.file), MODEL).search("x", EVERYBODY, 5)
    first = cluster.fill(base, cluster.load(knn.file), say=lambda _: None)
    assert (first.added, first.removed, first.chunks) == (900, 0, 900)
    again = cluster.fill(base, cluster.load(knn.file), say=lambda _: None)
    assert (again.added, again.removed, again.unchanged) == (0, 0, 900)
    state = cluster.status(base, cluster.load(knn.file))
    assert (state["nodes"], state["documents"], state["present"], state["foreign"]) == (3, 900, 900, 0)


def test_everybody_finds_what_they_may_see(base: Path, knn: Knn) -> None:
    assert recall(base, knn, EVERYBODY) >= 0.95
    assert recall(base, knn, HR) >= 0.95
    assert not [it for number in range(20) for it in found(base, knn, f"q {number}", EVERYBODY) if it.startswith("hr")]
    assert found(base, knn, "q", frozenset()) == []
    assert found(base, knn, "q", frozenset({"person:nobody"})) == []


def test_nothing_but_vectors_and_labels_is_in_plain(knn: Knn) -> None:
    with knn.beds[0].open("admin", "admin") as store:
        rows = store.call("POST", "/knowledge/_search", {"size": 50}).body["hits"]["hits"]
    assert len(rows) == 50
    for it in rows:
        assert set(it["_source"]) == {"vector", "labels", "document", "sealed"}
        assert "wombat" not in str(it)


def test_labels_that_the_cluster_says_are_not_believed(base: Path, knn: Knn) -> None:
    """Somebody who may write there gives a chunk of hr to everybody, and makes up one."""
    with knn.beds[0].open("admin", "admin") as store:
        query = {"size": 1, "query": {"terms": {"labels": ["group:hr"]}}}
        [row] = store.call("POST", "/knowledge/_search", query).body["hits"]["hits"]
        vector = MODEL.question("the very question").tolist()
        for name, sealed in (
            (row["_id"], row["_source"]["sealed"]),
            ("f" * 32 + "-0", "AAAA"),
            ("x", row["_source"]["sealed"]),
        ):
            body = {**row["_source"], "labels": ["everyone"], "vector": vector, "sealed": sealed}
            assert store.call("PUT", f"/knowledge/_doc/{name}?refresh=true", body).status in (200, 201)
        hits = found(base, knn, "the very question", EVERYBODY)
        assert hits
        assert not [it for it in hits if it.startswith("hr")]
        for name in (row["_id"], "f" * 32 + "-0", "x"):
            store.call("DELETE", f"/knowledge/_doc/{name}?refresh=true")
    assert cluster.status(base, cluster.load(knn.file))["present"] == 899
    assert cluster.fill(base, cluster.load(knn.file), say=lambda _: None).added == 1


def test_who_was_deleted_is_not_found_before_the_cluster_knows(base: Path, knn: Knn) -> None:
    deletion.delete(base, ["wombat007x"], [])
    text = "it wombat007x text"
    assert "it/007.md" not in found(base, knn, text, EVERYBODY)
    assert cluster.status(base, cluster.load(knn.file))["foreign"] == 2  # of both collections
    assert cluster.fill(base, cluster.load(knn.file), say=lambda _: None).removed == 2


def test_other_documents_and_a_killed_node(base: Path, knn: Knn) -> None:
    """Answers go on, whole, while a node is away; so does what changes."""
    docs = base.parent / "it"
    knn.beds[2].kill()
    began = time.monotonic()
    assert recall(base, knn, EVERYBODY) >= 0.95
    print(f"after a node was killed, 20 questions were answered in full within {time.monotonic() - began:.1f} s")
    (docs / "000.md").write_text("it changed")
    (docs / "001.md").unlink()
    take_in(base, docs, "it", "everyone")
    assert "it/000.md" not in found(base, knn, "it changed", EVERYBODY)
    done = cluster.fill(base, cluster.load(knn.file), say=lambda _: None)
    assert (done.added, done.removed) == (1, 2)
    assert found(base, knn, "it changed", EVERYBODY)[0] == "it/000.md"
    assert recall(base, knn, HR) >= 0.95


def test_what_is_no_cluster_of_ours(base: Path, knn: Knn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        for wrong, said in (
            ({"urls": ["http://127.0.0.1:1"]}, "no node of a cluster"), ({"urls": []}, "length >= 1"),
            ({"index": "../x"}, "match"), ({"more": 1}, "unknown field"), ({"ca_file": 1}, "Expected"),
        ):  # fmt: skip
            with pytest.raises(BadInput, match=said):
                cluster.load(knn.write(**wrong))
        with pytest.raises(BadInput, match="certificates for the cluster"):
            cluster.fill(base, cluster.load(knn.write(certificate=str(tmp_path / "no"))), say=lambda _: None)
        with pytest.raises(External, match="refuses"):  # no right to it
            cluster.fill(base, cluster.load(knn.write(index="audit-x")), say=lambda _: None)
        monkeypatch.setattr(cluster, "PATIENCE_S", 0.1)
        with pytest.raises(External, match="does not answer"):
            cluster.fill(base, cluster.load(knn.write(urls=["https://127.0.0.1:1"])), say=lambda _: None)
    finally:
        knn.write()
    monkeypatch.setattr(Digests, "digest", "e" * 64)
    other = tmp_path / "other"
    take_in(other, base.parent / "hr", "hr", "everyone")
    with pytest.raises(BadInput, match="of another model"):
        cluster.fill(other, cluster.load(knn.file), say=lambda _: None)


def test_runbook(knn: Knn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with knn.beds[0].open("admin", "admin") as store:
        assert store.call("DELETE", "/knowledge").status == 200
    monkeypatch.setenv("CLUSTER_FILE", str(knn.file))
    Cli(tmp_path).runbook("move-the-knowledge-base-to-opensearch.md")
