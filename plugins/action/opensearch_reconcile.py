"""Bring the search store's rights and templates to what they should be (dualtrack.security.opensearch.reconcile).

The administrator's certificate goes past every rule of the store, immutability too: its key never leaves this machine.
The store is spoken to through ssh to the node, with TLS from here to the store. Of passwords the task names the
variable: they are in no argument, which could be printed.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import ansible_collections.dualtrack.site.plugins.plugin_utils.required  # noqa: F401 - says that dualtrack is missing
import msgspec
from ansible.plugins.action import ActionBase

from dualtrack.core.errors import BadInput, DualtrackError, External
from dualtrack.security.access import tokens
from dualtrack.security.opensearch import connections, reconcile, security_config


class ActionModule(ActionBase):
    """What Ansible loads."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return whether something was changed, and what."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments, facts = self._task.args, task_vars or {}
        name, port = str(facts["inventory_hostname"]), int(arguments["port"])
        passwords = self._templar.template(facts.get(str(arguments["passwords"]), {}))
        elastic = arguments["distribution"] == "elastic"
        patience = 3.0 if self._task.check_mode else float(arguments["patience"])
        found = {it: self._templar.template(facts[it]) for it in connections.REACHING if it in facts}
        folder = Path(str(arguments["ca_dir"]))
        try:
            # Ansible's strings bear tags, and are not plain ones to msgspec.
            members = msgspec.json.decode(json.dumps(arguments["people"]), type=tuple[security_config.Member, ...])
            with tempfile.TemporaryDirectory(prefix="dte-") as scratch:
                config = connections.written({name: found}, Path(scratch))
                with connections.Node(
                    name=name, address=str(arguments["address"]), port=port, pki=folder, config=config
                ).open("admin", "admin") as store:
                    try:
                        store.await_up(patience)
                    except External:
                        if not self._task.check_mode:
                            raise
                        return result | {"changed": True, "settled": ["the store is not up yet"]}
                    secrets = {str(it): str(secret) for it, secret in passwords.items()}
                    nodes = [str(it) for it in arguments["nodes"]]
                    snapshots, write = str(arguments.get("snapshots") or ""), not self._task.check_mode
                    hosts = [str(it) for it in arguments["hosts"]]
                    if elastic:
                        settled = reconcile.settle_elastic(
                            store, members, secrets, nodes=nodes, hosts=hosts,
                            snapshots=snapshots, license=_license(str(arguments.get("license") or "")),
                            patience=patience, write=write,
                        )  # fmt: skip
                    else:
                        settled = reconcile.settle(
                            store, members, secrets, nodes=len(nodes), token_key=tokens.public(folder),
                            snapshots=snapshots, hosts=hosts, days=int(arguments["days"]), patience=patience,
                            write=write,
                        )  # fmt: skip
        except (DualtrackError, msgspec.ValidationError) as error:
            unit = "elasticsearch" if elastic else "dualtrack-opensearch"
            return result | {"failed": True, "msg": f"{error}; its log: journalctl -u {unit}"}
        return result | {"changed": bool(settled), "settled": settled}


def _license(path: str) -> dict[str, Any]:
    """Return the vendor's license out of its file; none without a file."""
    if not path:
        return {}
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInput(f"{path} is not a license: {error}", hint="name the vendor's file of JSON") from None
