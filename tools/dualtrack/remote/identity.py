"""Which host it is that answers to a name: one that was made anew, or installed anew, is another."""

from __future__ import annotations

import re

from dualtrack.remote import host_keys

#: What tells it, for every user of a host to read.
COMMAND = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub"
_MACHINE = re.compile(r"^[0-9a-f]{32}$", re.MULTILINE)
_KEY = re.compile(r"^ssh-ed25519 [A-Za-z0-9+/]{68}(?= |$)", re.MULTILINE)


def of(said: str) -> str:
    """Return the identity that ``COMMAND`` printed: machine-id and host key's fingerprint; '' where one is missing."""
    machine, key = _MACHINE.search(said), _KEY.search(said)
    return f"{machine[0]} {host_keys.fingerprint(key[0])}" if machine and key else ""
