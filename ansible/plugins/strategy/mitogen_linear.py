"""Leads Ansible to mitogen's strategy wherever mitogen is installed, so that ansible.cfg needs no path of a machine.

And spares it work: to know what a module imports, mitogen compiles it and all of Ansible's library that it uses, anew
in every run (0.4 s of processor time). Python has all of that compiled beside the sources already.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path
from types import CodeType

import ansible_mitogen.module_finder
import mitogen.master
from ansible_mitogen.plugins.strategy.mitogen_linear import StrategyModule  # noqa: F401


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
