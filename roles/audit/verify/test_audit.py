"""What happens on the host is in its trail a moment later, the trail is whole, and it goes where it should."""

from __future__ import annotations

import json
import secrets
from functools import cache
from typing import Any

import pytest

from dualtrack.verify import certificates
from dualtrack.verify.eventually import settled

PROGRAM = "/usr/local/bin/dualtrack-audit"
USER = "dualtrack-audit"
#: Kind and source of a record of what `logger` says, and of what the kernel says of a program.
LOGGED, RUN = ("dualtrack", "dualtrack"), ("audit", "audit")
#: Seconds that an event gets to come into the trail: the journal is asked all the time.
SOON_S = 20
#: Seconds that the store may be behind before that is a finding.
BEHIND_S = 900


def as_audit(host: Any, *words: str) -> Any:
    """Run the program as the trail's user."""
    return host.run("runuser -u %s -- " + " ".join(["%s"] * (len(words) + 1)), USER, PROGRAM, *words)


def trail(hostvars: dict[str, Any]) -> str:
    """Return the trail's directory."""
    return f"{hostvars['audit_dir']}/trail"


@cache
def in_trail(host: Any, folder: str) -> frozenset[tuple[str, str]]:
    """Have something logged and something run as root; return the kinds and sources of what comes of it into the trail.

    Asked for once: an emulated host takes seconds to read its trail.
    """
    mark = f"verify-{secrets.token_hex(8)}"
    host.check_output("logger --priority authpriv.info --tag dualtrack %s; /bin/echo %s", mark, mark)

    def look() -> frozenset[tuple[str, str]]:
        said = as_audit(host, "show", folder, "--text", mark, "--json").stdout
        return frozenset((it["kind"], it["source"]) for it in json.loads(said or '{"records": []}')["records"])

    wanted = {LOGGED} if is_container(host) else {LOGGED, RUN}
    return settled(look, lambda it: wanted <= it, SOON_S)


def is_container(host: Any) -> bool:
    """Tell whether the kernel is the machine's around the host, which takes no rules from inside."""
    return bool(host.run("systemd-detect-virt --container --quiet").rc == 0)


def test_event_is_recorded(host: Any, hostvars: dict[str, Any]) -> None:
    """What a program says of logins is in the trail within seconds."""
    found = in_trail(host, trail(hostvars))
    assert LOGGED in found, "the journal has it, the trail does not: see journalctl -u dualtrack-audit-collect"


def test_kernel_records_what_runs_as_root(host: Any, hostvars: dict[str, Any]) -> None:
    """What somebody runs as root is recorded by the kernel, which asks neither the program nor journald's limits."""
    if is_container(host):
        pytest.skip("a container: the kernel is the machine's around it, and takes no rules from inside")
    found = in_trail(host, trail(hostvars))
    assert RUN in found, "the kernel records nothing: see auditctl -l, and journalctl _TRANSPORT=audit"


def test_trail_is_whole(host: Any, hostvars: dict[str, Any]) -> None:
    """Every record is as it was written, by the key that the controller has registered."""
    name = host.file(f"{trail(hostvars)}/host").content_string.strip()
    registered = f"{hostvars['audit_keys_dir']}/{name}.pem"
    with open(registered, encoding="utf-8") as file:  # noqa: PTH123 - a path on the controller, given as text
        key = file.read()
    assert host.file(f"{trail(hostvars)}/root.pem").content_string == key, f"the trail's key is not {registered}"
    done = as_audit(host, "verify", trail(hostvars), "--key", f"{trail(hostvars)}/root.pem", "--live", "--json")
    report = json.loads(done.stdout or "{}")
    assert done.rc == 0, report.get("findings") or done.stderr


def test_nobody_else_reads_or_writes(host: Any, hostvars: dict[str, Any]) -> None:
    """The trail is its user's alone, and the certificate's key is root's."""
    assert host.check_output("stat --format %%U:%%a %s", hostvars["audit_dir"]) == f"{USER}:700"
    assert host.run("runuser -u nobody -- ls %s", trail(hostvars)).rc != 0
    if hostvars["audit_store"]:
        assert host.check_output("stat --format %%U:%%a %s", "/etc/dualtrack/audit/host.key") == "root:600"


def test_services_are_confined(host: Any, hostvars: dict[str, Any]) -> None:
    """All run without rights, as users of their own."""
    users = {"dualtrack-audit-collect": USER}
    if hostvars["audit_store"]:
        users["dualtrack-audit-ship"] = USER
    if hostvars["audit_witness"]:
        users["dualtrack-audit-witness"] = "dualtrack-witness"
    for unit, user in users.items():
        text = host.check_output(
            "systemctl show --property ActiveState,User,NoNewPrivileges,CapabilityBoundingSet,ProtectSystem %s", unit
        )
        shown = dict(line.split("=", 1) for line in text.splitlines())
        assert shown == {
            "ActiveState": "active", "User": user, "NoNewPrivileges": "yes", "CapabilityBoundingSet": "",
            "ProtectSystem": "strict",
        }, f"{unit}: {shown}"  # fmt: skip


def test_store_has_it(host: Any, hostvars: dict[str, Any]) -> None:
    """What is recorded is shipped within a quarter of an hour."""
    if not hostvars["audit_store"]:
        pytest.skip("audit_store names no store: the trail stays on this host")
    state = host.file(f"{hostvars['audit_dir']}/shipped/state.json")
    assert state.exists, "nothing was ever shipped: see journalctl -u dualtrack-audit-ship"
    now = float(host.check_output("date +%s"))
    shipped = json.loads(state.content_string)
    age = now - shipped["at"] / 1e9
    assert age < BEHIND_S or not shipped["behind"], f"{shipped['behind']} bytes wait for {age:.0f} s"


def test_newest_head_is_kept_elsewhere(host: Any, hostvars: dict[str, Any]) -> None:
    """The clock keeps it where nobody deletes it, and did so the last time."""
    if not hostvars["audit_anchors"]:
        pytest.skip("audit_anchors names no place: heads are kept by hand")
    assert host.check_output("systemctl is-active dualtrack-audit-anchor.timer") == "active"
    done = host.run("systemctl start dualtrack-audit-anchor.service")
    said = host.check_output(
        "journalctl --boot --output cat --no-pager --lines 3 --unit dualtrack-audit-anchor.service"
    )
    assert done.rc == 0, f"the newest head cannot be kept at {hostvars['audit_anchors']}: {said}"


def test_witness_co_signs(host: Any, hostvars: dict[str, Any]) -> None:
    """It is the witness that was registered, and what it said last is not old, for every host that it can see."""
    if not hostvars["audit_witness"]:
        pytest.skip("audit_witness is not set: this host co-signs nothing")
    folder = f"{hostvars['audit_witness_dir']}/witness"
    called = hostvars["audit_host"] or host.backend.host.name.lower()
    with open(f"{hostvars['audit_keys_dir']}/witnesses/{called}.pem", encoding="utf-8") as file:  # noqa: PTH123
        assert host.file(f"{folder}/witness.pem").content_string.strip() == file.read().strip()
    assert host.check_output("stat --format %%U:%%a %s", f"{folder}/key.pem") == "dualtrack-witness:600"
    assert host.run("runuser -u %s -- cat %s", USER, f"{folder}/key.pem").rc != 0, "the trail's user reads its key"

    def newest() -> float:
        text = host.run("tail --lines 1 %s", f"{folder}/statements.log").stdout.rpartition(" ")[0]
        return float(json.loads(text or "{}").get("at", 0)) / 1e9

    # The recorder of another host seals a segment each minute.
    begun = float(host.check_output("date +%s"))
    at = settled(newest, lambda it: it > begun - BEHIND_S, SOON_S + 2.0 * hostvars["audit_witness_every"])
    assert at > begun - BEHIND_S, "nothing is co-signed: see journalctl -u dualtrack-audit-witness"


def test_certificates_are_good_and_in_use(host: Any, hostvars: dict[str, Any]) -> None:
    """What the host and its witness sign in by is good for another week, and what their services have."""
    units = {"ship": ("host", hostvars["audit_store"]), "witness": ("witness", hostvars["audit_witness"])}
    wrong = [
        certificates.loaded(host, f"/etc/dualtrack/audit/{name}.pem", f"dualtrack-audit-{unit}.service")
        for unit, (name, there) in units.items()
        if there
    ]
    assert [it for it in wrong if it] == []
