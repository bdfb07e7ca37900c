"""The planner of software RAID (tools/dualtrack/hosts/raid) as filters: what the role nvme_raid asks it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.dualtrack.site.plugins.plugin_utils import package

if package.FOUND:
    import msgspec

    from dualtrack.hosts.raid import plan


def _plain(value: Any) -> Any:
    """Return Ansible's values, which carry their origin, as Python's own."""
    return json.loads(json.dumps(value))


def _probe(found: Mapping[str, Any]) -> plan.Probe:
    names = plan.Probe.__struct_fields__
    return msgspec.convert(_plain({name: found[name] for name in names}), plan.Probe)


def raid_plan(entries: Sequence[Mapping[str, Any]], found: Mapping[str, Any], allow_destroy: Sequence[str]) -> Any:
    """Return problems, warnings and steps for the arrays of `nvme_raid_arrays`, given what nvme_raid_probe found."""
    arrays, problems = plan.declared(_plain(entries))
    if problems:
        return msgspec.to_builtins(plan.RaidPlan(problems=problems))
    return msgspec.to_builtins(plan.plan(arrays, _probe(found), tuple(_plain(allow_destroy))))


def raid_filesystems(entries: Sequence[Mapping[str, Any]], found: Mapping[str, Any], created: Sequence[str]) -> Any:
    """Return problems and steps for the file systems on the arrays; ``created`` are those made in this run."""
    return msgspec.to_builtins(
        plan.filesystems(plan.declared(_plain(entries))[0], _probe(found), tuple(_plain(created)))
    )


def raid_problems(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with `nvme_raid_arrays` in itself, before any host is asked."""
    return list(plan.declared(_plain(entries))[1])


def raid_conf(found: Mapping[str, Any]) -> list[str]:
    """Return the ARRAY lines of mdadm.conf for the arrays that run."""
    return plan.conf(_probe(found))


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return package.guarded(
            {
                "raid_plan": raid_plan,
                "raid_filesystems": raid_filesystems,
                "raid_problems": raid_problems,
                "raid_conf": raid_conf,
            }
        )
