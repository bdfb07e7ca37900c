"""Keeping the search store: snapshots, what leaves it and what is held, and what comes back when its disk is lost."""

from __future__ import annotations

import json
import re
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dualtrack.remote.opensearch import SearchStore
from dualtrack.security.audit import index_documents, record
from dualtrack.security.audit import retention as retaining
from dualtrack.security.audit.retention import Keeper
from dualtrack.security.audit.writer import Writer, begin
from dualtrack.security.pki import authority
from tests.conftest import Cli
from tests.integration.test_audit_ship import Trail, numbers, same
from tests.integration.test_opensearch import ship
from tests.support import opensearch_testbed as opensearch_bed
from tests.support.opensearch_testbed import Bed
from tests.support.store_testbed import store as bucket

MINUTE, DAY = 60 * 10**9, 86_400 * 10**9
#: Between two events of a trail that is days long.
APART = 4 * MINUTE


class Kept(Trail):
    """A host's trail whose key is registered on the controller."""

    def __init__(self, cli: Cli, bed: Bed, host: str, days: int = 0, apart: int = APART) -> None:
        self.cli, self.bed, self.host, self.folder = cli, bed, host, cli.folder / f"trail-{host}"
        self.key = bed.pki.parent / "audit-keys" / f"{host}.pem"
        self.key.parent.mkdir(exist_ok=True)
        self.key.write_bytes(begin(self.folder, host).pem())
        self.password = cli.folder / "password"
        self.password.write_text(f"{opensearch_bed.PASSWORDS['auditor']}\n")
        if days:
            self.live(days, apart)

    def live(self, days: int, apart: int) -> None:
        """Write events for so many days up to now, in the distance of heartbeats or more; heads an hour apart."""
        now = time.time_ns()
        clock = [now - days * DAY]
        with Writer(self.folder, clock=lambda: clock[0], age_ns=60 * MINUTE) as writer:
            while clock[0] <= now:
                writer.append("count", "here", f"{writer.last}".encode())
                if writer.last % 5 == 0 or apart > APART:
                    writer.commit()
                clock[0] += apart
            clock[0] = now
            writer.seal()

    def index(self, back: int) -> str:
        """Return the index of the day so many days ago."""
        return f"audit-{self.host}-{datetime.now(UTC) - timedelta(days=back):%Y.%m.%d}"

    def there(self) -> list[str]:
        """Return the days that the store has of it."""
        with self.bed.open("admin", "admin") as admin:
            found = admin.call("GET", f"/audit-{self.host}-*/_settings").body
        return sorted(it for it in found if index_documents.host_of(it) == self.host)

    def retired(self) -> tuple[str, ...]:
        notes = self.bed.pki / "retired" / f"{self.host}.notes"
        return ("--retired", str(notes), "--ca", str(self.bed.pki / "ca.pem"))

    def judged(self, folder: Path, *words: str) -> list[str]:
        done = self.cli("audit", "verify", str(folder), "--key", str(self.key), "--json", *words, check=False)
        assert done.returncode in (0, 1), done.stderr
        return [it["kind"] for it in json.loads(done.stdout)["findings"]]


@pytest.fixture
def cli(tmp_path: Path, bed: Bed) -> Cli:
    found = Cli(tmp_path)
    found.env |= {"STORE": bed.url, "PKI": str(bed.pki)}
    return found


def keeper(cli: Cli, bed: Bed, *words: str) -> dict[str, Any]:
    """Run a command with the certificate that lies on the node."""
    bed.open("keeper", "log-1")
    cert = bed.pki / "keeper/log-1.pem"
    return cli.json("audit", *words, "--store", bed.url, "--ca", str(bed.pki / "ca.pem"), "--cert", str(cert),
                    "--cert-key", str(cert.with_suffix(".key")))  # fmt: skip


def retain(cli: Cli, bed: Bed, *words: str, days: int = 2, code: int = 0) -> dict[str, tuple[bool, str]]:
    """Run `audit retain` and return what becomes of each index, and why."""
    done = cli("audit", "retain", "--store", bed.url, "--pki", str(bed.pki), "--days", str(days), "--json", *words,
               check=False)  # fmt: skip
    assert done.returncode == code, done.stderr
    return {it["index"]: (it["goes"], it["why"]) for it in json.loads(done.stdout)["indices"]}


def test_a_keeper_takes_snapshots_and_nothing_else(cli: Cli, bed: Bed) -> None:
    index = "audit-kept-1-2026.11.25"
    with bed.open("shipper", "kept-1") as shipper, bed.open("keeper", "log-1") as node:
        assert ship(shipper, index, range(1, 4), "kept-1") == [201] * 3
        taken = keeper(cli, bed, "snapshot")
        assert (taken["state"], index in taken["indices"]) == ("SUCCESS", True)
        assert taken["name"] in [it["name"] for it in keeper(cli, bed, "snapshots")["snapshots"]]
        name = taken["name"]
        for method, path, body in (
            ("DELETE", f"/_snapshot/disk/{name}", None), ("DELETE", "/_snapshot/disk", None),
            ("POST", f"/_snapshot/disk/{name}/_restore", {"rename_pattern": "(.+)", "rename_replacement": "copy-$1"}),
            ("PUT", f"/_snapshot/disk/{name}/_clone/other", {"indices": "*"}),
            ("PUT", "/_snapshot/other", {"type": "fs", "settings": {"location": str(bed.folder / "snapshots")}}),
            ("POST", "/_snapshot/disk/_cleanup", None), ("GET", f"/{index}/_search", None),
            ("DELETE", f"/{index}", None), ("GET", "/_cat/indices", None), ("PUT", f"/{index}/_block/write", None),
            ("GET", "/_cluster/state", None), ("PUT", "/ordinary", None), ("GET", "/.asked-kept-1/_doc/1", None),
            ("PUT", "/audit-kept-1-2026.11.26", {"aliases": {"audit-kept-2-2026.11.26": {}}}),
            ("PUT", "/.asked-kept-3", None), ("PUT", f"/{index}/_mapping", {"properties": {"x": {"type": "keyword"}}}),
            ("PUT", f"/{index}/_settings", {"index.blocks.read": True}), ("PUT", f"/{index}/_create/9", {"n": 9}),
        ):  # fmt: skip
            assert node.call(method, path, body).status == 403, f"a keeper can {method} {path}"


def test_index_that_lies_nowhere_keeps_no_trail_from_being_saved(cli: Cli, bed: Bed) -> None:
    nowhere = {"settings": {"index.routing.allocation.require._name": "nowhere", "number_of_replicas": 0}}
    index = "audit-kept-9-2026.11.25"
    with bed.open("shipper", "kept-9") as shipper, bed.open("admin", "admin") as everybody:
        assert ship(shipper, index, range(1, 4), "kept-9") == [201] * 3
        assert everybody.call("PUT", "/stuck?wait_for_active_shards=0", nowhere).status == 200
        try:
            with pytest.raises(pytest.fail.Exception, match="has the audit trails alone"):
                keeper(cli, bed, "snapshot")
            newest = keeper(cli, bed, "snapshots")["snapshots"][-1]
            assert (newest["name"].split("-")[0], newest["state"]) == ("trails", "SUCCESS")
            # What keeps the store red is still there.
            assert everybody.call("DELETE", f"/{index}").status == 200
            back = cli.json("audit", "restore", "--store", bed.url, "--pki", str(bed.pki))
            assert (back["snapshots"][0], index in back["restored"]) == (newest["name"], True)
        finally:
            assert everybody.call("DELETE", "/stuck").status == 200


def test_page_copies_snapshots_to_a_bucket(cli: Cli, bed: Bed, tmp_path: Path) -> None:
    kept, empty = bed.folder / "snapshots", tmp_path / "empty"
    (tmp_path / "bed").mkdir()
    empty.mkdir()
    with bucket(tmp_path / "bed") as s3:
        s3.client().create_bucket(Bucket="copies")
        cli.env |= {it: s3.env()[it] for it in s3.env() if it.startswith("AWS_") or it == "DUALTRACK_STORE"}
        cli.env |= {"BUCKET": "copies", "SNAPSHOTS": str(kept), "EMPTY": str(empty)}
        cli.runbook("copy-snapshots-to-a-bucket.md")
    content = [{it.relative_to(at): it.read_bytes() for it in at.rglob("*") if it.is_file()} for at in (kept, empty)]
    assert content[0] == content[1] != {}


def test_old_days_go_and_the_rest_is_in_order_by_the_authority_s_word_alone(cli: Cli, bed: Bed) -> None:
    trail = Kept(cli, bed, "retained", days=4)
    trail.ship()
    assert {why for it, (_, why) in retain(cli, bed).items() if it in (trail.index(4), trail.index(3))} == {
        "in no whole snapshot that was begun after its day"
    }
    keeper(cli, bed, "snapshot")
    before = trail.there()
    plan = retain(cli, bed)
    assert [it for it, (goes, _) in plan.items() if goes] == sorted(trail.index(back) for back in (4, 3))
    assert plan[trail.index(0)][1] == "the newest of its host"
    assert trail.there() == before  # it was only shown
    retain(cli, bed, "--yes")
    assert trail.there() == sorted(trail.index(back) for back in (2, 1, 0))

    fetched = trail.fetched()
    assert trail.judged(fetched) == ["removed"]  # whoever says that this was retention must show the note
    assert trail.judged(fetched, *trail.retired()) == []
    whole, rest = numbers(trail.folder), numbers(fetched)
    assert rest == whole[-len(rest) :]
    assert 2 * DAY < len(rest) * APART < 3 * DAY
    # An anchor from the time before it was retired does no harm, and one of what is left still counts.
    anchors = cli.folder / "anchors"
    cli("audit", "anchor", str(trail.folder), "--to", str(anchors))
    assert trail.judged(fetched, *trail.retired(), "--anchors", str(anchors)) == []
    # More was taken away than was retired: the note does not cover it.
    cut = Path(shutil.copytree(fetched, cli.folder / "cut"))
    heads = (cut / "heads.log").read_bytes().splitlines(keepends=True)
    (cut / "heads.log").write_bytes(b"".join(heads[3:]))
    for path in sorted((cut / "segments").iterdir())[:3]:
        path.unlink()
    assert "removed" in trail.judged(cut, *trail.retired())
    # Nobody else's word counts, and no other host's note.
    notes = Path(trail.retired()[1])
    forged = cli.folder / "forged"
    forged.write_bytes(notes.read_bytes().replace(b'"t":1', b'"t":2', 1))
    done = cli("audit", "verify", str(fetched), "--key", str(trail.key), "--retired", str(forged), "--ca",
               str(bed.pki / "ca.pem"), check=False)  # fmt: skip
    assert (done.returncode, "not the authority's word" in done.stderr) == (1, True)
    done = cli("audit", "verify", str(trail.folder), "--key", str(trail.key), *trail.retired(), check=False)
    assert (done.returncode, "host's own trail" in done.stderr) == (5, True)
    # The next day the next one goes: notes follow each other.
    retain(cli, bed, "--yes", days=1)
    assert trail.there() == sorted(trail.index(back) for back in (1, 0))
    assert trail.judged(trail.fetched(), *trail.retired()) == []
    # What is sent again is what was retired before, and goes again.
    trail.ship("--again")
    assert trail.there() == sorted(trail.index(back) for back in range(5))
    assert trail.judged(trail.fetched(), *trail.retired()) == []
    keeper(cli, bed, "snapshot")
    retain(cli, bed, "--yes", days=1)
    assert trail.there() == sorted(trail.index(back) for back in (1, 0))
    assert trail.judged(trail.fetched(), *trail.retired()) == []


def test_page_holds_and_releases(cli: Cli, bed: Bed) -> None:
    held, other = Kept(cli, bed, "held", days=3), Kept(cli, bed, "other", 3, 3 * DAY)
    for it in (held, other):
        it.ship()
    # A host whose name begins alike says that it was this one: its word is not taken for it.
    with bed.open("shipper", "held-b") as alike:
        assert ship(alike, held.index(0).replace("held", "held-b"), range(3, 4), "held") == [201]
    keeper(cli, bed, "snapshot")
    cli.env["HOST"] = held.host
    said = cli.runbook("legal-hold.md")
    assert "records in" in said
    assert "were retired, says the authority" in said
    assert held.there() == sorted(held.index(back) for back in (2, 1, 0))
    assert other.there() == [other.index(0)]
    assert len(re.findall(rf"{other.index(3)} +goes", said)) == 1  # the dry run removes nothing
    applied = (cli.folder / "runbook/applied.txt").read_text()
    assert re.search(rf"{other.index(3)} +gone", applied)
    done = cli("audit", "release", "held", "--pki", str(bed.pki), check=False)
    assert (done.returncode, "is not held" in done.stderr) == (2, True)


def test_old_snapshots_go_and_the_last_one_of_what_is_held_stays(cli: Cli, bed: Bed) -> None:
    """Forty days later: all but the newest may go, and a hold keeps what is nowhere else any more."""
    trail = Kept(cli, bed, "saved", 3, 3 * DAY)
    trail.ship()
    keeper(cli, bed, "snapshot")
    retain(cli, bed, "--yes")
    keeper(cli, bed, "snapshot")
    mine = authority.issue(bed.pki, "admin", "admin")
    store = SearchStore([bed.url], ca=Path(mine.authority), cert=Path(mine.certificate), key=Path(mine.key))
    later = time.time_ns() + 40 * DAY

    def left() -> list[list[str]]:
        found = Keeper(store=store, pki=bed.pki, keys=trail.key.parent, repository="disk")
        result = retaining.retain(found, 10_000, apply=True, saved_days=30, now=later)
        assert not any(it.goes for it in result.indices)
        names = {it.index for it in result.snapshots if not it.goes}
        there = keeper(cli, bed, "snapshots")["snapshots"]
        assert {it["name"] for it in there} == names
        return [it["indices"] for it in there]

    cli("audit", "hold", "saved", "--reason", "case", "--pki", str(bed.pki))
    found = left()
    assert (len(found), [trail.index(3) in it for it in found]) == (2, [True, False])
    cli("audit", "release", "saved", "--pki", str(bed.pki), "--yes")
    assert [trail.index(0) in it for it in left()] == [True]


def test_what_somebody_changed_stays(cli: Cli, bed: Bed) -> None:
    """Evidence is not retired: a forged second version, and a host whose key nobody registered."""
    hosts = trail, stranger, odd = [Kept(cli, bed, name, 3, 3 * DAY) for name in ("changed", "unknown", "odd")]
    for it in hosts:
        it.ship()
    stranger.key.unlink()
    first = (trail.folder / "segments/00000001.log").read_bytes().splitlines(keepends=True)[0]
    data = record.split(first)[0].replace(b'"body":"0"', b'"body":"1"')
    forged = index_documents.of_record("changed", record.line(data, record.link(record.start("changed"), data)))
    with bed.open("shipper", "changed") as shipper, bed.open("shipper", "odd") as other:
        assert not shipper.call("POST", "/_bulk", forged).body["errors"]
        assert ship(other, odd.index(3), range(1, 2), "odd") == [201]  # and one that is not a record at all
    keeper(cli, bed, "snapshot")
    found = retain(cli, bed, "--yes", code=1)
    assert "its trail is not in order" in found[trail.index(3)][1]
    assert "no key of it is registered" in found[stranger.index(3)][1]
    assert "where record 1 should be is none" in found[odd.index(3)][1]
    for it in hosts:
        assert it.there() == [it.index(3), it.index(0)]
    with bed.open("admin", "admin") as admin:  # and nothing keeps its old days from being written to
        assert "write" not in str(admin.call("GET", f"/{trail.index(3)}/_settings").body)


def test_lost_disk_comes_back_with_none_lost_and_none_twice(cli: Cli, bed: Bed) -> None:
    """5,000 records, a snapshot, 2,000 more; an older copy of the data is put back, then the disk is lost."""
    trail, gone = Kept(cli, bed, "living"), Kept(cli, bed, "gone", days=1)
    gone.ship()
    shutil.copytree(gone.folder, cli.folder / "as-it-was")
    event = lambda numbers: trail.record(*(f"event {it}" for it in numbers))  # noqa: E731
    event(range(5000))
    cli("audit", "sign", str(trail.folder))
    trail.ship()
    taken = keeper(cli, bed, "snapshot")
    with bed.open("admin", "admin") as admin:
        assert admin.call("POST", "/_all/_flush?force=true").status == 200
    older = Path(shutil.copytree(bed.folder / "data", bed.folder / "older"))  # nothing is being written
    event(range(5000, 7000))
    cli("audit", "sign", str(trail.folder))
    trail.ship()
    anchors = cli.folder / "anchors"
    cli("audit", "anchor", str(trail.folder), "--to", str(anchors))
    assert trail.judged(trail.fetched(), "--anchors", str(anchors)) == []

    # Whoever has all rights in the store restores nothing over what is there.
    with bed.open("admin", "admin") as admin:
        answer = admin.call("POST", f"/_snapshot/disk/{taken['name']}/_restore", {"indices": "audit-living-*"})
        assert (answer.status, "already exists" in answer.reason) == (500, True)
    assert cli.json("audit", "restore", "--store", bed.url, "--pki", str(bed.pki))["restored"] == []

    # Root on the node puts the data of before in place: found by what was anchored, and repaired by the host.
    bed.end()
    swap(bed, older)
    bed.start()
    trail.ship()
    fetched = trail.fetched()
    assert trail.judged(fetched, "--anchors", str(anchors)) == ["rolled back"]
    trail.ship("--again")
    assert trail.judged(trail.fetched(), "--anchors", str(anchors)) == []

    # The disk is lost, the snapshots are not.
    bed.kill()
    swap(bed, None)
    shutil.rmtree(gone.folder)
    bed.start()
    cli.env |= {"HOST": trail.host, "TRAIL": str(trail.folder)}
    said = cli.runbook("restore-the-store.md")
    assert "this is another store than before" in said
    fetched = trail.fetched()
    print(f"{len(events(trail.folder))} recorded, {len(set(events(fetched)))} in the store, "
          f"{len(events(fetched)) - len(set(events(fetched)))} twice")  # fmt: skip
    assert same(fetched, trail.folder)
    assert sorted(events(fetched)) == list(range(7000))
    assert trail.judged(fetched, "--anchors", str(anchors)) == []
    # The host that is no more is there as the snapshot had it.
    assert same(gone.fetched("other"), cli.folder / "as-it-was")


def swap(bed: Bed, older: Path | None) -> None:
    """Put another data directory in the place of the node's: an older copy, or an empty one."""
    data = bed.folder / "data"
    shutil.rmtree(data)
    if older:
        shutil.copytree(older, data)
    else:
        data.mkdir()
    for path in (data, *data.rglob("*")):
        shutil.chown(path, "nobody")


def events(folder: Path) -> list[int]:
    """Return the events' own numbers, in the order of the trail."""
    found = []
    for path in sorted((folder / "segments").glob("*.log")):
        for line in path.read_bytes().splitlines(keepends=True):
            it = record.parse(line)[0]
            if it.kind == "test":
                found.append(int(it.body.removeprefix("event ")))
    return found
