"""Leads Ansible to mitogen's strategy wherever mitogen is installed, so that ansible.cfg needs no path of a machine.

And spares it work, twice. To know what a module imports, mitogen compiles it and all of Ansible's library that it uses,
anew in every run (0.4 s of processor time). Python has all of that compiled beside the sources already. And it prepares
each account that it comes by for running modules, which is half of what connecting costs a host. Where tasks run as
root, the account that ssh logs in to only passes on what goes to and fro.

Before a file is written, Ansible asks what is there, and has two programs started for what it does not use: the kind of
its content, and its attributes. They are not asked for.

And it has templates compiled once (dualtrack.core.templates).
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
from pathlib import Path
from types import CodeType
from typing import Any

import ansible_mitogen.module_finder
import mitogen.core
import mitogen.master
from ansible_mitogen.mixins import ActionModuleMixin
from ansible_mitogen.plugins.strategy.mitogen_linear import StrategyModule  # noqa: F401
from ansible_mitogen.services import ContextService

from dualtrack.core import templates


def compiled(source: bytes | str, name: str, mode: str) -> CodeType:
    """Return the code of ``source``, from Python's own cache where the file it was read from can be told by ``name``.

    ``name`` is a path or the name of a module. Never another file's code: what lies there must be ``source``, and the
    cached code must be as old as it.
    """
    try:
        found = None if name.endswith(".py") else importlib.util.find_spec(name)
        path = found.origin if found else name
        data = source.encode() if isinstance(source, str) else source
        if path and path.endswith(".py") and Path(path).read_bytes() == data:
            return importlib.machinery.SourceFileLoader(name, path).get_code(name)
    except (ImportError, OSError, ValueError):
        pass
    return compile(source, name, mode)


# Both call the built-in function by its name; a name in their module comes before it.
ansible_mitogen.module_finder.compile = compiled
mitogen.master.compile = compiled


_get, _connect = ContextService.get, ContextService._connect


@functools.wraps(_get)  # mitogen keeps what it knows of a service's functions as their attributes
def get(self: ContextService, stack: list[dict[str, Any]]) -> dict[str, Any]:
    """Connect to the last of ``stack`` through all the others, which are told apart from those that run modules."""
    found: dict[str, Any] = _get(self, [*({**spec, "through": True} for spec in stack[:-1]), stack[-1]])
    return found


def connect(self: ContextService, key: str, spec: dict[str, Any], via: Any = None) -> dict[str, Any]:
    """Connect to one account. One that others are only reached through is not prepared for running modules."""
    if not spec.get("through"):
        found: dict[str, Any] = _connect(self, key, spec, via=via)
        return found
    context = getattr(self.router, spec["method"])(via=via, unidirectional=True, **spec["kwargs"])
    mitogen.core.listen(context, "disconnect", lambda: self._on_context_disconnect(context))
    self._key_by_context[context] = key
    self._refs_by_context[context] = 0
    return {"context": context, "via": via, "init_child_result": None, "msg": None}


ContextService.get = get
ContextService._connect = connect

_execute = ActionModuleMixin._execute_module


@functools.wraps(_execute)
def execute(
    self: ActionModuleMixin, module_name: str | None = None, module_args: Any = None, *rest: Any, **named: Any
) -> dict[str, Any]:
    """Run a module; `ansible.legacy.stat` is what actions ask with, a task has another name for it."""
    if module_name == "ansible.legacy.stat":
        module_args = {**module_args, "get_mime": False, "get_attributes": False}
    found: dict[str, Any] = _execute(self, module_name, module_args, *rest, **named)
    return found


ActionModuleMixin._execute_module = execute

templates.keep_compiled()
