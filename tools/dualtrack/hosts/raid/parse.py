"""What the kernel and its tools say of arrays and disks, as values. Pure; tested on recorded outputs."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One disk of an array, by its kernel name (`nvme0n1`)."""

    device: str
    faulty: bool = False
    spare: bool = False
    replacement: bool = False


class ArrayStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One array of /proc/mdstat. ``raid_devices`` and ``working`` are 0 where the level has no redundancy.

    ``action`` is what the kernel is doing to it: `resync`, `recovery`, `reshape`, `check`, or '' for nothing.
    """

    device: str  # md127
    active: bool
    level: str
    members: tuple[Member, ...]
    raid_devices: int = 0
    working: int = 0
    action: str = ""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which array a device is, or belongs to: from `mdadm --detail --export` or `--examine --export`."""

    uuid: str
    name: str  # without the host that made it
    level: str
    raid_devices: int


_HEAD = re.compile(r"^(md\S+) : (active|inactive)(?: \(\S+\))?(?: (raid\d+|linear|faulty|multipath))? ?(.*)$")
_MEMBER = re.compile(r"(\S+?)\[\d+\]((?:\([A-Z]\))*)")
_COUNT = re.compile(r"\[(\d+)/(\d+)\] \[[U_]+\]")
_ACTION = re.compile(r"\b(resync|recovery|reshape|check|repair)\s*=")


def mdstat(text: str) -> dict[str, ArrayStatus]:
    """Return the arrays of /proc/mdstat by device name."""
    found: dict[str, ArrayStatus] = {}
    for block in re.split(r"\n(?=md\S+ :)", text):
        lines = block.splitlines()
        head = next((match for line in lines if (match := _HEAD.match(line))), None)
        if head is None:
            continue
        device, state, level, rest = head.groups()
        members = tuple(
            Member(device=name, faulty="(F)" in flags, spare="(S)" in flags, replacement="(R)" in flags)
            for name, flags in _MEMBER.findall(rest)
        )
        body = "\n".join(lines[1:])
        count, action = _COUNT.search(body), _ACTION.search(body)
        found[device] = ArrayStatus(
            device=device,
            active=state == "active",
            level=level or "",
            members=members,
            raid_devices=int(count[1]) if count else 0,
            working=int(count[2]) if count else 0,
            action=action[1] if action else "",
        )
    return found


def identity(text: str) -> Identity | None:
    """Return what an `--export` output says, None where there is no array (or the output is empty)."""
    pairs = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if "MD_UUID" not in pairs:
        return None
    # MD_NAME is host:name; an array that was made without a host has the name alone.
    name = pairs.get("MD_NAME", "").rpartition(":")[2]
    return Identity(
        uuid=pairs["MD_UUID"],
        name=name,
        level=pairs.get("MD_LEVEL", ""),
        raid_devices=int(pairs.get("MD_DEVICES", "0") or 0),
    )


def signatures(text: str) -> tuple[str, ...]:
    """Return what `wipefs --json` found on a device, such as `crypto_LUKS` or `gpt`."""
    return tuple(str(entry["type"]) for entry in json.loads(text or "{}").get("signatures", []))


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A block device of `lsblk`: ``size`` in bytes, ``holders`` the devices made of it, ``mounts`` where it is."""

    name: str
    size: int
    holders: tuple[str, ...]
    mounts: tuple[str, ...]


def lsblk(text: str) -> dict[str, Device]:
    """Return the devices of `lsblk --json --bytes --output NAME,KNAME,SIZE,MOUNTPOINTS` by kernel name."""
    found: dict[str, Device] = {}

    def walk(entry: dict[str, Any]) -> None:
        children = entry.get("children", [])
        mounts = tuple(mount for mount in entry.get("mountpoints", []) if mount)
        holders = tuple(str(child["kname"]) for child in children)
        found[entry["kname"]] = Device(name=entry["kname"], size=int(entry["size"]), holders=holders, mounts=mounts)
        for child in children:
            walk(child)

    for entry in json.loads(text or "{}").get("blockdevices", []):
        walk(entry)
    return found
