"""Fabrics, recorded and made up, against what was declared; what the tools print, read."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from dualtrack.core.errors import BadInput, External
from dualtrack.hosts.fabric import collect, compare, counters, draw, generate, parse, spec
from dualtrack.hosts.fabric.model import SPEEDS, Cable, End, FabricFinding, FabricReport, Link, Manager, Node, Seen
from dualtrack.hosts.fabric.spec import Declared
from tests.conftest import ROOT

FIXTURES = ROOT / "tests/fixtures/fabric"
ACTIVE = Manager(node="leaf1", guid="0x1", priority=8, state="MASTER")


def judged(name: str, file: Path | None = None) -> FabricReport:
    """Hold a recorded fabric against its declaration."""
    wanted = spec.load(file or FIXTURES / name / "fabric.yml")
    return compare.compare(wanted, parse.fabric(collect.read(FIXTURES / name), wanted.names, wanted.ignore))


def lines(report: FabricReport) -> list[tuple[str, str, str, str]]:
    return [(f.code, f.where, f.expected, f.seen) for f in report.findings]


def test_hdr() -> None:
    found = judged("hdr")
    assert lines(found)[:3] == [
        ("width", "leaf1/3 -- node3/mlx5_0/1", "4x", "2x"),
        ("speed", "leaf2/2 -- node6/mlx5_0/1", "HDR", "EDR"),
        (
            "missing",
            "leaf2/4 -- node8/mlx5_0/1",
            "leaf2/4 -- node8/mlx5_0/1",
            "leaf2/4: Down/Disabled; node8/mlx5_0/1: the node does not answer",
        ),
    ]
    errors = found.findings[3]
    assert (errors.code, errors.where) == ("errors", "leaf1/22 -- spine1/2")
    assert "SymbolErrorCounter 1843" in errors.seen
    assert "LinkErrorRecoveryCounter is full" in errors.seen
    assert len(found.findings) == 4  # waiting packets are not damage, and the adapters inside the switches no cables


def test_ndr_switches_are_told_apart_by_their_guids() -> None:
    assert lines(judged("ndr")) == [("width", "leaf2/4 -- node4/mlx5_1/1", "4x", "2x")]


def test_recorded_simulation() -> None:
    found = judged("ibsim", FIXTURES / "fabric.yml")
    assert {f.code: f.where for f in found.findings} == {
        "width": "leaf1/2 -- node2/mlx5_0/1",
        "speed": "leaf2/8 -- spine1/4",
        "errors": "leaf1/7 -- spine1/1",
        "manager-two": "node5/mlx5_0/1 -- leaf2/2 -- node1/mlx5_0/1 -- leaf1/1",
    }


@pytest.mark.parametrize("name", ["hdr", "ndr", "ibsim"])
def test_what_declare_writes_is_read_back_and_fits(name: str, tmp_path: Path) -> None:
    raw = collect.read(FIXTURES / name)
    (tmp_path / "fabric.yml").write_text(generate.document(parse.fabric(raw, {}, spec.IGNORED)))
    wanted = spec.load(tmp_path / "fabric.yml")
    report = compare.compare(wanted, parse.fabric(raw, wanted.names, wanted.ignore))
    assert {f.code for f in report.findings} <= {"errors", "manager-two"}


def test_switches_that_share_a_name_need_their_guids() -> None:
    text = (FIXTURES / "ndr/fabric.yml").read_text()
    file = msgspec.yaml.decode(text.replace("leaf1", "Quantum-2-Mellanox-Technologies"), type=spec.File)
    wanted = spec.declared(msgspec.structs.replace(file, names={}))
    with pytest.raises(BadInput, match=r"3 nodes call themselves Quantum-2.*0xfc6a1c0300d1a040.*name them in names:"):
        compare.compare(wanted, parse.fabric(collect.read(FIXTURES / "ndr"), {}, spec.IGNORED))


# What the tools print.


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("node1 mlx5_0", "node1/mlx5_0"),
        ("cu01.example.org HCA-1", "cu01.example.org/HCA-1"),
        ("MF0;leaf1:MQM8700/U1", "leaf1"),
        ("MF0;core:CS8500/L01/U2", "core-u2"),
        ("Quantum Mellanox Technologies", "Quantum-Mellanox-Technologies"),
        ("", "unnamed"),
    ],
)
def test_names(description: str, name: str) -> None:
    assert parse.name_of(description) == name


@pytest.mark.parametrize(
    ("printed", "name"), [*((f"{rate} Gbps", name) for rate, name in SPEEDS.items()), ("X Y", "X Y")]
)
def test_speeds(printed: str, name: str) -> None:
    assert parse.speed(printed.replace("FDR10 Gbps", "FDR10")) == name


def test_a_scan_that_shows_nothing_is_an_error() -> None:
    with pytest.raises(External, match="named no node"):
        parse.topology("# Topology file\n")
    raw = collect.read(FIXTURES / "hdr")
    with pytest.raises(External, match="showed no port"):
        parse.fabric(msgspec.structs.replace(raw, links=""), {})


def test_every_end_port_is_asked_for_a_manager() -> None:
    raw = collect.read(FIXTURES / "ibsim")
    asked = parse.end_ports(raw.topology, raw.links)
    assert len(asked) == 9
    assert {port.split("/")[1] for port in asked} == {"0", "1"}  # switches by port 0, adapters by their own
    unaddressed = raw.links.replace('"      1 ', '"      0 ')
    assert len(parse.end_ports(raw.topology, unaddressed)) == 8


def test_capabilities() -> None:
    said = parse.capabilities("lid 1 0x50c04a\nlid 2 0x50c048\nlid 3 \n")
    assert said == {"1": True, "2": False}


def test_counters_that_were_not_read_are_a_finding() -> None:
    raw = collect.read(FIXTURES / "ndr")
    wanted = spec.load(FIXTURES / "ndr/fabric.yml")
    for text, said in (
        ("", "did not come to its end"),
        ("## Summary: 9\n##          3 PMA query failures\n", "3 ports"),
    ):
        seen = parse.fabric(msgspec.structs.replace(raw, errors=text), wanted.names, wanted.ignore)
        found = {f.code: f.seen for f in compare.compare(wanted, seen).findings}
        assert said in found["counters-unread"]


def test_ports_that_did_not_say_whether_a_manager_runs_there_are_a_finding() -> None:
    raw = collect.read(FIXTURES / "hdr")
    wanted = spec.load(FIXTURES / "hdr/fabric.yml")
    for count, there in ((0, False), (3, True)):
        text = f"{raw.managers}{parse.SILENT} {count}\n"
        seen = parse.fabric(msgspec.structs.replace(raw, managers=text), wanted.names, wanted.ignore)
        assert ("managers-unread" in codes(compare.compare(wanted, seen))) is there


# Fabrics made up here: one leaf, four hosts.


def wanted(active: str = "", standby: str = "", hosts: int = 4) -> Declared:
    file = spec.File(switches=("leaf1",), cables=(f"leaf1/[1-{hosts}] -- node[1-{hosts}]",), speed="HDR")
    return msgspec.structs.replace(spec.declared(file), active=active, standby=standby)


def seen(*cables: Cable | Link, gone: tuple[str, ...] = (), managers: tuple[Manager, ...] = (ACTIVE,)) -> Seen:
    """Return a fabric with these links (all that are declared without any), and a node for each of their ends."""
    links = [
        Link(ends=cable.ends, width=cable.width, speed=cable.speed, state=getattr(cable, "state", "Active"))
        for cable in cables
    ]
    names = {"leaf1"} | {f"node{n}/mlx5_0" for n in range(1, 5)} | {end.node for link in links for end in link.ends}
    nodes = {
        n: Node(name=n, kind="switch" if n == "leaf1" else "host", guid="0x1", description=n, ports=1)
        for n in names
        if n not in gone
    }
    return Seen(
        nodes=nodes, links={end: link for link in links for end in link.ends}, down={}, counters={}, managers=managers
    )


def cable(port: int, host: int, width: str = "4x", speed: str = "HDR") -> Cable:
    return Cable((End("leaf1", port), End(f"node{host}/mlx5_0", 1)), width, speed)


def codes(report: FabricReport) -> list[str]:
    return [finding.code for finding in report.findings]


def test_as_declared_is_no_finding() -> None:
    report = compare.compare(wanted(), seen(*wanted().cables))
    assert (report.ok, report.findings, report.cables) == (True, (), 4)


def test_a_swap_is_one_finding_and_a_ring_of_three_is_three() -> None:
    swapped = compare.compare(wanted(), seen(cable(1, 2), cable(2, 1), cable(3, 3), cable(4, 4)))
    assert codes(swapped) == ["swapped"]
    assert swapped.findings[0].action == "swap the plugs at leaf1/1 and leaf1/2"
    ring = compare.compare(wanted(), seen(cable(1, 2), cable(2, 3), cable(3, 1), cable(4, 4)))
    assert codes(ring) == ["miswired"] * 3


def test_faster_than_declared_is_a_warning() -> None:
    report = compare.compare(wanted(), seen(cable(1, 1, "12x", "NDR"), cable(2, 2), cable(3, 3), cable(4, 4)))
    assert [(f.code, f.severity) for f in report.findings] == [("width", "warning"), ("speed", "warning")]


def test_a_switch_that_is_gone_is_one_finding() -> None:
    report = compare.compare(wanted(), seen(gone=("leaf1", "node1/mlx5_0")))
    assert codes(report) == ["node-missing"]
    assert "node2/mlx5_0/1" in report.findings[0].seen


def test_a_link_that_is_up_but_carries_nothing() -> None:
    links = [Link(ends=c.ends, width=c.width, speed=c.speed, state="Initialize") for c in wanted().cables]
    assert codes(compare.compare(wanted(), seen(*links))) == ["not-active"] * 4
    # Without a manager that is not news: one finding, not one a cable.
    assert codes(compare.compare(wanted(), seen(*links, managers=()))) == ["manager-missing"]


def test_extra_cable_between_ports_that_nobody_declared() -> None:
    extra = Cable((End("leaf1", 9), End("guest/mlx5_0", 1)), "4x", "HDR")
    report = compare.compare(wanted(), seen(*wanted().cables, extra))
    assert [(f.code, f.where) for f in report.findings] == [("extra", "leaf1/9 -- guest/mlx5_0/1")]


@pytest.mark.parametrize(
    ("managers", "expected"),
    [
        ([("node1/mlx5_0", "MASTER"), ("node2/mlx5_0", "STANDBY")], []),
        ([], ["manager-missing", "manager-no-standby"]),
        ([("node1/mlx5_0", "MASTER")], ["manager-no-standby"]),
        ([("node1/mlx5_0", "MASTER"), ("node2/mlx5_0", "NOTACTIVE")], ["manager-no-standby"]),
        ([("node2/mlx5_0", "MASTER")], ["manager-standby-took-over"]),
        ([("node1/mlx5_0", "MASTER"), ("node2/mlx5_0", "MASTER")], ["manager-two"]),
        ([("leaf1", "MASTER"), ("node2/mlx5_0", "STANDBY")], ["manager-elsewhere"]),
        ([("node1/mlx5_0", "MASTER"), ("node2/mlx5_0", "STANDBY"), ("node3/mlx5_0", "STANDBY")], ["manager-extra"]),
    ],
    ids=lambda value: ", ".join(map(str, value)) or "none",
)
def test_managers(managers: list[tuple[str, str]], expected: list[str]) -> None:
    found = tuple(Manager(node=node, guid="0x1", priority=3, state=state) for node, state in managers)
    whole = wanted("node1/mlx5_0", "node2/mlx5_0")
    report = compare.compare(whole, seen(*whole.cables, managers=found))
    assert codes(report) == expected


def test_a_switch_that_takes_charge_is_told_from_a_host() -> None:
    whole = wanted("node1/mlx5_0")
    [finding] = compare.compare(whole, seen(*whole.cables)).findings
    assert "a switch's own manager is in charge" in finding.action


# Error counters.


def counted(**values: int) -> Seen:
    return msgspec.structs.replace(seen(*wanted().cables), counters={End("leaf1", 1): values})


def errors(now: Seen, before: Seen | None = None) -> list[FabricFinding]:
    return list(counters.findings(wanted().thresholds, now, before))


def test_counters_within_bounds_are_no_finding() -> None:
    assert errors(counted(SymbolErrorCounter=10, PortXmitWait=10**9, PortRcvSwitchRelayErrors=60_000)) == []


def test_counters_over_bounds_name_both_ends() -> None:
    [finding] = errors(counted(SymbolErrorCounter=11))
    assert (finding.where, finding.severity) == ("leaf1/1 -- node1/mlx5_0/1", "error")
    [finding] = errors(counted(PortXmitDiscards=101))
    assert finding.severity == "warning"


def test_growth_is_what_counts_when_there_is_an_earlier_look() -> None:
    old = counted(SymbolErrorCounter=4000)
    assert errors(counted(SymbolErrorCounter=4010), old) == []
    assert "SymbolErrorCounter 50" in errors(counted(SymbolErrorCounter=4050), old)[0].seen
    # Cleared in between: all that is there is new.
    assert "SymbolErrorCounter 30" in errors(counted(SymbolErrorCounter=30), old)[0].seen


def test_a_full_counter_is_never_good() -> None:
    full = counted(SymbolErrorCounter=0xFFFF)
    [finding] = errors(full, full)
    assert "SymbolErrorCounter is full" in finding.seen
    assert "clear it" in finding.action


# Pictures, size, borders.


def test_picture_of_a_missing_switch_and_a_manager() -> None:
    whole = wanted("leaf1")
    report = compare.compare(whole, seen(gone=("leaf1",), managers=()))
    picture = draw.svg(whole, report)
    assert picture.count('stroke="#c62828" stroke-width="3.5" stroke-dasharray') == 4
    assert "active manager" in picture


def test_names_cannot_break_out_of_the_picture() -> None:
    file = spec.File(switches=("a<b>&",), cables=("a<b>&/1 -- node1",), speed="HDR")
    whole = spec.declared(file)
    assert "<b>" not in draw.svg(whole, compare.compare(whole, seen()))


def test_rows_put_spines_above_leaves_above_hosts() -> None:
    assert draw.rows(spec.load(FIXTURES / "fabric.yml")) == [
        ["spine1"],
        ["leaf1", "leaf2"],
        [f"node{n}" for n in range(1, 7)],
    ]


def test_eight_hundred_hosts_take_a_short_file_and_a_moment() -> None:
    """Two tiers: 40 leaves with 20 hosts and 20 uplinks each, one to every spine."""
    file = spec.File(
        switches=("leaf[1-40]", "spine[1-20]"),
        cables=(
            "leaf[1-40]/[1-20] -- node[001-800]",
            *(f"leaf[1-40]/{20 + spine} -- spine{spine}/[1-40]" for spine in range(1, 21)),
        ),
        speed="NDR",
    )
    begin = time.monotonic()
    whole = spec.declared(file)
    report = compare.compare(whole, seen(*whole.cables))
    assert (report.ok, report.cables) == (True, 1600)
    assert time.monotonic() - begin < 5  # a moment here is 0.1 s; nothing may be quadratic
