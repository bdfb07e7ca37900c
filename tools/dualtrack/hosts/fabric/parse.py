"""What infiniband-diags print, read (pure). The formats are those of version 44, which is Debian 12's and knows NDR."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from dualtrack.core.errors import External
from dualtrack.hosts.fabric.model import SPEEDS, End, Kind, Link, Manager, Node, Seen

NODE = re.compile(r'^(Switch|Ca|Rt)\s+(\d+)\s+"[SHR]-([0-9a-f]+)"\s+# "(.*?)"(?:\s|$)')
CA_PORT = re.compile(r"^\[(\d+)\]\(([0-9a-f]+)\)")
LINK = re.compile(
    r'^0x(?P<guid>[0-9a-f]{16}) "\s*(?P<name>.*?)"\s+(?P<lid>\d+)\s+(?P<port>\d+)\[.*?\] ==\((?P<what>.*?)\)==>'
    r'\s+(?:0x(?P<far>[0-9a-f]{16})\s+\d+\s+(?P<far_port>\d+))?\[.*?\] "'
)
UP = re.compile(r"^\s*(\d+X)\s+(.*?)\s+(\w+)/\s*(\w+)")
BAD_PORT = re.compile(r"^\s+GUID 0x([0-9a-f]+) port (\d+):(.*)")
COUNTER = re.compile(r"\[(\w+) == (\d+)[ \]]")
MASTER = re.compile(r"sm lid (\d+) sm guid 0x([0-9a-f]+), activity count \d+ priority (\d+) state \d+ SMINFO_(\w+)")
#: How a snapshot notes the number of ports that could not be asked for a manager.
SILENT = "# ports without an answer:"
KINDS: dict[str, Kind] = {"Switch": "switch", "Ca": "host", "Rt": "router"}


class Raw(msgspec.Struct, frozen=True, kw_only=True):
    """The texts of one look: `ibnetdiscover`, `iblinkinfo -l`, `ibqueryerrors`, `sminfo` of each manager."""

    topology: str
    links: str
    errors: str
    managers: str


def guid(digits: str) -> str:
    """Return a GUID as `0x` and 16 digits."""
    return f"0x{int(digits, 16):016x}"


def topology(text: str) -> tuple[list[Node], dict[str, str]]:
    """Return the nodes (named by their descriptions) and, for every GUID of a node or its ports, the node's GUID."""
    nodes: list[Node] = []
    owner: dict[str, str] = {}
    for line in text.splitlines():
        if match := NODE.match(line):
            kind, ports, own, description = match.groups()
            nodes.append(
                Node(
                    name=name_of(description),
                    kind=KINDS[kind],
                    guid=guid(own),
                    description=description,
                    ports=int(ports),
                )
            )
            owner[nodes[-1].guid] = nodes[-1].guid
        elif nodes and (match := CA_PORT.match(line)):
            owner[guid(match[2])] = nodes[-1].guid
    if not nodes:
        raise External("ibnetdiscover named no node", hint="is this host's InfiniBand port up? ibstat says")
    return nodes, owner


def name_of(description: str) -> str:
    """Return the name that a node's description stands for: `leaf1`, `node1/mlx5_0`.

    A managed switch says `MF0;leaf1:MQM8700/U1`, a Linux host `node1 mlx5_0` or `node1 HCA-1`; anything else is kept,
    with hyphens for its blanks.
    """
    if match := re.fullmatch(r"MF\d+;(.+):[^:/]+(?:/[A-Z]+\d+)*/U(\d+)", description):
        return match[1] if match[2] == "1" else f"{match[1]}-u{match[2]}"
    words = description.split()
    if len(words) == 2 and re.fullmatch(r"HCA-\d+|[a-z]+\w*_\d+", words[1]):
        return "/".join(words)
    return "-".join(re.sub(r"[^\w.;:+-]", " ", description).split()) or "unnamed"


def speed(text: str) -> str:
    """Return the generation's name for what is printed of a lane (`53.125 Gbps`), or that text where it is new."""
    return SPEEDS.get(text.strip().split(" ")[0], text.strip())


def counters(text: str) -> dict[tuple[str, int], dict[str, int]]:
    """Return (GUID, port) to its counters that are not zero; the sum over a switch's ports is left out."""
    found = {}
    for line in text.splitlines():
        if match := BAD_PORT.match(line):
            found[guid(match[1]), int(match[2])] = {name: int(value) for name, value in COUNTER.findall(match[3])}
    return found


def unread(text: str) -> int:
    """Return how many ports `ibqueryerrors` could not ask; -1 when it did not come to its end."""
    if "## Summary" not in text:
        return -1
    failures = re.search(r"^## +(\d+) PMA query failures", text, re.M)
    return int(failures[1]) if failures else 0


def end_ports(scan: str, links: str) -> list[str]:
    """Return every port that can have a manager, as `LID/port`: an adapter's ports, a switch's port 0.

    A LID of 0 is left out: without a manager nobody has given addresses yet.
    """
    nodes, owner = topology(scan)
    switches = {node.guid for node in nodes if node.kind == "switch"}
    found = {}
    for match in map(LINK.match, links.splitlines()):
        if match and int(match["lid"]):
            own = f"0x{match['guid']}"
            found[match["lid"]] = "0" if owner.get(own, own) in switches else match["port"]
    return [f"{lid}/{port}" for lid, port in found.items()]


def capabilities(text: str) -> dict[str, bool]:
    """Return LID to whether a manager runs there (IsSM, bit 1 of the capability mask), for ports that answered."""
    return {lid: bool(int(mask, 16) & 2) for lid, mask in re.findall(r"^lid (\d+) (0x[0-9a-f]+)$", text, re.M)}


def silent(text: str) -> int:
    """Return how many ports did not say whether a manager runs there."""
    return sum(int(count) for count in re.findall(rf"^{SILENT} (\d+)$", text, re.M))


def managers(text: str) -> list[Manager]:
    """Return each manager that answered `sminfo`, once, its port's GUID in place of its node."""
    found = {}
    for match in MASTER.finditer(text):
        _, port, priority, state = match.groups()
        found[guid(port)] = Manager(node=guid(port), guid=guid(port), priority=int(priority), state=state)
    return list(found.values())


def fabric(raw: Raw, names: Mapping[str, str], ignore: Sequence[str] = ()) -> Seen:
    """Return the fabric that the texts show. ``names`` (name to GUID) overrides what nodes call themselves; nodes whose
    description matches a pattern of ``ignore`` are left out.
    """
    found, owner = topology(raw.topology)
    given = {owner.get(value, value): name for name, value in names.items()}
    hidden = {node.guid for node in found if any(fnmatch.fnmatchcase(node.description, one) for one in ignore)}
    same: dict[str, list[str]] = {}
    for node in found:
        if node.guid not in given and node.guid not in hidden:
            same.setdefault(node.name, []).append(node.guid)
    doubled = {name: tuple(guids) for name, guids in same.items() if len(guids) > 1 or name in names}
    named = {}
    for node in found:
        own = f"{node.kind}-{node.guid[-6:]}" if node.name in doubled else node.name
        named[node.guid] = msgspec.structs.replace(node, name=given.get(node.guid, own))

    def end(at: str, port: int) -> End | None:
        node = named.get(owner.get(at, at))
        return None if node is None or node.guid in hidden else End(node.name, port)

    links, down = _links(raw.links, end)
    return Seen(
        nodes={node.name: node for node in named.values() if node.guid not in hidden},
        links=links,
        down=down,
        counters={at: values for (own, port), values in counters(raw.errors).items() if (at := end(own, port))},
        managers=tuple(_on_node(one, named, owner) for one in managers(raw.managers)),
        unread=unread(raw.errors),
        silent=silent(raw.managers),
        doubled=doubled,
    )


def _on_node(manager: Manager, named: Mapping[str, Node], owner: Mapping[str, str]) -> Manager:
    node = named.get(owner.get(manager.guid, manager.guid))
    return msgspec.structs.replace(manager, node=node.name) if node else manager


def _links(text: str, end: Callable[[str, int], End | None]) -> tuple[dict[End, Link], dict[End, str]]:
    links: dict[End, Link] = {}
    down: dict[End, str] = {}
    for line in text.splitlines():
        if not (match := LINK.match(line)) or not (near := end(f"0x{match['guid']}", int(match["port"]))):
            continue
        up = UP.match(match["what"])
        if not up or not match["far"]:
            down[near] = "/".join(word.strip() for word in match["what"].split("/"))
        elif (far := end(f"0x{match['far']}", int(match["far_port"]))) and near not in links:
            links[near] = links[far] = Link(ends=(near, far), width=up[1].lower(), speed=speed(up[2]), state=up[3])
    if not links and not down:
        raise External("iblinkinfo showed no port", hint="is this host's InfiniBand port up? ibstat says")
    return links, down
