"""Writing a fabric file from what is there, so that nobody has to type it (pure)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from dualtrack.hosts.fabric.model import End, Link, Seen

HEAD = """\
# The fabric as it should be: `dualtrack fabric check` holds the real one against it.
# Written from what was there: correct what is wrong today before you trust it. Fields: docs/how-to/fabric-check.md
"""


def document(seen: Seen) -> str:
    """Return the file: its own width and speed are the most common ones, cables that differ say so.

    Nodes that cannot be told apart by what they call themselves get a name with the end of their GUID, kept in names:.
    """
    links = [link for end, link in sorted(seen.links.items()) if link.ends[0] == end]
    links = sorted((_switch_first(link, seen) for link in links), key=lambda link: link.ends)
    width, speed = _commonest([link.width for link in links]), _commonest([link.speed for link in links])
    switches = sorted(name for name, node in seen.nodes.items() if node.kind == "switch")
    hcas = [end.node.partition("/")[2] for link in links for end in link.ends if end.node not in switches]
    hca = _commonest([name for name in hcas if name]) or "mlx5_0"
    lines = [HEAD.rstrip(), f"width: {width}", f"speed: {speed}", f"hca: {hca}", f"switches: {_flow(switches)}"]
    lines += _managers(seen, hca)
    named = [node for node in seen.nodes.values() if any(node.guid in guids for guids in seen.doubled.values())]
    if named:
        lines += ["names:", *(f"  {node.name}: {json.dumps(node.guid)}" for node in named)]
    lines.append("cables:")
    for link in links:
        ends = " -- ".join(_short(end, hca, switches) for end in link.ends)
        own = {
            name: value
            for name, value, usual in (("width", link.width, width), ("speed", link.speed, speed))
            if value != usual
        }
        differs = "".join(f", {name}: {value}" for name, value in own.items())
        lines.append(f"  - {{ends: {ends}{differs}}}" if own else f"  - {ends}")
    return "\n".join(lines) + "\n"


def _managers(seen: Seen, hca: str) -> list[str]:
    states = {state: sorted(m.node for m in seen.managers if m.state == state) for state in ("MASTER", "STANDBY")}
    roles = [("active", states["MASTER"]), ("standby", states["STANDBY"])]
    lines = [f"  {role}: {found[0].removesuffix(f'/{hca}')}" for role, found in roles if found]
    return ["managers:", *lines] if states["MASTER"] else []


def _switch_first(link: Link, seen: Seen) -> Link:
    kinds = [seen.nodes[end.node].kind if end.node in seen.nodes else "host" for end in link.ends]
    left, right = link.ends
    return (
        Link(ends=(right, left), width=link.width, speed=link.speed, state=link.state)
        if kinds[0] != "switch" == kinds[1]
        else link
    )


def _short(end: End, hca: str, switches: Sequence[str]) -> str:
    if end.node in switches:
        return str(end)
    node = end.node.removesuffix(f"/{hca}")
    return node if end.port == 1 else str(end)


def _commonest(values: Sequence[str]) -> str:
    return Counter(values).most_common(1)[0][0] if values else ""


def _flow(names: Sequence[str]) -> str:
    return "[" + ", ".join(names) + "]"
