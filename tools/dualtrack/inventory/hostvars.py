"""An inventory with its variables as plays see them: what `ansible-inventory --list` prints, templates resolved.

Run as a child process: `python -m dualtrack.inventory.hostvars INVENTORY…` prints one JSON document. Ansible is
imported here alone, because that takes half a second and its settings come from the environment.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from dualtrack.core import templates


def document(sources: list[str]) -> dict[str, Any]:
    """Return groups with their hosts, and `_meta.hostvars` with every host's resolved variables."""
    init_plugin_loader()
    templates.keep_compiled()
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=sources)
    manager = VariableManager(loader=loader, inventory=inventory)
    found: dict[str, Any] = {
        name: {"hosts": [host.name for host in group.get_hosts()]} for name, group in inventory.groups.items()
    }
    every = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
    hostvars = {
        host.name: resolved(manager.get_vars(host=host) | {"hostvars": every}, loader) for host in inventory.get_hosts()
    }
    return found | {"_meta": {"hostvars": hostvars}}


def resolved(variables: dict[str, Any], loader: DataLoader) -> dict[str, Any]:
    """Return the variables that were written for a host; one that only a play can resolve stays as it is written."""
    templar = Templar(loader=loader, variables=variables)
    found = {}
    for name, value in variables.items():
        # Ansible's own (groups, hostvars, versions) are as large as the whole inventory, for each host.
        if name in INTERNAL:
            continue
        try:
            found[name] = templar.template(value)
        except AnsibleError:
            found[name] = value
    return found


INTERNAL = frozenset({"groups", "hostvars", "omit", "playbook_dir", "ansible_version", "ansible_playbook_python",
                      "ansible_facts", "vars", "environment"})  # fmt: skip


if __name__ == "__main__":
    json.dump(document(sys.argv[1:]), sys.stdout, default=str)
