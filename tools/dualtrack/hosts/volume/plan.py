"""What to do to get from the volumes that are to those that are wanted. Pure.

A device with anything on it is never taken, unless it is blank, or the operator named that very device; one that is in
use is not taken even then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

#: As in plugins/modules/sm4_volume.py: made, but its keys were not all kept when the run ended.
UNFINISHED = "dualtrack-unfinished"
CIPHER = "sm4-xts-plain64"
#: systemd would escape a hyphen in the names of the units.
NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
STABLE = ("/dev/disk/by-id/", "/dev/md/", "/dev/mapper/")
#: What the name of a mount unit can say without more escaping than roles/sm4_volume does.
MOUNT = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+")
#: A share's format has room for no more (dualtrack.security.seal.secret_sharing.MAX_CUSTODIANS).
MAX_CUSTODIANS = 20


class Volume(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One volume as the operator declares it: an entry of `sm4_volume_volumes`."""

    name: str
    device: str
    mount: str
    unlock: Literal["key_file", "tang", "tpm2", "passphrase"]
    filesystem: Literal["xfs", "ext4"] = "xfs"
    options: tuple[str, ...] = ("noatime",)
    key_file: str = ""
    key_device: str = ""
    tang_url: str = ""
    tang_thumbprint: str = ""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a host says of one volume: what the module sm4_volume returns for `probe`."""

    there: bool
    kernel: str
    signatures: tuple[str, ...]
    luks: bool
    cipher: str
    label: str
    open: bool
    opened_from: str
    content: tuple[str, ...]
    holders: tuple[str, ...]
    mounts: tuple[str, ...]
    key_file: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with one volume. With a ``problem``, nothing is done to any."""

    name: str
    problem: str = ""
    make: bool = False
    erase_first: bool = False
    filesystem: bool = False  # make one: the volume is new, or its maker was stopped before that


def declared(entries: Sequence[Mapping[str, Any]]) -> tuple[tuple[Volume, ...], tuple[str, ...]]:
    """Return the volumes of `sm4_volume_volumes`, and what is wrong with them in themselves."""
    volumes: list[Volume] = []
    problems: list[str] = []
    for entry in entries:
        try:
            volumes.append(msgspec.convert(entry, Volume, strict=False))
        except msgspec.ValidationError as error:
            problems.append(f"volume {entry.get('name', '?')!r}: {error}")
    for volume in volumes:
        problems += _wrong(volume)
    for field in ("name", "device", "mount"):
        values = [getattr(volume, field) for volume in volumes]
        problems += [
            f"two volumes have the {field} {value}" for value in sorted(set(values)) if values.count(value) > 1
        ]
    # The second volume's key would take the place of the first one's, which then never opens again automatically.
    keys = [(volume.key_file, volume.key_device) for volume in volumes if volume.key_file]
    problems += [f"two volumes have the key file {key[0]}" for key in sorted(set(keys)) if keys.count(key) > 1]
    return tuple(volumes), tuple(problems)


def _wrong(volume: Volume) -> Iterator[str]:
    if not NAME.fullmatch(volume.name):
        yield f"volume name {volume.name!r}: a small letter first, then small letters, digits or _, 31 at most"
    if not volume.device.startswith(STABLE):
        yield f"volume {volume.name}: {volume.device} is not a name that stays: use one in {' or '.join(STABLE)}"
    if not MOUNT.fullmatch(volume.mount):
        yield f"volume {volume.name}: {volume.mount!r} is not a mount point: write it as /srv/{volume.name}"
    if (volume.unlock == "key_file") != bool(volume.key_file):
        yield f"volume {volume.name}: unlock is {volume.unlock}: key_file goes with `unlock: key_file`, with that alone"
    if volume.key_file and not volume.key_file.startswith("/"):
        yield f"volume {volume.name}: key_file {volume.key_file}: begin it with /, or the boot does not find it"
    if volume.key_device and not volume.key_file:
        yield f"volume {volume.name}: key_device holds a key_file: name that too"
    if {bool(volume.tang_url), bool(volume.tang_thumbprint)} != {volume.unlock == "tang"}:
        yield (
            f"volume {volume.name}: unlock is {volume.unlock}: tang_url and tang_thumbprint go with `unlock: tang`,"
            " both, and with that alone"
        )


def escrow_problems(custodians: Sequence[str], threshold: int, keep_dir: str) -> list[str]:
    """Return why a recovery key could not be kept; asked before a volume is made."""
    problems = []
    if not keep_dir:
        problems.append("sm4_volume_keep_dir is empty: name a directory for the sealed shares and header backups")
    if len(set(custodians)) != len(custodians):
        problems.append("sm4_volume_custodians names a custodian twice")
    if len(custodians) > MAX_CUSTODIANS:
        problems.append(f"sm4_volume_custodians names {len(custodians)} custodians: {MAX_CUSTODIANS} at most")
    if not 2 <= threshold <= len(custodians):
        problems.append(
            f"{threshold} of {len(custodians)} custodians cannot bring a key back: name at least as many in"
            " sm4_volume_custodians as sm4_volume_threshold says, and two or more (dualtrack keys new makes a key pair)"
        )
    return problems


def decide(volume: Volume, found: Found, allow_destroy: Sequence[str] = ()) -> Decision:
    """Return what to do with one volume, given what its host says."""
    if problem := _refuse(volume, found, allow_destroy):
        return Decision(name=volume.name, problem=problem)
    finished = found.luks and found.label == volume.name
    if finished:
        return Decision(name=volume.name, filesystem=found.open and not found.content)
    return Decision(name=volume.name, make=True, erase_first=found.luks or bool(found.signatures), filesystem=True)


def _refuse(volume: Volume, found: Found, allow_destroy: Sequence[str]) -> str:
    """Return why nothing may be done, '' when it may."""
    who = f"volume {volume.name}"
    if not found.there:
        return f"{who}: there is no device {volume.device}: correct its name, or make the array first (nvme_raid)"
    if found.open and found.opened_from != found.kernel:
        where = found.opened_from or "elsewhere"
        return f"{who}: /dev/mapper/{volume.name} is open from {where}: close it, or use another name"
    if found.mounts:
        return f"{who}: {volume.device} is mounted at {', '.join(found.mounts)}: unmount it, or name another device"
    if found.holders and not found.open:
        return (
            f"{who}: {volume.device} is in use by {', '.join(found.holders)}: close that first, or name another device"
        )
    if found.key_file.startswith(("wrong rights", "no key device")):
        return (
            f"{who}: the key file {volume.key_file}: {found.key_file}: it must be root's alone (chmod 0400), and there"
        )
    named = volume.device in allow_destroy
    if found.luks and found.label == volume.name:
        if found.cipher != CIPHER:
            return f"{who}: {volume.device} is encrypted with {found.cipher}, not {CIPHER}: move its data away first"
        if found.key_file == "absent":
            return f"{who}: the key file {volume.key_file} is gone: docs/how-to/lost-volume-key.md"
        return ""
    if found.open:
        whose = "unfinished" if found.label == UNFINISHED else f"not made by this role (label {found.label!r})"
        return f"{who}: it is open and {whose}: close it first (cryptsetup close {volume.name})"
    if found.luks and found.label == UNFINISHED:
        return ""
    if (found.luks or found.signatures) and not named:
        what = f"the volume {found.label!r}" if found.label else ", ".join(found.signatures) or "an encrypted volume"
        return f"{who}: {volume.device} is not blank ({what}): if it may be erased, name it in sm4_volume_allow_destroy"
    if found.key_file == "present":
        return f"{who}: the key file {volume.key_file} is there already and may open something else: name another"
    return ""
