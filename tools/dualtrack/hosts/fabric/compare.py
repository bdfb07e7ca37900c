"""The fabric as declared against the fabric as seen (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from dualtrack.core.errors import BadInput
from dualtrack.hosts.fabric import counters, managers
from dualtrack.hosts.fabric.model import SPEED_ORDER, WIDTH_ORDER, Cable, End, FabricFinding, FabricReport, Link, Seen
from dualtrack.hosts.fabric.spec import Declared

#: How many far ends a finding names before it counts the rest.
NAMED = 4


def compare(declared: Declared, seen: Seen, before: Seen | None = None) -> FabricReport:
    """Return what is not as declared. ``before`` is an earlier look: error counters are then assessed by their growth.

    Raises BadInput when the file calls a node by a name that several nodes have.
    """
    for node in {end.node for cable in declared.cables for end in cable.ends}:
        if node in seen.doubled and node not in declared.names:
            guids = ", ".join(seen.doubled[node])
            raise BadInput(
                f"{len(seen.doubled[node])} nodes call themselves {node}: {guids}", hint="name them in names:"
            )
    found = [
        *_cables(declared, seen),
        *_extra(declared, seen),
        *counters.findings(declared.thresholds, seen, before),
        *managers.findings(declared, seen),
    ]
    found.sort(key=lambda finding: finding.severity != "error")
    wrong = {finding.ends for finding in found}
    return FabricReport(
        ok=not found,
        headline=_headline(declared, seen, found, len(wrong)),
        cables=len(declared.cables),
        findings=tuple(found),
    )


def _headline(declared: Declared, seen: Seen, found: list[FabricFinding], places: int) -> str:
    hosts = sum(node.kind == "host" for node in seen.nodes.values())
    switches = sum(node.kind == "switch" for node in seen.nodes.values())
    looked = f"{len(declared.cables)} cables declared; {switches} switches and {hosts} host ports answer"
    if not found:
        return f"{looked}; all as declared"
    return f"{looked}; {len(found)} finding{'s' * (len(found) > 1)} at {places} place{'s' * (places > 1)}"


def _cables(declared: Declared, seen: Seen) -> Iterator[FabricFinding]:
    active = any(manager.state == "MASTER" for manager in seen.managers)
    lost: list[Cable] = []
    for cable in declared.cables:
        link = seen.links.get(cable.ends[0])
        if link is None or link.other(cable.ends[0]) != cable.ends[1]:
            lost.append(cable)
            continue
        yield from _rate(cable, link)
        # Without an active manager no link becomes active: that is one finding, not one a cable.
        if link.state != "Active" and active:
            yield FabricFinding(
                code="not-active", severity="error", ends=cable.ends, expected="Active", seen=link.state,
                action="the manager did not bring it up: its log says why (/var/log/opensm.log)",
            )  # fmt: skip
    gone, rest = _gone_nodes(lost, seen)
    yield from gone
    yield from _lost(rest, seen)


def _rate(cable: Cable, link: Link) -> Iterator[FabricFinding]:
    retrain = "reseat both plugs, then retrain (ibportstate … reset); still so: another cable, then another port"
    for code, expected, actual, order, slower in (
        ("width", cable.width, link.width, WIDTH_ORDER, retrain),
        ("speed", cable.speed, link.speed, SPEED_ORDER, f"{retrain}; does the cable carry {cable.speed}?"),
    ):
        if actual == expected:
            continue
        better = actual in order and order.index(actual) > order.index(expected)
        yield FabricFinding(
            code=code, severity="warning" if better else "error", ends=cable.ends, expected=expected, seen=actual,
            action="more than declared: correct the file" if better else slower,
        )  # fmt: skip


def _gone_nodes(lost: list[Cable], seen: Seen) -> tuple[list[FabricFinding], list[Cable]]:
    """Return a finding for each node that does not answer and had several cables, and the cables that are left.

    A dead switch is one finding, not one for each of its cables; hosts that only it connected are named with it.
    """
    absent: dict[str, list[Cable]] = {}
    for cable in lost:
        for end in cable.ends:
            if end.node not in seen.nodes:
                absent.setdefault(end.node, []).append(cable)
    found, told = [], set[Cable]()
    for node, cables in sorted(absent.items(), key=lambda item: (-len(item[1]), item[0])):
        cables = [cable for cable in cables if cable not in told]
        if len(cables) < 2:
            continue
        told |= set(cables)
        far = [_far(cable, node) for cable in cables]
        more = f" and {len(far) - NAMED} more" if len(far) > NAMED else ""
        found.append(
            FabricFinding(
                code="node-missing",
                severity="error",
                ends=(_near(cables[0], node), far[0]),
                expected=f"{node} with {len(cables)} cables",
                seen=f"{node} does not answer; its cables lead to {', '.join(map(str, far[:NAMED]))}{more}",
                action=f"is {node} powered and its management up? If so, look at the cables one by one",
            )
        )
    return found, [cable for cable in lost if cable not in told]


def _lost(lost: list[Cable], seen: Seen) -> Iterator[FabricFinding]:
    """Yield a finding for each declared cable that is not there: swapped with another, led elsewhere, or missing."""
    where = {end: cable for cable in lost for end in cable.ends}
    told = set[Cable]()
    for cable in lost:
        if cable in told:
            continue
        far = [seen.links[end].other(end) if end in seen.links else None for end in cable.ends]
        twin = where.get(far[1]) if far[1] else None
        # Swapped: the far end of ours leads to the near end of another lost cable, whose far end leads to ours.
        if twin and twin != cable and far[0] and where.get(far[0]) == twin:
            told |= {cable, twin}
            yield FabricFinding(
                code="swapped", severity="error", ends=cable.ends, expected=f"{cable}; {twin}",
                seen=f"{cable.ends[0]} leads to {far[0]}, {cable.ends[1]} to {far[1]}",
                action=f"swap the plugs at {cable.ends[0]} and {far[1]}",
            )  # fmt: skip
        elif far[0] or far[1]:
            leads = [f"{end} leads to {to or _state(end, seen)}" for end, to in zip(cable.ends, far, strict=True)]
            yield FabricFinding(
                code="miswired",
                severity="error",
                ends=cable.ends,
                expected=str(cable),
                seen="; ".join(leads),
                action="plug it in as declared",
            )
        else:
            states = [f"{end}: {_state(end, seen)}" for end in cable.ends]
            yield FabricFinding(
                code="missing",
                severity="error",
                ends=cable.ends,
                expected=str(cable),
                seen="; ".join(states),
                action=_mend(cable, seen),
            )


def _mend(cable: Cable, seen: Seen) -> str:
    disabled = [end for end in cable.ends if "Disabled" in seen.down.get(end, "")]
    if disabled:
        return f"{disabled[0]} is switched off: find out who did, then ibportstate … enable"
    absent = [end.node for end in cable.ends if end.node not in seen.nodes]
    if absent:
        return f"is {absent[0]} up, its driver loaded (ibstat there)? If so, reseat or replace the cable"
    return "reseat both plugs; still so: replace the cable (docs/how-to/replace-a-cable.md)"


def _state(end: End, seen: Seen) -> str:
    if end.node not in seen.nodes:
        return "the node does not answer"
    return seen.down.get(end, "no such port")


def _extra(declared: Declared, seen: Seen) -> Iterator[FabricFinding]:
    known = {end for cable in declared.cables for end in cable.ends}
    for end, link in sorted(seen.links.items()):
        if link.ends[0] == end and not known & set(link.ends):
            yield FabricFinding(
                code="extra",
                severity="warning",
                ends=link.ends,
                expected="no cable there",
                seen=f"{link.width} {link.speed}",
                action="declare it or unplug it: the manager routes over it as it is",
            )


def _near(cable: Cable, node: str) -> End:
    return cable.ends[0] if cable.ends[0].node == node else cable.ends[1]


def _far(cable: Cable, node: str) -> End:
    return cable.ends[1] if cable.ends[0].node == node else cable.ends[0]
