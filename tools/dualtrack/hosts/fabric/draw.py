"""The fabric to look at: a tree for the terminal, an SVG picture for the browser (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dualtrack.core.characters import visible
from dualtrack.core.svg import document, tag, text, title
from dualtrack.hosts.fabric.model import Cable, End, FabricFinding, FabricReport
from dualtrack.hosts.fabric.spec import Declared

if TYPE_CHECKING:
    from rich.tree import Tree

#: Colour and stroke of a cable. Shape as well as colour tells them apart: not everybody sees red.
STYLES = {"ok": "#9aa5b1", "warning": "#d9822b", "error": "#c62828"}
WIDTH, ROW, BOX = 1400.0, 170, 26
#: Findings by which a cable is not there at all.
ABSENT = {"missing", "node-missing", "miswired", "swapped"}


def by_end(report: FabricReport) -> dict[End, FabricFinding]:
    """Return each end to the first finding that concerns it; errors come first."""
    found: dict[End, FabricFinding] = {}
    for finding in report.findings:
        for end in finding.ends:
            found.setdefault(end, finding)
    return found


def of_cable(
    cable: Cable, found: Mapping[End, FabricFinding], gone: Mapping[str, FabricFinding]
) -> FabricFinding | None:
    """Return what is wrong with a cable: at one of its ends, or that a node on it does not answer."""
    for end in cable.ends:
        if finding := found.get(end) or gone.get(end.node):
            return finding
    return None


def missing_nodes(report: FabricReport) -> dict[str, FabricFinding]:
    """Return the nodes that do not answer, by the finding that says so."""
    return {finding.ends[0].node: finding for finding in report.findings if finding.code == "node-missing"}


def tree(declared: Declared, report: FabricReport) -> Tree:
    """Return the switches with what hangs on their ports, then the findings that concern no declared cable."""
    from rich.text import Text
    from rich.tree import Tree

    found, gone, told = by_end(report), missing_nodes(report), list[FabricFinding]()
    root = Tree(Text(visible(report.headline)))
    for switch in declared.switches:
        branch = root.add(Text(f"{switch}{_role(switch, declared)}", style="bold red" if switch in gone else "bold"))
        for near, far, cable in _ports(declared, switch):
            finding = of_cable(cable, found, gone)
            line = Text(f"{near.port:>3} ── {far}{_role(far.node, declared)}  {cable.width} {cable.speed}")
            if finding:
                told.append(finding)
                line.append(
                    visible(f"  {finding.code}: {finding.seen}"),
                    style="red" if finding.severity == "error" else "yellow",
                )
            branch.add(line)
    for finding in report.findings:
        if finding not in told:
            root.add(Text(visible(f"{finding.code}: {finding.where}: {finding.seen}"), style="red"))
    return root


def _role(node: str, declared: Declared) -> str:
    roles = {declared.active: " (active manager)", declared.standby: " (standby manager)"}
    return roles.get(node, "") if node else ""


def _ports(declared: Declared, switch: str) -> list[tuple[End, End, Cable]]:
    found = []
    for cable in declared.cables:
        for near, far in (cable.ends, cable.ends[::-1]):
            if near.node == switch:
                found.append((near, far, cable))
    return sorted(found, key=lambda entry: entry[0])


def rows(declared: Declared) -> list[list[str]]:
    """Return the boxes of the picture, the hosts' row last: each switch above those that are nearer to the hosts."""
    switches = set(declared.switches)
    near: dict[str, set[str]] = {}
    for cable in declared.cables:
        left, right = (box(end, switches) for end in cable.ends)
        near.setdefault(left, set()).add(right)
        near.setdefault(right, set()).add(left)
    order = list(near)
    rank = {name: 0 for name in order if name not in switches} or {order[0]: 0}
    level = list(rank)
    while level:
        level = list(dict.fromkeys(n for name in level for n in sorted(near[name]) if n not in rank and n in switches))
        rank |= dict.fromkeys(level, max(rank.values()) + 1)
    return [[name for name in order if rank.get(name, 0) == number] for number in range(max(rank.values()), -1, -1)]


def box(end: End, switches: set[str]) -> str:
    """Return the box that an end is drawn at: its switch, or the host that its adapter is in."""
    return end.node if end.node in switches else end.node.split("/")[0]


def svg(declared: Declared, report: FabricReport) -> str:
    """Return the picture: spines above leaves above hosts; pointing at a cable or a box says what is wrong with it."""
    switches = set(declared.switches)
    layers = rows(declared)
    place: dict[str, tuple[float, float]] = {}
    step = max(28.0, min(160.0, WIDTH / max(len(names) for names in layers)))
    width = max(step * max(len(names) for names in layers), 600.0)
    for number, names in enumerate(layers):
        gap = width / len(names)
        place |= {name: (gap * (at + 0.5), 60.0 + ROW * number) for at, name in enumerate(names)}
    found, gone = by_end(report), missing_nodes(report)
    parts, used = [], dict[tuple[str, str], int]()
    # What is fine is drawn first, so that nothing lies over what is not.
    cables = sorted(
        ((cable, of_cable(cable, found, gone)) for cable in declared.cables), key=lambda pair: bool(pair[1])
    )
    for cable, finding in cables:
        ends = (box(cable.ends[0], switches), box(cable.ends[1], switches))
        number = used[ends] = used.get(ends, 0) + 1
        parts.append(_line(place[ends[0]], place[ends[1]], number, cable, finding))
    for name, (x, y) in place.items():
        parts.append(_box(name, x, y, step, name in switches, _mark(name, declared), gone.get(name)))
    height = 60 + ROW * len(layers) + 18 * (len(report.findings) + 1)
    notes = [report.headline, *(f"{finding.code}: {finding.where}: {finding.seen}" for finding in report.findings)]
    below = 60 + ROW * (len(layers) - 1) + 110
    parts += [text(12, below + 18 * number, note, 13) for number, note in enumerate(notes)]
    return document(width, height, parts)


def _mark(name: str, declared: Declared) -> str:
    for role, node in (("active", declared.active), ("standby", declared.standby)):
        if node and node.split("/")[0] == name:
            return f"{role} manager"
    return ""


def _line(
    start: tuple[float, float], end: tuple[float, float], number: int, cable: Cable, finding: FabricFinding | None
) -> str:
    """Return a cable; several between the same two boxes are bent apart."""
    bend = (number // 2) * (14 if number % 2 else -14)
    middle = ((start[0] + end[0]) / 2 + bend, (start[1] + end[1]) / 2)
    colour = STYLES[finding.severity if finding else "ok"]
    dashes = {"stroke_dasharray": "7 5"} if finding and finding.code in ABSENT else {}
    said = f"{cable} {cable.width} {cable.speed}" + (f"; {finding.code}: {finding.seen}" if finding else "")
    path = f"M{start[0]:.1f},{start[1]:.1f} Q{middle[0]:.1f},{middle[1]:.1f} {end[0]:.1f},{end[1]:.1f}"
    return tag("path", title(said), d=path, fill="none", stroke=colour, stroke_width=3.5 if finding else 1.5, **dashes)


def _box(name: str, x: float, y: float, step: float, switch: bool, mark: str, gone: FabricFinding | None) -> str:
    """Return a node's box with its name, upright where the row is crowded."""
    half = min(step, 150) / 2 - 4
    fill = "#fdecea" if gone else "#e3f2fd" if switch else "#f5f7fa"
    line = STYLES["error"] if gone else "#52606d"
    crowded = len(name) * 7.5 > 2 * half
    turn = {"transform": f"rotate(-60 {x:.1f} {y:.1f})"} if crowded else {}
    parts = (
        title(name),
        tag("rect", x=x - half, y=y - BOX / 2, width=2 * half, height=BOX, rx=4, fill=fill, stroke=line),
        text(x, y + 4, name, 12, text_anchor="middle", **turn),
        text(x, y - 20, mark, 11, text_anchor="middle") if mark else "",
    )
    return tag("g", "".join(parts))
