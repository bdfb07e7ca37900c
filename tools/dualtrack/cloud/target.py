"""A real AWS account as a target."""

from __future__ import annotations

import os

from dualtrack.inventory.render import Connection
from dualtrack.inventory.target import Site


class Aws(Site):
    """Instances of a real account."""

    environment = "aws"

    def connection(self, private_key: str = "") -> Connection:
        """Return how instances are reached: with the key of DUALTRACK_SSH_KEY, or ssh's own."""
        return super().connection(private_key or os.environ.get("DUALTRACK_SSH_KEY", ""))
