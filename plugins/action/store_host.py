"""Admit a host to the search store, from the controller: it gets the index in which it asks for others.

The store is spoken to through ssh to that host, which must reach it anyway, with TLS from here to the store: the
administrator's key never leaves this machine. A store that is away stops nothing: the host is admitted by the next run,
and its trail waits.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import ansible_collections.dualtrack.site.plugins.plugin_utils.required  # noqa: F401 - says that dualtrack is missing
from ansible.plugins.action import ActionBase

from dualtrack.core.errors import DualtrackError
from dualtrack.remote.opensearch import Opener, Store, node, through
from dualtrack.security.opensearch import connections, reconcile
from dualtrack.security.pki import authority

#: Seconds for one that is up to answer.
ANSWER_S = 20


class ActionModule(ActionBase):
    """What Ansible loads."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return whether the host was not admitted yet."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given, facts = self._task.args, task_vars or {}
        through_host = str(facts["inventory_hostname"])
        found = {it: self._templar.template(facts[it]) for it in connections.REACHING if it in facts}
        said = ""
        with tempfile.TemporaryDirectory(prefix="dte-") as scratch:
            config = connections.written({through_host: found}, Path(scratch))
            for address in given["store"]:
                try:
                    with _opened(str(address), Path(str(given["ca_dir"])), config, through_host) as store:
                        new = reconcile.admit(
                            store, str(given["host"]), logs=bool(given.get("logs")), write=not self._task.check_mode
                        )
                    return result | {"changed": new}
                except DualtrackError as error:
                    said = str(error)
        note = f"{given['host']} is not admitted to the search store yet ({said}): what it sends waits for the next run"
        return result | {"changed": False, "warnings": [note]}


def _opened(address: str, ca_dir: Path, config: Path, host: str) -> Store:
    mine = authority.issue(ca_dir, "admin", "admin")
    paths = Path(mine.authority), Path(mine.certificate), Path(mine.key)

    def by_host(name: str, port: int) -> Opener:
        return through(["ssh", "-F", str(config), "-W", f"{name}:{port}", host])

    return node(address, *paths, by_host, timeout=ANSWER_S)
