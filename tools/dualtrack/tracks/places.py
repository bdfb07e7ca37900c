"""Which inventories are in force: what each track was last brought up with, and where its hosts are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from dualtrack.inventory import render
from dualtrack.inventory.facts import Facts
from dualtrack.inventory.model import Host
from dualtrack.lab.state import read, write_atomically
from dualtrack.paths import LAB, ROOT

COMMON = ROOT / "inventories/common"
Stack = Literal["emulator", "aws"]


class Current(msgspec.Struct, frozen=True):
    """What the tracks were last brought up with; '' for a track that is down."""

    stack: Literal["", "emulator", "aws"] = ""
    facts: str = ""


def current() -> Current:
    """Return what is up."""
    return read(LAB / "tracks.json", Current) or Current()


def remember(**changes: str) -> None:
    """Record that a track came up or went down."""
    write_atomically(LAB / "tracks.json", msgspec.json.encode(msgspec.structs.replace(current(), **changes)))


def cloud_folder(stack: str) -> Path:
    """Return the inventory folder of a stack."""
    return ROOT / "inventories" / ("lab" if stack == "emulator" else "aws")


def local_folder(facts: Facts) -> Path:
    """Return the inventory folder of the local track."""
    return ROOT / "inventories" / ("lab" if facts.provider == "lab" else "local")


def hosts_file(folder: Path, track: str) -> Path:
    """Return the generated file with one track's hosts."""
    return folder / f"hosts-{track}.json"


def write(folder: Path, track: str, hosts: Sequence[Host], connection: render.Connection) -> Path:
    """Write one track's hosts for Ansible, beside the group variables of their environment."""
    path = hosts_file(folder, track)
    extra = ("lab",) if folder.name == "lab" else ()
    write_atomically(path, render.encode(render.static(hosts, connection, extra), "json"))
    return path


def inventories(*folders: Path) -> list[Path]:
    """Return the inventories to give to Ansible: the common one, then ``folders`` or those in force."""
    found = list(folders)
    if not found:
        found = [
            path for name in ("lab", "aws", "local") if any((path := ROOT / "inventories" / name).glob("hosts-*.json"))
        ]
    return [COMMON, *dict.fromkeys(found)]
