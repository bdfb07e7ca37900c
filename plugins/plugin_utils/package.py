"""Whether the Python package that the collection's plugins run on is installed on the controller."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ansible.errors import AnsibleError

FOUND = importlib.util.find_spec("dualtrack") is not None
MISSING = (
    "the Python package dualtrack is missing beside Ansible on this machine: "
    f"pip install -e {Path(__file__).absolute().parents[2]}"
)


def guarded(filters: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Return the filters, or, without the package, filters that say so.

    What is raised while Ansible loads a file of filters is only a warning; the play then fails for an unknown filter.
    """
    return dict(filters) if FOUND else dict.fromkeys(filters, _refuse)


def _refuse(*_: object, **__: object) -> NoReturn:
    raise AnsibleError(MISSING)
