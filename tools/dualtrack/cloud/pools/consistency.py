"""When an answer of the API is not believed. Pure.

An API that fails, lags or lies often does so with an empty list, and "no nodes" is the most expensive thing to believe.
So a node counts as gone only when EC2 itself says of that very node that it ended; a missing answer is not evidence.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Of these EC2 says that they are over, or not the group's any more.
OVER = {"terminated", "shutting-down", "stopped", "stopping"}
#: EC2 forgets an ended instance after about an hour, a long time after the watch last looked; then nothing is compared.
REMEMBERED_S = 1800.0


def inconsistency(
    remembered: tuple[str, ...], since: float, listed: frozenset[str], states: Mapping[str, str], now: float
) -> str:
    """Return why a group's list of instances is not believed, '' when it is.

    ``remembered`` are the nodes of the last believed look, at ``since`` (seconds since the epoch); ``listed`` those
    that the group lists now; ``states`` what EC2 says of each instance that it was asked for: an unknown one is
    missing, and `detached` one that runs and is not the group's any more.
    """
    contradicted = sorted(i for i in listed if states.get(i) in OVER - {"stopping", "shutting-down"})
    unknown = sorted(i for i in listed if i not in states)
    if unknown:
        return f"the group lists {_some(unknown)}, of which EC2 knows nothing"
    if contradicted and len(contradicted) == len(listed):
        # One that ended a moment ago is still listed; all of them at once are two answers that do not agree.
        return f"the group lists {_some(contradicted)}, which EC2 says ended"
    if now - since > REMEMBERED_S:
        return ""
    missing = [i for i in remembered if i not in listed]
    running = [i for i in missing if states.get(i) in ("running", "pending")]
    silent = [i for i in missing if i not in states]
    if silent:
        return f"{_some(silent)} disappeared, and EC2 does not say that it ended"
    if running:
        return f"the group does not list {_some(running)} any more, which EC2 says runs in it"
    return ""


def _some(ids: list[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{ids[0]} and {len(ids) - 1} more"
