"""Packages of another environment, within reach of the tests' own process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from dualtrack.data.mirror import artifacts


@contextlib.contextmanager
def within_reach(environment: str) -> Iterator[None]:
    """Have an environment's packages importable for the block, after those that are here: its numpy is the same."""
    [packages] = artifacts.environment(environment).parents[1].glob("lib/python3*/site-packages")
    sys.path.append(str(packages))
    try:
        yield
    finally:
        sys.path.remove(str(packages))
