"""The operator's own machines as a target: they are there, and ssh reaches them."""

from __future__ import annotations

from dualtrack.inventory.target import Site


class Machines(Site):
    """Servers that a facts file names."""
