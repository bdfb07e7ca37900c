"""The lab's decisions: what to start, what to remove, and names that never collide between checkouts."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.core.errors import BadInput
from dualtrack.lab.model import MAX_DEATHS, Actual, HostSpec, LabPlan, Layout, reconcile
from dualtrack.lab.state import Store


def spec(name: str, last: int, **more: object) -> HostSpec:
    return HostSpec(name=name, address=f"10.30.0.{last}", **more)  # type: ignore[arg-type]


def test_nothing_to_do() -> None:
    host = spec("a", 1)
    assert reconcile([host], {"a": Actual(spec=host, alive=True)}) == LabPlan()


def test_new_host_starts_and_gone_host_goes() -> None:
    old, new = spec("old", 1), spec("new", 2)
    assert reconcile([new], {"old": Actual(spec=old, alive=True)}) == LabPlan(remove=("old",), start=(new,))


def test_changed_host_is_removed_first_and_started_in_the_next_round() -> None:
    before, after = spec("a", 1), spec("a", 1, gpus=8)
    assert reconcile([after], {"a": Actual(spec=before, alive=True)}) == LabPlan(remove=("a",))
    assert reconcile([after], {}) == LabPlan(start=(after,))


def test_replacement_at_the_same_address_waits_for_nobody_once_the_old_one_goes() -> None:
    old, new = spec("i-1", 4), spec("i-2", 4)
    plan = reconcile([new], {"i-1": Actual(spec=old, alive=True)})
    assert plan == LabPlan(remove=("i-1",), start=(new,))


def test_two_hosts_with_one_address_never_run_together() -> None:
    first, second = spec("a", 1), spec("b", 1)
    assert reconcile([first, second], {}).start == (first,)


def test_dead_host_is_started_again_but_not_for_ever() -> None:
    host = spec("a", 1)
    assert reconcile([host], {"a": Actual(spec=host, alive=False, deaths=MAX_DEATHS - 1)}).start == (host,)
    assert reconcile([host], {"a": Actual(spec=host, alive=False, deaths=MAX_DEATHS)}) == LabPlan()


def test_host_that_powered_off_stays_off() -> None:
    host = spec("a", 1)
    assert reconcile([host], {"a": Actual(spec=host, alive=False, stopped=True)}) == LabPlan()


specs = st.builds(spec, st.sampled_from("abcdef"), st.integers(1, 4), gpus=st.integers(0, 1))


@given(st.lists(specs), st.lists(specs))
def test_repeated_rounds_settle_and_keep_addresses_apart(desired: list[HostSpec], before: list[HostSpec]) -> None:
    actual = {host.name: Actual(spec=host, alive=True) for host in before}
    for _ in range(4):
        plan = reconcile(desired, actual)
        for name in plan.remove:
            del actual[name]
        for host in plan.start:
            assert host.address not in {other.spec.address for other in actual.values()} or not before
            actual[host.name] = Actual(spec=host, alive=True)
    assert reconcile(desired, actual) == LabPlan()
    names = {host.name for host in desired}
    assert actual.keys() <= names


def test_two_checkouts_share_no_name_and_no_uplink(tmp_path: Path) -> None:
    one, two = Layout.of(tmp_path / "one"), Layout.of(tmp_path / "two")
    assert one.namespace != two.namespace
    assert one.cgroup != two.cgroup
    assert not one.uplink.overlaps(two.uplink)


def test_device_names_fit_the_kernel_limit(tmp_path: Path) -> None:
    assert len(f"dt{Layout.of(tmp_path).id}o") <= 15


def test_address_outside_the_lab_is_refused_with_its_networks(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"192\.0\.2\.1 is outside .*10\.20\.0\.0/16"):
        Layout.of(tmp_path).gateway(ipaddress.IPv4Address("192.0.2.1"))


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a" * 64, "../a"])
def test_bad_host_names_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="not a valid name"):
        spec(name, 1).check()


def test_trails_of_hosts_that_were_removed_are_put_aside_one_after_the_other(tmp_path: Path) -> None:
    lab, keys = Store(tmp_path), tmp_path / "state/audit-keys"
    keys.mkdir(parents=True)
    lab.retire_trail("vault-1")  # it had none
    assert not (keys / "gone").exists()
    for life, name in enumerate(("vault-1", "vault-1.2", "vault-1.3"), start=1):
        (keys / f"{name}.pem").write_text(name)
        lab.retire_trail("vault-1")
        assert not (keys / f"{name}.pem").exists()
        assert (keys / f"gone/vault-1.{life}.pem").read_text() == name
