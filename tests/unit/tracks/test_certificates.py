"""A renewal brings each host what it lacks, whichever other host is away, and knows what is still missing."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtrack.cli import status as status_command
from dualtrack.core.errors import Refused
from dualtrack.core.files import alone
from dualtrack.inventory import deployment
from dualtrack.security.pki import authority, renewal
from dualtrack.tracks import ansible_runner, certificates, status
from tests.conftest import ROOT, Cli

GROUPS = {
    "audited": ["gpu-1", "log-1", "log-2", "gateway-1"], "role_log": ["log-1", "log-2"], "role_serving": ["gpu-1"],
    "role_gateway": ["gateway-1"], "role_knowledge_base": ["gateway-1"],
}  # fmt: skip
HOSTS = GROUPS["audited"]
KINDS = {"audited": ("shipper", "logger"), "role_log": ("node", "keeper"), "role_serving": ("engine",),
         "role_gateway": ("gateway",), "role_knowledge_base": ("knowledge",)}  # fmt: skip


KINDS_IN_ORDER = ["audited", "role_serving", "role_gateway", "role_knowledge_base", "role_log"]


class Site:
    """Hosts whose certificates are as old as a test says; the playbook is played by `configure`."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.pki = folder, folder / "pki"
        self.away: Collection[str] = ()
        self.dead: Collection[str] = ()
        self.runs: list[tuple[str, str, dict[str, Any]]] = []
        #: What each host has: the certificate of each kind as it was when it was brought.
        self.there: dict[tuple[str, str], bytes] = {}
        hosts = folder / "inventories/lab/hosts-local.json"
        hosts.parent.mkdir(parents=True)
        children = {name: {"hosts": dict.fromkeys(members)} for name, members in GROUPS.items()}
        hosts.write_text(json.dumps({"all": {"hosts": {it: {} for it in HOSTS}, "children": children}}))
        for module in (certificates, deployment):
            patch.setattr(module, "STATE", folder)
        patch.setattr(certificates, "RECORD", folder / "certificates.json")
        patch.setattr(ansible_runner, "configure", self.configure)

    def issue(self, days: float = 0) -> None:
        """Issue the certificates that the hosts are without, at a time before now."""
        for group, kinds in KINDS.items():
            for kind, host in itertools.product(kinds, GROUPS[group]):
                authority.issue(self.pki, kind, host, now=datetime.now(UTC) - timedelta(days=days))  # type: ignore[arg-type]

    def configure(self, _: Any, *, limit: str, tags: str, settings: dict[str, Any], **__: Any) -> ansible_runner.Result:
        """Do what the roles do: renew what is due, copy what is another one."""
        self.runs.append((tags, limit, settings))
        for host in set(limit.split(",")) - set(self.away) - set(self.dead):
            for kind in KINDS[tags]:
                found = authority.issue(self.pki, kind, host)  # type: ignore[arg-type]
                self.there[kind, host] = Path(found.certificate).read_bytes()
        hosts = limit.split(",")
        failures = tuple(
            ansible_runner.Failure(host=it, task="copy", message="no", unreachable=it in self.away)
            for it in hosts if it in (*self.away, *self.dead)
        )  # fmt: skip
        result = ansible_runner.Result(changed=dict.fromkeys(hosts, 1), failures=failures, seconds=1.0, log="the.log")
        if failures:
            raise ansible_runner.ConfigureFailed(result)
        return result

    def lacking(self) -> set[tuple[str, str]]:
        """Return what hosts do not have as it is in the directory, or have at the end of its life."""
        found = certificates.standings(self.pki)
        return {
            (it.kind, it.host) for it in found
            if it.state or self.there.get((it.kind, it.host)) != Path(it.certificate).read_bytes()
        }  # fmt: skip

    def wanted(self) -> set[tuple[str, str]]:
        return {(it.kind, it.host) for it in certificates.standings(self.pki) if it.wanted}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """All hosts have certificates of 21 days, which are due."""
    found = Site(tmp_path, monkeypatch)
    found.issue(21)
    return found


def test_all_that_is_due_comes_to_its_host_and_is_not_wanted_again(site: Site) -> None:
    done = certificates.renew(site.pki)
    assert (site.lacking(), site.wanted(), len(done.wanted), done.unused) == (set(), set(), 15, [])
    assert [(group, limit) for group, limit, _ in site.runs] == [
        ("audited", "gateway-1,gpu-1,log-1,log-2"), ("role_serving", "gpu-1"), ("role_gateway", "gateway-1"),
        ("role_knowledge_base", "gateway-1"), ("role_log", "log-1"), ("role_log", "log-2"),
    ]  # fmt: skip
    assert {str(it) for *_, it in site.runs} == {"{'renew_again': [], 'renew_broken': False}"}


@pytest.mark.parametrize("what", ["away", "dead"])
@pytest.mark.parametrize("hosts", [it for count in (1, 2) for it in itertools.combinations(HOSTS, count)])
def test_whoever_fails_the_others_are_renewed_and_the_next_run_ends_it(
    site: Site, what: str, hosts: tuple[str, ...]
) -> None:
    setattr(site, what, hosts)
    with pytest.raises(ansible_runner.ConfigureFailed):
        certificates.renew(site.pki)
    missing = {(kind, it) for group, kinds in KINDS.items() for kind in kinds for it in GROUPS[group] if it in hosts}
    assert site.lacking() == site.wanted() == missing
    setattr(site, what, ())
    site.runs.clear()
    certificates.renew(site.pki)
    assert (site.lacking(), site.wanted()) == (set(), set())
    assert {it for _, limit, _ in site.runs for it in limit.split(",")} == set(hosts)
    assert all(settings["renew_again"] == sorted(hosts) for *_, settings in site.runs)


def test_a_run_that_is_killed_is_made_up_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificates are renewed in the directory, and nobody knows which hosts have them."""

    def killed(*words: Any, **given: Any) -> ansible_runner.Result:
        if given["tags"] == "role_gateway":
            raise KeyboardInterrupt
        return site.configure(*words, **given)

    monkeypatch.setattr(ansible_runner, "configure", killed)
    with pytest.raises(KeyboardInterrupt):
        certificates.renew(site.pki)
    for it in certificates.standings(site.pki):
        authority.issue(site.pki, it.kind, it.name)  # type: ignore[arg-type] # they are kinds
    assert {it.state for it in certificates.standings(site.pki)} == {""}
    monkeypatch.setattr(ansible_runner, "configure", site.configure)
    certificates.renew(site.pki)
    assert (site.lacking(), site.wanted()) == (set(), set())


@pytest.mark.parametrize(("days", "broken"), [(21, False), (24, True), (31, True)])
def test_nodes_near_their_end_do_not_wait_for_their_cluster(site: Site, days: int, broken: bool) -> None:
    for kind in ("node", "keeper"):
        shutil.rmtree(site.pki / kind)
    site.issue(days)
    certificates.renew(site.pki)
    assert {settings["renew_broken"] for *_, settings in site.runs} == {broken}


def test_what_no_role_of_its_host_renews_is_nobodys_until_a_role_does(site: Site) -> None:
    authority.issue(site.pki, "witness", "gpu-1", now=datetime.now(UTC) - timedelta(days=25))
    assert "witness gpu-1" in certificates.renewal.complaint(certificates.standings(site.pki))
    done = certificates.renew(site.pki)
    assert [(it.kind, it.name) for it in done.unused] == [("witness", "gpu-1")]
    assert (site.wanted(), certificates.renewal.complaint(certificates.standings(site.pki))) == (set(), "")
    authority.issue(site.pki, "witness", "gpu-1")
    assert site.wanted() == {("witness", "gpu-1")}


def test_one_renewal_runs_at_a_time(site: Site) -> None:
    with alone(site.folder / "certificates.lock", "held"), pytest.raises(Refused, match="another renewal"):
        certificates.renew(site.pki)
    assert site.runs == []


def test_each_play_has_the_tag_of_its_group() -> None:
    plays = yaml.safe_load(certificates.PLAYBOOK.read_text(encoding="utf-8"))
    assert [(play["hosts"], play["tags"]) for play in plays] == [(it, it) for it in KINDS_IN_ORDER]
    assert set(KINDS_IN_ORDER) == set(renewal.GROUPS.values())


def test_the_playbook_runs_every_role_that_takes_a_certificate() -> None:
    """And of those roles nothing but the tasks that do so, and waiting for the cluster."""
    taking = {
        path.relative_to(ROOT / "roles").parts[0] for path in (ROOT / "roles").rglob("*.yml")
        if "dualtrack.site.certificate'" in path.read_text(encoding="utf-8")
    }  # fmt: skip
    text = certificates.PLAYBOOK.read_text(encoding="utf-8")
    named = set(re.findall(r"name: (\w+)\n +tasks_from: (\w+)", text))
    assert {role for role, _ in named} == taking
    assert {tasks for _, tasks in named} == {"certificate", "keeper_certificate", "whole"}


# --- what a failing renewal looks like


@pytest.mark.parametrize(("days", "late"), [(0, False), (21, False), (24, True), (31, True)])
def test_status_says_when_renewal_fails(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], days: int, late: bool
) -> None:
    shutil.rmtree(site.pki)
    site.issue(days)
    monkeypatch.setattr(certificates, "PKI", site.pki)
    found = status_command.show_status(json=False)
    said = [line for line in capsys.readouterr().err.splitlines() if line.endswith(": dualtrack pki renew")]
    assert (found.in_order, len(said)) == ((False, 1) if late else (True, 0))


def test_status_says_that_the_authority_cannot_be_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "PKI", site.pki)
    (site.pki / "ca.pem").write_text("nothing")
    assert [it.partition(":")[0] for it in status.status().problems] == ["certificates"]


@pytest.mark.parametrize(("kind", "days", "code"), [("shipper", 0, 0), ("shipper", 31, 1), ("person", 31, 0)])
def test_pki_show_in_another_directory_counts_what_has_ended(tmp_path: Path, kind: str, days: int, code: int) -> None:
    now = datetime.now(UTC) - timedelta(days=days)
    authority.issue(tmp_path / "pki", kind, "web-1", now=now)  # type: ignore[arg-type] # it is one
    done = Cli(tmp_path)("pki", "show", "--pki", str(tmp_path / "pki"), check=False)
    assert done.returncode == code, done.stderr
    assert (f"ended: {kind} web-1" in done.stderr) == bool(code)
