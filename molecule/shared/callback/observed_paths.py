"""Writes which paths modules are given that run as root on hosts, one JSON object a line, to DUALTRACK_OBSERVED_PATHS.

A scenario's verification then asks each host whether another account can write the directory that such a path is in
(molecule/shared/foreign_directories.py). Modules are observed, not results: `no_log` hides the arguments of a result.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
from collections.abc import Callable
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase
from ansible_mitogen.mixins import ActionModuleMixin

DOCUMENTATION = """
name: observed_paths
type: notification
short_description: paths that modules are given
description:
  - Appends one JSON object for each module that runs on a host to the file that DUALTRACK_OBSERVED_PATHS names.
"""

#: Modules that tell whether a path is there, and open nothing.
LOOKS = frozenset({"stat"})
#: Programs that run another one as the account that they are given, and what a script does to that end.
AS_OTHERS = frozenset({"runuser", "setpriv"})
DROPS_RIGHTS = "os.seteuid("
FILE = os.environ.get("DUALTRACK_OBSERVED_PATHS", "")


class CallbackModule(CallbackBase):
    """Observes the modules of all workers, which are forked after this object was made."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "observed_paths"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.disabled = not FILE
        if FILE:
            for owner in (ActionBase, ActionModuleMixin):
                owner._execute_module = observed(owner._execute_module)  # all modules pass here


def observed(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method that runs a module, with a note of what the module is given."""

    @functools.wraps(execute)
    def run(self: Any, module_name: str | None = None, module_args: dict[str, Any] | None = None, **rest: Any) -> Any:
        note(self._task, module_name or self._task.action, module_args or self._task.args, rest.get("task_vars") or {})
        return execute(self, module_name=module_name, module_args=module_args, **rest)

    return run


def note(task: Any, module: str, args: dict[str, Any], task_vars: dict[str, Any]) -> None:
    """Append what a module is given, if it runs as root on a host, and for a role: scenarios set traps themselves."""
    host = task.delegate_to or task_vars.get("inventory_hostname")
    if host == "localhost" or task._role is None or (task.become and task.become_user not in (None, "root")):
        return
    if paths := named(module.rpartition(".")[2], args):
        line = json.dumps({"host": host, "task": task.get_name(), "paths": paths}) + "\n"
        with open(FILE, "a", encoding="utf-8") as out:  # noqa: PTH123 - workers write side by side
            fcntl.flock(out, fcntl.LOCK_EX)
            out.write(line)


def named(module: str, args: dict[str, Any]) -> list[str]:
    """Return the absolute paths in a module's arguments, sorted."""
    words = args.get("argv") or str(args.get("_raw_params") or "").split()
    if module in LOOKS or (words and os.path.basename(str(words[0])) in AS_OTHERS):  # noqa: PTH119
        return []
    if any(DROPS_RIGHTS in str(word) for word in words):
        return []
    found = set()
    # `creates` and `removes` are looked at, and not opened.
    values = [value for key, value in args.items() if key not in ("creates", "removes", "_raw_params")]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values += value.values()
        elif isinstance(value, list | tuple):
            values += value
        else:
            found.add(str(value))
    return sorted(word for word in found | set(map(str, words)) if word.startswith("/") and "\n" not in word)
