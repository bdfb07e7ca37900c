"""Every attack of the issue on the audit trail, tried: what is prevented, what is found, by whom, and how fast.

`dualtrack drill audit` prints the table. A row is made by what happened, not by what was expected: an attack that goes
through unseen is a test that fails.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dualtrack.core.errors import External
from dualtrack.remote.opensearch import SearchStore, Store
from dualtrack.security.access import tokens
from dualtrack.security.audit import fetch, ship
from dualtrack.security.audit.verify import Anchor, judge
from dualtrack.security.audit.writer import Writer, begin
from dualtrack.security.pki import authority
from tests.support import opensearch_testbed as opensearch_bed
from tests.support.attack_helpers import SECOND, START, Clock, anchors, fill, steal
from tests.support.opensearch_testbed import Bed
from tests.support.store_attacks import DOCUMENT, HOST_ATTACKS, STORE_ATTACKS, layout
from tests.support.tried import ADMIN, CONTROLLER, ROOT, THIEF, Tried

pytestmark = pytest.mark.attack  # what they try they say themselves


class Host:
    """A host with a trail of 33 records: six segments of five, signed by a key each four, and three not signed yet."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder / "trail", name
        begin(self.folder, name)
        self.clock = Clock()
        fill(self.folder, 33, self.clock)
        self.key = (self.folder / "root.pem").read_bytes()
        self.known: list[Anchor] = anchors(self.folder)

    def kinds(self, folder: Path | None = None, *, anchored: bool = False, now: int = 0) -> set[str]:
        """Return what the verifier finds, by the registered key."""
        report = judge(folder or self.folder, self.key, self.known if anchored else (), now=now)
        return {it.kind for it in report.findings}

    def ship(self, bed: Bed) -> None:
        """Send all of it to the store."""
        found = bed.certificate(self.name)
        store = SearchStore([bed.url], ca=Path(found.authority), cert=Path(found.certificate), key=Path(found.key))
        shipper = ship.Shipper(self.folder, store, self.folder / "shipped.json", alarm=1 << 30, tell=lambda _: None)
        ship.follow(shipper, once=True, stopped=lambda: False)

    def fetched(self, bed: Bed) -> Path:
        """Return the store's copy, fetched by the auditor."""
        with bed.open("admin", "admin") as store:
            store.call("POST", "/audit-*/_refresh")
        folder = self.folder.with_name("fetched")
        shutil.rmtree(folder, ignore_errors=True)
        mine = authority.issue(bed.pki, "person", "auditor")
        store_ = SearchStore([bed.url], ca=Path(mine.authority), cert=Path(mine.certificate), key=Path(mine.key))
        fetch.fetch(store_, self.name, folder, lambda _: None)
        return folder

    @property
    def index(self) -> str:
        """The index that its records of 1 January 2026 are in."""
        return f"audit-{self.name}-2026.01.01"


@pytest.fixture
def host(tmp_path: Path, request: pytest.FixtureRequest) -> Host:
    name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())
    return Host(tmp_path, name[:40].strip("-"))


def edit(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


@pytest.mark.parametrize(
    ("what", "change", "kind"),
    [
        ("edits a line", lambda it: [it[0], it[1].replace(b"ls", b"id"), *it[2:]], "altered"),
        ("deletes a line", lambda it: [it[0], *it[2:]], "removed"),
        ("swaps two lines", lambda it: [it[1], it[0], *it[2:]], "removed"),
        ("repeats a line", lambda it: [it[0], *it], "inserted"),
    ],
)  # fmt: skip
def test_root_and_a_line(host: Host, tried: Tried, what: str, change: Callable[..., Any], kind: str) -> None:
    edit(host.folder / "segments/00000002.log", change)
    with tried.attack(ROOT, what, "found", "audit verify on the host"):
        assert kind in host.kinds()


def test_root_deletes_a_file(host: Host, tried: Tried) -> None:
    (host.folder / "segments/00000003.log").unlink()
    with tried.attack(ROOT, "deletes a file", "found", "audit verify on the host"):
        assert "removed" in host.kinds()


def test_root_begins_another_trail(host: Host, tried: Tried) -> None:
    shutil.rmtree(host.folder)
    begin(host.folder, host.name)
    fill(host.folder, 33, Clock())
    assert judge(host.folder, (host.folder / "root.pem").read_bytes()).findings == ()
    with tried.attack(ROOT, "replaces the whole trail, signed by a new key", "found", "the registered key"):
        assert host.kinds() == {"wrong key"}


def test_root_cuts_the_end_off(host: Host, tried: Tried) -> None:
    edit(host.folder / "heads.log", lambda it: it[:3])
    for number in range(4, 8):
        (host.folder / f"segments/{number:08d}.log").unlink()
    assert host.kinds() == set()
    with tried.attack(ROOT, "cuts the trail at a signed head", "found", "an anchor"):
        assert host.kinds(anchored=True) == {"rolled back"}


def test_root_stops_what_records(host: Host, tried: Tried) -> None:
    with tried.attack(ROOT, "stops the recorder for an hour", "found", "audit verify --live: no heartbeat"):
        assert "silent" in host.kinds(now=host.clock.now + 3600 * SECOND)


def test_root_stops_the_shipper(host: Host, bed: Bed, tried: Tried) -> None:
    host.ship(bed)
    fill(host.folder, 20, host.clock)
    with tried.attack(ROOT, "stops the shipper for an hour", "found", "the store's copy: silent since"):
        assert "silent" in host.kinds(host.fetched(bed), now=host.clock.now + 3600 * SECOND)
    host.ship(bed)
    assert host.kinds(host.fetched(bed)) == set()  # and nothing was lost by it


def test_root_turns_the_clock_back(host: Host, tried: Tried) -> None:
    fill(host.folder, 2, Clock(START - 3600 * SECOND))
    with tried.attack(ROOT, "turns the clock back an hour", "found", "the chain's own record of it"):
        assert "clock" in host.kinds()


def test_root_forks_the_chain(host: Host, bed: Bed, tried: Tried) -> None:
    """Two histories from one point on: the store got the first, the host shows the second."""
    host.ship(bed)
    shutil.rmtree(host.folder)
    other = Host(host.folder.parent, host.name)
    assert other.kinds() == set()
    other.ship(bed)
    with tried.attack(ROOT, "forks the chain, and ships the other branch, too", "found", "the store's copy has both"):
        assert host.kinds(host.fetched(bed))


def test_root_changes_what_is_not_signed_yet(host: Host, bed: Bed, tried: Tried) -> None:
    host.ship(bed)
    path = host.folder / "segments/00000007.log"
    edit(path, lambda it: it[:2])
    with Writer(host.folder, clock=host.clock) as writer:
        writer.append("sudo", "ops", b"nothing happened")
        writer.commit()
        writer.seal()
    assert host.kinds() == set()
    (host.folder / "shipped.json").unlink()
    host.ship(bed)
    with tried.attack(ROOT, "rewrites the last minute before it is signed", "found", "the store's copy has both"):
        assert host.kinds(host.fetched(bed))


def test_thief_of_a_host_key(host: Host, tried: Tried) -> None:
    steal(host.folder, 3)
    with tried.attack(THIEF, "rewrites yesterday with the host's key of today", "found", "the registered key's epochs"):
        assert host.kinds() == {"wrong key"}


def test_thief_of_a_host_key_today(tmp_path: Path, tried: Tried) -> None:
    folder = tmp_path / "trail"
    begin(folder, "h")
    fill(folder, 33, Clock(), epoch_s=10**6)
    known, root = anchors(folder), (folder / "root.pem").read_bytes()
    steal(folder, 28)
    assert judge(folder, root).findings == ()
    with tried.attack(THIEF, "rewrites today with the host's key of today", "found", "an anchor"):
        assert {it.kind for it in judge(folder, root, known).findings} == {"rewritten"}


def test_thief_of_a_host_certificate(host: Host, bed: Bed, tried: Tried) -> None:
    host.ship(bed)
    document = {"@timestamp": "2026-01-01T00:00:00Z", "host": host.name, "kind": "x", "source": "x", "n": 99,
                "body": "x", "chain": "f" * 64, "line": "x"}  # fmt: skip
    what = "writes to another host's index by a host's certificate"
    with bed.open("shipper", "stolen-from-another") as store, tried.attack(THIEF, what, "prevented", "rights"):
        assert store.call("PUT", f"/{host.index}/_create/99", document).status == 403
    with bed.open("shipper", host.name) as store:
        assert store.call("PUT", f"/{host.index}/_create/99", document).status == 201
        with tried.attack(THIEF, "adds to the host's own index by its certificate", "found", "audit verify of a fetch"):
            assert host.kinds(host.fetched(bed))


@pytest.fixture(scope="module")
def shipped(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host whose trail is in the store, for attacks that are prevented: it stays as it is."""
    found = Host(tmp_path_factory.mktemp("shipped"), "shipped")
    found.ship(bed)
    with bed.open("admin", "admin") as store:
        assert store.call("PUT", "/books", {}).status == 200  # an ordinary index
    return found


@pytest.mark.parametrize(("what", "method", "path", "body"), STORE_ATTACKS)
def test_the_stores_administrator(
    shipped: Host, bed: Bed, tried: Tried, what: str, method: str, path: str, body: Any
) -> None:
    told = json.loads(json.dumps(body).replace("{index}", shipped.index))
    with bed.open("person", "administrator") as store, tried.attack(ADMIN, what, "prevented", "rights, immutability"):
        answer = store.call(method, path.format(index=shipped.index), told)
        # This distribution lacks what copies and changes by a query; of a list each part is refused.
        absent = (answer.status == 400 and "no handler found" in str(answer.body)) or answer.status == 405
        parts = [it.get("error", {}).get("type") for it in (answer.body or {}).get("docs", ())]
        assert answer.status == 403 or absent or (parts and set(parts) == {"security_exception"})


@pytest.mark.parametrize(("what", "kind", "method", "path", "body"), HOST_ATTACKS)
def test_a_hosts_certificate(
    shipped: Host, bed: Bed, tried: Tried, what: str, kind: authority.Kind, method: str, path: str, body: Any
) -> None:
    bed.admit("other")
    with bed.open("admin", "admin") as admin, bed.open(kind, shipped.name) as store:
        before = layout(admin)
        with tried.attack(THIEF, f"{what}, by a host's certificate", "prevented", "rights, the template"):
            assert store.call(method, path.format(index=shipped.index), body).status in (400, 403, 404)
            assert layout(admin) == before
            assert admin.call("GET", "/_cluster/health").body["status"] != "red"


def test_the_stores_administrator_restores(shipped: Host, bed: Bed, tried: Tried) -> None:
    with bed.open("person", "administrator") as store:
        taken = store.call("PUT", "/_snapshot/disk/older?wait_for_completion=true", {"indices": "audit-*"})
        assert taken.body["snapshot"]["state"] == "SUCCESS"
        with tried.attack(ADMIN, "restores an older snapshot over it", "prevented", "rights"):
            assert store.call("POST", "/_snapshot/disk/older/_restore", {"indices": shipped.index}).status == 403
    assert shipped.kinds(shipped.fetched(bed)) == set()


def hit(store: Store, index: str, n: int) -> str:
    """Return the name of the document of a record."""
    answer = store.call("POST", f"/{index}/_search", {"query": {"term": {"n": n}}})
    return str(answer.body["hits"]["hits"][0]["_id"])


@pytest.mark.parametrize(
    ("what", "kind"),
    [("deletes a record", "removed"), ("rewrites a record", "altered"), ("deletes the newest day", "rolled back")],
)
def test_whoever_has_everything(host: Host, bed: Bed, tried: Tried, what: str, kind: str) -> None:
    """The certificate that lies on the controller goes past every rule of the store, and past no chain."""
    host.clock.now = START + 24 * 3600 * SECOND
    fill(host.folder, 20, host.clock)
    host.known = anchors(host.folder)
    host.ship(bed)
    with bed.open("admin", "admin") as store:
        store.call("POST", "/audit-*/_refresh")
        name = hit(store, host.index, 12)
        if what == "deletes a record":
            done = store.call("DELETE", f"/{host.index}/_doc/{name}")
        elif what == "rewrites a record":
            was = store.call("GET", f"/{host.index}/_doc/{name}").body["_source"]
            changed = {**was, "body": was["body"].replace("ls -l", "ls -a")}
            done = store.call("PUT", f"/{host.index}/_doc/{name}", changed)
        else:
            done = store.call("DELETE", f"/{host.index.removesuffix('01')}02")
        assert done.status == 200, done
    with tried.attack(CONTROLLER, what, "found", "audit verify of a fetch, and anchors"):
        assert kind in host.kinds(host.fetched(bed), anchored=True)


def test_an_auditor_who_writes(shipped: Host, bed: Bed, tried: Tried) -> None:
    with bed.open("person", "auditor") as store:
        for what, method, path in (("adds a record", "PUT", "_create/99"), ("deletes a record", "DELETE", "_doc/1")):
            with tried.attack("an auditor", what, "prevented", "rights"):
                assert (
                    store.call(method, f"/{shipped.index}/{path}", DOCUMENT if method == "PUT" else None).status == 403
                )


def test_a_user_who_reads(shipped: Host, bed: Bed, tried: Tried) -> None:
    with bed.open("person", "chen") as store, tried.attack("a user", "searches the trail", "prevented", "rights"):
        assert store.call("POST", f"/{shipped.index}/_search", {}).status == 403
    with (
        bed.open("shipper", "auditor") as store,
        tried.attack("a host called like a person", "searches", "prevented", "its OU"),
    ):
        assert store.call("POST", f"/{shipped.index}/_search", {}).status == 403


def test_forged_tokens(shipped: Host, bed: Bed, tried: Tried, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    good = tokens.issue(bed.pki, "auditor", ["person-auditor"], until=now + timedelta(minutes=5))
    head, claims, signature = good.split(".")

    def coded(document: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()

    def claimed(name: str) -> str:
        found = json.loads(base64.urlsafe_b64decode(claims + "=="))
        return coded({**found, "sub": name, "roles": [f"person-{name}"]})

    public = tokens.public(bed.pki).encode()
    forged = {
        "a token of a key of one's own": tokens.issue(
            tmp_path, "auditor", ["person-auditor"], until=now + timedelta(minutes=5)
        ),
        "a token with another name in it": f"{head}.{claimed('administrator')}.{signature}",
        "a token without a signature (alg none)": f"{coded({'alg': 'none', 'typ': 'JWT'})}.{claims}.",
        "a token signed by the public key (HS256)": hs256(coded({"alg": "HS256", "typ": "JWT"}), claims, public),
        "a token that has ended": tokens.issue(
            bed.pki, "auditor", ["person-auditor"], until=now - timedelta(minutes=1), now=now - timedelta(hours=1)
        ),
    }

    def asked(store: Store, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return store.call("POST", f"/{shipped.index}/_search", {}, headers).status

    with bed.open() as store:
        assert asked(store, good) == 200
        for what, token in forged.items():
            with tried.attack("a stranger", f"shows {what}", "prevented", "the store"):
                assert asked(store, token) == 401


def hs256(head: str, claims: str, secret: bytes) -> str:
    """Return a token whose signature is a MAC with what everybody may know."""
    import hmac

    made = hmac.digest(secret, f"{head}.{claims}".encode(), "sha256")
    return f"{head}.{claims}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"


def test_certificates_that_are_none(shipped: Host, bed: Bed, tried: Tried, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    for name in ("ca.pem", "ca.key"):
        shutil.copy(bed.pki / name, ours / name)  # with its mode
    past = datetime.now(UTC) - timedelta(days=30)
    found = {
        "a certificate that has expired": authority.issue(ours, "person", "auditor", days=20, now=past),
        "a certificate of an authority of one's own": authority.issue(tmp_path / "foreign", "person", "auditor"),
    }
    for what, it in found.items():
        with tried.attack("a stranger", f"shows {what}", "prevented", "TLS"):
            try:
                store = Store(
                    bed.address, opensearch_bed.straight(bed.address, bed.port), bed.pki / "ca.pem",
                    certificate=Path(it.certificate), key=Path(it.key),
                )  # fmt: skip
                with store:
                    assert store.call("POST", f"/{shipped.index}/_search", {}).status == 401
            except External:
                pass  # not even a connection


def test_who_left(shipped: Host, bed: Bed, tried: Tried) -> None:
    """Rights that are taken away are gone at once, for certificates and tokens that are still good."""
    token = tokens.issue(bed.pki, "auditor", ["person-auditor"], until=datetime.now(UTC) + timedelta(minutes=5))
    headers = {"Authorization": f"Bearer {token}"}
    path = f"/{shipped.index}/_search"
    with bed.open("person", "auditor") as mine, bed.open() as anybody, bed.open("admin", "admin") as admin:
        assert [mine.call("POST", path, {}).status, anybody.call("POST", path, {}, headers).status] == [200, 200]
        assert bed.settle(admin, {}, [it for it in opensearch_bed.PEOPLE if it.name != "auditor"])
        with tried.attack("an auditor who has left", "searches with what they still have", "prevented", "rights"):
            assert [mine.call("POST", path, {}).status, anybody.call("POST", path, {}, headers).status] == [403, 403]
        bed.settle(admin, opensearch_bed.PASSWORDS)
