"""What is asked of every kind of cluster that searches a knowledge base's vectors, in this order.

A module of tests has `fixtures` of its own kind, called `bed` and `base`, and a class of these tests.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import pytest

from dualtrack.core.errors import BadInput, External
from dualtrack.knowledge import cluster, deletion, ingest, versions
from dualtrack.knowledge.cluster import Clustered
from dualtrack.knowledge.cluster.adapter import ClusterRow
from tests.support.knowledge_base import Digests

EVERYBODY, HR = frozenset({"everyone"}), frozenset({"everyone", "group:hr"})
MODEL: Any = Digests()
#: Labels as somebody writes them who wants more than is theirs.
HOSTILE = (
    "", " ", '"', "'", "\\", '\\"', "\\\\", "\n", "\r\n", "\x00", "*", "%", "_", "everyone\n", " everyone", "everyone ",
    "Everyone", '"everyone"', "everyone\\", 'x"] or 1 == 1', 'x"]) or id != "" or array_contains_any(labels, ["y',
    "x'] or true", "x) || (1 == 1", '", "everyone', "{labels}", "$meta", "\\u0065veryone", "\\x65veryone", '"}}]}',
    "ｅｖｅｒｙｏｎｅ", "évery", "e\u0301very", "\u202eenoyreve", "𝐞veryone", "every\u200bone", "null", "true", "[]",
    "a,b", "a OR b",
)  # fmt: skip


class Bed(Protocol):
    """A running cluster of one kind, and somebody who may write anything in it."""

    #: Where its adapter is; what it says of an index that is not there.
    module: ModuleType
    missing: str
    file: Path

    def write(self, **changes: object) -> Path: ...

    def rows(self, label: str, count: int) -> list[dict[str, Any]]:
        """Return rows with a label, each with its `id` and all that is kept of it."""

    def put(self, row: dict[str, Any], label: str) -> None:
        """Write a row as `rows` returns it, for whoever has a label."""

    def drop(self, names: Sequence[str]) -> None:
        """Remove rows by their ids."""


def take_in(base: Path, docs: Path, collection: str, label: str) -> ingest.IngestReport:
    return ingest.ingest(base, docs, collection, (label,), MODEL, remove_missing=True, say=lambda _: None)


def made(folder: Path) -> Path:
    """Return a knowledge base of 900 documents of a chunk each; a third is for hr."""
    for name, label, count in (("it", "everyone", 600), ("hr", "group:hr", 300)):
        (folder / name).mkdir()
        for number in range(count):
            (folder / name / f"{number:03}.md").write_text(f"{name} wombat{number:03}x text")
        take_in(folder / "base", folder / name, name, label)
    return folder / "base"


def fixtures(running: Callable[[Path], AbstractContextManager[Bed]]) -> tuple[Any, Any]:
    """Return fixtures of a module: a cluster that `running` runs in a directory, and a knowledge base."""

    @pytest.fixture(scope="module")
    def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
        with running(tmp_path_factory.mktemp("bed")) as found:
            yield found

    @pytest.fixture(scope="module")
    def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
        return made(tmp_path_factory.mktemp("kb"))

    return bed, base


def fill(base: Path, bed: Bed) -> cluster.Filled:
    return cluster.fill(base, cluster.load(bed.file), say=lambda _: None)


def status(base: Path, bed: Bed) -> dict[str, Any]:
    return cluster.status(base, cluster.load(bed.file))


def exact(base: Path, question: str, labels: frozenset[str]) -> list[str]:
    """Return the sources of the ten nearest, each compared."""
    version = versions.load(base)
    scores = version.vectors @ MODEL.question(question)
    seen = [at for at, it in enumerate(version.entries) if labels & set(it.labels)]
    best = sorted(seen, key=lambda at: -scores[at])[:10]
    return [f"{version.entries[at].collection}/{version.entries[at].source}" for at in best]


def found(base: Path, bed: Bed, question: str, labels: frozenset[str]) -> list[str]:
    hits = Clustered(base, cluster.load(bed.file), MODEL).search(question, labels, 10)
    return [f"{it.collection}/{it.source}" for it in hits]


def recall(base: Path, bed: Bed, labels: frozenset[str]) -> float:
    questions = [f"question {it}" for it in range(20)]
    parts = [len(set(exact(base, it, labels)) & set(found(base, bed, it, labels))) / 10 for it in questions]
    return float(np.mean(parts))


def labels_of_chance(chance: random.Random, count: int) -> set[str]:
    """Return labels of parts of hostile ones."""
    parts = [it for it in HOSTILE if it] + ["everyone", "group:hr"]
    return {"".join(chance.choices(parts, k=chance.randint(1, 4))) for _ in range(count)}


class Behaviour:
    """The tests; what one leaves, the next begins with."""

    def test_filled_once(self, base: Path, bed: Bed) -> None:
        with pytest.raises(External, match=bed.missing):
            Clustered(base, cluster.load(bed.file), MODEL).search("x", EVERYBODY, 5)
        state = status(base, bed)
        assert (state["documents"], state["present"], state["foreign"]) == (900, 0, 0)
        first = fill(base, bed)
        assert (first.added, first.removed, first.chunks) == (900, 0, 900)
        again = fill(base, bed)
        assert (again.added, again.removed, again.unchanged) == (0, 0, 900)
        state = status(base, bed)
        assert (state["documents"], state["present"], state["foreign"]) == (900, 900, 0)

    def test_everybody_finds_what_they_may_see(self, base: Path, bed: Bed) -> None:
        assert recall(base, bed, EVERYBODY) >= 0.95
        assert recall(base, bed, HR) >= 0.95
        seen = [it for number in range(20) for it in found(base, bed, f"q {number}", EVERYBODY)]
        assert len(seen) == 200
        assert not [it for it in seen if it.startswith("hr")]
        assert found(base, bed, "q", frozenset()) == []
        assert found(base, bed, "q", frozenset({"person:nobody"})) == []

    def test_scores_are_cosines(self, base: Path, bed: Bed) -> None:
        version = versions.load(base)
        cosines = np.sort(version.vectors @ MODEL.question("a question"))[::-1]
        hits = Clustered(base, cluster.load(bed.file), MODEL).search("a question", HR, 10)
        assert [it.score for it in hits] == pytest.approx(cosines[:10].tolist(), abs=2e-4)

    def test_nothing_but_vectors_and_labels_is_in_plain(self, bed: Bed) -> None:
        rows = bed.rows("everyone", 50)
        assert len(rows) == 50
        for it in rows:
            assert set(it) == {"id", "vector", "labels", "document", "sealed"}
            assert "wombat" not in str(it)

    def test_labels_that_the_cluster_says_are_not_believed(self, base: Path, bed: Bed) -> None:
        """Somebody who may write there gives a chunk of hr to everybody, and makes up one. A fill puts it right."""
        [row] = bed.rows("group:hr", 1)
        row["vector"] = MODEL.question("the very question").tolist()
        for name, sealed in ((row["id"], row["sealed"]), ("f" * 32 + "-0", "AAAA"), ("e" * 32 + "-0", row["sealed"])):
            bed.put({**row, "id": name, "sealed": sealed}, "everyone")
        hits = found(base, bed, "the very question", EVERYBODY)
        assert hits
        assert not [it for it in hits if it.startswith("hr")]
        state = status(base, bed)
        assert (state["present"], state["foreign"]) == (899, 0)
        assert fill(base, bed).added == 1
        [other] = bed.rows("everyone", 1)
        bed.drop([other["id"]])
        assert status(base, bed)["present"] == 899
        assert fill(base, bed).added == 1
        assert fill(base, bed).added == 0

    def test_who_was_deleted_is_not_found_before_the_cluster_knows(self, base: Path, bed: Bed) -> None:
        text = "it wombat007x text"
        assert found(base, bed, text, EVERYBODY)[0] == "it/007.md"
        deletion.delete(base, ["wombat007x"], [])
        assert "it/007.md" not in found(base, bed, text, EVERYBODY)
        assert status(base, bed)["foreign"] == 2  # of both collections
        assert fill(base, bed).removed == 2
        assert status(base, bed)["foreign"] == 0

    def test_no_label_widens_what_is_asked(self, base: Path, bed: Bed, chance: random.Random) -> None:
        """The cluster itself finds what has one of some labels to the letter, and nothing else."""
        adapter = cluster.connected(cluster.load(bed.write(index="knowledgelabels")))
        bed.write()
        adapter.make(versions.listed(base)[0].card)
        known = sorted({"everyone", "group:hr", *HOSTILE, *labels_of_chance(chance, 60)})
        rows = [
            ClusterRow(f"{at:032x}", 0, (it,) if at % 2 else (it, "group:odd"), MODEL.question(it), "")
            for at, it in enumerate(known)
        ]
        for start in range(0, len(rows), 50):
            adapter.add(rows[start : start + 50])
        adapter.settle()
        asked = [{it} for it in known] + [{it} for it in labels_of_chance(chance, 60)]
        asked += [set(chance.sample(known, 5)) for _ in range(20)]
        for labels in asked:
            near = {it.id for it in adapter.nearest(MODEL.question("x"), frozenset(labels), 100)}
            assert near == {it.id for it in rows if labels & set(it.labels)}, labels
        adapter.remove([it.document for it in rows[:50]])
        assert dict(adapter.documents()) == {it.document: 1 for it in rows[50:]}

    def test_an_index_of_another_model_is_refused(
        self, base: Path, bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Digests, "digest", "e" * 64)
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs/a.md").write_text("text")
        take_in(tmp_path / "other", tmp_path / "docs", "hr", "everyone")
        with pytest.raises(BadInput, match="of another model"):
            fill(tmp_path / "other", bed)
        with pytest.raises(External, match="another model"):
            Clustered(base, cluster.load(bed.file), MODEL)

    def test_files_that_say_of_no_cluster(self, bed: Bed, tmp_path: Path) -> None:
        try:
            for wrong, said in (
                ({"index": "../x"}, "match"), ({"more": 1}, "unknown field"), ({"ca_file": 1}, "Expected"),
                ({"kind": "other"}, "other"), ({"replicas": -1}, ">= 0"),
            ):  # fmt: skip
                with pytest.raises(BadInput, match=said):
                    cluster.load(bed.write(**wrong))
            with pytest.raises(BadInput, match="certificates for the cluster"):
                cluster.connected(cluster.load(bed.write(certificate=str(tmp_path / "no"))))
        finally:
            bed.write()
        (tmp_path / "list.json").write_text("[1]")
        with pytest.raises(BadInput, match="where a cluster is"):
            cluster.load(tmp_path / "list.json")
