"""Witnesses through their command and their certificate: kills, a store that shows two histories, and who may what."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from dualtrack.core import proc
from dualtrack.core.errors import External
from dualtrack.remote.opensearch import Store, straight
from dualtrack.security.audit import index_documents, witness_log
from dualtrack.security.audit.witness import Witness
from dualtrack.security.pki import authority
from tests.conftest import CLI, Cli, wait
from tests.support import opensearch_testbed as opensearch_bed
from tests.support.child import read_until
from tests.support.opensearch_testbed import Bed
from tests.support.simulated_witnesses import Host

#: `make drill-audit` kills a thousand times.
KILLS = int(os.environ.get("DUALTRACK_KILLS", "20"))
#: A witness that is shown a history, ever more of it, until it is killed.
DRIVER = """
import sys
from pathlib import Path
from dualtrack.security.audit.witness import Witness
directory, history, root = (Path(word) for word in sys.argv[1:])
lines = history.read_bytes().splitlines(keepends=True)
with Witness(directory) as mine:
    mine.register_host("vault-1", root.read_bytes())
    print("ready", flush=True)
    while True:
        begin = mine.known["vault-1"].segment
        for end in range(begin + 1, len(lines) + 1):
            mine.round("vault-1", lambda _, since: lines[max(0, since - 1) : end], pause=lambda _: None)
"""


def cosigned(data: bytes) -> dict[int, set[str]]:
    """Return what a statements' file says of each segment; its last line may be torn."""
    found: dict[int, set[str]] = defaultdict(set)
    for text in data.splitlines(keepends=True):
        if text.endswith(b"\n") and (it := witness_log.parse(text)[0]).kind == "head":
            found[it.segment].add(it.digest)
    return found


def test_killed_witnesses_never_sign_a_second_head(tmp_path: Path, chance: random.Random) -> None:
    """kill -9 while it co-signs; the host's thief shows each witness another history after each start."""
    cli, host = Cli(tmp_path), Host()
    histories = []
    for mark in (1, 2):
        path = tmp_path / f"history-{mark}"
        path.write_bytes(b"".join(it.line for it in host.chain(20 * KILLS + 200, mark=mark).history()))
        histories.append(path)
    (tmp_path / "root.pem").write_bytes(host.root.pem())
    folders = [tmp_path / f"w-{number}" for number in (1, 2, 3)]
    for it in folders:
        cli("audit", "witness", str(it), "--begin")
    given: list[dict[int, set[str]]] = [defaultdict(set) for _ in folders]
    cut_off = 0
    for number in range(KILLS):
        which = number % 3
        folder = folders[which]
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, folder, chance.choice(histories), tmp_path / "root.pem"],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert read_until(process, process.stdout) == "ready\n", "it has forgotten, or does not start"
        time.sleep(chance.uniform(0, 0.04))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        said = (folder / "statements.log").read_bytes()
        cut_off += not said.endswith(b"\n") or said.count(b"\n") < (folder / "seen.log").read_bytes().count(b"\n")
        for segment, digests in cosigned(said).items():  # what anybody could have copied at this moment
            given[which][segment] |= digests
    total = sum(len(it) for it in given)
    assert all(len(digests) == 1 for it in given for digests in it.values()), "a second head was signed"
    for segment in set().union(*given):
        votes = [next(iter(it[segment])) for it in given if it[segment]]
        assert sum(votes.count(one) >= 2 for one in set(votes)) <= 1, "two heads have a quorum"
    assert min(len(it) for it in given) > 0
    print(f"\n{KILLS} kills, {cut_off} of them between memory and signature: {total} heads co-signed, 0 twice")
    for folder in folders:
        with Witness(folder):  # what the last kill left is repaired by the next start
            pass


def carried(folder: Path, trail: Path) -> None:
    """Copy a trail's heads to where a witness reads what was carried to it."""
    (folder / "vault-1").mkdir(parents=True, exist_ok=True)
    shutil.copy(trail / "heads.log", folder / "vault-1/heads.log")


def record(cli: Cli, trail: Path, *bodies: str) -> None:
    for body in bodies:
        subprocess.run([CLI, "audit", "record", trail], input=body.encode(), check=True, capture_output=True)
        cli("audit", "sign", str(trail))


def test_the_page(tmp_path: Path) -> None:
    said = Cli(tmp_path).runbook("witness-and-anchor.md")
    assert "co-signed up to segment 2" in said
    assert "split view" in said


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    cli, mine = Cli(tmp_path), tmp_path / "w"
    cli("audit", "witness", str(mine), "--begin", "--name", "w-1")
    keys, empty = tmp_path / "keys", tmp_path / "empty"
    keys.mkdir()
    empty.mkdir()
    (keys / "vault-1.pem").write_text(cli("audit", "init", str(tmp_path / "trail"), "--host", "vault-1").stdout)
    junk = tmp_path / "junk"
    junk.write_text("{}\n")
    trail, public = str(tmp_path / "trail"), str(mine / "witness.pem")
    judge = ("verify", trail, "--key", str(keys / "vault-1.pem"), "--witness", public)
    for words, code, said in (
        (("witness", str(mine)), 2, "whose heads, and from where"),
        (("witness", str(mine), "--keys", str(empty), "--from", str(empty)), 2, "holds no registered keys"),
        (("witness", str(empty), "--keys", str(keys), "--from", str(empty)), 2, "holds no witness"),
        (("witness", str(mine), "--begin"), 5, "is not empty"),
        ((*judge, "--quorum", "2"), 2, "a quorum of 2 of 1 witnesses cannot be had"),
        ((*judge[:-1], str(junk)), 2, "not an SM2 key"),
    ):
        done = cli("audit", *words, check=False)
        assert (done.returncode, said in done.stderr, done.stderr.count("\n")) == (code, True, 1), (words, done.stderr)
    (mine / "seen.log").unlink()
    done = cli("audit", "witness", str(mine), "--keys", str(keys), "--from", str(empty), check=False)
    assert (done.returncode, "has forgotten what it signed" in done.stderr) == (5, True)


def test_a_running_recorder_turns_its_key_on_a_signal(tmp_path: Path) -> None:
    cli, trail = Cli(tmp_path), tmp_path / "trail"
    (tmp_path / "key").write_text(cli("audit", "init", str(trail), "--host", "h").stdout)
    process = subprocess.Popen([CLI, "audit", "record", trail, "--ack"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"one\n")
    process.stdin.flush()
    read_until(process, process.stdout)
    process.send_signal(signal.SIGUSR1)
    wait(
        lambda: (trail / "keys/000001.pem").exists() and not (trail / "keys/000000.pem").exists(), 30,
        "another key", lambda: proc.processor_seconds(process.pid),
    )  # fmt: skip
    assert cli("audit", "rotate-key", str(trail), "--yes", check=False).returncode == 5  # it has a writer
    process.stdin.close()
    assert process.wait(timeout=30) == 0
    process.stdout.close()
    assert cli.json("audit", "rotate-key", str(trail), "--yes")["epoch"] == 2
    cli("audit", "verify", str(trail), "--key", str(tmp_path / "key"))


# --- with a search store


class Panel:
    """A host whose trail is shipped, and witnesses that ask the store."""

    def __init__(self, cli: Cli, bed: Bed, host: str) -> None:
        self.cli, self.bed, self.host = cli, bed, host
        self.trail, self.keys = cli.folder / "trail", cli.folder / "keys"
        self.keys.mkdir()
        self.key = self.keys / f"{host}.pem"
        self.key.write_text(cli("audit", "init", str(self.trail), "--host", host).stdout)

    def ship(self, trail: Path, *more: str) -> None:
        found = self.bed.certificate(self.host)
        self.cli("audit", "ship", str(trail), "--once", "--store", self.bed.url, "--ca", found.authority, "--cert",
                 found.certificate, "--cert-key", found.key, *more)  # fmt: skip
        self.refresh()

    def refresh(self) -> None:
        with self.bed.open("admin", "admin") as store:
            store.call("POST", "/audit-*/_refresh")

    def words(self, name: str) -> list[str]:
        folder = self.cli.folder / name
        if not folder.exists():
            self.cli("audit", "witness", str(folder), "--begin", "--name", name)
        found = authority.issue(self.bed.pki, "witness", name)
        return ["audit", "witness", str(folder), "--keys", str(self.keys), "--store", self.bed.url, "--ca",
                found.authority, "--cert", found.certificate, "--cert-key", found.key]  # fmt: skip

    def see(self, name: str, code: int = 0) -> dict[str, object]:
        done = self.cli(*self.words(name), "--json", check=False)
        assert done.returncode == code, done.stderr
        [found] = json.loads(done.stdout)["hosts"]
        return dict(found)

    def verify(self, trail: Path, *names: str, code: int = 0, quorum: int = 2) -> list[dict[str, object]]:
        words = [word for name in names for word in (
            "--witness", str(self.cli.folder / name / "witness.pem"), "--anchors",
            str(self.cli.folder / name / "statements.log"))]  # fmt: skip
        done = self.cli("audit", "verify", str(trail), "--key", str(self.key), *words, "--quorum", str(quorum),
                        "--max-head-age", "0", "--json", check=False)  # fmt: skip
        assert done.returncode == code, done.stderr
        found: list[dict[str, object]] = json.loads(done.stdout)["findings"]
        return found


def test_witnesses_ask_the_store_and_two_of_three_are_a_quorum(bed: Bed, tmp_path: Path) -> None:
    panel = Panel(Cli(tmp_path), bed, "gpu-1")
    record(panel.cli, panel.trail, "one", "two", "three")
    panel.ship(panel.trail)
    assert (panel.see("w-1")["segment"], panel.see("w-2")["signed"]) == (3, 3)
    assert panel.verify(panel.trail, "w-1", "w-2") == []
    record(panel.cli, panel.trail, "four")
    panel.ship(panel.trail)
    assert panel.see("w-1")["signed"] == 1
    [found] = panel.verify(panel.trail, "w-1", "w-2", code=1)
    assert found["kind"] == "not co-signed"


def test_a_store_that_shows_two_histories_is_caught(bed: Bed, tmp_path: Path) -> None:
    """Root on the host and the store's administrator together: one history for one witness, another one afterwards."""
    panel = Panel(Cli(tmp_path), bed, "gpu-2")
    record(panel.cli, panel.trail, "one", "two")
    other = Path(shutil.copytree(panel.trail, tmp_path / "other"))
    record(panel.cli, panel.trail, "mallory took it")
    record(panel.cli, other, "nothing happened", "nor later")
    panel.ship(panel.trail)
    assert panel.see("w-1")["segment"] == 3
    # The store's copy is removed by who goes past every rule, and the innocent one takes its place.
    with bed.open("admin", "admin") as store:
        assert store.call("DELETE", "/audit-gpu-2-*").status in (200, 400)
        for name in store.call("GET", "/_cat/indices/audit-gpu-2-*?format=json").body:
            assert store.call("DELETE", f"/{name['index']}").status == 200
    panel.ship(other)
    found = panel.see("w-1", code=1)
    assert [it["what"] for it in found["found"]] == ["rolled back", "fork", "fork"]  # type: ignore[attr-defined]
    assert panel.see("w-2")["segment"] == 4
    assert panel.see("w-3")["segment"] == 4
    for trail in (panel.trail, other):
        kinds = [it["kind"] for it in panel.verify(trail, "w-1", "w-2", "w-3", code=1)]
        assert "split view" in kinds, trail


def test_a_fork_that_stays_in_the_store_is_told_by_every_witness(bed: Bed, tmp_path: Path) -> None:
    panel = Panel(Cli(tmp_path), bed, "gpu-3")
    record(panel.cli, panel.trail, "one")
    other = Path(shutil.copytree(panel.trail, tmp_path / "other"))
    record(panel.cli, panel.trail, "two")
    record(panel.cli, other, "two, rewritten")
    panel.ship(panel.trail)
    panel.see("w-1")
    panel.ship(other, "--state", str(tmp_path / "state"))
    assert [it["what"] for it in panel.see("w-1", code=1)["found"]] == ["fork"]  # type: ignore[attr-defined]
    late = panel.see("w-2", code=1)
    assert (late["segment"], [it["what"] for it in late["found"]]) == (1, ["fork", "fork"])  # type: ignore[attr-defined]
    assert panel.see("w-2")["found"] == []  # told once


def test_a_witness_sees_heads_and_nothing_else(bed: Bed, tmp_path: Path) -> None:
    panel = Panel(Cli(tmp_path), bed, "gpu-4")
    record(panel.cli, panel.trail, "a secret command")
    panel.ship(panel.trail)
    with bed.open("witness", "w-9") as store:
        found = store.call("POST", "/audit-gpu-4-*/_search", {"query": {"match_all": {}}})
        assert found.status == 200, found.reason
        assert [it["_source"]["kind"] for it in found.body["hits"]["hits"]] == ["head"]
        twice = {"query": {"match": {"body": "secret"}}, "aggs": {"words": {"terms": {"field": "source"}}}}
        assert store.call("POST", "/audit-gpu-4-*/_search", twice).body["hits"]["hits"] == []
        head = index_documents.of_head("gpu-4", (panel.trail / "heads.log").read_bytes().splitlines(keepends=True)[0])
        assert store.call("POST", "/_bulk", head).status == 403
        for method, path in (
            ("DELETE", "/audit-gpu-4-2026.11.25"), ("GET", "/_cat/indices"), ("GET", "/.opendistro_security/_search"),
            ("GET", "/_cluster/health"), ("PUT", "/logs-1"), ("PUT", "/audit-x-2026.11.25"),
        ):  # fmt: skip
            assert store.call(method, path).status == 403, (method, path)


def test_another_host_s_index_says_nothing_of_this_one(bed: Bed, tmp_path: Path) -> None:
    """The host `gpu` cannot be spoken of by `gpu-x`, whose indices are called alike."""
    panel = Panel(Cli(tmp_path), bed, "gpu")
    record(panel.cli, panel.trail, "one")
    panel.ship(panel.trail)
    foreign = index_documents.of_head("gpu", Host("gpu").chain(2).line).replace(
        b'"_index":"audit-gpu-', b'"_index":"audit-gpu-x-'
    )
    bed.make(json.loads(foreign.splitlines()[0])["create"]["_index"])
    with bed.open("shipper", "gpu-x") as store:
        assert store.call("POST", "/_bulk", foreign).body["items"][0]["create"]["status"] == 201
    panel.refresh()
    assert panel.see("w-1") == {"host": "gpu", "segment": 1, "signed": 1, "found": []}
    password = tmp_path / "password"
    password.write_text(f"{opensearch_bed.PASSWORDS['auditor']}\n")
    panel.cli("audit", "fetch", "gpu", str(tmp_path / "fetched"), "--store", bed.url, "--ca", str(bed.pki / "ca.pem"),
              "--user", "auditor", "--password-file", str(password))  # fmt: skip
    assert panel.verify(tmp_path / "fetched", "w-1", quorum=1) == []


def test_it_waits_for_a_store_that_is_away_and_ends_when_told(bed: Bed, tmp_path: Path) -> None:
    panel = Panel(Cli(tmp_path), bed, "gpu-5")
    record(panel.cli, panel.trail, "one")
    panel.ship(panel.trail)
    words = panel.words("w-1")
    words[words.index("--store") + 1] = "https://127.0.0.1:1"
    process = subprocess.Popen([CLI, *words, "--interval", "1"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "cannot be had" in read_until(process, process.stderr)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 0
    process.stderr.close()
    process = subprocess.Popen([CLI, *panel.words("w-1"), "--interval", "1"])
    path = tmp_path / "w-1/statements.log"
    wait(lambda: path.exists() and cosigned(path.read_bytes()), 30, "something co-signed")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 0


# --- another authority; the last tests, since the store has another one after them


@contextlib.contextmanager
def spreading(bed: Bed, folder: Path) -> Iterator[Path]:
    """Give a program that brings the node its new files and restarts it: what a role does, by request of a page."""
    asked, program, ended = folder / "asked", folder / "spread", threading.Event()
    program.write_text(f"#!/bin/sh\ntouch {asked}\nwhile test -e {asked}; do sleep 0.1; done\n")
    program.chmod(0o755)

    def serve() -> None:
        while not ended.wait(0.1):
            if asked.exists():
                bed.bring()
                bed.end()
                bed.start()
                asked.unlink()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield program
    finally:
        ended.set()
        thread.join()


def answers(bed: Bed, ca: str, found: authority.Issued | None) -> int:
    """Return what the store says to somebody, 0 where not even the connection comes about."""
    certificate, key = (Path(found.certificate), Path(found.key)) if found else (None, None)
    try:
        with Store(bed.address, straight(bed.address, bed.port), Path(ca), certificate=certificate, key=key) as store:
            return store.call("POST", "/audit-web-1-*/_search", {}).status
    except External:
        return 0


def test_another_authority_and_nobody_is_cut_off(bed: Bed, tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    bed.admit("web-1")
    old = authority.issue(bed.pki, "witness", "w-old")
    kept = {name: shutil.copy(getattr(old, name), tmp_path / name) for name in ("authority", "certificate", "key")}
    before = msgspec.structs.replace(old, **kept)
    assert answers(bed, before.authority, before) == 200
    for name in ("shipper", "witness"):  # hosts of earlier tests are gone
        shutil.rmtree(bed.pki / name, ignore_errors=True)
    with spreading(bed, tmp_path) as spread:
        cli.env |= {"STORE": bed.url, "PKI": str(bed.pki), "SPREAD": str(spread)}
        said = cli.runbook("rotate-authority-and-keys.md")
    assert said.count("shipped up to record") == 6
    assert "settled: dualtrack-2 issues, trusted: dualtrack-2" in said
    bodies = [it["body"] for it in bed.documents("audit-web-1-*") if it.get("kind") == "note"]
    assert (bodies[0], bodies[-1], len(bodies)) == ("before", "after", 6)
    # Who may what is as before; what the old one signed is refused, and it is not believed either.
    mine = authority.issue(bed.pki, "witness", "w-new")
    assert answers(bed, mine.authority, mine) == 200
    assert answers(bed, mine.authority, before) == 0
    assert answers(bed, before.authority, mine) == 0


def test_what_has_ended_and_what_others_signed_is_refused(bed: Bed, tmp_path: Path) -> None:
    ca = str(bed.pki / "ca.pem")
    for folder in ("ended", "elsewhere"):
        (tmp_path / folder).mkdir()
    for name in ("ca.pem", "ca.key"):
        shutil.copy(bed.pki / name, tmp_path / "ended" / name)
    then = datetime.now(UTC) - timedelta(days=2)
    ended = authority.issue(tmp_path / "ended", "witness", "w-1", days=1, now=then)
    assert answers(bed, ca, authority.issue(tmp_path / "ended", "witness", "w-2")) == 200
    assert answers(bed, ca, ended) == 0
    assert answers(bed, ca, authority.issue(tmp_path / "elsewhere", "witness", "w-1")) == 0
    assert answers(bed, ca, None) == 401
