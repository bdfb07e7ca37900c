"""Which inventories are in force: what each track was last brought up with, and where its hosts are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from dualtrack.core.errors import Missing
from dualtrack.core.files import locked, read, write_atomically
from dualtrack.core.paths import ROOT, STATE
from dualtrack.inventory import render
from dualtrack.inventory.model import Host
from dualtrack.inventory.target import Target

COMMON = ROOT / "inventories/common"


class Current(msgspec.Struct, frozen=True):
    """What the tracks were last brought up with; '' for a track that is down."""

    stack: Literal["", "emulator", "aws"] = ""
    facts: str = ""


def current() -> Current:
    """Return what is up."""
    return read(STATE / "tracks.json", Current) or Current()


def remember(**changes: str) -> None:
    """Record that a track came up or went down; both may do so at the same time."""
    path = STATE / "tracks.json"
    with locked(path):
        write_atomically(path, msgspec.json.encode(msgspec.structs.replace(current(), **changes)))


def hosts_file(environment: str, track: str) -> Path:
    """Return the generated file with one track's hosts: state, hence kept with the rest of it, not in the tree."""
    return STATE / "inventories" / environment / f"hosts-{track}.json"


def write(target: Target, track: str, hosts: Sequence[Host], connection: render.Connection) -> Path:
    """Write one track's hosts for Ansible; return the file."""
    path = hosts_file(target.environment, track)
    write_atomically(path, render.encode(render.static(hosts, connection, target.groups), "json"))
    return path


class _Group(msgspec.Struct, frozen=True):
    hosts: dict[str, dict[str, Any]] = {}
    children: dict[str, Any] = {}


class _Generated(msgspec.Struct, frozen=True):
    all: _Group


def generated(state: Path | None = None) -> Iterator[_Group]:
    """Yield hosts and groups of each generated file, without Ansible, which needs seconds; BadInput for damage."""
    for path in sorted(((state or STATE) / "inventories").glob("*/hosts-*.json")):
        if found := read(path, _Generated, hint="make up, or dualtrack cloud join, writes it again"):
            yield found.all


def in_group(group: str) -> bool:
    """Tell whether a host of a track that is up is in a group."""
    return any(group in it.children for it in generated())


def inventories(*environments: str) -> list[Path]:
    """Return the inventories for Ansible: the common groups, then each environment's variables and its hosts.

    Without ``environments``: those in which a track is up.
    """
    found = environments or tuple(
        path.name for path in sorted((STATE / "inventories").glob("*")) if any(path.iterdir())
    )
    return [COMMON, *(path for name in found for path in (ROOT / "inventories" / name, STATE / "inventories" / name))]


def inventories_up() -> list[Path]:
    """Return the inventories of the tracks that are up; Missing where none is."""
    found = inventories()
    if len(found) == 1:
        raise Missing("no track is up", hint="dualtrack local up, or cloud up")
    return found
