"""How ssh reaches a host: straight, at another address than the one that hosts have for each other, or by a jump host.

Each way but the first is a command that carries ssh's connection (`ProxyCommand`), so that everything that speaks ssh
goes the same way: plays, checks, `dualtrack ssh` and `logs`, and the first look at a host's key.
"""

from __future__ import annotations

import re

from dualtrack.core.errors import BadInput

#: A name of the operator's ssh configuration, or an account at a host, with a port where it is not 22.
#: No option of ssh: it does not begin with a hyphen.
JUMP = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?([A-Za-z0-9][A-Za-z0-9.-]*)(?::([0-9]{1,5}))?")


def at(address: str) -> str:
    """Return the command that connects to an address in place of the host's own."""
    return f"nc {address} %p"


def by_jump(jump: str, what: str) -> str:
    """Return the command that connects through a jump host; BadInput, beginning with ``what``, for what is none.

    The jump host is logged in to by the operator's own ssh configuration, keys and known hosts.
    """
    found = JUMP.fullmatch(jump)
    if not found or (found[2] and not 0 < int(found[2]) < 65536):
        raise BadInput(
            f"{what}: {jump!r} is not a jump host",
            hint="user@host, user@host:port, or a name of your ssh configuration",
        )
    place, _, port = jump.partition(":")
    return " ".join(["ssh -o BatchMode=yes -o ConnectTimeout=10", *([f"-p {port}"] if port else []), "-W %h:%p", place])
