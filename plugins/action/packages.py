"""Have packages on a host: ask what is installed, and start the package manager only where something is missing."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """What Ansible loads."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return whether something was installed, and whether all of it was there before."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        found: dict[str, Any] = self._execute_module(module_args=dict(self._task.args), task_vars=task_vars)
        if found.get("failed") or found["there"]:
            return result | found
        manager = (task_vars or {}).get("ansible_facts", {}).get("pkg_mgr")
        if manager in (None, "unknown"):
            raise AnsibleActionFail("the fact pkg_mgr is missing: gather the facts of the host first")
        wanted = {"name": self._task.args["names"], "state": "present"}
        if manager == "apt":
            # The age of the lists says nothing: a run that was stopped leaves fresh ones that lack half.
            wanted["update_cache"] = True
            if not boolean(self._task.args.get("recommends", False)):
                wanted["install_recommends"] = False
        done = self._execute_module(f"ansible.legacy.{manager}", module_args=wanted, task_vars=task_vars)
        return result | done | {"there": False}
