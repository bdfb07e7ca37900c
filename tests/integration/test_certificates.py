"""`dualtrack pki renew` on live hosts: what is due is brought and loaded, and a host that is away gets it later."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dualtrack.core.paths import ROOT
from dualtrack.security.pki import authority
from dualtrack.tracks import renewal_timer
from tests.conftest import Cli

HOSTS = ("cert-1", "cert-2")
BACKDATE = ROOT / "molecule/shared/backdate.py"
UNITS = {"shipper": ("/etc/dualtrack/audit/host.pem", "dualtrack-audit-ship.service"),
         "logger": ("/etc/dualtrack/logs/host.pem", "dualtrack-logs.service")}  # fmt: skip


class Site:
    """Two hosts that ship trails and logs to a store that is not there."""

    def __init__(self, lab: Cli, facts: dict[str, dict[str, Any]]) -> None:
        self.lab, self.facts, self.pki = lab, facts, lab.state / "pki"
        self.write()

    def write(self, **addresses: str) -> None:
        """Write the generated inventory, with other addresses of hosts."""
        hosts = {
            it: {**facts, "ansible_host": addresses.get(it, facts["ansible_host"])} for it, facts in self.facts.items()
        }
        children = {group: {"hosts": dict.fromkeys(HOSTS)} for group in ("track_local", "audited", "lab")}
        path = self.lab.state / "inventories/lab/hosts-local.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"all": {"hosts": hosts, "children": children}}))

    def backdate(self, *kinds: str) -> None:
        """Have certificates of 21 days in the authority's directory."""
        for kind in kinds:
            for host in HOSTS:
                words = [sys.executable, str(BACKDATE), str(self.pki), kind, host]
                subprocess.run(words, check=True, env=self.lab.env)

    def on(self, host: str, kind: str) -> str:
        """Return the certificate that a host has."""
        return self.lab.inside(host, "cat", UNITS[kind][0]).stdout

    def issued(self, host: str, kind: str) -> str:
        return (self.pki / kind / f"{host}.pem").read_text()

    def starts(self, host: str) -> dict[str, str]:
        """Return when the units of a host started, in microseconds since it did."""
        units = (*(unit for _, unit in UNITS.values()), "dualtrack-audit-collect.service")
        names = "--property=ActiveEnterTimestampMonotonic"
        return {it: self.lab.inside(host, "systemctl", "show", "--value", names, it).stdout.strip() for it in units}


@pytest.fixture(scope="module")
def site(lab: Cli) -> Site:
    facts = {}
    for name in HOSTS:
        host = lab.json("lab", "host", "add", name)["host"]
        facts[name] = {
            "ansible_host": host["address"], "ansible_user": host["user"], "dualtrack_track": "local",
            "ansible_ssh_common_args": f"-F {host['ssh_config']}", "dualtrack_pool": "sovereign",
            "dualtrack_lifecycle": "owned", "dualtrack_roles": [], "dualtrack_gpus": 0, "dualtrack_zone": "",
            "dualtrack_instance_id": "", "audit_store": ["https://127.0.0.1:9200"],
            "opensearch_ca_dir": str(lab.state / "pki"),
        }  # fmt: skip
    found = Site(lab, facts)
    for playbook in ("audit", "log_forwarding"):
        lab("play", playbook)
    return found


def test_the_page_runs_where_nothing_is_due_and_where_all_is(site: Site) -> None:
    """The first renewal finds out what hosts have, and loads nothing again: they have it."""
    before = {host: site.starts(host) for host in HOSTS}
    said = site.lab.runbook("renew-certificates.md")
    assert "would renew on cert-1, cert-2:" in said
    assert {host: site.starts(host) for host in HOSTS} == before
    done = site.lab("pki", "renew", "--yes")
    assert done.stdout == "no certificate is due\n"


def test_what_is_due_is_renewed_and_loaded_and_nothing_else_restarts(site: Site) -> None:
    site.backdate("shipper")
    before = {host: site.starts(host) for host in HOSTS}
    shown = site.lab.json("pki", "renew", "--dry-run")
    assert [(it["kind"], it["host"], it["state"]) for it in shown["certificates"]] == [
        ("shipper", host, "due") for host in HOSTS
    ]
    site.lab("pki", "renew", "--yes")
    for host in HOSTS:
        assert authority.state(site.pki / "shipper" / f"{host}.pem", datetime.now(UTC)) == ""
        changed = {unit for unit, at in site.starts(host).items() if before[host][unit] != at}
        assert (site.on(host, "shipper"), changed) == (site.issued(host, "shipper"), {UNITS["shipper"][1]})
        path, unit = UNITS["shipper"]
        site.lab.inside(host, "cmp", path, f"/run/credentials/{unit}/cert")
    assert site.lab("pki", "renew", "--yes").stdout == "no certificate is due\n"


def test_a_host_that_is_away_gets_its_certificate_later(site: Site) -> None:
    site.backdate("shipper", "logger")
    old = site.on("cert-2", "logger")
    site.write(**{"cert-2": "192.0.2.1"})
    done = site.lab("pki", "renew", "--yes", check=False)
    assert (done.returncode, "cert-2 cannot be reached" in done.stderr) == (4, True), done.stderr
    assert site.on("cert-1", "logger") == site.issued("cert-1", "logger")
    assert site.on("cert-2", "logger") == old != site.issued("cert-2", "logger")
    site.write()
    before = {host: site.starts(host) for host in HOSTS}
    site.lab("pki", "renew", "--yes")
    assert site.on("cert-2", "logger") == site.issued("cert-2", "logger")
    assert site.starts("cert-1") == before["cert-1"]
    assert before["cert-2"][UNITS["logger"][1]] != site.starts("cert-2")[UNITS["logger"][1]]


def test_a_service_that_did_not_load_it_does_so_in_the_next_run(site: Site) -> None:
    """The files came, and the connection ended before the service was told: Ansible alone would never tell it."""
    site.backdate("logger")
    record = site.lab.state / "certificates.json"
    kept = record.read_text()
    site.lab("pki", "renew", "--yes")
    begun = json.loads(kept)
    begun["certificates"] = dict.fromkeys(begun["certificates"], "begun")
    record.write_text(json.dumps(begun))
    before = {host: site.starts(host) for host in HOSTS}
    site.lab("pki", "renew", "--yes")
    for host in HOSTS:
        changed = {unit for unit, at in site.starts(host).items() if before[host][unit] != at}
        assert changed == {unit for _, unit in UNITS.values()}


WRITE = """\
import pathlib, sys
path = pathlib.Path(sys.argv[1])
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(sys.argv[2])
path.chmod(int(sys.argv[3], 8))
"""
#: Does what a renewal does and a sandbox could prevent, and fails where it can do what a renewal never does.
INSTEAD = """\
#!/usr/bin/python3
import multiprocessing, os, pathlib, socket, subprocess, sys
assert sys.argv[1:] == ["pki", "renew", "--yes", "--pki", "/srv/a site/pki"], sys.argv
assert os.environ["DUALTRACK_STATE_DIR"] == "/srv/a site/state", os.environ
for place in ("/srv/a site/state", "/srv/a site/pki", "/tmp"):
    pathlib.Path(place, "made").write_text("here")
multiprocessing.Queue().put(1)
with multiprocessing.Pool(2) as pool:
    assert pool.map(abs, [-1, -2]) == [1, 2]
subprocess.run(["ssh", "-V"], check=True)
subprocess.run(["ip", "address"], check=True, stdout=subprocess.DEVNULL)
socket.create_connection(("127.0.0.1", 22), timeout=10).close()
assert pathlib.Path("/root/.ssh-key").read_text() == "key"
for place in ("/etc", "/root", "/usr/local", "/srv", "/var/lib"):
    try:
        pathlib.Path(place, "made").write_text("here")
    except OSError:
        continue
    sys.exit(f"wrote into {place}")
if subprocess.run(["unshare", "--user", "true"], stderr=subprocess.DEVNULL).returncode == 0:
    sys.exit("made a namespace")
"""


def test_the_service_of_the_timer_can_do_its_work_and_no_more(site: Site) -> None:
    """Under a systemd that runs: a program in the place of the command tries what the command does."""
    found = renewal_timer.units(
        Path("/opt/a program/dualtrack"), Path("/srv/a site/pki"), root=ROOT, state=Path("/srv/a site/state")
    )

    def write(path: str, text: str, mode: str = "0644") -> None:
        site.lab.inside("cert-1", "python3", "-c", WRITE, path, text, mode)

    write("/opt/a program/dualtrack", INSTEAD, "0755")
    write("/root/.ssh-key", "key", "0600")
    for folder in ("state", "pki"):
        write(f"/srv/a site/{folder}/.there", "")
    for name, text in found.files.items():
        write(f"/etc/systemd/system/{name}", text)
    site.lab.inside("cert-1", "systemctl", "daemon-reload")
    site.lab.inside("cert-1", "systemctl", "start", "dualtrack-certificates.timer")
    done = site.lab.inside("cert-1", "systemctl", "start", "dualtrack-certificates.service", check=False)
    said = site.lab.inside("cert-1", "journalctl", "--output=cat", "--unit=dualtrack-certificates", check=False).stdout
    assert done.returncode == 0, said
    assert site.lab.inside("cert-1", "ls", "/srv/a site/state/made", "/srv/a site/pki/made").stdout.count("made") == 2
    asked = ("systemctl", "show", "--value", "--property=NextElapseUSecRealtime", "dualtrack-certificates.timer")
    assert site.lab.inside("cert-1", *asked).stdout.strip()
