"""`dualtrack fabric` against a simulated fabric: ibsim's links and counters, the real opensm, the real diagnostics."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from dualtrack.core.errors import Exit
from dualtrack.hosts.fabric import collect
from tests.conftest import CLI
from tests.support.fabric_testbed import CABLES, FIXTURES, Bed, ends, lacking, net

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())


def cabled(*less: str, **more: str) -> dict[str, str]:
    """Return the cables of a healthy fabric without those in ``less``."""
    return {cable: rate for cable, rate in CABLES.items() if cable not in less} | more


@contextmanager
def simulated(folder: Path, cables: Mapping[str, str] = CABLES, *, managed: bool = True) -> Iterator[Bed]:
    """A fabric, with the two managers that are declared."""
    made = Bed(folder, net(cables))
    try:
        if managed:
            made.manager("H-node1", 10)
            made.manager("H-node4", 1, state="STANDBY")
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """A healthy fabric, for tests that only look."""
    with simulated(tmp_path_factory.mktemp("healthy")) as made:
        yield made


def test_healthy_fabric_has_no_finding(bed: Bed) -> None:
    done = bed.run("check", str(FIXTURES / "fabric.yml"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "10 cables declared; 3 switches and 6 host ports answer; all as declared\n"


def test_what_declare_writes_is_what_is_there(bed: Bed, tmp_path: Path) -> None:
    file = tmp_path / "fabric.yml"
    assert bed.run("declare", "-o", str(file)).returncode == 0
    assert bed.check(file=file) == (0, [])
    assert bed.run("declare", "-o", str(file)).returncode == Exit.REFUSED


def test_snapshot_is_checked_elsewhere(bed: Bed, tmp_path: Path) -> None:
    assert bed.run("snapshot", "-o", str(tmp_path)).returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {name for name, _ in collect.FILES.values()} | {collect.ABOUT}
    words = ("check", str(FIXTURES / "fabric.yml"), "--from", str(tmp_path), "--json")
    document = json.loads(subprocess.run([CLI, "fabric", *words], capture_output=True, check=False).stdout)
    assert (document["schema"], document["ok"], document["cables"]) == ("dualtrack.fabric-check/1", True, 10)


def test_host_without_a_port_is_an_error_of_one_line() -> None:
    """Without the simulator the tools look for a real port, and this machine has none."""
    words = [CLI, "fabric", "check", str(FIXTURES / "fabric.yml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (Exit.EXTERNAL, "")
    assert len(done.stderr.splitlines()) == 1
    assert "modprobe ib_umad" in done.stderr


def test_machine_without_the_tools_is_told_the_package(tmp_path: Path) -> None:
    words = [CLI, "fabric", "check", str(FIXTURES / "fabric.yml")]
    done = subprocess.run(words, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (Exit.MISSING, "")
    assert "apt-get install infiniband-diags" in done.stderr


def test_lost_link_is_named_with_both_ends(tmp_path: Path) -> None:
    with simulated(tmp_path) as bed:
        bed.console('Unlink "S-leaf2"[8]')
        code, found = bed.check()
    lost = one(found, "missing")
    assert (code, ends(lost)) == (1, "leaf2/8 -- spine1/4")
    assert "Down/Polling" in lost["seen"]


def test_host_that_is_gone_is_named_with_its_switch_port(tmp_path: Path) -> None:
    with simulated(tmp_path) as bed:
        bed.console('Unlink "H-node2"[1]')
        code, found = bed.check()
    lost = one(found, "missing")
    assert (code, ends(lost)) == (1, "leaf1/2 -- node2/mlx5_0/1")
    assert "node2/mlx5_0/1: the node does not answer" in lost["seen"]


def test_swapped_cables_are_one_finding(tmp_path: Path) -> None:
    cross = {"leaf1/2 -- node5/1": "4xQDR", "leaf2/2 -- node2/1": "4xQDR"}
    with simulated(tmp_path, cabled("leaf1/2 -- node2/1", "leaf2/2 -- node5/1", **cross)) as bed:
        code, [finding] = bed.check()
    assert (code, finding["code"], ends(finding)) == (1, "swapped", "leaf1/2 -- node2/mlx5_0/1")
    assert finding["action"] == "swap the plugs at leaf1/2 and leaf2/2"


def test_cable_in_the_wrong_port_is_no_missing_cable(tmp_path: Path) -> None:
    with simulated(tmp_path, cabled("leaf1/2 -- node2/1", **{"leaf1/5 -- node2/1": "4xQDR"})) as bed:
        code, [finding] = bed.check()
    assert (code, finding["code"], ends(finding)) == (1, "miswired", "leaf1/2 -- node2/mlx5_0/1")
    assert "node2/mlx5_0/1 leads to leaf1/5" in finding["seen"]


def test_cable_that_nobody_declared_is_noticed(tmp_path: Path) -> None:
    with simulated(tmp_path, cabled(**{"leaf1/6 -- leaf2/6": "4xQDR"})) as bed:
        code, [finding] = bed.check()
    assert (code, finding["code"], finding["severity"]) == (1, "extra", "warning")
    assert ends(finding) == "leaf1/6 -- leaf2/6"


def test_errors_are_counted_and_an_earlier_snapshot_is_taken_off(tmp_path: Path) -> None:
    counter = 'PerformanceSet "S-leaf1"[7] PortCounters'
    with simulated(tmp_path / "sim") as bed:
        bed.console(f"{counter}.SymbolErrorCounter=500", f"{counter}.LinkDownedCounter=3")
        code, [finding] = bed.check()
        assert (code, finding["code"], ends(finding)) == (1, "errors", "leaf1/7 -- spine1/1")
        assert "SymbolErrorCounter 500" in finding["seen"]
        assert "LinkDowned" not in finding["seen"]  # three are within bounds

        assert bed.run("snapshot", "-o", str(tmp_path / "before")).returncode == 0
        since = ("--baseline", str(tmp_path / "before"))
        assert bed.check(*since) == (0, [])
        bed.console(f"{counter}.SymbolErrorCounter=560")
        code, [finding] = bed.check(*since)
    assert "SymbolErrorCounter 60" in finding["seen"]


def test_two_active_managers(tmp_path: Path) -> None:
    """With another sm_key two managers do not take each other for peers: both are active, over the same ports."""
    (tmp_path / "other-key.conf").write_text("sm_key 0x0000000000000099\n")
    with simulated(tmp_path / "two") as bed:
        bed.manager("H-node5", 1, "-F", str(tmp_path / "other-key.conf"))
        code, [two] = bed.check()
    assert (code, two["code"], two["severity"]) == (1, "manager-two", "error")
    assert "node1/mlx5_0 (MASTER, priority 10)" in two["seen"]
    assert "node5/mlx5_0 (MASTER, priority 1)" in two["seen"]


def test_manager_that_nobody_declared_is_in_charge(tmp_path: Path) -> None:
    with simulated(tmp_path, managed=False) as bed:
        bed.manager("H-node5", 14)
        bed.manager("H-node1", 10, state="STANDBY")
        bed.manager("H-node4", 1, state="STANDBY")
        code, [finding] = bed.check()
    assert (code, finding["code"], ends(finding)) == (1, "manager-elsewhere", "node5/mlx5_0/1 -- leaf2/2")
    assert "stop opensm on node5/mlx5_0" in finding["action"]


def test_standby_that_took_over_and_manager_that_should_not_be_there(tmp_path: Path) -> None:
    with simulated(tmp_path, managed=False) as bed:
        bed.manager("H-node4", 9)
        bed.manager("H-node2", 1, state="STANDBY")
        _, found = bed.check()
    assert {finding["code"] for finding in found} == {"manager-standby-took-over", "manager-extra"}


def test_fabric_without_a_manager(tmp_path: Path) -> None:
    with simulated(tmp_path, managed=False) as bed:
        _, found = bed.check()
    assert [finding["code"] for finding in found] == ["manager-missing", "manager-no-standby"]


def test_narrow_and_slow_links(tmp_path: Path) -> None:
    bad = {"leaf1/2 -- node2/1": "1xQDR", "leaf2/8 -- spine1/4": "4xDDR"}
    with simulated(tmp_path / "sim", cabled(**bad)) as bed:
        code, found = bed.check()
        tree = bed.run("draw", str(FIXTURES / "fabric.yml")).stdout
        bed.run("draw", str(FIXTURES / "fabric.yml"), "-o", str(tmp_path / "fabric.svg"))
    shown = [(f["code"], ends(f), f["expected"], f["seen"]) for f in found]
    assert code == 1
    assert shown == [
        ("width", "leaf1/2 -- node2/mlx5_0/1", "4x", "1x"),
        ("speed", "leaf2/8 -- spine1/4", "QDR", "DDR"),
    ]
    assert "2 ── node2/mlx5_0/1  4x QDR  width: 1x" in tree
    picture = ElementTree.parse(tmp_path / "fabric.svg")
    red = [e[0].text for e in picture.iter("{http://www.w3.org/2000/svg}path") if e.get("stroke") == "#c62828"]
    assert len(red) == 2
    assert "leaf1/2 -- node2/mlx5_0/1 4x QDR; width: 1x" in red


def one(found: list[dict[str, Any]], code: str) -> dict[str, Any]:
    """Return the one finding of a kind; while a manager is still at work on a change there may be others."""
    [finding] = [finding for finding in found if finding["code"] == code]
    return finding
