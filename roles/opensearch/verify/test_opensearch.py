"""Only who has our authority's word is let in, and what is in an audit index stays: tried with every role there is."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dualtrack.core.errors import External
from dualtrack.remote.opensearch import Answer, Store, basic
from dualtrack.security.access import tokens
from dualtrack.security.audit import index_documents
from dualtrack.security.opensearch import connections, reconcile
from dualtrack.security.opensearch.security_config import Member
from dualtrack.security.pki import authority
from dualtrack.verify import certificates
from dualtrack.verify.eventually import settled

#: One document for ever, however often the checks run: it cannot be removed.
PROBE = "dualtrack-verify"
INDEX = f"audit-{PROBE}-2000.01.01"
DOCUMENT = {
    "@timestamp": "2000-01-01T00:00:00Z", "host": PROBE, "kind": "verify", "source": "dualtrack", "n": 1,
    "body": "written once by dualtrack verify",
}  # fmt: skip
#: Seconds in which the keeper answers.
SOON_S = 30
OTHERS = "audit-dualtrack-verify-other-2000.01.01"


class Node:
    """The store on one host, spoken to through ssh from here."""

    def __init__(self, host: Any, hostvars: dict[str, Any], scratch: Path) -> None:
        self.vars = hostvars
        self.folder = Path(hostvars["opensearch_ca_dir"])
        self.scratch = scratch
        self.name = host.backend.host.name
        me = next(node for node in hostvars["opensearch_nodes"] if node["name"] == self.name)
        address, config = str(me["address"]), Path(host.backend.ssh_config)
        self.reached = connections.Node(
            name=self.name, address=address, port=int(hostvars["opensearch_port"]), pki=self.folder, config=config
        )
        self.stack = ExitStack()

    def open(self, found: authority.Issued | None = None, trusts: Path | None = None) -> Store:
        """Open a connection with a certificate, or with none."""
        return self.stack.enter_context(self.reached.shown(found, trusts))

    def by(self, kind: authority.Kind, name: str) -> Store:
        """Open a connection as somebody that the authority knows."""
        return self.open(authority.issue(self.folder, kind, name))

    def people(self, right: str) -> list[str]:
        """Return the people who have a right; skips where nobody has."""
        found = [
            it["name"] for it in self.vars["opensearch_people"] if right in it["rights"] and it.get("kind") != "glass"
        ]
        if not found:
            pytest.skip(f"opensearch_people names nobody who is {right}")
        return found

    def person(self, right: str) -> Store:
        """Open a connection as the first of the people who have a right."""
        return self.by("person", self.people(right)[0])


@pytest.fixture(autouse=True)
def opensearch(hostvars: dict[str, Any]) -> None:
    """What is checked here is OpenSearch's."""
    if hostvars.get("opensearch_distribution", "opensearch") != "opensearch":
        pytest.skip("opensearch_distribution is elastic, which nothing checks on a host yet")


@pytest.fixture
def node(host: Any, hostvars: dict[str, Any], tmp_path: Path) -> Iterator[Node]:
    """The node, its connections closed at the end."""
    found = Node(host, hostvars, tmp_path)
    with found.stack:
        yield found


def bulk(store: Store, operation: str, index: str, name: str = "1") -> tuple[int, str]:
    """Send one operation by `_bulk` and return what became of it: its number and the reason."""
    lines = [{operation: {"_index": index, "_id": name}}]
    lines += [{"doc": DOCUMENT} if operation == "update" else DOCUMENT] if operation != "delete" else []
    answer = store.call("POST", "/_bulk", "".join(json.dumps(line) + "\n" for line in lines).encode())
    if answer.status != 200:
        return answer.status, answer.reason
    (found,) = answer.body["items"][0].values()
    return found["status"], str(found.get("error", {}).get("reason", ""))


def probe(node: Node) -> Store:
    """Return a shipper's connection; its one document is in the store, in an index that the controller made."""
    admin = node.by("admin", "admin")
    reconcile.admit(admin, PROBE)
    if admin.call("HEAD", f"/{INDEX}").status == 404:
        admin.call("PUT", f"/{INDEX}", {})
    shipper = node.by("shipper", PROBE)
    status, reason = bulk(shipper, "create", INDEX)
    assert status in (201, 409), f"a shipper cannot create a document: {status} {reason}"
    return shipper


def refused(answer: Answer) -> bool:
    """Tell whether the store said that it is forbidden."""
    return answer.status == 403


@pytest.mark.service("dualtrack-opensearch")
def test_cluster(node: Node, hostvars: dict[str, Any]) -> None:
    """All nodes are there, and every index has its data."""
    found = node.by("admin", "admin").call("GET", "/_cluster/health?wait_for_status=yellow&timeout=30s")
    assert found.status == 200, found.reason
    assert found.body["status"] in ("green", "yellow"), f"the cluster is {found.body['status']}"
    assert found.body["number_of_nodes"] == len(hostvars["opensearch_nodes"])


@pytest.mark.service("dualtrack-opensearch")
def test_strangers_are_refused(node: Node) -> None:
    """Without a certificate or a password nothing is answered; a wrong password is none."""
    stranger = node.open()
    for path in ("/", "/_cluster/health", "/_search"):
        assert stranger.call("GET", path).status == 401, f"{path} is open to everybody"
    assert stranger.call("GET", "/", headers=basic(f"nobody-{uuid.uuid4()}", "wrong")).status == 401


def test_our_authority_only(node: Node) -> None:
    """The node proves itself by our authority; certificates of another one, and expired ones, are not let in."""
    foreign = authority.issue(node.scratch / "foreign", "admin", "admin")
    with pytest.raises(External, match="certificate"):
        node.open(trusts=Path(foreign.authority)).call("GET", "/")
    ours = node.scratch / "ours"
    ours.mkdir()
    for name in ("ca.pem", "ca.key"):
        (ours / name).symlink_to(node.folder / name)
    past = datetime.now(UTC) - timedelta(days=30)
    expired = authority.issue(ours, "admin", "admin", days=20, now=past)
    for which, found in (("foreign", foreign), ("expired", expired)):
        try:
            answer = node.open(found).call("GET", "/_cluster/health")
        except External:
            continue  # not even a connection
        assert answer.status == 401, f"an administrator's certificate that is {which} was let in"


@pytest.mark.service("dualtrack-opensearch")
def test_a_shipper_only_adds(node: Node) -> None:
    """A host's certificate creates documents under its own name, and can neither read, change nor remove any."""
    shipper = probe(node)
    for operation in ("create", "index"):
        assert bulk(shipper, operation, INDEX)[0] == 409, f"`{operation}` wrote over a document"
    for operation in ("update", "delete"):
        assert bulk(shipper, operation, INDEX)[0] == 403, f"a shipper can {operation} a document"
    admin = node.by("admin", "admin")
    if admin.call("HEAD", f"/{OTHERS}").status == 404:
        admin.call("PUT", f"/{OTHERS}", {})
    for index in (OTHERS, ".opendistro_security"):
        assert bulk(shipper, "create", index)[0] == 403, f"a shipper can write to {index}"
    for index in ("audit-dualtrack-verify-none-2000.01.01", "dualtrack-verify-ordinary"):
        assert bulk(shipper, "create", index)[0] in (403, 404), f"a shipper can write to {index}"
        assert admin.call("HEAD", f"/{index}").status == 404, f"{index} was auto-created"
    for method, path in (
        ("GET", f"/{INDEX}/_doc/1"), ("GET", "/audit-*/_search"), ("DELETE", f"/{INDEX}"), ("POST", f"/{INDEX}/_close"),
        ("GET", "/_cluster/health"),
    ):  # fmt: skip
        assert refused(shipper.call(method, path)), f"a shipper can {method} {path}"
    for body in ({"aliases": {OTHERS: {}}}, {"settings": {"number_of_shards": 900}}, None):
        assert refused(shipper.call("PUT", f"/audit-{PROBE}-2000.01.02", body)), "a shipper can create an index"
    assert bulk(shipper, "create", f"/audit-{PROBE}-2000.01.02".strip("/"))[0] == 404, "an index is auto-created"


#: What would change an audit index, or make it go away.
ATTACKS: tuple[tuple[str, str, Any], ...] = (
    ("PUT", f"/{INDEX}/_create/2", DOCUMENT),
    ("PUT", f"/{INDEX}/_doc/1", DOCUMENT),
    ("POST", f"/{INDEX}/_update/1", {"doc": DOCUMENT}),
    ("DELETE", f"/{INDEX}/_doc/1", None),
    ("DELETE", f"/{INDEX}", None),
    ("DELETE", "/audit-*", None),
    ("POST", f"/{INDEX}/_close", None),
    ("PUT", f"/{INDEX}/_settings", {"index.blocks.write": True}),
    ("PUT", f"/{INDEX}/_mapping", {"properties": {"other": {"type": "keyword"}}}),
    ("POST", "/_aliases", {"actions": [{"remove_index": {"index": INDEX}}]}),
    ("POST", "/_aliases", {"actions": [{"add": {"index": INDEX, "alias": "probe"}}]}),
    ("PUT", "/_index_template/audit", {"index_patterns": ["audit-*"]}),
    ("PUT", "/_cluster/settings", {"persistent": {"cluster.blocks.read_only": True}}),
    ("PUT", "/_plugins/_security/api/internalusers/probe", {"password": "Only-For-A-Probe-1"}),
    ("DELETE", "/.opendistro_security", None),
)


@pytest.mark.service("dualtrack-opensearch")
@pytest.mark.parametrize("user", ["auditor", "administrator"])
def test_nobody_changes_the_record(node: Node, user: str) -> None:
    """No person can change an audit index, nor who may do what."""
    store = node.person(user)
    probe(node)
    for method, path, body in ATTACKS:
        answer = store.call(method, path, body)
        assert refused(answer), f"{user}: {method} {path} said {answer.status}"


@pytest.mark.service("dualtrack-opensearch")
def test_an_auditor_reads(node: Node) -> None:
    """The auditor finds what a shipper wrote."""
    store = node.person("auditor")
    probe(node)
    query = {"query": {"match": {"body": "written once"}}, "track_total_hits": True}
    found = store.call("GET", f"/{INDEX}/_doc/1")
    assert found.body["_source"] == DOCUMENT
    found = store.call("POST", f"/{INDEX}/_search", query)
    assert found.status == 200, found.reason


@pytest.mark.service("dualtrack-opensearch")
def test_an_administrator_sees_how_it_is(node: Node) -> None:
    """The administrator sees the cluster's state and every index's size, and no audit record."""
    store = node.person("administrator")
    assert store.call("GET", "/_cluster/health").status == 200
    assert store.call("GET", "/_cat/indices?format=json").status == 200
    probe(node)
    assert refused(store.call("GET", f"/{INDEX}/_search")), "the administrator reads audit records"


@pytest.mark.service("dualtrack-opensearch")
def test_passwords_and_tokens(node: Node) -> None:
    """People sign in by what they have; a token that has ended, or that somebody else signed, is none."""
    store, (name, *_) = node.open(), node.people("auditor")
    for who in {it["name"] for it in node.vars["opensearch_people"]} & set(node.vars["opensearch_passwords"]):
        assert (
            store.call("GET", "/_cluster/health", headers=basic(who, node.vars["opensearch_passwords"][who])).status
            == 200
        )
    now, foreign = datetime.now(UTC), node.scratch / "foreign"
    foreign.mkdir()
    for folder, begun, expected in (
        (node.folder, now, 200), (node.folder, now - timedelta(hours=2), 401), (foreign, now, 401),
    ):  # fmt: skip
        token = tokens.issue(folder, name, [f"person-{name}"], until=begun + timedelta(hours=1), now=begun)
        answer = store.call("GET", "/_cluster/health", headers={"Authorization": f"Bearer {token}"})
        assert answer.status == expected, f"a token of {folder.name} from {begun} got {answer.status}"


@pytest.mark.service("dualtrack-opensearch")
def test_rights_are_ours(node: Node, hostvars: dict[str, Any]) -> None:
    """Rights, users, template and repository are as the controller wrote them: nobody gave himself more."""
    other = reconcile.settle(
        node.by("admin", "admin"), [Member(it["name"], tuple(it["rights"]), it.get("kind", "person"))
                                    for it in hostvars["opensearch_people"]], hostvars["opensearch_passwords"],
        nodes=len(hostvars["opensearch_nodes"]), token_key=tokens.public(node.folder), write=False,
        snapshots=hostvars["opensearch_snapshot_dir"], hosts=[it.lower() for it in hostvars["opensearch_hosts"]],
        days=hostvars["opensearch_days"],
    )  # fmt: skip
    assert not other, f"changed since the role ran: {', '.join(other)}"


@pytest.mark.service("dualtrack-elk-indices")
def test_a_host_gets_the_index_that_it_asks_for(host: Any, node: Node) -> None:
    """A host that is admitted asks for a day, and has it seconds later."""
    assert host.service("dualtrack-elk-indices").is_running
    assert host.service("dualtrack-elk-indices").is_enabled
    shipper, today = probe(node), f"audit-{PROBE}-{datetime.now(UTC):%Y.%m.%d}"
    assert shipper.call("POST", "/_bulk", index_documents.of_asks(PROBE, [today])).body["errors"] is False
    made = settled(lambda: node.by("admin", "admin").call("HEAD", f"/{today}").status, lambda it: it == 200, SOON_S)
    try:
        assert made == 200, "nobody creates what hosts ask for: journalctl -u dualtrack-elk-indices"
    finally:  # what is empty is never retired
        node.by("admin", "admin").call("DELETE", f"/{today}")


@pytest.mark.service("dualtrack-opensearch")
def test_shards_have_room(node: Node) -> None:
    """The store can hold a tenth more than it does: at its limit no host's next day is created."""
    admin = node.by("admin", "admin")
    health = admin.call("GET", "/_cluster/health").body
    found = admin.call("GET", "/_cluster/settings?include_defaults=true&flat_settings=true").body
    limit = int({**found["defaults"], **found["persistent"], **found["transient"]}[reconcile.SHARDS])
    most = limit * health["number_of_data_nodes"]
    assert health["active_shards"] < 0.9 * most, f"{health['active_shards']} of {most} shards: dualtrack audit retain"


@pytest.mark.service("dualtrack-opensearch")
def test_disk(node: Node, hostvars: dict[str, Any]) -> None:
    """The store goes by the disk's marks that were asked for."""
    prefix = "cluster.routing.allocation.disk.watermark"
    found = node.by("admin", "admin").call("GET", "/_cluster/settings?include_defaults=true&flat_settings=true")
    settings = {key: value for part in found.body.values() for key, value in part.items()}
    for mark, variable in (("low", "low"), ("high", "high"), ("flood_stage", "flood")):
        assert settings[f"{prefix}.{mark}"] == f"{hostvars[f'opensearch_disk_{variable}']}%"


@pytest.mark.service("dualtrack-opensearch")
def test_disk_has_room(node: Node, hostvars: dict[str, Any]) -> None:
    """The disk is not so full that the store will soon only let itself be read."""
    rows = node.by("admin", "admin").call("GET", "/_cat/allocation?format=json&h=node,disk.percent").body
    used = {str(it["node"]): int(it["disk.percent"] or 0) for it in rows if it.get("disk.percent")}
    full, flood = hostvars["opensearch_disk_low"], hostvars["opensearch_disk_flood"]
    assert used.get(node.name, 0) < full, f"{used[node.name]} % of the disk are used, and at {flood} % writing ends"


def test_disk_alarm(host: Any) -> None:
    """Somebody looks at the disk every ten minutes, and found room the last time."""
    timer = host.service("dualtrack-elk-disk.timer")
    assert timer.is_running
    assert timer.is_enabled
    last = host.check_output("systemctl show --property Result --value dualtrack-elk-disk.service")
    assert last == "success", "the disk's alarm was raised: journalctl --unit dualtrack-elk-disk --lines 1"


def test_service_is_contained(host: Any) -> None:
    """The service runs as its own user, without a capability, and cannot get more; it comes back after a boot."""
    service = host.service("dualtrack-opensearch")
    assert service.is_running
    assert service.is_enabled
    process = host.check_output("systemctl show --property MainPID --value dualtrack-opensearch")
    lines = host.file(f"/proc/{process}/status").content_string.splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert status["Uid"].split()[0] == str(host.user("opensearch").uid)
    assert int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_keys_are_kept(host: Any, node: Node) -> None:
    """Only the service reads the node's key, and the certificate that goes past every rule is not on the node."""
    done = host.run("runuser -u nobody -- cat /etc/dualtrack/opensearch/node.key")
    assert done.rc != 0, "everybody can read the node's key"
    admin = authority.issue(node.folder, "admin", "admin")
    secrets = {sha256(Path(path).read_bytes()).hexdigest() for path in (admin.key, node.folder / "ca.key")}
    said = host.check_output(
        "find /etc /home /root /opt /srv /var/lib -xdev -type f -size -9k -name '*.[pk]e[my]' -exec sha256sum {} +"
    )
    assert not secrets & {line.split()[0] for line in said.splitlines()}, "the administrator's key is on this host"


#: Seconds after which a day's snapshot is missing.
SNAPSHOT_S = 26 * 3600


@pytest.mark.service("dualtrack-opensearch")
def test_a_keeper_takes_snapshots_and_nothing_else(node: Node, hostvars: dict[str, Any]) -> None:
    """The certificate that lies on the node removes and restores no snapshot, and reads nothing."""
    if not hostvars["opensearch_snapshot_dir"]:
        pytest.skip("opensearch_snapshot_dir is not set: there are no snapshots")
    keeper = node.by("keeper", node.name)
    assert keeper.call("GET", "/_snapshot/disk/_all").status == 200
    for method, path, body in (
        ("DELETE", "/_snapshot/disk/none", None), ("DELETE", "/_snapshot/disk", None),
        ("POST", "/_snapshot/disk/none/_restore", {"rename_pattern": "(.+)", "rename_replacement": "copy-$1"}),
        ("PUT", "/_snapshot/disk/none/_clone/other", {"indices": "*"}),
        ("PUT", "/_snapshot/other", {"type": "fs", "settings": {"location": hostvars["opensearch_snapshot_dir"]}}),
        ("GET", "/audit-*/_search", None), ("GET", "/_cluster/health", None), ("DELETE", f"/{INDEX}", None),
        ("PUT", "/dualtrack-verify", None), ("PUT", f"/audit-{PROBE}-2000.01.03", {"aliases": {"probe": {}}}),
    ):  # fmt: skip
        assert refused(keeper.call(method, path, body)), f"a keeper can {method} {path}"


@pytest.mark.service("dualtrack-opensearch")
def test_a_snapshot_is_taken_every_day(host: Any, node: Node, hostvars: dict[str, Any]) -> None:
    """The newest whole snapshot is of this day, or the timer has only just been started."""
    if not hostvars["opensearch_snapshot_dir"] or hostvars["opensearch_nodes"][0]["name"] != node.name:
        pytest.skip("this node takes no snapshots: opensearch_snapshot_dir is not set, or another node does it for all")
    assert host.service("dualtrack-elk-snapshot.timer").is_running
    assert host.service("dualtrack-elk-snapshot.timer").is_enabled
    found = node.by("keeper", node.name).call("GET", "/_snapshot/disk/_all").body["snapshots"]
    newest = max((it["end_time_in_millis"] / 1000 for it in found if it["state"] == "SUCCESS"), default=0.0)
    since = "systemctl show --property ActiveEnterTimestamp --value dualtrack-elk-snapshot.timer"
    begun = float(host.check_output(f'date --date "$({since})" +%s'))
    now = float(host.check_output("date +%s"))
    assert now - max(newest, begun) < SNAPSHOT_S, "no snapshot today: journalctl -u dualtrack-elk-snapshot"


def test_certificates_are_good_and_in_use(host: Any, node: Node) -> None:
    """The node's and its keeper's are good for another week; the store shows, and the keeper has, the newest."""
    me, keeper = node.reached, "/etc/dualtrack/keeper/keeper.pem"
    assert certificates.served(host, "/etc/dualtrack/opensearch/node.pem", me.address, me.port) == ""
    assert certificates.loaded(host, keeper, "dualtrack-elk-indices.service") == ""
