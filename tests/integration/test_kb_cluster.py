"""A knowledge base whose vectors three nodes of OpenSearch search: rights, deletions, and a node that is killed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput, External
from dualtrack.knowledge import cluster, deletion
from dualtrack.knowledge.cluster import adapter
from tests.conftest import Cli
from tests.support.clustered import EVERYBODY, HR, Behaviour, fill, fixtures, found, recall, status, take_in
from tests.support.knn_testbed import Knn, running
from tests.support.knowledge_service import Service, asked

bed, base = fixtures(running)


class TestAsEveryKind(Behaviour):
    pass


def test_rows_under_other_names_are_removed(base: Path, bed: Knn) -> None:
    [row] = bed.rows("group:hr", 1)
    bed.put({**row, "id": "x"}, "everyone")
    assert status(base, bed)["nodes"] == 3
    assert status(base, bed)["present"] == 897
    assert fill(base, bed).added == 1
    assert "x" not in {it["id"] for it in bed.rows("everyone", 900)}


def test_other_documents_and_a_killed_node(base: Path, bed: Knn) -> None:
    """Answers continue, whole, while a node is away; so does what changes."""
    docs = base.parent / "it"
    bed.beds[2].kill()
    began = time.monotonic()
    assert recall(base, bed, EVERYBODY) >= 0.95
    print(f"after a node was killed, 20 questions were answered in full within {time.monotonic() - began:.1f} s")
    (docs / "000.md").write_text("it changed")
    (docs / "001.md").unlink()
    take_in(base, docs, "it", "everyone")
    assert "it/000.md" not in found(base, bed, "it changed", EVERYBODY)
    done = fill(base, bed)
    assert (done.added, done.removed) == (1, 2)
    assert found(base, bed, "it changed", EVERYBODY)[0] == "it/000.md"
    assert recall(base, bed, HR) >= 0.95


def test_the_service_asks_it(bed: Knn, tmp_path: Path) -> None:
    """By the same rights as from its own memory; who is deleted is not shown, also while the cluster still has them."""
    base, words = tmp_path / "kb", {"question": "petunia", "count": 10}
    for collection, label in (("it", "everyone"), ("hr", "group:hr")):
        (docs := tmp_path / collection).mkdir()
        (docs / "a.md").write_text(f"# {collection}\n\nThe petunia of {collection}, by ada@example.com.\n")
        asked({"type": "ingest", "base": str(base), "source": str(docs), "collection": collection, "labels": [label]})
    (tmp_path / "it/gone.md").write_text("# gone\n\npetunia and wombat\n")
    asked({
        "type": "ingest", "base": str(base), "source": str(tmp_path / "it"), "collection": "it", "labels": ["everyone"]
    })  # fmt: skip
    file = tmp_path / "cluster.json"
    file.write_bytes(bed.write(index="knowledge-service").read_bytes())
    bed.write()
    assert cluster.fill(base, cluster.load(file), say=lambda _: None).added == 3
    people = {"bo": ["everyone"], "chen": ["everyone", "group:hr"]}
    with Service(tmp_path / "service", base, people, cluster=str(file)) as service:
        for name, sees in (("bo", {"it/a.md", "it/gone.md"}), ("chen", {"it/a.md", "it/gone.md", "hr/a.md"})):
            status, text, _ = service.ask("/v1/search", words, name)
            assert status == 200, text
            assert {f"{it['collection']}/{it['source']}" for it in json.loads(text)["hits"]} == sees
    deletion.delete(base, ["wombat"], [])
    with Service(tmp_path / "service-2", base, people, cluster=str(file)) as service:
        assert "gone.md" not in service.ask("/v1/search", words, "chen")[1]
    assert cluster.fill(base, cluster.load(file), say=lambda _: None).removed == 1


def test_what_is_no_cluster_of_ours(base: Path, bed: Knn, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        for wrong, said in (({"urls": ["http://127.0.0.1:1"]}, "URL is not https"), ({"urls": []}, "length >= 1")):
            with pytest.raises(BadInput, match=said):
                cluster.load(bed.write(**wrong))
        bed.write(index="audit-x")
        with pytest.raises(External, match="refuses"):  # no right to it
            fill(base, bed)
        monkeypatch.setattr(adapter, "PATIENCE_S", 0.1)
        bed.write(urls=["https://127.0.0.1:1"])
        with pytest.raises(External, match="does not answer"):
            fill(base, bed)
    finally:
        bed.write()


def test_runbook(bed: Knn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bed.beds[0].open("admin", "admin") as store:
        assert store.call("DELETE", "/knowledge").status == 200
    monkeypatch.setenv("CLUSTER_FILE", str(bed.file))
    Cli(tmp_path).runbook("move-the-knowledge-base-to-opensearch.md")
