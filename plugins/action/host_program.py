"""Have `dualtrack`'s program on a host, from the controller: ask, send the archive where it is not there, switch.

The module of the same name does what is done on the host; with a `digest` it is called as it is.
"""

from __future__ import annotations

from typing import Any

import ansible_collections.dualtrack.site.plugins.plugin_utils.required  # noqa: F401 - says that dualtrack is missing
from ansible.plugins.action import ActionBase

from dualtrack.core.errors import DualtrackError
from dualtrack.hosts import bundle


class ActionModule(ActionBase):
    """What Ansible loads."""

    TRANSFERS_FILES = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return whether something was changed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = dict(self._task.args)
        if "digest" in given:
            return result | self._on_host(given, task_vars)
        try:
            found = bundle.ensure(str(given["python"]), str(given["machine"]))
        except DualtrackError as error:
            return result | {"failed": True, "msg": str(error)}
        wanted = {"start": given["start"], "folder": given["folder"], "digest": found.digest}
        there = self._on_host(wanted, task_vars)
        if there.get("failed") or there["settled"]:
            return result | there
        if self._task.check_mode:
            return result | {"changed": True}
        try:
            path = self._connection._shell.join_path(self._make_tmp_path(), "program.tar.gz")
            if not there["there"]:
                self._transfer_file(found.archive, path)
            return result | self._on_host({**wanted, "archive": path}, task_vars)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _on_host(self, given: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        done: dict[str, Any] = self._execute_module(module_args=given, task_vars=task_vars)
        return done
