"""The planner of encrypted volumes (tools/dualtrack/hosts/volume) as filters: what the role sm4_volume asks it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.dualtrack.site.plugins.plugin_utils import package

if package.FOUND:
    import msgspec

    from dualtrack.hosts.volume import plan


def _plain(value: Any) -> Any:
    """Return Ansible's values, which carry their origin, as Python's own."""
    return json.loads(json.dumps(value))


def volume_problems(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with `sm4_volume_volumes` in itself, before any host is asked."""
    return list(plan.declared(_plain(entries))[1])


def volume_decisions(
    entries: Sequence[Mapping[str, Any]], probes: Sequence[Mapping[str, Any]], allow_destroy: Sequence[str]
) -> Any:
    """Return a decision for each volume; ``probes`` are the module's results, in the same order."""
    names = plan.Found.__struct_fields__
    found = [msgspec.convert({name: probe[name] for name in names}, plan.Found) for probe in _plain(probes)]
    volumes = plan.declared(_plain(entries))[0]
    allowed = tuple(_plain(allow_destroy))
    return msgspec.to_builtins([plan.decide(*pair, allowed) for pair in zip(volumes, found, strict=True)])


def volume_escrow_problems(custodians: Sequence[str], threshold: int, keep_dir: str) -> list[str]:
    """Return why a recovery key could not be kept."""
    return plan.escrow_problems(_plain(custodians), int(threshold), str(keep_dir))


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return package.guarded(
            {
                "volume_problems": volume_problems,
                "volume_decisions": volume_decisions,
                "volume_escrow_problems": volume_escrow_problems,
            }
        )
