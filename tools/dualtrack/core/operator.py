"""Who runs a command on the controller."""

from __future__ import annotations

import getpass
import os


def operator() -> str:
    """Return the name of the account that runs this command; where it is root by `sudo`, of the account behind it."""
    return os.environ.get("SUDO_USER") or getpass.getuser()
