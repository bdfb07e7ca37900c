"""Exactly one active subnet manager, where it should be (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from dualtrack.hosts.fabric.model import End, FabricFinding, Manager, Seen
from dualtrack.hosts.fabric.spec import Declared


def findings(declared: Declared, seen: Seen) -> Iterator[FabricFinding]:
    """Yield what is wrong with the managers of a fabric; without declared ones, only none and two are wrong."""
    masters = [manager for manager in seen.managers if manager.state == "MASTER"]
    wanted = f"one active manager, on {declared.active}" if declared.active else "one active manager"
    if not masters:
        yield FabricFinding(
            code="manager-missing",
            severity="error",
            ends=_at(seen, declared.active),
            expected=wanted,
            seen="no manager answers as active",
            action="start it where it should be active; where it runs, restart it: ports may follow one that is gone",
        )
    elif len(masters) > 1:
        yield FabricFinding(
            code="manager-two",
            severity="error",
            ends=tuple(end for one in masters for end in _at(seen, one.node)),
            expected=wanted,
            seen=f"{len(masters)} are active: {', '.join(_said(one) for one in masters)}",
            action=f"stop all but {declared.active or 'one'}; if they have different sm_key values, give them one",
        )
    elif declared.active and masters[0].node != declared.active:
        yield _elsewhere(declared, seen, masters[0], wanted)
    if seen.silent:
        yield FabricFinding(
            code="managers-unread",
            severity="warning",
            ends=(),
            expected="every port says whether a manager runs there",
            seen=f"{seen.silent} ports did not answer (smpquery portinfo)",
            action="another manager may run there: look again, then look at the hosts that do not answer",
        )
    yield from _others(declared, seen)


def _elsewhere(declared: Declared, seen: Seen, master: Manager, wanted: str) -> FabricFinding:
    if master.node == declared.standby:
        return FabricFinding(
            code="manager-standby-took-over",
            severity="warning",
            ends=_at(seen, declared.active),
            expected=wanted,
            seen=f"active is {_said(master)}",
            action=f"the standby works; find out why {declared.active} does not: systemctl status opensm there",
        )
    node = seen.nodes.get(master.node)
    own = node is not None and node.kind == "switch"
    action = (
        "a switch's own manager is in charge: switch it off there, or declare it as active and stop opensm on the hosts"
        if own
        else f"stop opensm on {master.node}, or declare it as active"
    )
    return FabricFinding(
        code="manager-elsewhere",
        severity="error",
        ends=_at(seen, master.node),
        expected=wanted,
        seen=f"active is {_said(master)}",
        action=action,
    )


def _others(declared: Declared, seen: Seen) -> Iterator[FabricFinding]:
    waiting = [manager for manager in seen.managers if manager.state != "MASTER"]
    ready = {manager.node for manager in seen.managers if manager.state in {"STANDBY", "MASTER"}}
    if declared.standby and declared.standby not in ready:
        yield FabricFinding(
            code="manager-no-standby",
            severity="error",
            ends=_at(seen, declared.standby),
            expected=f"a standby manager on {declared.standby}",
            seen="no manager is ready there",
            action="start opensm there: without it nobody takes over when the active one dies",
        )
    if not declared.active:
        return
    for manager in waiting:
        if manager.node not in {declared.active, declared.standby}:
            yield FabricFinding(
                code="manager-extra",
                severity="warning",
                ends=_at(seen, manager.node),
                expected="no manager there",
                seen=_said(manager),
                action=f"stop and disable opensm on {manager.node}: it may take over with settings of its own",
            )


def _said(manager: Manager) -> str:
    return f"{manager.node} ({manager.state}, priority {manager.priority})"


def _at(seen: Seen, node: str) -> tuple[End, ...]:
    """Return the cable by which a manager's node hangs on the fabric, its own end first; a switch has no one cable."""
    ends = sorted(end for end in seen.links if end.node == node)
    found = seen.nodes.get(node)
    if not ends or (found is not None and found.kind == "switch"):
        return (End(node, 0 if found is not None and found.kind == "switch" else 1),) if node else ()
    return ends[0], seen.links[ends[0]].other(ends[0])
