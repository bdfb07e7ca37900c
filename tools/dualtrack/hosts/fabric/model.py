"""What is declared, what is seen, and what is wrong, in one vocabulary (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Severity = Literal["error", "warning"]
Kind = Literal["switch", "host", "router"]

#: Gb/s of one lane as infiniband-diags prints it, and the name of that generation; slow to fast. FDR10 it names itself.
SPEEDS = {
    "2.5": "SDR", "5.0": "DDR", "10.0": "QDR", "FDR10": "FDR10", "14.0625": "FDR", "25.78125": "EDR", "53.125": "HDR",
    "106.25": "NDR", "212.5": "XDR",
}  # fmt: skip
SPEED_ORDER = tuple(SPEEDS.values())
#: Lanes of a link, narrow to wide.
WIDTH_ORDER = ("1x", "2x", "4x", "8x", "12x")


class End(msgspec.Struct, frozen=True, order=True):
    """One end of a cable: a node's name (`leaf1`, `node1/mlx5_0`) and its port."""

    node: str
    port: int

    def __str__(self) -> str:
        return f"{self.node}/{self.port}"


class Cable(msgspec.Struct, frozen=True):
    """A cable as it was declared: its ends and what it must run at."""

    ends: tuple[End, End]
    width: str
    speed: str

    def __str__(self) -> str:
        return f"{self.ends[0]} -- {self.ends[1]}"


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A switch, or a host's channel adapter, that answered. GUIDs are `0x` and 16 digits."""

    name: str
    kind: Kind
    guid: str
    description: str
    ports: int


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A cable that is there: both ends see each other. ``state`` is the logical one (`Active` is what carries data)."""

    ends: tuple[End, End]
    width: str
    speed: str
    state: str

    def other(self, end: End) -> End:
        """Return the far end."""
        return self.ends[1] if end == self.ends[0] else self.ends[0]


class Manager(msgspec.Struct, frozen=True, kw_only=True):
    """A subnet manager that answered, and the node that it runs on."""

    node: str
    guid: str
    priority: int
    state: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The fabric as the tools saw it. ``links`` holds each link under both of its ends, ``down`` a port's state.

    ``unread`` is how many ports gave no counters, -1 where none did; ``silent`` how many did not say whether a
    manager runs there. ``doubled`` names what several nodes call themselves, and their GUIDs: by that name none of them
    can be told apart.
    """

    nodes: Mapping[str, Node]
    links: Mapping[End, Link]
    down: Mapping[End, str]
    counters: Mapping[End, Mapping[str, int]]
    managers: tuple[Manager, ...]
    unread: int = 0
    silent: int = 0
    doubled: Mapping[str, tuple[str, ...]] = {}


class FabricFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as declared: where (a cable's two ends), what should be, what is, and the next step.

    ``code`` is stable and documented in docs/how-to/fabric-check.md.
    """

    code: str
    severity: Severity
    ends: tuple[End, ...]
    expected: str
    seen: str
    action: str

    @property
    def where(self) -> str:
        """Both ends as one text."""
        return " -- ".join(str(end) for end in self.ends)


class FabricReport(msgspec.Struct, frozen=True, kw_only=True):
    """All findings, the errors first, and how much was looked at."""

    ok: bool
    headline: str
    cables: int
    findings: tuple[FabricFinding, ...]
