"""The site playbook, as far as it concerns some hosts.

Ansible reads every role that a playbook names, also those that no host has: time for nothing, and whoever watches what
was read (the gate's result cache) takes all roles for its inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from dualtrack.core.paths import ROOT
from dualtrack.verify import plan

#: What Ansible calls the tasks that bring a role in.
INCLUDES = tuple(f"{prefix}{word}_role" for prefix in ("", "ansible.builtin.") for word in ("include", "import"))

#: The hosts of each group; `all` must be among them.
Groups = Mapping[str, Sequence[str]]


class Part(msgspec.Struct, frozen=True):
    """A playbook that the site playbook imports: the entry, with an absolute path, and the playbook's plays."""

    entry: dict[str, Any]
    plays: list[Any]

    def concerns(self, groups: Groups) -> bool:
        """Whether a play is for one of the hosts, or for this machine alone."""
        return any(one == "localhost" or plan.matches(one, groups) for one in map(plan.pattern_of, self.plays))


def parts(groups: Groups, root: Path = ROOT) -> list[Part]:
    """Return the playbooks that the site playbook imports and that concern the hosts, in their order."""
    site = root / "ansible/site.yml"
    found = []
    for entry in plan.read(site):
        path = site.parent / plan.imported(entry)
        [key] = [key for key in entry if key.endswith("import_playbook")]
        found.append(Part({**entry, key: str(path)}, plan.read(path)))
    return [it for it in found if it.concerns(groups)]


def playbook(groups: Groups) -> str:
    """Return the site playbook for the hosts, as YAML."""
    return yaml.safe_dump([it.entry for it in parts(groups)], sort_keys=False)


def roles(groups: Groups, root: Path = ROOT) -> set[str]:
    """Return the roles that the site playbook brings to the hosts, and those that these bring in."""
    found: set[str] = set()
    every = {path.name for path in (root / "roles").iterdir()}
    wanted = {name for it in parts(groups, root) for name in _named(it.plays, every)}
    while wanted:
        found |= wanted
        tasks = (path for name in wanted for path in (root / "roles" / name).glob("tasks/**/*.yml"))
        including = (path for path in tasks if "_role" in path.read_text(encoding="utf-8"))  # to parse all takes 0.4 s
        wanted = {name for path in including for name in _named(plan.read(path), every)} - found
    return found


def _named(node: Any, every: set[str]) -> Iterator[str]:
    """Yield the roles that plays or tasks name, at any depth; ``every`` for a name that only Ansible will know."""
    if isinstance(node, list):
        for it in node:
            yield from _named(it, every)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key != "roles" and key not in INCLUDES:
                yield from _named(value, every)
                continue
            for it in value if isinstance(value, list) else [value]:
                name = plan.role_name(it)
                yield from every if "{{" in name else (name,)
