"""Which certificates a renewal brings: those that are due on hosts that are up, and those that did not come there."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dualtrack.security.pki import authority, lifetimes, renewal
from dualtrack.security.pki.renewal import Brought, Standing

NOW = datetime(2026, 11, 25, tzinfo=UTC)
#: One host of each group, and one of all.
HOSTS = {
    "audited": ["GPU-1", "log-1", "gateway-1"], "role_log": ["log-1"], "role_serving": ["GPU-1"],
    "role_gateway": ["gateway-1"], "role_knowledge_base": ["gateway-1"],
}  # fmt: skip


def test_every_kind_of_a_machine_has_a_group() -> None:
    assert set(renewal.GROUPS) == lifetimes.MACHINES


@pytest.mark.parametrize(
    ("kind", "name"), list(itertools.product(sorted(lifetimes.MACHINES), ["gpu-1", "log-1", "gateway-1"]))
)
def test_the_host_of_its_group_holds_a_certificate(kind: str, name: str) -> None:
    host = {it.lower(): it for it in HOSTS[renewal.GROUPS[kind]]}.get(name)
    assert renewal.holders([(kind, name)], HOSTS) == ({(kind, name): host} if host else {})


@pytest.mark.parametrize("order", list(itertools.permutations(["gpu-1", "gpu-1.2", "gpu-1.10", "gpu-1.x"])))
def test_of_the_lives_of_a_host_the_last_counts(order: tuple[str, ...]) -> None:
    assert renewal.holders([("shipper", it) for it in order], HOSTS) == {("shipper", "gpu-1.10"): "GPU-1"}


def test_a_host_of_such_a_name_is_another_one() -> None:
    hosts = {"audited": ["gpu-1", "gpu-1.2"]}
    found = renewal.holders([("logger", "gpu-1"), ("logger", "gpu-1.2")], hosts)
    assert found == {("logger", "gpu-1"): "gpu-1", ("logger", "gpu-1.2"): "gpu-1.2"}


class Site:
    """An authority and its record, at times of a test's choice."""

    def __init__(self, folder: Path) -> None:
        self.pki, self.record = folder / "pki", folder / "certificates.json"

    def issue(self, kind: lifetimes.Kind, name: str, day: float = 0) -> authority.Issued:
        return authority.issue(self.pki, kind, name, now=NOW + timedelta(days=day))

    def look(self, day: float = 0) -> list[Standing]:
        return renewal.standings(self.pki, HOSTS, renewal.read(self.record), NOW + timedelta(days=day))

    def wanted(self, day: float = 0) -> list[str]:
        return [f"{it.kind} {it.name}" for it in self.look(day) if it.wanted]

    def bring(self, *, begun: bool = False) -> None:
        renewal.write(self.record, [it for it in self.look() if it.host], "begun" if begun else "brought")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """One certificate of each kind, on its host; others that no host holds; and those that commands use."""
    site = Site(tmp_path)
    for kind, group in renewal.GROUPS.items():
        site.issue(kind, HOSTS[group][0].lower())  # type: ignore[arg-type] # the keys are kinds
    site.issue("shipper", "spot-9")
    site.issue("shipper", "dualtrack-verify")
    site.issue("admin", "admin")
    site.issue("person", "bo")
    return site


EVERY = sorted(f"{kind} {HOSTS[group][0].lower()}" for kind, group in renewal.GROUPS.items())


def test_nothing_is_wanted_of_a_directory_without_an_authority(tmp_path: Path) -> None:
    assert Site(tmp_path).look() == []
    assert not list(tmp_path.iterdir())


def test_what_is_not_known_to_be_on_its_host_is_wanted_once(site: Site) -> None:
    assert sorted(site.wanted()) == EVERY
    site.bring()
    assert site.wanted() == []


@pytest.mark.parametrize(("day", "wanted"), [(1, []), (19, []), (20, EVERY), (29, EVERY), (31, EVERY)])
def test_what_is_due_is_wanted(site: Site, day: int, wanted: list[str]) -> None:
    site.bring()
    assert sorted(site.wanted(day)) == wanted


def test_one_that_was_renewed_and_did_not_come_to_its_host_stays_wanted(site: Site) -> None:
    """The authority's directory alone says that all is well from the moment at which it is renewed."""
    site.bring()
    site.issue("engine", "gpu-1", day=21)
    assert {it.state for it in site.look(21) if it.kind == "engine"} == {""}
    assert "engine gpu-1" in site.wanted(21)


def test_what_was_begun_stays_wanted_until_it_is_known_to_be_there(site: Site) -> None:
    site.bring()
    site.bring(begun=True)
    assert sorted(site.wanted()) == EVERY
    assert {it.brought for it in site.look() if it.host} == {renewal.BEGUN}
    site.bring()
    assert site.wanted() == []


def test_the_record_forgets_what_is_not_there(site: Site) -> None:
    site.bring()
    (engine,) = (it for it in site.look() if it.kind == "engine")
    renewal.remove([engine])
    assert not list((site.pki / "engine").glob("[!.]*"))
    site.bring()
    assert engine.certificate not in renewal.read(site.record).certificates


@pytest.mark.parametrize(
    ("day", "says"),
    [
        (0, ""), (20, ""), (22.9, ""), (23.1, "ends on 2026-12-25, and 7 more"), (29, "ends on 2026-12-25, and 7 more"),
        (30, "ended on 2026-12-25, and 7 more"), (400, "ended on 2026-12-25, and 7 more"),
    ],
)  # fmt: skip
def test_a_renewal_that_fails_is_seen_a_week_before_the_end(site: Site, day: float, says: str) -> None:
    line = renewal.complaint(site.look(day))
    assert (line.removeprefix("the certificate ").split(" ", 2)[2:] or [""]) == [says]
    assert "spot-9" not in line


def test_certificates_of_hosts_that_are_gone_go_a_month_after_their_end(site: Site) -> None:
    for day, names in ((59, []), (61, ["spot-9"])):
        assert [it.name for it in renewal.gone(site.look(day), NOW + timedelta(days=day))] == names


def test_each_says_why_it_is_wanted(site: Site) -> None:
    assert {it.line.partition(": ")[2] for it in site.look() if it.wanted} == {"not known to be on its host"}
    assert {it.line.partition(": ")[2] for it in site.look(21) if it.wanted} == {"ends 2026-12-25 00:00 UTC"}
    site.bring(begun=True)
    assert {it.line.partition(": ")[2] for it in site.look() if it.wanted} == {"an earlier renewal did not finish"}


def test_an_empty_record(tmp_path: Path) -> None:
    assert renewal.read(tmp_path / "none.json") == Brought()
