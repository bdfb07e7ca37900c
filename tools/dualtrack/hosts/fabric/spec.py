"""The fabric file: the cables and the managers that the operator means to have, checked before anything is touched.

docs/how-to/fabric-check.md explains every field.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.hosts.fabric import hostlist
from dualtrack.hosts.fabric.counters import DEFAULTS
from dualtrack.hosts.fabric.model import SPEED_ORDER, WIDTH_ORDER, Cable, End

#: A switch with SHARP carries an adapter of its own inside, on a port that no cable goes to.
IGNORED = ("*Aggregation*Node*",)


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Cables that differ from the file's own width or speed."""

    ends: str
    width: str = ""
    speed: str = ""


class Managers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the one active subnet manager runs (a host or a switch), and the one that takes over."""

    active: str
    standby: str = ""


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file as it is written."""

    switches: tuple[str, ...]
    cables: tuple[str | Line, ...]
    managers: Managers | None = None
    width: str = "4x"
    speed: str = ""
    hca: str = "mlx5_0"
    names: dict[str, str] = {}
    ignore: tuple[str, ...] = IGNORED
    counters: dict[str, int | None] = {}


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """The fabric as it should be. ``names`` is name to GUID, ``thresholds`` the most that a counter may show."""

    cables: tuple[Cable, ...]
    active: str
    standby: str
    names: dict[str, str]
    ignore: tuple[str, ...]
    thresholds: dict[str, int]
    switches: tuple[str, ...]


def load(path: Path) -> Declared:
    """Return the fabric that ``path`` declares; BadInput says in one line what is wrong there and what to do."""
    try:
        file = msgspec.yaml.decode(path.read_bytes(), type=File)
    except FileNotFoundError:
        raise BadInput(
            f"there is no fabric file {path}", hint="dualtrack fabric declare writes one of what is there"
        ) from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a directory, not a fabric file", hint="name the file in it") from None
    except msgspec.ValidationError as error:
        raise BadInput(f"{path}: {error}", hint="docs/how-to/fabric-check.md explains every field") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    try:
        return declared(file)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def declared(file: File) -> Declared:
    """Return what a file means, everything short written out; BadInput when it contradicts itself."""
    switches = tuple(name for text in file.switches for name in hostlist.expand(text))
    names = {name: guid(name, text) for name, text in file.names.items()}
    for value in set(names.values()):
        same = [name for name, other in names.items() if other == value]
        if len(same) > 1:
            raise BadInput(f"names: {' and '.join(same)} have the same GUID {value}", hint="each node has its own")
    cables, nodes = _cables(file, frozenset(switches)), set[str]()
    for cable in cables:
        nodes |= {end.node for end in cable.ends}
    idle = [name for name in switches if name not in nodes]
    if idle:
        raise BadInput(f"switch {idle[0]} has no cable", hint="add its cables, or take it off switches:")
    managers = file.managers or Managers("")
    active, standby = (_manager(name, file.hca, switches, nodes) for name in (managers.active, managers.standby))
    if active and active == standby:
        raise BadInput(f"managers: {active} is both active and standby", hint="name two nodes, or leave standby out")
    return Declared(
        cables=cables,
        active=active,
        standby=standby,
        names=names,
        ignore=file.ignore,
        thresholds=_thresholds(file.counters),
        switches=switches,
    )


def _cables(file: File, switches: frozenset[str]) -> tuple[Cable, ...]:
    found: list[Cable] = []
    taken: dict[End, str] = {}
    for entry in file.cables:
        line = Line(entry) if isinstance(entry, str) else entry
        width, speed = _width(line.width or file.width), _speed(line.speed or file.speed)
        for left, right in hostlist.pairs(line.ends):
            ends = (parse_end(left, switches, file.hca), parse_end(right, switches, file.hca))
            cable = Cable(ends, width, speed)
            for end in ends:
                if end in taken:
                    raise BadInput(
                        f"port {end} is named twice: in {taken[end]!r} and in {line.ends!r}",
                        hint="a port takes one cable: correct one of the lines",
                    )
                taken[end] = line.ends
            found.append(cable)
    if not found:
        raise BadInput("names no cables", hint="dualtrack fabric declare writes those that are there")
    return tuple(found)


def parse_end(text: str, switches: frozenset[str], hca: str) -> End:
    """Return the end that a text names: `leaf1/7`; `node1`, `node1/mlx5_1`, `node1/mlx5_1/2` (port 1 without one)."""
    node, *rest = text.split("/")
    if node in switches:
        if len(rest) != 1 or not rest[0].isdecimal() or not 0 < int(rest[0]) < 255:
            raise BadInput(f"end {text!r} names no port of switch {node}", hint=f"write {node}/7")
        return End(node, int(rest[0]))
    port = int(rest.pop()) if rest and rest[-1].isdecimal() else 1
    if not node or len(rest) > 1 or port == 0 or not all(rest):
        raise BadInput(f"end {text!r} is not understood", hint="a switch's leaf1/7, a host's node1 or node1/mlx5_0/1")
    return End(f"{node}/{rest[0] if rest else hca}", port)


def guid(name: str, text: str) -> str:
    """Return a GUID as `0x` and 16 digits, from any way in which the tools print it."""
    digits = text.lower().removeprefix("0x").replace(":", "")
    if not re.fullmatch(r"[0-9a-f]{1,16}", digits):
        raise BadInput(f"names: {name}: {text!r} is not a GUID", hint="write it as '0x0c42a10300abcdef', in quotes")
    return f"0x{int(digits, 16):016x}"


def _manager(name: str, hca: str, switches: tuple[str, ...], nodes: set[str]) -> str:
    if not name or name in switches:
        return name
    node = name if "/" in name else f"{name}/{hca}"
    if node not in nodes:
        close = difflib.get_close_matches(name, [*switches, *(other.split("/")[0] for other in nodes)], n=1)
        raise BadInput(f"managers: {name} is on no cable", hint=f"did you mean {close[0]}?" if close else "")
    return node


def _width(text: str) -> str:
    if text.lower() not in WIDTH_ORDER:
        raise BadInput(f"width {text!r} is unknown", hint=f"one of {', '.join(WIDTH_ORDER)}")
    return text.lower()


def _speed(text: str) -> str:
    if match := re.fullmatch(r"(HDR|NDR|XDR)(100|200|400|800)", text.upper()):
        lanes = {"HDR": 50, "NDR": 100, "XDR": 200}[match[1]]
        raise BadInput(
            f"speed {text!r} is a rate", hint=f"write width: {int(match[2]) // lanes}x and speed: {match[1]}"
        )
    if text.upper() not in SPEED_ORDER:
        problem = f"speed {text!r} is unknown" if text else "no speed is given"
        raise BadInput(problem, hint=f"speed: one of {', '.join(SPEED_ORDER)}")
    return text.upper()


def _thresholds(given: dict[str, int | None]) -> dict[str, int]:
    for name in given:
        if name not in DEFAULTS:
            close = difflib.get_close_matches(name, DEFAULTS, n=1)
            raise BadInput(
                f"counters: {name} is unknown",
                hint=f"did you mean {close[0]}?" if close else f"there are: {', '.join(DEFAULTS)}",
            )
    merged = {**DEFAULTS, **given}
    return {name: most for name, most in merged.items() if most is not None}
