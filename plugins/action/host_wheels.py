"""Have Python packages on a host, from the controller: ask, and send the wheels where they are not there.

The module of the same name does what is done on the host.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """What Ansible loads."""

    TRANSFERS_FILES = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return whether something was changed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = dict(self._task.args)
        wheels = [Path(it) for it in given.pop("wheels")]
        there = self._on_host(given, task_vars)
        if there.get("failed") or there["there"] or self._task.check_mode:
            return result | there | {"changed": not there.get("there", True)}
        try:
            folder = self._make_tmp_path()
            sent = [self._connection._shell.join_path(folder, it.name) for it in wheels]
            for here, to in zip(wheels, sent, strict=True):
                self._transfer_file(str(here), to)
            return result | self._on_host({**given, "wheels": sent}, task_vars)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _on_host(self, given: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        done: dict[str, Any] = self._execute_module(module_args=given, task_vars=task_vars)
        return done
