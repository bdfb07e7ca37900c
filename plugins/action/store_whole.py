"""Wait until all nodes of a search store are in its cluster, so that the next node may stop.

The store is spoken to through ssh to the node, with TLS from here to the store, as the administrator: a node's own
certificates may not ask for the cluster's state.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import ansible_collections.dualtrack.site.plugins.plugin_utils.required  # noqa: F401 - says that dualtrack is missing
from ansible.plugins.action import ActionBase

from dualtrack.core.errors import DualtrackError
from dualtrack.security.opensearch import connections, reconcile


class ActionModule(ActionBase):
    """What Ansible loads."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return that nothing was changed, or fail with what the cluster lacks."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given, facts = self._task.args, task_vars or {}
        if self._task.check_mode:
            return result | {"changed": False, "skipped": True}
        name = str(facts["inventory_hostname"])
        found = {it: self._templar.template(facts[it]) for it in connections.REACHING if it in facts}
        try:
            with tempfile.TemporaryDirectory(prefix="dte-") as scratch:
                config = connections.written({name: found}, Path(scratch))
                node = connections.Node(
                    name=name, address=str(given["address"]), port=int(given["port"]), pki=Path(str(given["ca_dir"])),
                    config=config,
                )  # fmt: skip
                with node.open("admin", "admin") as store:
                    reconcile.await_whole(
                        store, int(given["nodes"]), elastic=given.get("distribution") == "elastic",
                        patience=float(given.get("patience", 180)),
                    )  # fmt: skip
        except DualtrackError as error:
            return result | {"failed": True, "msg": f"{error}; its log: journalctl -u dualtrack-opensearch"}
        return result | {"changed": False}
