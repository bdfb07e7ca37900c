"""A knowledge base whose vectors Milvus searches: the adapter against milvus-lite, which proves nothing of Milvus."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.knowledge import cluster
from dualtrack.knowledge.cluster import adapter
from tests.conftest import Cli
from tests.support.clustered import EVERYBODY, HR, MODEL, Behaviour, fill, fixtures, found, recall, status, take_in
from tests.support.milvus_testbed import TOKEN, Lite, running

bed, base = fixtures(running)


class TestAsEveryKind(Behaviour):
    pass


def test_rows_under_other_names_are_reported(base: Path, bed: Lite) -> None:
    """Their names would be in filters as they are."""
    [row] = bed.rows("group:hr", 1)
    for name in ('x" or id != "', row["id"] + "\n"):
        bed.put({**row, "id": name}, "everyone")
        for ask in (fill, status):
            with pytest.raises(External, match="not sent from here"):
                ask(base, bed)
        assert not [it for it in found(base, bed, "q", EVERYBODY) if it.startswith("hr")]
        bed.drop([name])
    assert fill(base, bed).added == 0


def test_what_changes_and_a_server_that_is_killed(base: Path, bed: Lite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers while it is away; what was there is there again."""
    monkeypatch.setattr(adapter, "PATIENCE_S", 0.1)
    searched = cluster.Clustered(base, cluster.load(bed.file), MODEL)
    assert searched.search("q", EVERYBODY, 5)
    bed.kill()
    for ask in (lambda: searched.search("q", EVERYBODY, 5), lambda: fill(base, bed), lambda: status(base, bed)):
        with pytest.raises(External, match=rf"does not answer: 127\.0\.0\.1:{bed.port}: .*refused") as error:
            ask()
        assert "\n" not in str(error.value)
    bed.start()
    monkeypatch.undo()
    assert status(base, bed)["present"] == 898
    assert searched.search("q", EVERYBODY, 5)
    docs = base.parent / "it"
    (docs / "000.md").write_text("it changed")
    (docs / "001.md").unlink()
    take_in(base, docs, "it", "everyone")
    assert "it/000.md" not in found(base, bed, "it changed", EVERYBODY)
    done = fill(base, bed)
    assert (done.added, done.removed) == (1, 2)
    assert found(base, bed, "it changed", EVERYBODY)[0] == "it/000.md"
    assert recall(base, bed, HR) >= 0.95


def test_who_we_are(base: Path, bed: Lite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a certificate and a token; with neither of them, or another one, nothing is answered."""
    monkeypatch.setattr(adapter, "PATIENCE_S", 0.1)
    token = tmp_path / "token"
    try:
        for wrong, said in (
            ({"url": f"http://127.0.0.1:{bed.port}"}, "URL is not https"), ({"url": "https://a:b@c"}, "a user name"),
            ({"certificate_key": ""}, "together"),
            ({"certificate": "", "certificate_key": "", "token_file": ""}, "who we are"),
        ):  # fmt: skip
            with pytest.raises(BadInput, match=said):
                cluster.load(bed.write(**wrong))
        bed.write(url="https://[::1]:1")
        with pytest.raises(External, match=r"does not answer: \[::1\]:1: "):
            status(base, bed)
        bed.write(token_file="")
        with pytest.raises(External, match=r"refuses: .*auth check failure"):
            status(base, bed)
        bed.write(certificate="", certificate_key="")
        with pytest.raises(External, match="does not answer"):
            status(base, bed)
        bed.write(token_file=str(token))
        with pytest.raises(BadInput, match="cannot read"):
            status(base, bed)
        token.write_text("knowledge:another")
        with pytest.raises(Refused, match="others may read"):
            status(base, bed)
        token.chmod(0o600)
        with pytest.raises(External, match=r"refuses: .*auth check failure"):
            status(base, bed)
        token.write_text("\n")
        with pytest.raises(BadInput, match="no token for the cluster"):
            status(base, bed)
        token.write_text(TOKEN)
        assert status(base, bed)["health"] == "loaded"
    finally:
        bed.write()


def test_without_its_client(bed: Lite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(BadInput, match=r"pymilvus is not installed here .*requirements/milvus\.txt"):
        cluster.connected(cluster.load(bed.file)).health()


def test_runbook(bed: Lite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands start what they run in the environment for Milvus."""
    monkeypatch.setenv("CLUSTER_FILE", str(bed.write(index="runbook")))
    Cli(tmp_path).runbook("move-the-knowledge-base-to-milvus.md")
