"""What is wrong with an inventory, in sentences that say how to fix it (used by ansible/validate.yml)."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

#: What each host says of itself beside how to reach it; `dualtrack inventory` writes all of it.
REQUIRED = ("dualtrack_track", "dualtrack_pool", "dualtrack_lifecycle", "dualtrack_roles", "dualtrack_gpus")
TRACKS = ("cloud", "local")
LIFECYCLES = ("spot", "on-demand", "owned")
FIX = "run `dualtrack inventory` to make the host files anew"


def inventory_problems(hostvars: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a sentence for each problem of the hosts in ``groups``; an empty list when there is none."""
    hosts = sorted(set(groups.get("track_cloud", ())) | set(groups.get("track_local", ())))
    strays = sorted(set(groups.get("all", ())) - set(hosts))
    roles = {name.removeprefix("role_") for name in groups if name.startswith("role_")}
    found = [
        f"{name} is in neither track_cloud nor track_local, so no playbook would touch it: {FIX}, or add it to a track"
        for name in strays
    ]
    if not hosts:
        found.append("the inventory has no host: run `make cloud-up` or `make local-up`, or give the right -i")
    addresses: dict[str, list[str]] = defaultdict(list)
    for name in hosts:
        facts = hostvars[name]
        found += [f"{name}: {problem}" for problem in host_problems(facts, roles)]
        found += [f"{name}: {problem}" for problem in group_problems(name, facts, groups)]
        found += [f"{name}: {problem}" for problem in disk_problems(facts)]
        if address := str(facts.get("ansible_host", "")):
            addresses[f"{address}:{facts.get('ansible_port', 22)}"].append(name)
    for address, names in sorted(addresses.items()):
        if len(names) > 1:
            found.append(
                f"{', '.join(names)} share the address {address}: one of them is stale or mistyped; {FIX}, or "
                f"correct the operator's facts file"
            )
    return found


def host_problems(facts: Mapping[str, Any], roles: set[str]) -> Iterator[str]:
    """Yield what is wrong with one host's own variables."""
    missing = [key for key in REQUIRED if key not in facts]
    if "ansible_host" not in facts:
        yield f"ansible_host is missing: give its address; {FIX}"
    elif not _address_or_name(str(facts["ansible_host"])):
        yield f"ansible_host is '{facts['ansible_host']}', which is neither an address nor a name: correct it"
    if missing:
        yield f"{', '.join(missing)} missing: {FIX}"
        return
    if facts["dualtrack_track"] not in TRACKS:
        yield f"dualtrack_track is '{facts['dualtrack_track']}': write one of {', '.join(TRACKS)}"
    if facts["dualtrack_lifecycle"] not in LIFECYCLES:
        yield f"dualtrack_lifecycle is '{facts['dualtrack_lifecycle']}': write one of {', '.join(LIFECYCLES)}"
    if not isinstance(facts["dualtrack_roles"], list | tuple):
        yield "dualtrack_roles is not a list: write it as [gpu, storage]"
        return
    unknown = [str(role) for role in facts["dualtrack_roles"] if role not in roles]
    if unknown:
        yield f"unknown role {', '.join(unknown)}: the roles are {', '.join(sorted(roles))}"
    gpus = facts["dualtrack_gpus"]
    if not isinstance(gpus, int) or isinstance(gpus, bool) or gpus < 0:
        yield f"dualtrack_gpus is {gpus!r}: write the number of GPUs, 0 for none"
    elif "gpu" in facts["dualtrack_roles"] and gpus == 0:
        yield "has the role gpu and dualtrack_gpus is 0: give the number of its GPUs, or take the role away"


def group_problems(name: str, facts: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield where a host's variables and its groups tell different stories (playbooks go by groups, people by both)."""
    if all(name in groups.get(f"track_{track}", ()) for track in TRACKS):
        yield "is in both track_cloud and track_local: a host belongs to one; take it out of the other"
    expected = [f"track_{facts['dualtrack_track']}"] if facts.get("dualtrack_track") in TRACKS else []
    if isinstance(facts.get("dualtrack_roles"), list | tuple):
        expected += [f"role_{role}" for role in facts["dualtrack_roles"] if f"role_{role}" in groups]
    for group in expected:
        if name not in groups.get(group, ()):
            yield f"its variables say that it belongs to the group {group}, and it is not there: {FIX}"


def disk_problems(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield disks that two roles claim: each role sees its own declaration only, and the second would come too late."""
    arrays: dict[str, str] = {}
    for array in _entries(facts, "nvme_raid_arrays"):
        for disk in (*(array.get("members") or ()), *(array.get("spares") or ())):
            arrays[disk] = str(array.get("name"))
    for volume in _entries(facts, "sm4_volume_volumes"):
        disk = volume.get("device")
        if disk in arrays:
            yield (
                f"{disk} is in the array {arrays[disk]} and under the volume {volume.get('name')}: put the volume on"
                f" /dev/md/{arrays[disk]}, or on another disk"
            )


def _entries(facts: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the entries of a list of mappings; what is none of these is the role's own to refuse."""
    value = facts.get(name)
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list | tuple) else []


def _address_or_name(text: str) -> bool:
    """Tell whether ``text`` can be an address or a host name (names are not looked up: that is the network's word)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        digits_only = text.replace(".", "").isdigit()  # 10.0.0 or 10.0.0.256: an address gone wrong, not a name
        return bool(text) and not digits_only and all(c.isalnum() or c in "-._" for c in text)
    return True


class FilterModule:
    """The filters of this file, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"inventory_problems": inventory_problems}
