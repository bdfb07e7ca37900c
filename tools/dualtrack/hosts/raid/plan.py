"""What to do to get from the arrays that are to those that are wanted, and what must not be done. Pure.

Nothing on a disk is overwritten unless the disk is blank, or the operator named that very disk; and a disk that is in
use is not overwritten even then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from dualtrack.hosts.raid import parse

Level = Literal["raid0", "raid1", "raid5", "raid6", "raid10"]
#: The fewest members of each level, and how many may be lost without loss of data.
FEWEST = {"raid0": 2, "raid1": 2, "raid5": 3, "raid6": 4, "raid10": 2}
NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
BY_ID = "/dev/disk/by-id/"


class Array(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One array as the operator declares it: an entry of `nvme_raid_arrays`. ``chunk_kib`` is in KiB."""

    name: str
    level: Level
    members: tuple[str, ...]
    spares: tuple[str, ...] = ()
    chunk_kib: int = 512
    filesystem: Literal["xfs", "ext4", "none"] = "xfs"
    mount: str = ""
    options: tuple[str, ...] = ("noatime",)

    @property
    def device(self) -> str:
        """The name that stays."""
        return f"/dev/md/{self.name}"

    @property
    def disks(self) -> tuple[str, ...]:
        """Members and spares, by their stable names."""
        return (*self.members, *self.spares)


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What a host says: raw outputs, as the module nvme_raid_probe returns them."""

    links: dict[str, str]  # stable name to kernel name, '' where the link is not there
    mdstat: str
    details: dict[str, str]  # kernel name of an array to `mdadm --detail --export`
    examines: dict[str, str]  # stable name to `mdadm --examine --export`
    signatures: dict[str, str]  # stable name, or an array's kernel name, to `wipefs --json`
    lsblk: str


class Step(msgspec.Struct, frozen=True):
    """One command to run on the host, and why in plain words."""

    why: str
    argv: tuple[str, ...]


class RaidPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. With ``problems`` nothing is done; ``warnings`` are told; ``created`` are arrays that are new."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    created: tuple[str, ...] = ()


def declared(entries: Sequence[Mapping[str, Any]]) -> tuple[tuple[Array, ...], tuple[str, ...]]:
    """Return the arrays of `nvme_raid_arrays`, and what is wrong with them in themselves, whatever the host has."""
    arrays: list[Array] = []
    problems: list[str] = []
    for entry in entries:
        try:
            arrays.append(msgspec.convert(entry, Array, strict=False))
        except msgspec.ValidationError as error:
            problems.append(f"array {entry.get('name', '?')!r}: {error}")
    seen: dict[str, str] = {}
    names: set[str] = set()
    for array in arrays:
        problems += _wrong(array)
        if array.name in names:
            problems.append(f"array {array.name} is declared twice: give each a name of its own")
        names.add(array.name)
        for disk in array.disks:
            if disk in seen:
                problems.append(
                    f"disk {disk} is named twice, in {seen[disk]} and {array.name}: a disk belongs to one array, once"
                )
            seen.setdefault(disk, array.name)
    return tuple(arrays), tuple(problems)


def _wrong(array: Array) -> Iterator[str]:
    if not NAME.fullmatch(array.name):
        yield f"array name {array.name!r}: a small letter first, then small letters, digits, - or _, 31 at most"
    if len(array.members) < FEWEST[array.level]:
        yield f"array {array.name}: {array.level} needs {FEWEST[array.level]} members, not {len(array.members)}"
    if array.spares and array.level == "raid0":
        yield f"array {array.name}: raid0 cannot use spares: it loses all with its first disk"
    if array.chunk_kib < 4 or array.chunk_kib & (array.chunk_kib - 1):
        yield f"array {array.name}: chunk_kib is {array.chunk_kib}: a power of two, 4 or more"
    if bool(array.mount) == (array.filesystem == "none"):
        yield f"array {array.name}: a file system wants a mount point, and `filesystem: none` wants none"
    for disk in array.disks:
        if not disk.startswith(BY_ID):
            yield f"array {array.name}: {disk} is not a stable name: use the disk's link in {BY_ID}"


def plan(arrays: Sequence[Array], probe: Probe, allow_destroy: Sequence[str] = ()) -> RaidPlan:
    """Return what to do to the arrays themselves; their file systems come afterwards (`filesystems`)."""
    status, devices = parse.mdstat(probe.mdstat), parse.lsblk(probe.lsblk)
    active = {name: found for name, text in probe.details.items() if (found := parse.identity(text)) and name in status}
    problems: list[str] = []
    warnings: list[str] = []
    steps: list[Step] = []
    created: list[str] = []
    problems += _same_disk(arrays, probe)
    for array in arrays:
        owner = {disk: parse.identity(probe.examines.get(disk, "")) for disk in array.disks}
        there = [disk for disk in array.disks if probe.links.get(disk)]
        running = next((name for name, found in active.items() if found.name == array.name), "")
        if running:
            view = _Running(
                array=array,
                probe=probe,
                status=status[running],
                found=active[running],
                owner=owner,
                there=there,
                allow_destroy=allow_destroy,
                devices=devices,
            )
            part = view.plan()
        else:
            part = _absent(array, probe, owner, there, allow_destroy, devices)
        problems += part.problems
        warnings += part.warnings
        steps += part.steps
        created += part.created
    if problems:
        return RaidPlan(problems=tuple(problems), warnings=tuple(warnings))
    return RaidPlan(problems=(), warnings=tuple(warnings), steps=tuple(steps), created=tuple(created))


def _same_disk(arrays: Sequence[Array], probe: Probe) -> Iterator[str]:
    """Yield disks that are named by two of their links."""
    seen: dict[str, str] = {}
    for array in arrays:
        for disk in array.disks:
            kernel = probe.links.get(disk, "")
            if kernel and seen.setdefault(kernel, disk) != disk:
                yield f"{seen[kernel]} and {disk} are one disk ({kernel}): name it once"


def _absent(
    array: Array,
    probe: Probe,
    owner: Mapping[str, parse.Identity | None],
    there: Sequence[str],
    allow_destroy: Sequence[str],
    devices: Mapping[str, parse.Device],
) -> RaidPlan:
    """Plan an array that is not running: put it together from its own members, or create it."""
    ours = {disk: found for disk, found in owner.items() if found and found.name == array.name}
    if ours:
        uuids = {found.uuid for found in ours.values()}
        if len(uuids) > 1:
            return RaidPlan(
                problems=(
                    f"array {array.name}: its disks belong to {len(uuids)} arrays of that name: look before you choose",
                )
            )
        words = ("mdadm", "--assemble", array.device, f"--uuid={uuids.pop()}", "--run")
        return RaidPlan(steps=(Step(f"start {array.name} from its {len(ours)} disks", words),))
    missing = [disk for disk in array.disks if disk not in there]
    problems = [
        f"array {array.name}: there is no disk {disk}: look at `ls {BY_ID}`, and correct its name or plug it in"
        for disk in missing
    ]
    steps: list[Step] = []
    for disk in there:
        if why := _not_free(array, disk, probe, devices, allow_destroy):
            problems.append(why)
        elif parse.signatures(probe.signatures.get(disk, "")):
            steps.append(_wipe(disk, probe))
    create = [
        "mdadm", "--create", array.device, "--run", f"--name={array.name}", "--metadata=1.2",
        f"--level={array.level[4:]}", f"--raid-devices={len(array.members)}",
    ]  # fmt: skip
    if array.level != "raid1":
        create.append(f"--chunk={array.chunk_kib}K")
    if array.level != "raid0":
        create.append("--bitmap=internal")  # a disk that comes back is brought up to date, not copied anew
    if array.spares:
        create.append(f"--spare-devices={len(array.spares)}")
    steps.append(Step(f"create {array.name}, {array.level} of {len(array.members)} disks", (*create, *array.disks)))
    return RaidPlan(problems=tuple(problems), warnings=(), steps=tuple(steps), created=(array.name,))


class _Running(msgspec.Struct, frozen=True, kw_only=True):
    """An array that runs, and what is wanted of it."""

    array: Array
    probe: Probe
    status: parse.ArrayStatus
    found: parse.Identity
    owner: dict[str, parse.Identity | None]
    there: list[str]
    allow_destroy: Sequence[str]
    devices: dict[str, parse.Device]

    def plan(self) -> RaidPlan:
        """Return what to do to it."""
        array, problems, warnings, steps = self.array, [], [], []
        if self.status.level != array.level:
            problems.append(
                f"array {array.name} is {self.status.level}, and {array.level} is declared: a level is not changed in"
                " place; move the data, or declare what is there"
            )
        wanted = {self.probe.links[disk]: disk for disk in self.there}
        inside = {member.device: member for member in self.status.members}
        for device, member in inside.items():
            if device not in wanted:
                if member.faulty:
                    steps.append(
                        self._step(f"take the failed disk {device} out of {array.name}", "--remove", f"/dev/{device}")
                    )
                else:
                    problems.append(
                        f"array {array.name} holds /dev/{device}, which is not declared: declare it, or take it out"
                        f" with mdadm {array.device} --fail and --remove"
                    )
        for disk in array.disks:
            if disk not in self.there:
                warnings.append(f"array {array.name} misses {disk}: replace it (docs/how-to/replace-a-disk.md)")
                continue
            kernel = self.probe.links[disk]
            now = inside.get(kernel)
            if now is not None and not now.faulty:
                continue
            if now is not None:
                steps.append(self._step(f"take the failed disk {disk} out of {array.name}", "--remove", disk))
            self._join(disk, problems, steps)
        grown = len(array.members)
        if self.status.raid_devices and grown > self.found.raid_devices and not problems:
            if self.status.action:
                warnings.append(f"array {array.name} is busy ({self.status.action}): it is grown when that is done")
            else:
                steps.append(
                    self._step(
                        f"grow {array.name} from {self.found.raid_devices} to {grown} disks",
                        "--grow",
                        f"--raid-devices={grown}",
                    )
                )
        elif grown < self.found.raid_devices:
            problems.append(
                f"array {array.name} has {self.found.raid_devices} members and {grown} are declared: an array is not"
                " made smaller; declare all of them"
            )
        return RaidPlan(problems=tuple(problems), warnings=tuple(warnings), steps=tuple(steps))

    def _join(self, disk: str, problems: list[str], steps: list[Step]) -> None:
        """Put a disk into the array: back, where it was a member; as a new one, where it is blank or was named."""
        mine = self.owner[disk]
        if mine is not None and mine.uuid == self.found.uuid:
            # As a member where its place is free, brought up to date; as a spare where another disk has taken it.
            steps.append(self._step(f"put {disk} back into {self.array.name}", "--add", disk))
            return
        if why := _not_free(self.array, disk, self.probe, self.devices, self.allow_destroy):
            problems.append(why)
            return
        if parse.signatures(self.probe.signatures.get(disk, "")):
            steps.append(_wipe(disk, self.probe))
        steps.append(self._step(f"add {disk} to {self.array.name}", "--add", disk))

    def _step(self, why: str, *words: str) -> Step:
        device = f"/dev/{self.status.device}"
        return Step(why, ("mdadm", *words, device) if words[0] == "--grow" else ("mdadm", device, *words))


def _wipe(disk: str, probe: Probe) -> Step:
    kinds = ", ".join(parse.signatures(probe.signatures[disk]))
    return Step(f"erase what is on {disk} ({kinds}), as nvme_raid_allow_destroy says", ("wipefs", "--all", disk))


def _not_free(
    array: Array, disk: str, probe: Probe, devices: Mapping[str, parse.Device], allow_destroy: Sequence[str]
) -> str:
    """Return why a disk must not be taken for an array, '' when it may."""
    kernel = probe.links[disk]
    device = devices.get(kernel)
    if device is not None and device.mounts:
        return f"array {array.name}: {disk} is mounted at {', '.join(device.mounts)}: unmount it, or name another disk"
    if device is not None and device.holders:
        return (
            f"array {array.name}: {disk} is in use by {', '.join(device.holders)}: another array, volume or partition"
            " has it; stop that first, or name another disk"
        )
    kinds = parse.signatures(probe.signatures.get(disk, ""))
    if kinds and disk not in allow_destroy:
        return (
            f"array {array.name}: {disk} is not blank ({', '.join(kinds)}): if it may be erased, name it in"
            " nvme_raid_allow_destroy"
        )
    return ""


def filesystems(arrays: Sequence[Array], probe: Probe, created: Sequence[str] = ()) -> RaidPlan:
    """Return what to do to the file systems of running arrays. ``created`` are the arrays made in this run.

    On those, what an earlier life left at the same place counts as blank: their disks were blank, or named.
    """
    status = parse.mdstat(probe.mdstat)
    running = {
        found.name: name for name, text in probe.details.items() if (found := parse.identity(text)) and name in status
    }
    problems: list[str] = []
    steps: list[Step] = []
    for array in arrays:
        kernel = running.get(array.name, "")
        if array.filesystem == "none" or not kernel:
            continue
        kinds = parse.signatures(probe.signatures.get(kernel, ""))
        if array.filesystem in kinds and array.name not in created:
            continue
        if kinds and array.name not in created:
            problems.append(
                f"array {array.name} holds {', '.join(kinds)}, and {array.filesystem} is declared: move it away"
            )
            continue
        force = {"xfs": ("-f",), "ext4": ("-F",)}[array.filesystem] if kinds else ()
        # mkfs reads the stripe from the array itself, and aligns to it.
        words = (f"mkfs.{array.filesystem}", "-q", *force, "-L", array.name[:12], array.device)
        steps.append(Step(f"make {array.filesystem} on {array.name}", words))
    return RaidPlan(problems=tuple(problems), warnings=(), steps=() if problems else tuple(steps))


def conf(probe: Probe) -> list[str]:
    """Return the ARRAY lines of mdadm.conf for the arrays that run: what gives them their names at boot."""
    found = [parse.identity(text) for _, text in sorted(probe.details.items())]
    return [f"ARRAY /dev/md/{array.name} metadata=1.2 UUID={array.uuid}" for array in found if array]
