"""Error counters: how much is too much, and how much of it is new (pure).

They only ever grow, until somebody clears them or they are full: a number alone does not say whether a cable is bad
today. Hold two snapshots against each other for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dualtrack.hosts.fabric.model import FabricFinding, Seen

#: The most that a counter may show; None leaves it unjudged. The numbers are those that infiniband-diags ships as its
#: example (/etc/infiniband-diags/error_thresholds). Two are left unjudged: PortXmitWait counts waiting (congestion, not
#: damage), PortRcvSwitchRelayErrors counts multicast that a switch rightly did not send back.
DEFAULTS: dict[str, int | None] = {
    "SymbolErrorCounter": 10,
    "LinkErrorRecoveryCounter": 10,
    "LinkDownedCounter": 10,
    "PortRcvErrors": 10,
    "PortRcvRemotePhysicalErrors": 100,
    "PortRcvSwitchRelayErrors": None,
    "PortXmitDiscards": 100,
    "PortXmitConstraintErrors": 100,
    "PortRcvConstraintErrors": 100,
    "LocalLinkIntegrityErrors": 10,
    "ExcessiveBufferOverrunErrors": 10,
    "QP1Dropped": 100,
    "VL15Dropped": 100,
    "PortXmitWait": None,
}
#: Where each stops counting (InfiniBand architecture, PortCounters): the values of other widths are never reached.
FULL = {
    "SymbolErrorCounter": 0xFFFF, "LinkErrorRecoveryCounter": 0xFF, "LinkDownedCounter": 0xFF, "PortRcvErrors": 0xFFFF,
    "PortRcvRemotePhysicalErrors": 0xFFFF, "PortRcvSwitchRelayErrors": 0xFFFF, "PortXmitDiscards": 0xFFFF,
    "PortXmitConstraintErrors": 0xFF, "PortRcvConstraintErrors": 0xFF, "LocalLinkIntegrityErrors": 0xF,
    "ExcessiveBufferOverrunErrors": 0xF, "QP1Dropped": 0xFFFF, "VL15Dropped": 0xFFFF, "PortXmitWait": 0xFFFFFFFF,
}  # fmt: skip
#: What points to the cable or its plugs, as opposed to what runs over it.
PHYSICAL = {
    "SymbolErrorCounter", "LinkErrorRecoveryCounter", "LinkDownedCounter", "PortRcvErrors", "LocalLinkIntegrityErrors",
}  # fmt: skip


def growth(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """Return how much each counter has grown; one that shows less than before was cleared, and all of it is new."""
    return {name: value - before.get(name, 0) if value >= before.get(name, 0) else value for name, value in now.items()}


def findings(thresholds: Mapping[str, int], seen: Seen, before: Seen | None = None) -> Iterator[FabricFinding]:
    """Yield a finding for each port whose counters show, or since ``before`` have grown by, more than they may."""
    if seen.unread and any(manager.state == "MASTER" for manager in seen.managers):
        yield FabricFinding(
            code="counters-unread", severity="warning", ends=(), expected="the counters of every port",
            seen=f"{seen.unread} ports gave none" if seen.unread > 0 else "ibqueryerrors did not come to its end",
            action="run ibqueryerrors by hand: it names the ports; a host whose driver hangs does not answer",
        )  # fmt: skip
    for end, values in sorted(seen.counters.items()):
        earlier = before.counters.get(end, {}) if before else {}
        new = growth(earlier, values)
        bad = {name: new[name] for name, most in thresholds.items() if new.get(name, 0) > most}
        # A full counter stands still: no growth is not proof that nothing happened.
        full = [name for name in thresholds if values.get(name, 0) >= FULL[name]]
        if not bad and not full:
            continue
        link = seen.links.get(end)
        since = " since the earlier snapshot" if before else ""
        shown = [f"{name} {new[name]}" for name in thresholds if name in bad]
        shown += [f"{name} is full" for name in full]
        yield FabricFinding(
            code="errors",
            severity="error" if PHYSICAL & {*bad, *full} else "warning",
            ends=(end, link.other(end)) if link else (end,),
            expected=", ".join(
                f"{name} at most {thresholds[name]}" for name in thresholds if name in bad or name in full
            ),
            seen=f"at {end}{since}: {', '.join(shown)}",
            action=_action(bad, full),
        )


def _action(bad: Mapping[str, int], full: list[str]) -> str:
    if not bad:
        return "clear it (ibqueryerrors -k), wait an hour and look again: a full counter hides what is new"
    if PHYSICAL & {*bad, *full}:
        return "clean and reseat both plugs, clear (ibqueryerrors -k), look again in an hour; still growing: new cable"
    return "no bad cable: look for congestion, a wrong partition key or a host that does not take its packets"
